//! Observe → decide → execute, for one Run at a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use dashmap::DashMap;
use jiff::Timestamp;
use scheduler::{Effect, sweep};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::execute::{ExecuteError, Executor, Plan};
use crate::index::{Index, Key, KnownJob};
use crate::leader::{Leadership, Term};
use crate::looks::Looks;
use crate::memory::Memory;
use crate::observe::observe;
use crate::queue::{Lane, Queue};
use crate::slots::Slots;
use crate::ticker::Ticker;
use crate::watch::Synced;

/// A Run whose decisions do not come to rest within so many steps is a bug; it must not starve the others.
const MAX_STEPS: usize = 32;
/// Of failures in a row the second is told, and each after so many more.
const TELLING: u32 = 30;

/// The loop's parts.
pub struct Controller {
    /// What the watches have shown.
    pub index: Arc<Index>,
    /// Whether they have shown everything there is.
    pub synced: Arc<Synced>,
    /// Who is looked at next.
    pub queue: Arc<Queue>,
    /// Who is woken when.
    pub ticker: Arc<Ticker>,
    /// API calls.
    pub executor: Executor,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Do we lead?
    pub leadership: watch::Receiver<Leadership>,
    /// Identity of this process in claims.
    pub holder: String,
    /// What this process alone knows.
    pub memory: DashMap<Key, Memory>,
    /// Where decisions are noted, if anybody asks for them.
    pub looks: Option<Arc<Looks>>,
}

/// How a look ended.
enum Rest {
    /// Nothing more to do until then, or until something changes.
    Until(Option<Timestamp>),
    /// Jobs were created. What follows has time until everybody else's Jobs are created.
    Created(Option<Timestamp>),
    /// A call failed: look again after a pause, or at the wake time if that is earlier.
    Failed(ExecuteError, Option<Timestamp>),
}

