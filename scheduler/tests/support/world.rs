//! One Run, its Jobs and one operator, in virtual time.
//!
//! Effects are applied as `src/controller.rs` and `src/execute.rs` do it: in order, the first failure stops, and after
//! the last one the Run is looked at again until nothing is left to do. Every look is checked against what must hold of
//! all of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use scheduler::decide;
use scheduler::decision::{Decision, Deletion, DeletionReason, Effect, JobOrder, News, Record};
use scheduler::names;
use scheduler::observation::{
    Finished, Observation, ObservedCronJob, ObservedJob, Problem, Process, Refusal, RefusalCause, RunMeta, Spec,
    Waiting,
};
use scheduler::policy::ConcurrencyPolicy;
use scheduler::report::{Condition, ConditionKind, Report};
use scheduler::state::{Outcome, RunKind, SkipReason, Skipped, State};

use super::schedule_spec;

/// More decisions in one look than any situation needs: the shell gives up at twice as many.
const MAX_STEPS: usize = 16;

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

/// How a look ended.
enum Rest {
    Done(Option<Timestamp>),
    Failed(Option<Timestamp>),
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
    pub looked_up: Vec<String>,
    /// Status writes.
    pub writes: usize,
    refusals: BTreeMap<String, u32>,
    failures: u32,
    uids: u64,
}

