//! The only timer: wakes Runs when their time has come, by the wall clock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use scheduler::wake::WakeQueue;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::index::Key;
use crate::queue::{Lane, Queue};

/// Longest single sleep: timers run on monotonic time, so a stepped clock or a suspended machine is noticed by then (R20).
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// The wall clock moved this much against the monotonic one: everybody is looked at.
const JUMP: Duration = Duration::from_secs(1);

/// Wake times of all Runs.
pub struct Ticker {
    clock: Arc<dyn Clock>,
    queue: Arc<Queue>,
    wakes: Mutex<WakeQueue<Key>>,
    changed: Notify,
}

impl Ticker {
    /// A ticker that pushes what is due into `queue`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, queue: Arc<Queue>) -> Self {
        Self { clock, queue, wakes: Mutex::default(), changed: Notify::new() }
    }

    /// Wakes `key` at that instant, or not at all.
    pub fn arm(&self, key: &Key, at: Option<Timestamp>) {
        let mut wakes = self.lock();
        let before = wakes.next();
        match at {
            Some(at) => wakes.arm(key.clone(), at),
            None => wakes.disarm(key),
        }
        if wakes.next() != before {
            drop(wakes);
            self.changed.notify_one();
        }
    }

    /// Forgets all wake times, as on losing the lead.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// When `key` is woken, if it is armed.
    #[must_use]
    pub fn at(&self, key: &Key) -> Option<Timestamp> {
        self.lock().at(key)
    }

    /// How many Runs are armed.
    #[must_use]
    pub fn armed(&self) -> usize {
        self.lock().len()
    }

    /// Runs until dropped. `on_jump` is told how far the wall clock was stepped.
    pub async fn run(&self, on_jump: impl Fn(jiff::SignedDuration)) {
        let mut seen = (self.clock.now(), self.clock.monotonic());
        loop {
            let changed = self.changed.notified();
            let now = self.clock.now();
            let monotonic = self.clock.monotonic();
            let drift = now.duration_since(seen.0) - signed(monotonic.duration_since(seen.1));
            seen = (now, monotonic);
            if drift.unsigned_abs() > JUMP {
                on_jump(drift);
            }
            while let Some(key) = self.pop(now) {
                self.queue.push(key, Lane::Due);
            }
            let wait = self.next().map_or(LONGEST_SLEEP, |next| until(next, self.clock.now()));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = changed => {}
            }
        }
    }

    fn pop(&self, now: Timestamp) -> Option<Key> {
        self.lock().pop_due(now)
    }

    fn next(&self) -> Option<Timestamp> {
        self.lock().next()
    }

    fn lock(&self) -> MutexGuard<'_, WakeQueue<Key>> {
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn until(next: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(next.duration_since(now)).unwrap_or_default().min(LONGEST_SLEEP)
}

fn signed(duration: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX)
}
