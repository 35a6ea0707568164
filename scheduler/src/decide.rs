//! The one decision: what to do about a Run, given what was seen of it and the time.
//!
//! `decide` is total, synchronous and deterministic. It works on a copy of the Run's recorded [`State`] in a fixed order:
//! what the Jobs tell (`jobs`), whether the clock can be trusted (`skew`), what changed in the schedule (`in_force`),
//! whether another operator still runs it (`takeover`),
//! which runs are due (`scheduled`, `oneshot`, `trigger`) or how far the end is (`teardown`), which claims may create
//! now (`start`, `place`), which Jobs are superfluous (`history`) or do not start (`pending`), and what to tell users (`status`). What comes out is at most one step of the start protocol: a create is decided alone
//! and only under a claim that is recorded already, a changed state is written before anything that depends on it.

mod history;
mod in_force;
mod jobs;
mod oneshot;
mod pending;
mod place;
mod scheduled;
mod skew;
mod start;
mod status;
mod takeover;
mod teardown;
mod trigger;

use std::collections::BTreeSet;

use jiff::Timestamp;

pub use takeover::legacy_kind;

use crate::claim::Claim;
use crate::decision::{Decision, Effect, JobOrder, News, Record};
use crate::observation::{Observation, ObservedJob};
use crate::state::{RunKind, SkipReason, Skipped, State};

/// What to do about the Run now, and when to look again.
#[must_use]
pub fn decide(observation: &Observation, now: Timestamp) -> Decision {
    let mut look = Look::new(observation, now);
    jobs::settle(&mut look);
    takeover::adopt(&mut look);
    jobs::finish(&mut look);
    skew::heal(&mut look);
    in_force::notice_changes(&mut look);
    takeover::plan(&mut look);
    if observation.run.is_deleting() {
        teardown::plan(&mut look);
    } else {
        teardown::guard(&mut look);
        scheduled::plan(&mut look);
        oneshot::plan(&mut look);
        trigger::plan(&mut look);
    }
    start::judge(&mut look);
    place::resolve(&mut look);
    history::prune(&mut look);
    pending::ask(&mut look);
    look.conclude()
}

/// One look at a Run: the observation, and the decision as it grows.
struct Look<'a> {
    obs: &'a Observation,
    /// The Jobs by name: their order in the observation means nothing.
    jobs: Vec<&'a ObservedJob>,
    now: Timestamp,
    /// `now` as it is written: whole seconds, as the API server stores them.
    stamp: Timestamp,
    state: State,
    news: Vec<News>,
    creates: Vec<JobOrder>,
    /// Effects that come before the record.
    first: Vec<Effect>,
    /// Effects that follow it and lead to a start: nothing else that fails holds them up.
    starts: Vec<Effect>,
    /// Effects that follow these.
    then: Vec<Effect>,
    wake: Option<Timestamp>,
    /// The newest tick that is due, dealt with or not.
    due: Option<Timestamp>,
    /// The next tick.
    next: Option<Timestamp>,
    /// A trigger waits for the active run.
    trigger_queued: bool,
    /// How a start that waits because of a cap is told, once that has lasted.
    start_delayed: Option<String>,
}

impl<'a> Look<'a> {
    fn new(obs: &'a Observation, now: Timestamp) -> Self {
        let stamp = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let mut jobs: Vec<&ObservedJob> = obs.jobs.iter().collect();
        jobs.sort_by(|a, b| (&a.name, &a.uid).cmp(&(&b.name, &b.uid)));
        Self {
            obs,
            jobs,
            now,
            stamp,
            state: obs.state.clone(),
            news: Vec::new(),
            creates: Vec::new(),
            first: Vec::new(),
            starts: Vec::new(),
            then: Vec::new(),
            wake: None,
            due: None,
            next: None,
            trigger_queued: false,
            start_delayed: None,
        }
    }

    /// Asks for another look at `at`, or earlier.
    fn wake_at(&mut self, at: Timestamp) {
        if at > self.now {
            self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        }
    }

    /// Ticks up to this instant are none of our business any more (R13).
    fn floor(&self) -> Timestamp {
        let since = self.state.in_force.as_ref().map(|in_force| in_force.since);
        [self.state.mark, since].into_iter().flatten().fold(self.obs.run.created_at, Timestamp::max)
    }

    /// Notes ticks that are not run, in the ledger and in the news (R16).
    fn skip(&mut self, skipped: Skipped) {
        if skipped.count > 0 {
            self.state.skip(&skipped);
            self.news.push(News::Skipped(skipped));
        }
    }

    /// Drops a claim whose create is known not to have happened.
    fn drop_claim(&mut self, job: &str, reason: Option<SkipReason>) {
        let tick = self.state.claims.remove(job).and_then(|claim| claim.tick);
        if let (Some(tick), Some(reason)) = (tick, reason) {
            self.skip(Skipped { reason, count: 1, from: tick, to: tick });
        }
    }

    /// Jobs of unfinished runs: settled ones not known to be over, and all others that are seen (R33). A teardown is none.
    fn unfinished(&self) -> BTreeSet<&str> {
        let settled = self.state.active_jobs.iter().filter(|job| !job.finished && job.kind != RunKind::Teardown);
        let seen = self.jobs.iter().filter(|job| job.finished.is_none() && job.kind != RunKind::Teardown);
        settled.map(|job| job.name.as_str()).chain(seen.map(|job| job.name.as_str())).collect()
    }

    /// A run other than `job` is unfinished.
    fn is_busy_beside(&self, job: &str) -> bool {
        self.unfinished().into_iter().any(|name| name != job)
    }

    fn claim(&mut self, job: String, claim: Claim) {
        self.state.claims.insert(job, claim);
    }

    /// The effects in their order. Creates go alone: they wait for nothing, and what they change is seen at the next
    /// look, which follows at once. But what was looked up is known during this look only, and a create that is not
    /// answered ends it: what follows from it is recorded first.
    fn conclude(mut self) -> Decision {
        let has_learned = !self.obs.process.absent.is_empty() && self.state != self.obs.state;
        if !self.creates.is_empty() && !has_learned {
            let effects = self.creates.drain(..).map(Effect::CreateJob).collect();
            return Decision { effects, wake: self.wake };
        }
        jobs::forget(&mut self);
        let report = status::report(&self);
        status::tell(&mut self, &report);
        let mut effects = std::mem::take(&mut self.first);
        let config = start::needs_config(&mut self).then_some(Effect::EnsureConfig);
        // Where it has failed, that is told first, and nothing else waits for it.
        let (at_once, later) = if start::has_failed_config(&self) { (None, config) } else { (config, None) };
        effects.extend(at_once);
        if self.state != self.obs.state || report != self.obs.report {
            effects.push(Effect::Record(Box::new(Record { state: self.state, report, news: self.news })));
        }
        effects.append(&mut self.starts);
        effects.append(&mut self.then);
        effects.extend(later);
        Decision { effects, wake: self.wake }
    }
}