impl World {
    /// A Run was made, and nobody has looked at it.
    pub fn unseen(spec: Spec, now: Timestamp) -> Self {
        let created_at = Timestamp::from_second(now.as_second()).unwrap();
        Self {
            now,
            run: RunMeta {
                name: "orders".to_owned(),
                uid: "uid-run".to_owned(),
                namesakes: Vec::new(),
                generation: 1,
                created_at,
                deleting_since: None,
                trigger: None,
                trigger_taken: None,
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
            asked: 0,
            cron_jobs: Vec::new(),
            config_refused: None,
            news: Vec::new(),
            created: Vec::new(),
            deleted: Vec::new(),
            taken: Vec::new(),
            looked_up: Vec::new(),
            writes: 0,
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
        let reason = (outcome != Outcome::Succeeded).then(|| "BackoffLimitExceeded".to_owned());
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
        Observation {
            run: self.run.clone(),
            spec: self.spec.clone(),
            state: self.state.clone(),
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

    // The operator

    /// One look, to the end.
    pub fn look(&mut self) {
        self.process.absent.clear();
        self.wake = match self.steps() {
            Rest::Done(wake) => {
                self.failures = 0;
                self.process.first_look = false;
                self.check_wake(wake);
                wake
            }
            Rest::Failed(wake) => {
                let again = self.now + pause(self.failures);
                self.failures += 1;
                Some(wake.map_or(again, |wake| wake.min(again)))
            }
        };
        self.process.absent.clear();
    }

    fn steps(&mut self) -> Rest {
        for _ in 0..MAX_STEPS {
            let observation = self.observation();
            let decision = decide(&observation, self.now);
            self.check(&observation, &decision);
            if decision.effects.is_empty() {
                let claims = &self.state.claims;
                self.process.in_doubt.retain(|job, _| claims.contains_key(job));
                self.process.refused.retain(|job, _| job == names::CONFIG || claims.contains_key(job));
                self.refusals.retain(|job, _| job == names::CONFIG || claims.contains_key(job));
                return Rest::Done(decision.wake);
            }
            for effect in decision.effects {
                if !self.apply(effect) {
                    return Rest::Failed(decision.wake);
                }
            }
        }
        panic!("no rest after {MAX_STEPS} steps at {}: {:#?}", self.now, decide(&self.observation(), self.now));
    }

    fn apply(&mut self, effect: Effect) -> bool {
        match effect {
            Effect::EnsureConfig => self.ensure_config(),
            Effect::Record(record) => self.record(*record),
            Effect::TakeTrigger(number) => {
                self.run.trigger = None;
                self.run.trigger_taken = Some(number);
                self.taken.push(number);
            }
            Effect::CreateJob(order) => return self.create(order),
            Effect::DeleteJob(deletion) => self.delete_job(deletion),
            Effect::LookUpJob(name) => {
                if !self.jobs.contains_key(&name) {
                    self.process.absent.insert(name.clone());
                }
                self.hidden.remove(&name);
                self.looked_up.push(name);
            }
            Effect::ConfirmRun => {}
            Effect::AskPods(name) => {
                self.asked += 1;
                let waiting = Waiting { why: self.pods_wait.clone(), asked_at: self.now };
                self.process.waiting.insert(name, waiting);
            }
            Effect::SuspendCronJob(uid) => self.cron_job(&uid).suspended = true,
            Effect::AdoptJob { name, uid } => self.adopt(&name, &uid),
            Effect::DeleteCronJob(uid) => {
                assert!(self.cron_job(&uid).jobs.is_empty(), "R31: its Jobs would be orphans of nobody");
                assert!(self.state.take_over.as_ref().is_some_and(|step| step.done), "R31: the mark comes first");
                self.cron_jobs.clear();
            }
            Effect::AddFinalizer => self.run.finalizer = true,
            Effect::ReleaseFinalizer => self.run.finalizer = false,
        }
        true
    }

    fn cron_job(&mut self, uid: &str) -> &mut ObservedCronJob {
        self.cron_jobs.iter_mut().find(|cron_job| cron_job.uid == uid).unwrap_or_else(|| panic!("no CronJob {uid}"))
    }

    fn adopt(&mut self, name: &str, uid: &str) {
        let cron_job = self.cron_jobs.first_mut().expect("R31: after its CronJob");
        let place = cron_job.jobs.iter().position(|job| job.uid == uid).unwrap_or_else(|| panic!("no Job {name}"));
        let job = cron_job.jobs.remove(place);
        let minutes: i64 = job.name.rsplit('-').next().unwrap().parse().unwrap();
        self.appear(name, RunKind::Scheduled);
        let adopted = self.jobs.get_mut(name).unwrap();
        (adopted.uid, adopted.created_at, adopted.legacy) = (job.uid, job.created_at, true);
        adopted.legacy_tick = Timestamp::from_second(minutes * 60).ok();
    }

    fn ensure_config(&mut self) {
        if let Some(cause) = self.config_refused {
            self.refuse(names::CONFIG, cause);
        } else {
            self.process.refused.remove(names::CONFIG);
            self.config_hash = Some(self.spec.config_hash.clone());
        }
    }

    fn record(&mut self, record: Record) {
        let skewed = self.state.mark.is_some_and(|mark| mark > self.now + SignedDuration::from_hours(1));
        assert!(skewed || record.state.mark >= self.state.mark, "R12: the mark moved back");
        assert!(record.state != self.state || record.report != self.report, "R7: an empty write");
        for entry in &record.state.ledger {
            assert!(entry.count > 0 && entry.from <= entry.to, "R16: {entry:?}");
        }
        self.state = record.state;
        self.report = record.report;
        self.news.extend(record.news);
        self.writes += 1;
    }

    fn create(&mut self, order: JobOrder) -> bool {
        assert!(self.now < order.closes_at, "R33: outside its window: {order:?}");
        let claim = self.state.claims.get(&order.name).unwrap_or_else(|| panic!("R32: no claim for {order:?}"));
        assert_eq!((&claim.holder, claim.attempt), (&self.process.holder, order.attempt), "R33");
        assert!(order.tick.is_none_or(|tick| tick <= self.now), "R12: ahead of its tick: {order:?}");
        let needs_config = order.kind != RunKind::Teardown;
        assert!(!needs_config || self.config_hash.as_ref() == Some(&self.spec.config_hash), "R8");
        if order.kind == RunKind::Trigger {
            assert!(claim.number <= self.run.trigger_taken, "R27: the annotation goes first");
        }
        let (name, kind) = (order.name.clone(), order.kind);
        match self.creates {
            Creates::Refused(cause) => {
                self.refuse(&name, cause);
                return true;
            }
            Creates::Lost => {
                self.process.in_doubt.insert(name, order.attempt);
                return false;
            }
            _ if self.jobs.contains_key(&name) => {
                self.hidden.remove(&name);
                self.process.in_doubt.remove(&name);
                return true;
            }
            Creates::Work | Creates::Unanswered => {}
        }
        let others = self.unfinished();
        assert!(self.spec.policy != ConcurrencyPolicy::Forbid || others == 0, "R17: {order:?} beside {:#?}", self.jobs);
        self.process.refused.remove(&name);
        self.appear(&name, kind);
        let twice = self.created.iter().any(|(_, earlier)| earlier.name == name);
        assert!(!twice, "R34: {name} was made twice");
        let attempt = order.attempt;
        self.created.push((self.now, order));
        if self.creates == Creates::Work {
            self.process.in_doubt.remove(&name);
            return true;
        }
        self.process.in_doubt.insert(name.clone(), attempt);
        self.hidden.insert(name);
        false
    }

    fn refuse(&mut self, name: &str, cause: RefusalCause) {
        let attempts = self.refusals.entry(name.to_owned()).or_insert(0);
        let refusal = Refusal { cause, message: "exceeded quota".to_owned(), retry_at: self.now + pause(*attempts) };
        *attempts += 1;
        self.process.refused.insert(name.to_owned(), refusal);
    }

    fn delete_job(&mut self, deletion: Deletion) {
        let now = self.stamp();
        if let Some(job) = self.jobs.get_mut(&deletion.name).filter(|job| job.uid == deletion.uid) {
            assert!(job.deleting_since.is_none(), "deleted twice: {deletion:?}");
            if self.slow_deletes && job.finished.is_none() {
                job.deleting_since = Some(now);
            } else {
                self.jobs.remove(&deletion.name);
            }
        }
        self.deleted.push((self.now, deletion));
    }

    /// What holds of every decision.
    fn check(&self, observation: &Observation, decision: &Decision) {
        assert!(decision.wake.is_none_or(|wake| wake > self.now), "the wake time is past: {decision:?}");
        assert_eq!(*decision, decide(observation, self.now), "the same twice");
    }

    /// At rest the operator sleeps to the next tick at most.
    fn check_wake(&self, wake: Option<Timestamp>) {
        let schedule = self.spec.schedule.as_ref().and_then(|schedule| schedule.parsed.as_ref().ok());
        let Some(schedule) =
            schedule.filter(|_| !self.spec.suspend && !self.run.is_deleting() && self.cron_jobs.is_empty())
        else {
            return;
        };
        let next = if schedule.every().is_some() { self.report.next } else { schedule.next_after(self.now) };
        // A mark ahead of the clock holds the ticks back (R20).
        let next = next.filter(|next| self.state.mark.is_none_or(|mark| mark < *next));
        if let Some(next) = next {
            assert!(wake.is_some_and(|wake| wake <= next), "at {}: next {next}, wake {wake:?}", self.now);
        }
    }

    fn stamp(&self) -> Timestamp {
        Timestamp::from_second(self.now.as_second()).unwrap()
    }

    fn uid(&mut self) -> String {
        self.uids += 1;
        format!("uid-{}", self.uids)
    }

    /// The spec cannot run at all.
    pub fn set_problem(&mut self, reason: Option<&str>) {
        let problem = |reason: &str| Problem { reason: reason.to_owned(), message: format!("it is {reason}") };
        self.edit(|spec| spec.problem = reason.map(problem));
    }
}

/// The shell's pauses between attempts.
fn pause(attempts: u32) -> SignedDuration {
    SignedDuration::from_millis(200_i64 << attempts.min(10)).min(SignedDuration::from_secs(10))
}
