//! The operator's half of the world: looks, effects, and what must hold of each.

use jiff::{SignedDuration, Timestamp};
use scheduler::caps::{Cap, Place};
use scheduler::decide;
use scheduler::decision::{Decision, Deletion, Effect, JobOrder, News, Record};
use scheduler::names;
use scheduler::observation::{Observation, ObservedCronJob, ObservedJob, Problem, Refusal, RefusalCause, Waiting};
use scheduler::policy::ConcurrencyPolicy;
use scheduler::state::{RunKind, Skipped};

use super::{Creates, World};

/// More decisions in one look than any situation needs: the shell gives up at twice as many.
const MAX_STEPS: usize = 16;

/// How a look ended.
enum Rest {
    Done(Option<Timestamp>),
    Failed(Option<Timestamp>),
}

impl World {
    /// One look, to the end.
    pub fn look(&mut self) {
        self.process.absent.clear();
        let before = self.process.in_doubt.clone();
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
        // A place that was not used is given back; one that was used is taken by the Job, if there is one.
        if let Some(places) = &mut self.process.places {
            let in_doubt = &self.process.in_doubt;
            let sent = |job: &String| in_doubt.get(job).is_some_and(|attempt| before.get(job) != Some(attempt));
            places.iter_mut().filter(|(job, place)| **place == Place::Free && sent(job)).for_each(|(_, place)| {
                *place = Place::InDoubt;
            });
            let claims = &self.state.claims;
            places.retain(|job, place| *place != Place::Free && claims.contains_key(job));
        }
    }

    /// A cap across Runs lets a start through, and the operator looks.
    pub fn let_through(&mut self, job: &str) {
        self.process.places.get_or_insert_default().insert(job.to_owned(), Place::Free);
        self.look();
    }

    fn steps(&mut self) -> Rest {
        for _ in 0..MAX_STEPS {
            let observation = self.observation();
            let decision = decide(&observation, self.now);
            self.check(&observation, &decision);
            if decision.effects.is_empty() {
                let claims = &observation.state.claims;
                self.process.in_doubt.retain(|job, _| claims.contains_key(job));
                self.process.refused.retain(|job, _| job == names::CONFIG || claims.contains_key(job));
                self.refusals.retain(|job, _| job == names::CONFIG || claims.contains_key(job));
                return Rest::Done(decision.wake);
            }
            for effect in decision.effects {
                self.calls += 1;
                let crash = self.crash.filter(|crash| crash.call == self.calls);
                let done = crash.is_none_or(|crash| crash.committed) && self.apply(effect);
                if crash.is_some() {
                    self.restart();
                }
                if !done || crash.is_some() {
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
            Effect::TakeTrigger(claim) => {
                self.run.trigger = None;
                self.taken.extend(claim.number);
                self.beside = Some(claim);
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
            Effect::ReturnPlace(job) => {
                self.process.places.get_or_insert_default().remove(&job);
            }
            Effect::AskForPlace { job, due, .. } => {
                let waiting = Place::Waiting { cap: Cap::ConcurrentRuns, since: self.now, due };
                let place = if self.full { waiting } else { Place::Free };
                self.asked_for.push((job.clone(), due));
                self.process.places.get_or_insert_default().insert(job, place);
            }
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
        for news in &record.news {
            let News::Skipped(told) = news else { continue };
            let is_it = |entry: &Skipped| entry.reason == told.reason && entry.from <= told.from && told.to <= entry.to;
            assert!(record.state.ledger.iter().any(is_it), "R16: {told:?} stands nowhere");
        }
        self.state = record.state;
        self.report = record.report;
        self.news.extend(record.news);
        self.writes += 1;
    }

    fn create(&mut self, order: JobOrder) -> bool {
        assert!(self.now < order.closes_at, "R33: outside its window: {order:?}");
        let state = self.observation().state;
        let claim = state.claims.get(&order.name).unwrap_or_else(|| panic!("R32: no claim for {order:?}"));
        assert_eq!((&claim.holder, claim.attempt), (&self.process.holder, order.attempt), "R33");
        assert!(order.tick.is_none_or(|tick| tick <= self.now), "R12: ahead of its tick: {order:?}");
        let needs_config = order.kind != RunKind::Teardown;
        assert!(!needs_config || self.config_hash.as_ref() == Some(&self.spec.config_hash), "R8");
        assert!(order.kind != RunKind::Trigger || claim.taken, "R27: the annotation goes first");
        let (name, kind) = (order.name.clone(), order.kind);
        match self.creates {
            Creates::Refused(cause) => {
                self.refuse(&name, cause);
                return true;
            }
            Creates::Lost => {
                // Twice without an answer is told.
                if self.process.in_doubt.insert(name.clone(), order.attempt).is_some() {
                    self.refuse(&name, RefusalCause::Unanswered);
                }
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

    pub(super) fn stamp(&self) -> Timestamp {
        Timestamp::from_second(self.now.as_second()).unwrap()
    }

    pub(super) fn uid(&mut self) -> String {
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
