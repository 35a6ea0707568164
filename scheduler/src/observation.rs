//! What the shell has seen of one Run: everything [`decide`](crate::decide) may look at.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::caps::Place;
use crate::policy::ConcurrencyPolicy;
use crate::report::Report;
use crate::schedule::Schedule;
use crate::state::{Outcome, RunKind, State};

/// One Run as the API server holds it, with its Jobs, and what this process alone knows about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The Run's metadata.
    pub run: RunMeta,
    /// Its spec, parsed.
    pub spec: Spec,
    /// The operator's own record: `status`, with the claim beside the trigger annotation. The protocol's memory.
    pub state: State,
    /// The part of `status` that is derived; compared so that nothing is written twice (R7).
    pub report: Report,
    /// The Jobs whose controller is this Run, by UID. The order is irrelevant.
    pub jobs: Vec<ObservedJob>,
    /// Each `CronJob` whose controller is this Run: another operator has made them (R31).
    pub cron_jobs: Vec<ObservedCronJob>,
    /// SHA-256 of the pipeline in the Run's ConfigMap, if there is one that belongs to this Run.
    pub config_hash: Option<String>,
    /// What this process knows and no other.
    pub process: Process,
    /// How far ahead of its tick a claim is made.
    pub lead: SignedDuration,
}

/// The part of `metadata` that decisions depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunMeta {
    /// `metadata.namespace`, for commands in messages.
    pub namespace: String,
    /// `metadata.name`, also the pipeline's name.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// Namespaces of other living Runs of this name: they share its pipeline in Marmot (R11).
    pub namesakes: Vec<String>,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.creationTimestamp`.
    pub created_at: Timestamp,
    /// `metadata.deletionTimestamp`: the Run is going since then.
    pub deleting_since: Option<Timestamp>,
    /// Value of the trigger annotation (R27).
    pub trigger: Option<String>,
    /// The operator's finalizer is set.
    pub finalizer: bool,
}

/// The spec after parsing: wrong parts are carried as text for the conditions, never as a failure to observe (R3, R40).
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// `schedule` with `timeZone`; `None` makes the Run one-shot.
    pub schedule: Option<ScheduleSpec>,
    /// `suspend`.
    pub suspend: bool,
    /// `concurrencyPolicy`.
    pub policy: ConcurrencyPolicy,
    /// `startingDeadlineSeconds`.
    pub starting_deadline: Option<SignedDuration>,
    /// `successfulJobsHistoryLimit`.
    pub successful_history: usize,
    /// `failedJobsHistoryLimit`.
    pub failed_history: usize,
    /// `teardownOnDelete`.
    pub teardown: bool,
    /// Versioned hash of what shapes the pipeline and its pod (R26).
    pub pipeline_hash: String,
    /// SHA-256 of the pipeline the ConfigMap must hold.
    pub config_hash: String,
    /// Why no run can start at all, whatever the schedule says (R11, R41).
    pub problem: Option<Problem>,
    /// What its author should mend although it runs (R37).
    pub warning: Option<Problem>,
    /// Why no teardown can start: it needs less than a run.
    pub teardown_problem: Option<Problem>,
}

/// `spec.schedule` with its zone.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleSpec {
    /// The text as written.
    pub expression: String,
    /// `timeZone` as written; empty when unset, which means UTC.
    pub zone: String,
    /// The parsed schedule, or the problem to report.
    pub parsed: Result<Schedule, Problem>,
}

/// Something wrong with a spec, in words for its author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Stable reason of the condition, such as `InvalidSchedule`.
    pub reason: String,
    /// Names the field and says what to do.
    pub message: String,
}

/// A Job of this Run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObservedJob {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// What kind of run it carries, read from its labels.
    pub kind: RunKind,
    /// `metadata.creationTimestamp`.
    pub created_at: Timestamp,
    /// `metadata.deletionTimestamp`, if it is being deleted.
    pub deleting_since: Option<Timestamp>,
    /// A pod of it runs, or it is held back on purpose, as far as its status tells.
    pub running: bool,
    /// How it ended: set once it has the condition `Complete` or `Failed` (R5).
    pub finished: Option<Finished>,
    /// Another operator made it: it has no claim and never had one (R31).
    pub legacy: bool,
    /// The tick it was made for, as noted on it by the CronJob that made it.
    pub legacy_tick: Option<Timestamp>,
}

/// A CronJob that another operator made of this Run (R31).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedCronJob {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `spec.suspend`.
    pub suspended: bool,
    /// It is being deleted.
    pub deleting: bool,
    /// `status.lastScheduleTime`.
    pub last_schedule: Option<Timestamp>,
    /// Its Jobs, in no particular order.
    pub jobs: Vec<ForeignJob>,
}

/// A Job whose controller is not the Run (yet).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignJob {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.creationTimestamp`.
    pub created_at: Timestamp,
}