impl Controller {
    /// Looks at Runs, many at a time, until `stop` says so; then those in progress end. Dropped, it drops them.
    pub async fn work(self: Arc<Self>, stop: CancellationToken) {
        let slots = Arc::new(Slots::default());
        let mut looks = JoinSet::new();
        loop {
            let next = async { (slots.take().await, self.queue.next().await) };
            let (slot, key) = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                next = next => next,
            };
            while looks.try_join_next().is_some() {}
            let (controller, slots) = (Arc::clone(&self), Arc::clone(&slots));
            looks.spawn(async move {
                let _done = Done(&controller.queue, &key);
                let hangs = controller.memory.get(&key).is_some_and(|memory| memory.hangs);
                slots.see_through(slot, hangs, || controller.queue.waits(&key), Box::pin(controller.look(&key))).await;
            });
        }
        while looks.join_next().await.is_some() {}
    }

    async fn look(&self, key: &Key) {
        let term = self.leadership.borrow().term().cloned();
        // What has not been listed yet would count as not there: Jobs, namesakes (R11), CronJobs (R31). Everybody is looked at
        // when all of it has been.
        let term = term.filter(|term| self.synced.is_complete() && term.holds(&self.clock));
        let Some(term) = term else { return self.ticker.arm(key, None) };
        let mut memory = self.memory.remove(key).map(|(_, memory)| memory).unwrap_or_default();
        let in_doubt = memory.in_doubt.clone();
        let rest = self.steps(key, &term, &mut memory).await;
        if let Some(places) = &self.executor.places {
            places.settle(key, &self.index, &memory, &in_doubt);
        }
        let Some(rest) = rest else {
            self.looks.iter().for_each(|looks| looks.forget(key));
            return self.ticker.arm(key, None);
        };
        let wake = match rest {
            Rest::Until(wake) => {
                memory.failures = 0;
                memory.term = Some(term.number());
                wake
            }
            Rest::Created(wake) => {
                self.queue.push(key.clone(), Lane::Change);
                wake
            }
            Rest::Failed(ExecuteError::NotLeading, _) => None,
            Rest::Failed(error, wake) => {
                report(key, &error);
                // Once is nothing, and then every five minutes is enough.
                if let Some(indexed) = self.index.run(key).filter(|_| memory.failures % TELLING == 1) {
                    self.executor.tell_failure(&indexed.run, &error);
                }
                memory.hangs |= matches!(error, ExecuteError::Timeout { .. });
                let again = self.clock.now().saturating_add(memory.back_off()).unwrap_or(Timestamp::MAX);
                Some(wake.map_or(again, |wake| wake.min(again)))
            }
        };
        self.memory.insert(key.clone(), memory);
        self.ticker.arm(key, wake);
    }

    /// Puts away what Runs that are gone have left behind (R30).
    pub async fn sweep(&self) {
        let term = self.leadership.borrow().term().cloned();
        let Some(term) = term.filter(|term| self.synced.is_complete() && term.holds(&self.clock)) else { return };
        let is_due = |job: &KnownJob| job.observed().is_some_and(|job| sweep::is_due(job, self.clock.now()));
        for job in self.index.leftovers().into_iter().filter(|job| is_due(job)) {
            if let Err(error) = self.executor.sweep(&term, &job).await {
                debug!(job = job.name(), %error, "a teardown Job stays for now");
            }
        }
    }

    /// Steps until the Run is at rest; `None` if it is gone.
    async fn steps(&self, key: &Key, term: &Term, memory: &mut Memory) -> Option<Rest> {
        let mut absent = BTreeSet::new();
        let mut wake = None;
        for _ in 0..MAX_STEPS {
            let indexed = self.index.run(key)?;
            let uid = indexed.run.metadata.uid.clone().unwrap_or_default();
            if memory.uid != uid {
                *memory = Memory { uid, ..Memory::default() };
            }
            let mut process = memory.process(&self.holder, term.number(), &absent);
            process.places = self.executor.places.as_ref().map(|places| places.of(key));
            let mut observation = observe(&indexed, &self.index, process, &self.executor.defaults);
            memory.forget_mended(&mut observation);
            if let Err(error) = self.executor.explain_ends(term, &key.namespace, memory, &mut observation).await {
                return Some(Rest::Failed(error, wake));
            }
            let decided = (self.clock.now(), self.clock.monotonic());
            let run = Arc::clone(&indexed.run);
            let mut plan = Plan { run, term, decided, memory: &mut *memory, absent: &mut absent };
            self.executor.tell_late(&mut plan, &observation);
            let decision = scheduler::decide(&observation, decided.0);
            wake = decision.wake;
            self.looks.iter().for_each(|looks| looks.note(key, &observation, &decision, decided.0));
            if decision.effects.is_empty() {
                plan.memory.tidy(&observation);
                return Some(Rest::Until(wake));
            }
            for effect in &decision.effects {
                match self.executor.execute(&mut plan, effect).await {
                    Ok(()) => plan.memory.hangs = false,
                    Err(ExecuteError::Conflict | ExecuteError::Gone { .. }) => {
                        if let Err(error) = self.refresh(key, &mut plan).await {
                            return Some(Rest::Failed(error, wake));
                        }
                        break;
                    }
                    // The next decision renews the claim.
                    Err(ExecuteError::WindowClosed { .. }) => break,
                    Err(error) => return Some(Rest::Failed(error, wake)),
                }
            }
            // What was looked up is known during this look only, and still to be recorded.
            if absent.is_empty() && matches!(decision.effects.last(), Some(Effect::CreateJob(_))) {
                return Some(Rest::Created(wake));
            }
        }
        warn!(run = %key, "no rest after {MAX_STEPS} steps");
        Some(Rest::Failed(ExecuteError::Conflict, wake))
    }

    /// The cache was behind: takes in the Run as the API server holds it.
    async fn refresh(&self, key: &Key, plan: &mut Plan<'_>) -> Result<(), ExecuteError> {
        match self.executor.execute(plan, &Effect::ConfirmRun).await {
            Ok(()) | Err(ExecuteError::Conflict) => Ok(()),
            Err(ExecuteError::Gone { .. }) => {
                self.index.remove_run(&plan.run.metadata);
                debug!(run = %key, "the Run is gone");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// However a look ends, the Run can be looked at again.
struct Done<'a>(&'a Queue, &'a Key);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.done(self.1);
    }
}

/// A conflict is usual; a call that failed is worth a line.
fn report(key: &Key, error: &ExecuteError) {
    if let ExecuteError::Conflict = error {
        debug!(run = %key, %error, "looking again");
    } else {
        warn!(run = %key, %error, "looking again");
    }
}

#[cfg(test)]
mod tests;
