//! The two clocks the operator looks at, behind a trait so that tests can move them apart.
//!
//! Ticks are wall-clock instants. How long something took is measured on the monotonic clock, which no NTP step moves,
//! but which stands still while a machine sleeps. Whatever must not outlive its time (a claim, a leader's term) is
//! checked against both (R20).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Source of the time.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// The monotonic clock: never goes back, may stand still while the machine sleeps.
    fn monotonic(&self) -> Instant;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn monotonic(&self) -> Instant {
        (**self).monotonic()
    }
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

/// Clocks that move only when told to, for tests. Clones share the time.
///
/// It moves no timer: a test that waits for one pauses tokio's time, and advances both.
#[derive(Clone, Debug)]
pub struct ManualClock {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    wall: Timestamp,
    monotonic: Instant,
}

impl ManualClock {
    /// Clocks that stand at `wall` and at the present monotonic instant.
    #[must_use]
    pub fn new(wall: Timestamp) -> Self {
        Self { state: Arc::new(Mutex::new(State { wall, monotonic: Instant::now() })) }
    }

    /// Lets time pass: both clocks move by `by`.
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        state.wall = state.wall.saturating_add(by).unwrap_or(Timestamp::MAX);
        state.monotonic += by;
    }

    /// Sets the wall clock, forwards or backwards; the monotonic clock stays.
    pub fn set_wall(&self, wall: Timestamp) {
        self.lock().wall = wall;
    }

    /// Lets only the monotonic clock move by `by`.
    pub fn advance_monotonic(&self, by: Duration) {
        self.lock().monotonic += by;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.lock().wall
    }

    fn monotonic(&self) -> Instant {
        self.lock().monotonic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R20
    #[test]
    fn the_clocks_move_apart_only_when_told_to() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let (wall, monotonic) = (clock.now(), clock.monotonic());

        clock.clone().advance(Duration::from_secs(5));
        assert_eq!(clock.now().duration_since(wall).as_secs(), 5);
        assert_eq!(clock.monotonic().duration_since(monotonic).as_secs(), 5);

        clock.set_wall(wall);
        clock.advance_monotonic(Duration::from_secs(1));
        assert_eq!(clock.now(), wall);
        assert_eq!(clock.monotonic().duration_since(monotonic).as_secs(), 6);
    }
}
