//! One Run, its Jobs and one operator, in virtual time.
//!
//! Effects are applied as `src/controller.rs` and `src/execute.rs` do it: in order, the first failure stops, and after
//! the last one the Run is looked at again until nothing is left to do. Every look is checked against what must hold of
//! all of them.

mod operator;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use scheduler::claim::Claim;
use scheduler::decision::{Deletion, DeletionReason, JobOrder, News};
use scheduler::observation::{
    Finished, Observation, ObservedCronJob, ObservedJob, Problem, Process, RefusalCause, RunMeta, Spec,
};
use scheduler::report::{Condition, ConditionKind, Report};
use scheduler::state::{Outcome, RunKind, SkipReason, Skipped, State};

use super::schedule_spec;

/// What the API server does to creates of Jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creates {
    /// Takes them.
    Work,
    /// Answers no.
    Refused(RefusalCause),
    /// Never hears of them; the caller waits in vain.
    Lost,
    /// Takes them, but neither the answer nor the watch tells: see [`World::reveal`].
    Unanswered,
}

#[derive(Clone, Debug)]
pub struct World {
    pub now: Timestamp,
    pub run: RunMeta,
    pub spec: Spec,
    pub state: State,
    pub report: Report,
    pub config_hash: Option<String>,
    pub lead: SignedDuration,
    /// The operator's process.
    pub process: Process,
    pub wake: Option<Timestamp>,
    /// All Jobs the API server holds.
    pub jobs: BTreeMap<String, ObservedJob>,
    /// Jobs that the watch has not shown.
    pub hidden: BTreeSet<String>,
    pub creates: Creates,
    /// Deleted Jobs stay until [`World::vanish`].
    pub slow_deletes: bool,
    /// Why pods made from now on do not start.
    pub pods_wait: Option<Problem>,
    /// Other Runs have taken all places that the caps leave.
    pub full: bool,
    /// Starts that asked for a place, with the instant they were due.
    pub asked_for: Vec<(String, Timestamp)>,
    /// How often pods were looked at.
    pub asked: usize,
    /// Each `CronJob` of another operator.
    pub cron_jobs: Vec<ObservedCronJob>,
    /// The answer to creating the ConfigMap.
    pub config_refused: Option<RefusalCause>,
    /// What happened.
    pub news: Vec<News>,
    pub created: Vec<(Timestamp, JobOrder)>,
    pub deleted: Vec<(Timestamp, Deletion)>,
    pub taken: Vec<i64>,
    /// The claim beside the trigger annotation.
    pub beside: Option<Claim>,
    pub looked_up: Vec<String>,
    /// Status writes.
    pub writes: usize,
    /// Effects carried out, each a call to the API server.
    pub calls: usize,
    /// The process dies at one of them, and another takes over.
    pub crash: Option<Crash>,
    refusals: BTreeMap<String, u32>,
    failures: u32,
    uids: u64,
}

/// The end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// At which call, counted from 1.
    pub call: usize,
    /// The API server has carried it out.
    pub committed: bool,
}

impl World {
    /// A Run was made, and nobody has looked at it.
    pub fn unseen(spec: Spec, now: Timestamp) -> Self {
        let created_at = Timestamp::from_second(now.as_second()).unwrap();
        Self {
            now,
            run: RunMeta {
                namespace: "sales".to_owned(),
                name: "orders".to_owned(),
                uid: "uid-run".to_owned(),
                namesakes: Vec::new(),
                generation: 1,
                created_at,
                deleting_since: None,
                trigger: None,
                finalizer: false,
            },
            spec,
            state: State::default(),
            report: Report::default(),
            config_hash: None,
            lead: SignedDuration::from_secs(2),
            process: Process { holder: "op-1".to_owned(), first_look: true, ..Process::default() },
            wake: None,
            jobs: BTreeMap::new(),
            hidden: BTreeSet::new(),
            creates: Creates::Work,
            slow_deletes: false,
            pods_wait: None,
            full: false,
            asked_for: Vec::new(),
            asked: 0,
            cron_jobs: Vec::new(),
            config_refused: None,
            news: Vec::new(),
            created: Vec::new(),
            deleted: Vec::new(),
            taken: Vec::new(),
            beside: None,
            looked_up: Vec::new(),
            writes: 0,
            calls: 0,
            crash: None,
            refusals: BTreeMap::new(),
            failures: 0,
            uids: 0,
        }
    }

    /// A Run was made, and the operator saw it at once.
    pub fn new(spec: Spec, now: Timestamp) -> Self {
        let mut world = Self::unseen(spec, now);
        world.look();
        world
    }

    // Time

    /// Time passes, and the operator looks whenever it asked to.
    pub fn advance_to(&mut self, until: Timestamp) {
        while let Some(wake) = self.wake.filter(|wake| *wake <= until) {
            self.now = wake;
            self.look();
        }
        self.now = until;
    }

    /// Time passes, and nobody looks.
    pub fn sleep_to(&mut self, until: Timestamp) {
        self.now = until;
    }

    /// Time passes as in [`advance_to`](Self::advance_to), and then somebody says "look".
    pub fn look_at(&mut self, at: Timestamp) {
        self.advance_to(at);
        self.look();
    }

    /// Another process takes over, without looking yet.
    pub fn restart(&mut self) {
        let number: u32 = self.process.holder.trim_start_matches("op-").parse().unwrap();
        self.process = Process { holder: format!("op-{}", number + 1), first_look: true, ..Process::default() };
        self.refusals.clear();
        self.failures = 0;
        self.hidden.clear();
    }

