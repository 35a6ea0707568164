//! Where R23 moves or merges ticks, in words.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::AmbiguousOffset;

use super::{Rule, Schedule, at_second, whole_second};

/// What a change of the clocks does to a tick of a schedule that follows the wall clock (R23).
///
/// `Display` is one line, such as `26 Oct 2025: 02:30 happens twice, runs at the first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DstNote {
    /// The wall clock shows this time twice; the tick runs at the first.
    Repeated {
        /// The time that is repeated.
        wall: DateTime,
    },
    /// The wall clock never shows the times from `first` to `last`; their ticks run once, at `end`.
    Skipped {
        /// The first tick in the gap.
        first: DateTime,
        /// The last tick in the gap, `first` if it is alone.
        last: DateTime,
        /// Where the gap ends.
        end: DateTime,
        /// How many ticks run as this one, with one that `end` may have of its own.
        merged: u64,
    },
}

impl Schedule {
    /// Tells whether `tick`, an answer of this schedule, is moved or merged by R23.
    #[must_use]
    pub fn note(&self, tick: Timestamp) -> Option<DstNote> {
        let Rule::Cron(fields) = &self.rule else { return None };
        if fields.elapsed() {
            return None;
        }
        let offset = self.zone.offset(tick);
        let wall = offset.to_datetime(tick);
        if let AmbiguousOffset::Fold { before, .. } = self.zone.time_zone().to_ambiguous_timestamp(wall).offset() {
            return (before == offset).then_some(DstNote::Repeated { wall });
        }
        let before = at_second(whole_second(tick).checked_sub(1)?)?;
        let change = self.zone.changes(before).next().filter(|change| change.at == tick)?;
        let (start, end) = change.gap()?;
        let first = fields.first_from(start).filter(|first| *first < end)?;
        let last = fields.last_before(end)?;
        let own = u64::from(fields.first_from(end) == Some(end));
        Some(DstNote::Skipped { first, last, end, merged: fields.count(start, end) + own })
    }
}

impl fmt::Display for DstNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: &str = "%-d %b %Y";
        const TIME: &str = "%H:%M";
        match self {
            Self::Repeated { wall } => {
                write!(f, "{}: {} happens twice, runs at the first", wall.strftime(DAY), wall.strftime(TIME))
            }
            Self::Skipped { first, last, end, merged } => {
                write!(f, "{}: {}", first.strftime(DAY), first.strftime(TIME))?;
                if first == last {
                    f.write_str(" does not exist, runs at ")?;
                } else {
                    write!(f, " to {} do not exist, run once at ", last.strftime(TIME))?;
                }
                if end.date() != first.date() {
                    write!(f, "{} ", end.strftime(DAY))?;
                }
                write!(f, "{}", end.strftime(TIME))?;
                if *merged > 1 { write!(f, " ({merged} ticks in one)") } else { Ok(()) }
            }
        }
    }
}
