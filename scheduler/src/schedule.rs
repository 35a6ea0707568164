//! Schedules: which instants are ticks (R21–R25).
//!
//! The dialect is the one a `CronJob` accepts, robfig/cron v3's standard parser; the ticks are the ones a `CronJob`
//! has, but for the two hours a year in which clocks are changed, where R23 holds instead:
//!
//! - Hour field does not match every hour: *wall-clock* schedule. Every wall-clock tick runs exactly once: in a
//!   repeated hour at its first occurrence, in a skipped hour at the instant the gap ends.
//! - Hour field matches every hour: *elapsed-time* schedule. No ticks in the gap, ticks in both repeated hours.
//!
//! | module | idea |
//! |---|---|
//! | `parse`, `every`, `field`, `error` | text to bit sets, and errors that point |
//! | `civil` | the ticks of a calendar without offset changes: first, last, count |
//! | `zone` | from the calendar to instants and back |
//! | `next`, `latest`, `count` | the questions the operator asks |
//! | `note`, `describe`, `display` | words for people |

mod civil;
mod count;
mod describe;
mod display;
mod error;
mod every;
mod field;
mod latest;
mod next;
mod note;
mod parse;
mod zone;

use jiff::Timestamp;

pub use error::{ScheduleError, ZoneError};
pub use note::DstNote;
pub use zone::Zone;

use field::Fields;

/// A parsed schedule in a time zone.
///
/// `Display` prints a normal form of the expression, which parses to the same schedule in the same zone.
/// All instants handed out are whole seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    rule: Rule,
    zone: Zone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Five cron fields, or a descriptor that stands for them.
    Cron(Fields),
    /// `@every`, in seconds, at least one.
    Every(i64),
}

// Ten thousand Runs hold ten thousand of them.
const _: () = assert!(size_of::<Schedule>() <= 64);

impl Schedule {
    /// Reads `expression` in the dialect of robfig/cron v3's `ParseStandard` (R21), to be evaluated in `zone`.
    ///
    /// # Errors
    ///
    /// [`ScheduleError`] points at the first thing that is wrong: the field, the position, what stands there and what
    /// is allowed.
    pub fn parse(expression: &str, zone: &Zone) -> Result<Self, ScheduleError> {
        Ok(Self { rule: parse::rule(expression)?, zone: zone.clone() })
    }

    /// The zone the schedule is evaluated in.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The period of an `@every` schedule in whole seconds; `None` for cron fields.
    #[must_use]
    pub fn every(&self) -> Option<u64> {
        match self.rule {
            Rule::Cron(_) => None,
            Rule::Every(seconds) => Some(seconds.unsigned_abs()),
        }
    }

    /// Whether no instant is ever a tick (R25): an impossible date such as 30 February, or a field that is empty
    /// (`,`). A sparse date such as 29 February is not impossible.
    #[must_use]
    pub fn never_fires(&self) -> bool {
        match self.rule {
            Rule::Cron(fields) => fields.never_match(),
            Rule::Every(_) => false,
        }
    }
}

/// The whole second an instant lies in.
fn whole_second(instant: Timestamp) -> i64 {
    instant.as_second() - i64::from(instant.subsec_nanosecond() < 0)
}

fn at_second(second: i64) -> Option<Timestamp> {
    Timestamp::from_second(second).ok()
}
