//! Caps across Runs, as far as they need the process around them: the line of [`scheduler::caps`] between the index,
//! which knows how many runs are unfinished, and the queue, which wakes who may start. What it holds is rebuilt from the
//! claims of all Runs at the beginning of a term.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use scheduler::caps::{Limits, Line, Place};
use scheduler::state::RunKind;
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::index::{Index, Key, Unfinished};
use crate::leader::{Leadership, Term};
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::queue::{Lane, Queue};
use crate::status;
use crate::watch::Synced;

/// Timers run on monotonic time: a stepped wall clock is noticed by then.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// The places of all Runs.
pub struct Places {
    line: Mutex<State>,
    unfinished: Arc<Unfinished>,
    queue: Arc<Queue>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    changed: Notify,
}

struct State {
    line: Line<Key>,
    /// The term for which all claims are in the line; before, nobody is let through.
    term: Option<u64>,
}

impl Places {
    /// Places under these caps. `unfinished` is what the index counts.
    #[must_use]
    pub fn new(
        limits: Limits,
        unfinished: Arc<Unfinished>,
        queue: Arc<Queue>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let line = Mutex::new(State { line: Line::new(limits), term: None });
        Self { line, unfinished, queue, clock, metrics, changed: Notify::new() }
    }

    /// What the line says to the starts of a Run.
    #[must_use]
    pub fn of(&self, key: &Key) -> BTreeMap<String, Place> {
        self.lock().line.places(key)
    }

    /// Puts a start in line. What it is told stands in [`Places::of`] from now on.
    pub fn ask(&self, key: &Key, job: &str, due: Timestamp, again: bool) {
        let now = self.clock.now();
        let mut state = self.lock();
        if state.line.join(key, job, due, again, now) {
            self.admit(&mut state, now, Some(key));
            if let Some(Place::Waiting { cap, .. }) = state.line.places(key).get(job) {
                self.metrics.start_delayed(*cap);
            }
        }
    }

    /// A start that had a place gives it back.
    pub fn give_back(&self, key: &Key, job: &str) {
        self.leave(&mut self.lock(), key, |other, _| other != job);
    }

    /// After a look: starts that have a place and have not used it give it back; so do those that used it, whose Job counts
    /// by itself. Those whose create was not answered in this look stay as long as they are claimed, and those that wait.
    /// `before` are the creates that were in doubt before it.
    pub fn settle(&self, key: &Key, index: &Index, memory: &Memory, before: &BTreeMap<String, i32>) {
        let claims = index.run(key).map(|indexed| status::record(&indexed.run).claims).unwrap_or_default();
        let mut state = self.lock();
        // Each create that is sent has an attempt of its own.
        let sent = memory.in_doubt.iter().filter(|(job, attempt)| before.get(*job) != Some(attempt));
        sent.for_each(|(job, _)| state.line.doubt(key, job));
        self.leave(&mut state, key, |job, place| place != Place::Free && claims.contains_key(job));
    }

    fn leave(&self, state: &mut State, key: &Key, stays: impl Fn(&str, Place) -> bool) {
        state.line.leave(key, stays);
        if state.line.waiting() > 0 {
            self.changed.notify_one();
        }
    }

