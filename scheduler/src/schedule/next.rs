//! The next tick.

use jiff::Timestamp;

use super::field::Fields;
use super::zone::Zone;
use super::{Rule, Schedule, at_second, whole_second};

impl Schedule {
    /// The first tick strictly after `after`; `None` if there is none that jiff can represent.
    ///
    /// `@every d` has no ticks of its own: the answer is the whole second of `after`, plus d. See
    /// [`next_in`](Self::next_in).
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.next_in(after, after)
    }

    /// The first tick strictly after `after` of a schedule that is in force from `floor` on.
    ///
    /// `@every d` counts from `floor`: its ticks are `floor + d`, `floor + 2 d` and so on (R24). Cron fields look at
    /// `floor` only where it is after `after`.
    #[must_use]
    pub fn next_in(&self, floor: Timestamp, after: Timestamp) -> Option<Timestamp> {
        let (floor, after) = (whole_second(floor), whole_second(after.max(floor)));
        match &self.rule {
            Rule::Every(period) => {
                let passed = after.checked_sub(floor)? / period;
                at_second(floor.checked_add(period.checked_mul(passed + 1)?)?)
            }
            Rule::Cron(fields) if fields.never_match() => None,
            Rule::Cron(fields) if fields.elapsed() => next_elapsed(fields, &self.zone, after),
            Rule::Cron(fields) => self.zone.first_instant(fields.first_from(self.zone.wall_after(after)?)?),
        }
    }
}

/// Walks from one change of the offset to the next; between them, elapsed time and wall clock agree.
fn next_elapsed(fields: &Fields, zone: &Zone, after: i64) -> Option<Timestamp> {
    let mut from = at_second(after.checked_add(1)?)?;
    let mut offset = zone.offset(from);
    let mut changes = zone.changes(from);
    loop {
        let change = changes.next();
        let tick = fields.first_from(offset.to_datetime(from)).and_then(|wall| offset.to_timestamp(wall).ok());
        match (tick, change) {
            (Some(tick), Some(change)) if tick >= change.at => (from, offset) = (change.at, change.after),
            (None, Some(change)) => (from, offset) = (change.at, change.after),
            (tick, _) => return tick,
        }
    }
}
