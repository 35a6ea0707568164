//! A term: permission to act as leader until a deadline that renewals move.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::clock::Clock;

/// The state of this replica. Read it from the channel of [`run`](super::run) or [`alone`](super::alone).
#[derive(Clone, Debug)]
pub enum Leadership {
    /// Another replica leads, or none does yet. Caches are kept warm and nothing is written.
    Standby {
        /// Identity of the leader, if one was seen.
        holder: Option<String>,
    },
    /// This replica leads while [`Term::holds`]. A term with another number is another term: between the two somebody
    /// else may have led, so work of the earlier one must not go on, even where the `Standby` in between was missed.
    Leading(Term),
}

impl Leadership {
    /// Leading without a lease and without end (`--leader-elect=false`).
    #[must_use]
    pub fn alone() -> Self {
        Self::Leading(Term::endless())
    }

    /// The term, while leading.
    #[must_use]
    pub fn term(&self) -> Option<&Term> {
        match self {
            Self::Leading(term) => Some(term),
            Self::Standby { .. } => None,
        }
    }
}

/// Permission to act as leader. Clones share the deadline: a renewal moves it for all of them, the loss of the lease
/// ends it for all of them.
#[derive(Clone, Debug)]
pub struct Term {
    number: u64,
    until: Arc<Until>,
}

/// The deadline by both clocks, in atomics because it is read before every API call. Read one at a time: a renewal that
/// is half visible shows the earlier deadline of one clock, which errs on the safe side.
#[derive(Debug)]
struct Until {
    /// What `monotonic` counts from.
    base: Instant,
    /// Nanoseconds after `base`.
    monotonic: AtomicU64,
    /// Microseconds since the Unix epoch.
    wall: AtomicI64,
}

impl Term {
    /// A term that starts now and ends `length` after the given instants: those taken before the request that won the
    /// lease was sent.
    #[must_use]
    pub fn new(number: u64, sent: Sent, length: Duration) -> Self {
        let until = Until { base: sent.monotonic, monotonic: AtomicU64::new(0), wall: AtomicI64::new(i64::MIN) };
        let term = Self { number, until: Arc::new(until) };
        term.renew(sent, length);
        term
    }

    fn endless() -> Self {
        let until = Until {
            base: Instant::now(),
            monotonic: AtomicU64::new(u64::MAX),
            wall: AtomicI64::new(Timestamp::MAX.as_microsecond()),
        };
        Self { number: 1, until: Arc::new(until) }
    }

    /// Running number of the term within this process, from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Leadership is still ours, by the monotonic *and* the wall clock: a machine that slept wakes with the first one
    /// behind, one whose time was set back with the second one. Cheap; to be asked immediately before each API call
    /// (R35).
    #[must_use]
    pub fn holds(&self, clock: &impl Clock) -> bool {
        !self.remaining(clock).is_zero()
    }

    /// How long the term lasts if it is not renewed; zero when it is over.
    #[must_use]
    pub fn remaining(&self, clock: &impl Clock) -> Duration {
        let elapsed = nanos(clock.monotonic().saturating_duration_since(self.until.base));
        let monotonic = self.until.monotonic.load(Ordering::Acquire).saturating_sub(elapsed);
        let wall = self.until.wall.load(Ordering::Acquire).saturating_sub(clock.now().as_microsecond());
        let wall = Duration::from_micros(u64::try_from(wall).unwrap_or(0));
        wall.min(Duration::from_nanos(monotonic))
    }

    /// Moves the deadline to `length` after `sent`.
    pub(super) fn renew(&self, sent: Sent, length: Duration) {
        let monotonic = nanos(sent.monotonic.saturating_duration_since(self.until.base) + length);
        let wall = sent.wall.saturating_add(length).unwrap_or(Timestamp::MAX).as_microsecond();
        self.until.monotonic.store(monotonic, Ordering::Release);
        self.until.wall.store(wall, Ordering::Release);
    }

    /// Ends the term.
    pub(super) fn end(&self) {
        self.until.monotonic.store(0, Ordering::Release);
        self.until.wall.store(i64::MIN, Ordering::Release);
    }
}

/// When a request was sent, by both clocks. A deadline counts from here, not from the answer: the API server may have
/// stored the renewal any time in between.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    monotonic: Instant,
    wall: Timestamp,
}

impl Sent {
    /// Now.
    #[must_use]
    pub fn now(clock: &impl Clock) -> Self {
        Self { monotonic: clock.monotonic(), wall: clock.now() }
    }

    /// Time passed since, by the monotonic clock.
    #[must_use]
    pub fn elapsed(&self, clock: &impl Clock) -> Duration {
        clock.monotonic().saturating_duration_since(self.monotonic)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, SystemClock};

    const LENGTH: Duration = Duration::from_secs(10);

    fn term() -> (ManualClock, Term) {
        let clock = ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let term = Term::new(1, Sent::now(&clock), LENGTH);
        (clock, term)
    }

    // R35
    #[test]
    fn a_term_ends_at_its_deadline_and_a_renewal_moves_it_for_every_clone() {
        let (clock, term) = term();
        let clone = term.clone();
        clock.advance(Duration::from_secs(9));
        assert!(clone.holds(&clock));
        assert_eq!(clone.remaining(&clock), Duration::from_secs(1));

        term.renew(Sent::now(&clock), LENGTH);
        clock.advance(Duration::from_secs(9));
        assert!(clone.holds(&clock));
        clock.advance(Duration::from_secs(1));
        assert!(!clone.holds(&clock));
    }

    // R35, R20
    #[test]
    fn either_clock_ends_it() {
        let (clock, term) = term();
        clock.set_wall("2026-01-01T00:00:10Z".parse().unwrap());
        assert!(!term.holds(&clock), "the machine slept");

        let (clock, term) = self::term();
        clock.set_wall("2025-01-01T00:00:00Z".parse().unwrap());
        assert!(term.holds(&clock));
        clock.advance_monotonic(LENGTH);
        assert!(!term.holds(&clock), "the wall clock was set back");
    }

    #[test]
    fn an_ended_term_does_not_hold() {
        let (clock, term) = term();
        term.end();
        assert!(!term.holds(&clock));
    }

    #[test]
    fn alone_leads_without_end() {
        let leadership = Leadership::alone();
        assert!(leadership.term().unwrap().holds(&SystemClock));
    }
}
