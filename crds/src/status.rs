//! The status of a Run (R4, R5).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::fields;

/// What the operator knows about a Run. Written by the operator only.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The state of the Run in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// How many runs are unfinished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<i32>,
    /// When the newest run of any kind started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run_time: Option<Time>,
    /// When the newest run that succeeded ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_successful_time: Option<Time>,
    /// When the newest run that failed ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure_time: Option<Time>,
    /// High-water mark: every tick up to here has been dealt with. It has run, or it stands in `skippedTicks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,
    /// The next tick. Unset without a schedule, while suspended, and while the schedule is not valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<Time>,
    /// How many runs failed since the last one that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive_failures: Option<i32>,
    /// How the newest finished run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_result: Option<RunResult>,
    /// Ticks that were not run: the ten entries told last, in that order. Neighbours of one reason are one entry; a tick
    /// given up late comes after later ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped_ticks: Vec<SkippedTicks>,
    /// `Ready`: the spec is accepted and armed. `Reconciling` and `Stalled`: as kstatus means them. `LastRunSucceeded`:
    /// how the newest finished run ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "fields::conditions")]
    pub conditions: Vec<Condition>,
    /// The operator's record: Jobs that were made and not yet put away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active_jobs: Vec<ActiveJob>,
    /// The operator's record: Jobs that may be made now, by name. A Job is only made while it stands here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, Claim>,
    /// The operator's record: the schedule from which ticks are computed, as it was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_in_force: Option<ScheduleInForce>,
    /// The operator's record: since when its times were seen to lie more than an hour ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skewed_since: Option<Time>,
    /// The operator's record: the spec that was last run without a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_shot: Option<OneShot>,
    /// The operator's record: how far the take-over from another operator is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take_over: Option<TakeOver>,
    /// The operator's record: whether another operator has dealt with this Run before. False if unset.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inherited: bool,
    /// The operator's record: how far the teardown of a Run that is being deleted is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teardown: Option<Teardown>,
    /// How many runs the trigger annotation has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger_count: Option<i64>,
}

/// One word for a Run.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
pub enum Phase {
    /// Without schedule, nothing started yet.
    #[default]
    Idle,
    /// Waiting for the next tick.
    Scheduled,
    /// At least one run is unfinished.
    Running,
    /// Without schedule, the last run succeeded.
    Succeeded,
    /// The last finished run failed.
    Failed,
    /// Suspended.
    Suspended,
}

/// What made a run start.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
pub enum RunKind {
    /// A tick.
    Scheduled,
    /// A Run without schedule.
    OneShot,
    /// The trigger annotation.
    Trigger,
    /// The deletion of the Run.
    Teardown,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// All of it arrived.
    Succeeded,
    /// It finished, but something was lost. Counts as failed.
    Partial,
    /// It failed.
    Failed,
    /// It was stopped. Counts as failed.
    Killed,
}

/// A finished run.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// Name of its Job.
    pub job: String,
    /// What made it start.
    pub kind: RunKind,
    /// When its Job was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, as one stable word in CamelCase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Ticks that were not run.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SkippedTicks {
    /// Why they were not run, as one stable word such as `Missed`, `TooLate`, `Suspended` or `ConcurrencyForbidden`.
    pub reason: String,
    /// How many ticks.
    pub count: i64,
    /// The first of them.
    pub from: Time,
    /// The last of them.
    pub to: Time,
}

/// A Job that was made.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveJob {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// What made it start.
    pub kind: RunKind,
    /// Attempt of its claim when that was settled. 1 if unset.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub attempt: i32,
    /// When its claim was settled. It is not put away until the prune floor (60 s) after this has passed.
    pub settled_at: Time,
    /// Whether it has ended and its outcome is recorded. False if unset.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub finished: bool,
}

/// Permission to make one Job.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// What makes it start.
    pub kind: RunKind,
    /// The tick it is for. Scheduled runs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tick: Option<Time>,
    /// The number of its trigger or teardown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// Whether the annotation of this trigger was taken off: then it runs, whatever the annotation says now. False if unset.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken: bool,
    /// Counts from 1, and up whenever the claim is renewed although its Job may already have been asked for.
    pub attempt: i32,
    /// Attempts up to this one are known to have made no Job. None if unset.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub resolved: i32,
    /// The process that holds it.
    pub holder: String,
    /// When it was made or last taken over.
    pub claimed_at: Time,
}

/// Permission to make the Job of a trigger: what [`crate::TRIGGER_TAKEN_ANNOTATION`] holds, as JSON. Not part of the
/// schema: it stands in the metadata, because the write that takes the trigger off is the claim.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TakenTrigger {
    /// UID of the Run: in a copy of the Run it says nothing.
    pub run_uid: String,
    /// The number of the trigger.
    pub number: i64,
    /// The process that took it.
    pub holder: String,
    /// When.
    pub claimed_at: Time,
}

/// The schedule the ticks are computed from.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleInForce {
    /// `spec.schedule`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// `spec.timeZone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// `spec.suspend`.
    pub suspend: bool,
    /// When the operator saw it first. No tick before this is run.
    pub since: Time,
}

/// The take-over of a CronJob that another operator made.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TakeOver {
    /// UID of the CronJob.
    pub cron_job: String,
    /// When this step began.
    pub since: Time,
    /// Whether it was seen suspended. False if unset.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// Whether somebody keeps it alive. False if unset.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub contested: bool,
    /// Whether its Jobs and ticks were taken over. False if unset.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
}

/// The teardown of a Run that is being deleted.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Teardown {
    /// Attempts so far.
    pub attempts: i64,
    /// When the next attempt is due, after one that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Time>,
    /// Why the last attempt failed, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Whether no further attempt is needed. False if unset.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over: bool,
}

/// The spec last run without a schedule.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OneShot {
    /// Versioned hash of the fields that shape the pipeline and its pod.
    pub hash: String,
    /// Generation of the Run that named the Job.
    pub generation: i64,
}

const fn first() -> i32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_first(attempt: &i32) -> bool {
    *attempt == 1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_none_yet(attempts: &i32) -> bool {
    *attempts == 0
}