    /// Lets through who may start, whenever a run has ended or time has made room. Ends when dropped.
    pub async fn run(&self, index: &Index, synced: &Synced, mut leadership: watch::Receiver<Leadership>) {
        loop {
            let term = leadership.borrow_and_update().term().map(Term::number);
            let opens_at = self.turn(term, index, synced);
            let sleep = async {
                match opens_at {
                    Some(at) => {
                        let wait = Duration::try_from(at.duration_since(self.clock.now())).unwrap_or_default();
                        tokio::time::sleep(wait.min(LONGEST_SLEEP)).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = self.unfinished.fewer() => {}
                () = sleep => {}
                led = leadership.changed() => if led.is_err() { return },
            }
        }
    }

    fn turn(&self, term: Option<u64>, index: &Index, synced: &Synced) -> Option<Timestamp> {
        let mut state = self.lock();
        if state.term != term {
            state.term = None;
            match term {
                None => state.line.clear(),
                // Not before every Run and Job has been seen: who is due first, and how many are unfinished?
                Some(_) if synced.is_complete() => {
                    self.seed(&mut state.line, index);
                    state.term = term;
                }
                Some(_) => {}
            }
        }
        let now = self.clock.now();
        self.admit(&mut state, now, None);
        state.line.opens_at(self.unfinished.count())
    }

    /// Everything that is claimed and due is in line before anybody is let through.
    fn seed(&self, line: &mut Line<Key>, index: &Index) {
        let now = self.clock.now();
        for key in index.keys() {
            let Some(indexed) = index.run(&key) else { continue };
            for (job, claim) in status::record(&indexed.run).claims {
                let due = claim.tick.unwrap_or(claim.claimed_at);
                if claim.kind != RunKind::Teardown && due <= now {
                    line.join(&key, &job, due, false, now);
                }
            }
        }
    }

    fn admit(&self, state: &mut State, now: Timestamp, looking: Option<&Key>) {
        if state.term.is_some() {
            for key in state.line.admit(self.unfinished.count(), now) {
                if Some(&key) != looking {
                    self.queue.push(key, Lane::Due);
                }
            }
        }
        self.metrics.set_starts_waiting(state.line.waiting());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use crds::Run;
    use serde_json::json;

    use super::*;
    use crate::clock::SystemClock;

    const JOB: &str = "orders-trigger-2";

    /// A Run whose trigger of that number was taken, and is beside its status; the one before it has run.
    fn run(number: i64) -> Run {
        let taken = json!({ "runUid": "1", "number": number, "holder": "me", "claimedAt": "2026-01-01T00:00:00Z" });
        let annotations = json!({ crds::TRIGGER_TAKEN_ANNOTATION: taken.to_string() });
        let metadata = json!({ "namespace": "sales", "name": "orders", "uid": "1", "annotations": annotations });
        let status = json!({ "triggerCount": 1,
            "scheduleInForce": { "suspend": false, "since": "2026-01-01T00:00:00Z" } });
        serde_json::from_value(json!({ "metadata": metadata, "spec": { "runs": [] }, "status": status })).unwrap()
    }

    /// Places, one of which that start has asked for; and the Run.
    fn asked(number: i64) -> (Places, Index, Key) {
        let (limits, clock) = (Limits { concurrent_runs: Some(1), starts_per_second: None }, Arc::new(SystemClock));
        let places = Places::new(limits, Arc::default(), Arc::default(), clock, Arc::new(Metrics::new()));
        let index = Index::default();
        let key = index.apply_run(serde_json::from_value(json!(run(number))).unwrap()).unwrap().unwrap();
        places.ask(&key, JOB, Timestamp::UNIX_EPOCH, false);
        (places, index, key)
    }

    // R27, R32: a trigger that was taken waits in line too, though only its annotation says so.
    #[test]
    fn what_is_claimed_beside_the_annotation_keeps_its_place_in_line() {
        for (number, waits) in [(2, true), (1, false)] {
            let (places, index, key) = asked(number);
            places.settle(&key, &index, &Memory::default(), &BTreeMap::new());
            assert_eq!(places.of(&key).contains_key(JOB), waits, "{number}");
        }
    }

    // R38: a place that was not used now is free again, though an earlier create is still in doubt.
    #[test]
    fn only_a_create_of_this_look_keeps_its_place() {
        for (before, place) in [(1, Some(Place::InDoubt)), (2, None)] {
            let (places, index, key) = asked(2);
            places.lock().line.admit(0, Timestamp::UNIX_EPOCH);
            let in_doubt = |attempt| BTreeMap::from([(JOB.to_owned(), attempt)]);
            let memory = Memory { in_doubt: in_doubt(2), ..Memory::default() };
            places.settle(&key, &index, &memory, &in_doubt(before));
            assert_eq!(places.of(&key).get(JOB).copied(), place, "{before}");
        }
    }
}
