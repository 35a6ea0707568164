//! The operator's own record of a Run, kept in its `status`: the memory of the start protocol (section F).

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::claim::Claim;
use crate::names;

/// How many entries the ledger of ticks not run keeps (R4).
pub const LEDGER_LEN: usize = 10;

/// Everything the operator remembers about a Run. Written by compare-and-swap on the Run's `resourceVersion` only.
/// All times are whole seconds, as the API server stores them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// High-water mark, `lastScheduleTime`: every tick at or before it has been dealt with (R12).
    pub mark: Option<Timestamp>,
    /// Since when the mark, or the moment of the last change, was seen to lie far in the future (R12).
    pub skewed_since: Option<Timestamp>,
    /// The schedule the ticks are computed from, and since when (R13).
    pub in_force: Option<InForce>,
    /// Permissions to create a Job, by its name (R32).
    pub claims: BTreeMap<String, Claim>,
    /// Jobs that were made and settled.
    pub active_jobs: Vec<ActiveJob>,
    /// The newest spec a one-shot run was started for (R26).
    pub one_shot: Option<OneShot>,
    /// How far the take-over from another operator is (R31).
    pub take_over: Option<TakeOver>,
    /// Another operator has dealt with the Run before this one: what that one brought in is to be removed too (R30, R31).
    pub inherited: bool,
    /// How far the teardown of a Run that is being deleted is (R30).
    pub teardown: Option<Teardown>,
    /// Running count of triggers; names the next trigger Job (R9).
    pub trigger_count: i64,
    /// Ticks not run, the ones told last at the end, at most [`LEDGER_LEN`] entries (R16).
    pub ledger: Vec<Skipped>,
    /// Start of the newest run of any kind.
    pub last_run: Option<Timestamp>,
    /// End of the newest run that succeeded.
    pub last_success: Option<Timestamp>,
    /// End of the newest run that did not.
    pub last_failure: Option<Timestamp>,
    /// Failures since the last success.
    pub consecutive_failures: i32,
    /// The newest finished run.
    pub last_result: Option<RunResult>,
}

impl State {
    /// Takes in the claim that stands beside the trigger annotation of the Run of that name: the write that takes the
    /// annotation off is what claims, and `status` tells of it only when its Job is there, or takes long (R27, R32). Of a
    /// number that `status` has counted only this is news, that its claim is taken. Where `status` was lost, nobody knows
    /// whether it ran: it is counted.
    pub fn take_in(&mut self, run: &str, taken: &Claim) {
        let Some(number) = taken.number else { return };
        let job = names::trigger(run, number);
        if number > self.trigger_count {
            self.trigger_count = number;
            if self.in_force.is_some() {
                self.claims.insert(job, Claim { taken: true, ..taken.clone() });
            }
        } else if let Some(claim) = self.claims.get_mut(&job) {
            claim.taken = true;
        }
    }
}

/// The schedule in force: a change of any part is noticed by comparing it with the spec (R13).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InForce {
    /// `spec.schedule`; `None` for a one-shot Run.
    pub expression: Option<String>,
    /// `spec.timeZone`; empty when unset.
    pub zone: String,
    /// `spec.suspend`.
    pub suspend: bool,
    /// When the operator saw this combination first.
    pub since: Timestamp,
}

/// A settled Job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ActiveJob {
    /// Name of the Job.
    pub name: String,
    /// UID of the Job.
    pub uid: String,
    /// What it runs.
    pub kind: RunKind,
    /// Attempt of the claim when it was settled. Above the first, more than one create of its name may have been sent.
    pub attempt: i32,
    /// When its claim was settled: the prune floor counts from here (R33).
    pub settled_at: Timestamp,
    /// It has ended and its outcome is recorded. The entry stays until the prune floor has passed, and then goes with
    /// the next write.
    pub finished: bool,
}

/// The spec a one-shot Run last ran (R26).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OneShot {
    /// Hash of the spec.
    pub hash: String,
    /// Generation that named the Job.
    pub generation: i64,
}

