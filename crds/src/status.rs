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
    /// Generation of the spec this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for the Run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Unfinished runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<i32>,
    /// Start of the newest run of any kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run_time: Option<Time>,
    /// End of the newest run that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_successful_time: Option<Time>,
    /// End of the newest run that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure_time: Option<Time>,
    /// Every tick up to here has been dealt with: it has run, or it stands in `skippedTicks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,
    /// The next tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<Time>,
    /// Failures since the last success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive_failures: Option<i32>,
    /// The newest finished run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_result: Option<RunResult>,
    /// Ticks that were not run, newest last, at most ten entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped_ticks: Vec<SkippedTicks>,
    /// `Ready`, `Reconciling`, `Stalled`, `LastRunSucceeded`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "fields::conditions")]
    pub conditions: Vec<Condition>,
    /// Operator's record: Jobs made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active_jobs: Vec<ActiveJob>,
    /// Operator's record: Jobs that may be made, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, Claim>,
    /// Operator's record: the schedule the ticks are computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_in_force: Option<ScheduleInForce>,
    /// Operator's record: the spec last run without a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_shot: Option<OneShot>,
    /// Runs started by the trigger annotation so far.
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
    /// Stable reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Ticks that were not run.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SkippedTicks {
    /// Why.
    pub reason: String,
    /// How many.
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
    /// What it runs.
    pub kind: RunKind,
    /// When its claim was settled.
    pub settled_at: Time,
    /// It has ended and its outcome is recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub finished: bool,
}

/// Permission to make one Job.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// What it will run.
    pub kind: RunKind,
    /// Its tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tick: Option<Time>,
    /// Its trigger's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// How many processes have held it.
    pub attempt: i32,
    /// The process that holds it.
    pub holder: String,
    /// When it was made or renewed.
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
    /// When the operator saw it first.
    pub since: Time,
}

/// The spec last run without a schedule.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OneShot {
    /// Hash of what shapes the pipeline and its pod.
    pub hash: String,
    /// Generation that named the Job.
    pub generation: i64,
}
