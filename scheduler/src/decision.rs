//! What [`decide`](crate::decide) answers: effects in order, and when to look again.

use jiff::Timestamp;

use crate::claim::Claim;
use crate::report::Report;
use crate::state::{RunKind, RunResult, Skipped, State};

/// The answer to an observation. Effects are carried out in order and the first failure stops them: every prefix is a
/// safe state, and the next look recomputes the rest. After the last effect the shell looks again at once, so a
/// decision without effects is the steady state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// What to do, in order.
    pub effects: Vec<Effect>,
    /// When to look again if nothing changes before. Never in the past, never later than the next thing that is due.
    pub wake: Option<Timestamp>,
}

/// One API call, or the note to somebody that an API call succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Create or repair the ConfigMap of the current generation (R8).
    EnsureConfig,
    /// Write `status` by compare-and-swap, and publish the news it contains once that has succeeded.
    Record(Box<Record>),
    /// Remove the trigger annotation and write this claim beside it, by compare-and-swap (R27, R32).
    TakeTrigger(Claim),
    /// Create a Job (R32). Sent only before [`JobOrder::closes_at`].
    CreateJob(JobOrder),
    /// Ask the caps across Runs for a place for the start of this Job, which was due at that instant.
    AskForPlace {
        /// Name of the Job.
        job: String,
        /// First due, first served.
        due: Timestamp,
        /// It has been tried in vain.
        again: bool,
    },
    /// Give the place of this Job back: its create was not answered and has made none.
    ReturnPlace(String),
    /// Delete a Job by UID.
    DeleteJob(Deletion),
    /// Ask the API server itself whether a Job exists, because the cache does not show it (R33).
    LookUpJob(String),
    /// Look at the pods of a Job that do not start (R41).
    AskPods(String),
    /// Go on only if the API server itself holds the Run at the version that was observed. For the rare decisions that
    /// a stale cache would turn into harm.
    ConfirmRun,
    /// Suspend the CronJob of that UID, by compare-and-swap (R31).
    SuspendCronJob(String),
    /// Make a Job of that CronJob one of the Run: replace its controller, by compare-and-swap (R31).
    AdoptJob {
        /// Name of the Job.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// Delete the CronJob of that UID, and nothing it made (R31).
    DeleteCronJob(String),
    /// Set the finalizer, by compare-and-swap (R30).
    AddFinalizer,
    /// Take the finalizer off, by compare-and-swap.
    ReleaseFinalizer,
}

impl Effect {
    /// Its name, for programs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::EnsureConfig => "EnsureConfig",
            Self::Record(_) => "Record",
            Self::TakeTrigger(_) => "TakeTrigger",
            Self::CreateJob(_) => "CreateJob",
            Self::AskForPlace { .. } => "AskForPlace",
            Self::ReturnPlace(_) => "ReturnPlace",
            Self::DeleteJob(_) => "DeleteJob",
            Self::LookUpJob(_) => "LookUpJob",
            Self::AskPods(_) => "AskPods",
            Self::ConfirmRun => "ConfirmRun",
            Self::SuspendCronJob(_) => "SuspendCronJob",
            Self::AdoptJob { .. } => "AdoptJob",
            Self::DeleteCronJob(_) => "DeleteCronJob",
            Self::AddFinalizer => "AddFinalizer",
            Self::ReleaseFinalizer => "ReleaseFinalizer",
        }
    }
}

/// A status to write, with what has to be told once it is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// The operator's record.
    pub state: State,
    /// The derived part.
    pub report: Report,
    /// What happened.
    pub news: Vec<News>,
}

/// A Job to create.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JobOrder {
    /// Deterministic name: the lock (R9).
    pub name: String,
    /// What it runs.
    pub kind: RunKind,
    /// The tick, for scheduled runs.
    pub tick: Option<Timestamp>,
    /// Attempt of the claim that allows it.
    pub attempt: i32,
    /// Not to be sent at or after this instant (R33).
    pub closes_at: Timestamp,
}

/// A Job to delete.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Deletion {
    /// Name of the Job.
    pub name: String,
    /// Its UID: nothing else of that name is touched (R10).
    pub uid: String,
    /// Why.
    pub reason: DeletionReason,
}

/// Why a Job is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeletionReason {
    /// Beyond a history limit (R29), or a trigger Job whose 60 seconds are over (R28).
    Pruned,
    /// `concurrencyPolicy: Replace` (R18).
    Replaced,
    /// Unfinished, of this Run, and made by nobody we know (R33).
    Stray,
    /// The Run is being deleted, and has waited long enough (R30).
    Stopped,
}

/// Something worth an event, a metric or a log line, told once: after the write that records it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum News {
    /// A Job was made and settled.
    Started {
        /// Name of the Job.
        job: String,
        /// What it runs.
        kind: RunKind,
        /// The tick, for scheduled runs.
        tick: Option<Timestamp>,
        /// When the API server stored the Job.
        created_at: Timestamp,
    },
    /// A run ended, or an attempt at a teardown.
    Finished(RunResult),
    /// Ticks were not run (R16).
    Skipped(Skipped),
    /// `Ready` or `Stalled` took a new reason that its author must mend.
    Problem {
        /// Reason of the condition.
        reason: String,
        /// Its message.
        message: String,
    },
    /// The Run goes without a teardown although one was wanted (R30).
    TeardownSkipped {
        /// Why, as one stable word in CamelCase.
        reason: &'static str,
        /// Why, in words.
        why: String,
    },
    /// The ticks were taken over from a CronJob (R31).
    TookOver {
        /// Name of the CronJob.
        cron_job: String,
    },
    /// The teardown of a Run that has had runs found nothing to remove: something may remain (R30).
    NothingTornDown,
    /// A trigger waits for the active run (R27).
    TriggerQueued,
    /// A start waits because of a cap across Runs.
    StartDelayed {
        /// Which start, for what, and since when.
        message: String,
    },
    /// The trigger annotation has a value other than `true` (R27).
    InvalidTrigger {
        /// The value found.
        value: String,
    },
}
