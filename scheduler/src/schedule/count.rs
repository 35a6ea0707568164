//! How many ticks, counted by the month instead of one by one.

use jiff::Timestamp;

use super::field::Fields;
use super::zone::Zone;
use super::{Rule, Schedule, at_second, whole_second};

impl Schedule {
    /// The number of ticks in (`floor`, `until`] of a schedule that is in force from `floor` on (R15).
    #[must_use]
    pub fn count_between(&self, floor: Timestamp, until: Timestamp) -> u64 {
        let (floor, until) = (whole_second(floor), whole_second(until));
        if until <= floor {
            return 0;
        }
        match &self.rule {
            Rule::Every(period) => Some(((until - floor) / period).unsigned_abs()),
            Rule::Cron(fields) if fields.elapsed() => count_elapsed(fields, &self.zone, floor, until),
            Rule::Cron(fields) => count_wall(fields, &self.zone, floor, until),
        }
        .unwrap_or(0)
    }
}

/// From one change of the offset to the next.
fn count_elapsed(fields: &Fields, zone: &Zone, floor: i64, until: i64) -> Option<u64> {
    let (mut from, end) = (at_second(floor.checked_add(1)?)?, at_second(until.checked_add(1)?)?);
    let mut offset = zone.offset(from);
    let mut ticks = 0;
    for change in zone.changes(from).take_while(|change| change.at < end) {
        ticks += fields.count(offset.to_datetime(from), offset.to_datetime(change.at));
        (from, offset) = (change.at, change.after);
    }
    Some(ticks + fields.count(offset.to_datetime(from), offset.to_datetime(end)))
}

/// The ticks of the calendar, less those that gaps merge.
fn count_wall(fields: &Fields, zone: &Zone, floor: i64, until: i64) -> Option<u64> {
    let ticks = fields.count(zone.wall_after(floor)?, zone.wall_after(until)?);
    let (from, last) = (at_second(floor)?, at_second(until)?);
    let gaps = zone.changes(from).take_while(|change| change.at <= last).filter_map(|change| change.gap());
    // All ticks of a gap run at its end, where there may be a tick of its own.
    let merged = gaps.map(|(start, end)| {
        let own = u64::from(fields.first_from(end) == Some(end));
        (fields.count(start, end) + own).saturating_sub(1)
    });
    Some(ticks.saturating_sub(merged.sum()))
}
