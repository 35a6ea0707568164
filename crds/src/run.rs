//! The spec of a Run (R1, R2).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, EnvFromSource, EnvVar, LocalObjectReference, PodSecurityContext, ResourceRequirements, SecurityContext,
    Toleration, Volume, VolumeMount,
};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{DEFAULT_BACKOFF_LIMIT, DEFAULT_FAILED_HISTORY, DEFAULT_SUCCESSFUL_HISTORY};
use crate::raw::Raw;
use crate::schema::fields;
use crate::status::RunStatus;

/// What to run, when, and how its pod looks.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "runs.marmotdata.io",
    version = "v1alpha1",
    kind = "Run",
    plural = "runs",
    singular = "run",
    namespaced,
    status = "RunStatus",
    derive = "PartialEq",
    doc = "An ingestion pipeline of Marmot. metadata.name is the pipeline's name in Marmot.",
    printcolumn = r#"{"name":"Schedule","type":"string","jsonPath":".spec.schedule"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Last Run","type":"date","jsonPath":".status.lastRunTime"}"#,
    printcolumn = r#"{"name":"Teardown","type":"boolean","jsonPath":".spec.teardownOnDelete"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Next Run","type":"string","jsonPath":".status.nextScheduleTime"}"#,
    printcolumn = r#"{"name":"Last Result","type":"string","jsonPath":".status.lastResult.outcome"}"#,
    printcolumn = r#"{"name":"Active","type":"integer","priority":1,"jsonPath":".status.active"}"#,
    printcolumn = r#"{"name":"Time Zone","type":"string","priority":1,"jsonPath":".spec.timeZone"}"#,
    printcolumn = r#"{"name":"Failures","type":"integer","priority":1,"jsonPath":".status.consecutiveFailures"}"#,
    printcolumn = r#"{"name":"Message","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type==\"Ready\")].message"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct RunSpec {
    /// Source configurations, in the format of `runs` in the configuration file of `marmot ingest`: a list of objects
    /// such as `postgresql: {host: db.example.com}`. At least one; kept as they are.
    #[schemars(schema_with = "fields::runs")]
    pub runs: Raw,

    /// Cron expression with five fields (minute, hour, day of month, month, day of week), or `@hourly`, `@daily`,
    /// `@weekly`, `@monthly`, `@yearly`, or `@every` with a duration such as `@every 90m`. Without it the pipeline
    /// runs once, and once more after each change of what shapes it. The time zone belongs into `timeZone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::schedule")]
    pub schedule: Option<String>,

    /// IANA name of the time zone in which `schedule` is read, such as `Europe/Berlin`. UTC if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::time_zone")]
    pub time_zone: Option<String>,

    /// Pauses scheduled runs: running Jobs go on and triggers work. Only applies when `schedule` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::no")]
    pub suspend: Option<bool>,

    /// What happens when a run is due while another one of this Run is unfinished. `Allow` starts it at once, `Forbid`
    /// skips it, `Replace` stops the unfinished one first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::concurrency_policy")]
    pub concurrency_policy: Option<ConcurrencyPolicy>,

    /// How late, in seconds, a scheduled run may start: one that is found to be due later than this (after a downtime,
    /// say) is recorded in `status.skippedTicks` and not run. Unset: the latest missed one runs however late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::seconds_from_0")]
    pub starting_deadline_seconds: Option<i64>,

    /// Retries before a Job is marked failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::backoff_limit")]
    pub backoff_limit: Option<i32>,

    /// Longest time, in seconds, that a Job may run, retries included. If unset, the operator's default (`--job-defaults`),
    /// else no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::seconds_from_1")]
    pub active_deadline_seconds: Option<i64>,

    /// How many Jobs that succeeded are kept. 0 keeps none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::successful_history")]
    pub successful_jobs_history_limit: Option<i32>,

    /// How many Jobs that failed are kept. 0 keeps none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::failed_history")]
    pub failed_jobs_history_limit: Option<i32>,

    /// Whether deleting the Run removes from Marmot all assets that this pipeline discovered. Setting it to false on a
    /// Run that is being deleted lets it go without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::yes")]
    pub teardown_on_delete: Option<bool>,

    /// CPU and memory of the ingestion container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// Labels added to Jobs and pods. The operator's own labels cannot be overridden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::pod_labels")]
    pub pod_labels: Option<BTreeMap<String, String>>,

    /// Annotations added to Jobs and pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::pod_annotations")]
    pub pod_annotations: Option<BTreeMap<String, String>>,

    /// Image of the ingestion container. The operator's default if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::image")]
    pub image: Option<String>,

    /// When the node pulls the image. If unset, `Always` for images tagged `latest`, else `IfNotPresent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::image_pull_policy")]
    pub image_pull_policy: Option<ImagePullPolicy>,

    /// Secrets of this namespace to pull the image with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_secrets: Option<Vec<LocalObjectReference>>,

    /// Service account of the pods. The operator's default if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::service_account_name")]
    pub service_account_name: Option<String>,

    /// Environment variables of the ingestion container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<EnvVar>>,

    /// Config maps and secrets whose keys become environment variables of the ingestion container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_from: Option<Vec<EnvFromSource>>,

    /// Volumes added to the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Vec<Volume>>,

    /// Where the ingestion container sees volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_mounts: Option<Vec<VolumeMount>>,

    /// Labels that a node must have to run the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::node_selector")]
    pub node_selector: Option<BTreeMap<String, String>>,

    /// Taints of nodes that the pods tolerate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerations: Option<Vec<Toleration>>,

    /// Affinity of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,

    /// Priority class of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::priority_class_name")]
    pub priority_class_name: Option<String>,

    /// Security context of the pods. What is unset takes the values that Pod Security level restricted asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_security_context: Option<PodSecurityContext>,

    /// Security context of the ingestion container. What is unset takes the values that Pod Security level restricted
    /// asks for, and a read-only root file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<SecurityContext>,
}

