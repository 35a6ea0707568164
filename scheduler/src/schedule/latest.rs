//! The latest tick.

use jiff::Timestamp;

use super::field::Fields;
use super::zone::Zone;
use super::{Rule, Schedule, at_second, whole_second};

impl Schedule {
    /// The last tick at or before `instant`, found without walking: however sparse the schedule, at most nine years
    /// are looked at.
    ///
    /// `None` for `@every`, whose ticks exist only from a floor on: see [`latest_between`](Self::latest_between).
    #[must_use]
    pub fn latest_at_or_before(&self, instant: Timestamp) -> Option<Timestamp> {
        let Rule::Cron(fields) = &self.rule else { return None };
        let second = whole_second(instant);
        if fields.never_match() {
            None
        } else if fields.elapsed() {
            latest_elapsed(fields, &self.zone, second)
        } else {
            self.zone.first_instant(fields.last_before(self.zone.wall_after(second)?)?)
        }
    }

    /// The last tick in (`floor`, `until`] of a schedule that is in force from `floor` on.
    #[must_use]
    pub fn latest_between(&self, floor: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let Rule::Every(period) = self.rule else {
            return self.latest_at_or_before(until).filter(|tick| *tick > floor);
        };
        let (floor, until) = (whole_second(floor), whole_second(until));
        let passed = until.checked_sub(floor)? / period;
        if passed < 1 { None } else { at_second(floor.checked_add(period.checked_mul(passed)?)?) }
    }
}

/// Walks back from one change of the offset to the one before.
fn latest_elapsed(fields: &Fields, zone: &Zone, second: i64) -> Option<Timestamp> {
    let mut until = at_second(second.checked_add(1)?)?;
    let mut earlier = zone.time_zone().preceding(until);
    let mut offset = zone.offset(at_second(second)?);
    loop {
        let start = earlier.next().map(|transition| transition.timestamp());
        let tick = fields.last_before(offset.to_datetime(until)).and_then(|wall| offset.to_timestamp(wall).ok());
        match (tick, start) {
            (Some(tick), Some(start)) if tick < start => until = start,
            (None, Some(start)) => until = start,
            (tick, _) => return tick,
        }
        offset = zone.offset(at_second(whole_second(until) - 1)?);
    }
}