/// The take-over of a CronJob that another operator made (R31).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TakeOver {
    /// UID of the CronJob.
    pub cron_job: String,
    /// When this step began.
    pub since: Timestamp,
    /// The CronJob was seen suspended.
    pub suspended: bool,
    /// Somebody made it again, or let it run again.
    pub contested: bool,
    /// Its Jobs and its ticks are ours: it can go.
    pub done: bool,
}

/// The teardown of a Run that is being deleted (R30).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Teardown {
    /// Attempts so far; names the next Job.
    pub attempts: i64,
    /// When the next attempt is due, after one that failed.
    pub retry_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub message: Option<String>,
    /// No further attempt is needed.
    pub over: bool,
}

/// What made a run start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunKind {
    /// A tick of the schedule.
    Scheduled,
    /// A Run without schedule.
    OneShot,
    /// The trigger annotation.
    Trigger,
    /// Deletion of the Run.
    Teardown,
}

/// How a run ended (R36).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// All of it arrived.
    Succeeded,
    /// It finished, but assets or a completion were lost. Counts as failed.
    Partial,
    /// It failed.
    Failed,
    /// It was stopped: deleted, replaced, killed or over its deadline.
    Killed,
}

/// The newest finished run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunResult {
    /// Name of its Job.
    pub job: String,
    /// What made it start.
    pub kind: RunKind,
    /// When its Job was created.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// Stable reason.
    pub reason: Option<String>,
    /// In words.
    pub message: Option<String>,
}

/// A ledger entry: ticks that were not run (R16).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Skipped {
    /// Why.
    pub reason: SkipReason,
    /// How many ticks.
    pub count: u64,
    /// The first of them.
    pub from: Timestamp,
    /// The last of them.
    pub to: Timestamp,
}

/// Why a tick was not run (R16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SkipReason {
    /// No operator dealt with it in time, and a later tick came due.
    Missed,
    /// It was found after `startingDeadlineSeconds`.
    TooLate,
    /// It passed while the Run was suspended.
    Suspended,
    /// `concurrencyPolicy: Forbid` and a run was unfinished.
    ConcurrencyForbidden,
    /// `concurrencyPolicy: Replace`, and a newer tick came due while it waited.
    Superseded,
    /// A cap across Runs left no place for it until the next tick came due.
    CapReached,
    /// Its Job's name was taken.
    NameConflict,
    /// Admission refused the Job until the next tick came due.
    Rejected,
    /// The Run could not start anything (R41).
    Invalid,
    /// Nobody knows where Marmot is.
    NoMarmot,
}

impl SkipReason {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Missed,
        Self::TooLate,
        Self::Suspended,
        Self::ConcurrencyForbidden,
        Self::Superseded,
        Self::CapReached,
        Self::NameConflict,
        Self::Rejected,
        Self::Invalid,
        Self::NoMarmot,
    ];

    /// The reason as it stands in `status`, events and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missed => "Missed",
            Self::TooLate => "TooLate",
            Self::Suspended => "Suspended",
            Self::ConcurrencyForbidden => "ConcurrencyForbidden",
            Self::Superseded => "Superseded",
            Self::CapReached => "CapReached",
            Self::NameConflict => "NameConflict",
            Self::Rejected => "Rejected",
            Self::Invalid => "Invalid",
            Self::NoMarmot => "NoMarmot",
        }
    }

    /// The reason written as `text`, if it is one of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

impl State {
    /// Notes ticks that were not run and moves the mark over them (R12, R16). Entries of one reason merge while no
    /// other tick lies between them, that is, while the mark still stands at the end of the newest entry. A tick given
    /// up late, after later ones were dealt with, has its own entry: the order is that of telling, so that every entry
    /// stands here at least once, however old its ticks are.
    pub fn skip(&mut self, skipped: &Skipped) {
        if skipped.count == 0 {
            return;
        }
        let mark = self.mark;
        match self.ledger.last_mut() {
            Some(last) if last.reason == skipped.reason && mark == Some(last.to) && last.to < skipped.from => {
                last.count = last.count.saturating_add(skipped.count);
                last.to = skipped.to;
            }
            _ => self.ledger.push(skipped.clone()),
        }
        let surplus = self.ledger.len().saturating_sub(LEDGER_LEN);
        self.ledger.drain(..surplus);
        self.mark = mark.max(Some(skipped.to));
    }
}