/// The spec as it is meant: with the defaults of R1 where a field is unset. The server sets the same ones when it stores
/// or serves a Run; these count where no server was involved.
impl RunSpec {
    /// The cron expression, if there is one: an empty text is none, as it was for the Go operator.
    #[must_use]
    pub fn schedule(&self) -> Option<&str> {
        self.schedule.as_deref().filter(|text| !text.is_empty())
    }

    /// Whether ticks are paused. Default: no.
    #[must_use]
    pub fn suspended(&self) -> bool {
        self.suspend.unwrap_or(false)
    }

    /// Default: `Forbid`.
    #[must_use]
    pub fn concurrency_policy(&self) -> ConcurrencyPolicy {
        self.concurrency_policy.unwrap_or_default()
    }

    /// Retries of a Job. Default: 3. Never negative, even where an older CRD let that in.
    #[must_use]
    pub fn backoff_limit(&self) -> i32 {
        self.backoff_limit.unwrap_or(DEFAULT_BACKOFF_LIMIT).max(0)
    }

    /// Succeeded Jobs to keep. Default: 3. Never negative, even where an older CRD let that in.
    #[must_use]
    pub fn successful_jobs_history_limit(&self) -> i32 {
        self.successful_jobs_history_limit.unwrap_or(DEFAULT_SUCCESSFUL_HISTORY).max(0)
    }

    /// Failed Jobs to keep. Default: 1. Never negative, even where an older CRD let that in.
    #[must_use]
    pub fn failed_jobs_history_limit(&self) -> i32 {
        self.failed_jobs_history_limit.unwrap_or(DEFAULT_FAILED_HISTORY).max(0)
    }

    /// Whether the pipeline's assets go with the Run (R30). Default: yes.
    #[must_use]
    pub fn teardown_on_delete(&self) -> bool {
        self.teardown_on_delete.unwrap_or(true)
    }
}

/// What happens when a run is due while another one is unfinished.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub enum ConcurrencyPolicy {
    /// Both run.
    Allow,
    /// The due tick is skipped and recorded.
    #[default]
    Forbid,
    /// The unfinished run is stopped.
    Replace,
}

/// `imagePullPolicy` of a container.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum ImagePullPolicy {
    /// At every start.
    Always,
    /// Unless the node has it.
    IfNotPresent,
    /// The node must have it.
    Never,
}

impl std::fmt::Display for ImagePullPolicy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, formatter)
    }
}