    /// Another process takes over now.
    pub fn restart_at(&mut self, at: Timestamp) {
        self.sleep_to(at);
        self.restart();
        self.look();
    }

    // Users and other controllers

    /// Edits the spec, and the operator sees it.
    pub fn edit(&mut self, change: impl FnOnce(&mut Spec)) {
        self.edit_unseen(change);
        self.look();
    }

    pub fn edit_unseen(&mut self, change: impl FnOnce(&mut Spec)) {
        change(&mut self.spec);
        self.run.generation += 1;
    }

    /// `kubectl delete run`.
    pub fn delete(&mut self) {
        self.run.deleting_since = Some(self.stamp());
        self.look();
    }

    /// Nothing keeps the Run any more.
    pub fn is_gone(&self) -> bool {
        self.run.is_deleting() && !self.run.finalizer
    }

    pub fn suspend(&mut self, suspend: bool) {
        self.edit(|spec| spec.suspend = suspend);
    }

    pub fn reschedule(&mut self, expression: &str, zone: &str) {
        let schedule = schedule_spec(expression, zone);
        self.edit(|spec| spec.schedule = Some(schedule));
    }

    /// Another pipeline, as the hash sees it.
    pub fn repipeline(&mut self, hash: &str) {
        self.edit(|spec| {
            spec.pipeline_hash = format!("v1:{hash}");
            hash.clone_into(&mut spec.config_hash);
        });
    }

    pub fn trigger(&mut self) {
        self.annotate(Some("true"));
    }

    pub fn annotate(&mut self, value: Option<&str>) {
        self.run.trigger = value.map(str::to_owned);
        self.look();
    }

    pub fn finish(&mut self, job: &str, outcome: Outcome) {
        self.finish_unseen(job, outcome);
        self.look();
    }

    pub fn finish_unseen(&mut self, job: &str, outcome: Outcome) {
        let at = self.stamp();
        let job = self.jobs.get_mut(job).unwrap_or_else(|| panic!("no Job {job}"));
        let reason = (outcome != Outcome::Succeeded).then(|| "BackoffLimitExceeded".into());
        job.finished = Some(Finished { outcome, at, reason, message: None });
    }

    /// Somebody deletes a Job, or the garbage collector is done with it.
    pub fn vanish(&mut self, job: &str) {
        assert!(self.jobs.remove(job).is_some(), "no Job {job}");
        self.hidden.remove(job);
        self.look();
    }

    /// A Job that the operator has not made, or not yet when it was last looked at.
    pub fn appear(&mut self, name: &str, kind: RunKind) {
        let created_at = self.stamp();
        let uid = self.uid();
        let job = ObservedJob {
            name: name.to_owned(),
            uid,
            kind,
            created_at,
            deleting_since: None,
            running: self.pods_wait.is_none(),
            finished: None,
            legacy: false,
            legacy_tick: None,
        };
        self.jobs.insert(name.to_owned(), job);
    }

    /// The watch catches up.
    pub fn reveal(&mut self) {
        self.hidden.clear();
        self.look();
    }

    // Questions

    pub fn observation(&self) -> Observation {
        let (run, mut state) = (self.run.clone(), self.state.clone());
        self.beside.iter().for_each(|taken| state.take_in(&run.name, taken));
        Observation {
            run,
            spec: self.spec.clone(),
            state,
            report: self.report.clone(),
            jobs: self.jobs.values().filter(|job| !self.hidden.contains(&job.name)).cloned().collect(),
            cron_jobs: self.cron_jobs.clone(),
            config_hash: self.config_hash.clone(),
            process: self.process.clone(),
            lead: self.lead,
        }
    }

    /// Names of the Jobs created so far.
    pub fn started(&self) -> Vec<&str> {
        self.created.iter().map(|(_, order)| order.name.as_str()).collect()
    }

    /// When the Job was created.
    pub fn created_at(&self, job: &str) -> Option<Timestamp> {
        self.created.iter().find(|(_, order)| order.name == job).map(|(at, _)| *at)
    }

    /// Ticks that were told to be not run.
    pub fn skipped(&self) -> Vec<(SkipReason, u64)> {
        self.skips().map(|skipped| (skipped.reason, skipped.count)).collect()
    }

    pub fn skips(&self) -> impl Iterator<Item = &Skipped> {
        self.news.iter().filter_map(|news| if let News::Skipped(skipped) = news { Some(skipped) } else { None })
    }

    pub fn unfinished(&self) -> usize {
        self.jobs.values().filter(|job| job.finished.is_none()).count()
    }

    pub fn was_deleted(&self, job: &str) -> Option<(Timestamp, DeletionReason)> {
        self.deleted.iter().find(|(_, deletion)| deletion.name == job).map(|(at, deletion)| (*at, deletion.reason))
    }

    pub fn condition(&self, kind: ConditionKind) -> &Condition {
        self.report.condition(kind).unwrap_or_else(|| panic!("no condition {kind:?}"))
    }

    pub fn problems(&self) -> Vec<&str> {
        let reason = |news: &'_ News| matches!(news, News::Problem { .. });
        self.news
            .iter()
            .filter(|news| reason(news))
            .filter_map(|news| if let News::Problem { reason, .. } = news { Some(reason.as_str()) } else { None })
            .collect()
    }
}