/// The end of a Job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finished {
    /// Succeeded or not.
    pub outcome: Outcome,
    /// `lastTransitionTime` of the condition.
    pub at: Timestamp,
    /// Reason of the condition, such as `BackoffLimitExceeded`.
    pub reason: Option<Cow<'static, str>>,
    /// Message of the condition.
    pub message: Option<Cow<'static, str>>,
}

/// Facts of this process that no API object holds. All of them may be lost: a new process finds its claims in doubt
/// instead, and goes the longer way (R33).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Identity of this process: a new one after every start.
    pub holder: String,
    /// This is the first look at the Run since the process took the lead.
    pub first_look: bool,
    /// Jobs for which a create was sent whose outcome is unknown, with the attempt of the claim it was sent under.
    pub in_doubt: BTreeMap<String, i32>,
    /// Jobs that a live GET did not find, during this look.
    pub absent: BTreeSet<String>,
    /// Jobs (or the ConfigMap) that the API server refused to create.
    pub refused: BTreeMap<String, Refusal>,
    /// What was found out about Jobs whose pod does not start.
    pub waiting: BTreeMap<String, Waiting>,
    /// What the caps across Runs say to the starts of this one, by Job; `None` without caps.
    pub places: Option<BTreeMap<String, Place>>,
}

/// A look at the pods of a Job (R41).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What keeps the pod from starting, if anything.
    pub why: Option<Problem>,
    /// When it was looked at.
    pub asked_at: Timestamp,
}

/// Longest pause between attempts at a call that failed or was refused (R38).
pub const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(10);

/// The API server's "no" to a create, or its silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub cause: RefusalCause,
    /// The server's message, or the object that is in the way.
    pub message: String,
    /// When the next attempt is due.
    pub retry_at: Timestamp,
}

/// Kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCause {
    /// Admission, quota or validation said no, or could not be asked (R39).
    Rejected,
    /// It was sent twice and not answered (R38).
    Unanswered,
    /// The name is taken by an object that is about to go (R10).
    NameBusy,
    /// The name is taken by a foreign object (R10).
    NameConflict,
    /// The namespace is being deleted: nothing can be made in it any more (R30).
    NamespaceTerminating,
}

impl RunMeta {
    /// The Run is going.
    #[must_use]
    pub const fn is_deleting(&self) -> bool {
        self.deleting_since.is_some()
    }
}

impl Process {
    /// The API server's "no" to this Job, as long as it is too early to ask again. One that lies further ahead than any
    /// pause is of a clock that was set back since.
    #[must_use]
    pub fn refusal_in_force(&self, job: &str, now: Timestamp) -> Option<&Refusal> {
        let farthest = now.saturating_add(LONGEST_PAUSE).unwrap_or(Timestamp::MAX);
        self.refused.get(job).filter(|refusal| now < refusal.retry_at && refusal.retry_at <= farthest)
    }
}

impl Observation {
    /// The Job of that name, if it was seen.
    #[must_use]
    pub fn job(&self, name: &str) -> Option<&ObservedJob> {
        self.jobs.iter().find(|job| job.name == name)
    }
}
