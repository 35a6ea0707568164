//! The spec of a Run (R1, R2).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, EnvFromSource, EnvVar, LocalObjectReference, PodSecurityContext, ResourceRequirements, SecurityContext,
    Toleration, Volume, VolumeMount,
};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::raw::RawJson;
use crate::schema;
use crate::status::RunStatus;

/// An ingestion pipeline: what to run, when, and how its pod looks. `metadata.name` is the pipeline's name in Marmot.

#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "runs.marmotdata.io",
    version = "v1alpha1",
    kind = "Run",
    plural = "runs",
    singular = "run",
    namespaced,
    status = "RunStatus",
    derive = "PartialEq",
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
    /// Source configurations, in the same format as the `runs` of the CLI's configuration file: a list of objects such
    /// as `postgresql: {host: …}`. Kept as is.
    #[schemars(schema_with = "schema::pipeline")]
    pub runs: RawJson,

    /// Cron expression with five fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`, `@every <duration>`.
    /// Without it the pipeline runs once, and once more after each change of the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::schedule")]
    pub schedule: Option<String>,

    /// IANA time zone of `schedule`, such as `Europe/Berlin`. UTC if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time_zone")]
    pub time_zone: Option<String>,

    /// Pauses scheduled runs. Running Jobs go on and triggers work. Only applies when `schedule` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::boolean_false")]
    pub suspend: Option<bool>,

    /// What happens when a run is due while another one is unfinished: `Allow` runs both, `Forbid` skips the tick,
    /// `Replace` stops the unfinished one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::concurrency_policy")]
    pub concurrency_policy: Option<ConcurrencyPolicy>,

    /// A tick found later than this many seconds is not run but recorded. Unset: it is run however late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::not_negative_long")]
    pub starting_deadline_seconds: Option<i64>,

    /// Retries before a Job is marked failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::not_negative_3")]
    pub backoff_limit: Option<i32>,

    /// Longest time in seconds a Job may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::positive_long")]
    pub active_deadline_seconds: Option<i64>,

    /// Successful runs to keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::not_negative_3")]
    pub successful_jobs_history_limit: Option<i32>,

    /// Failed runs to keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::not_negative_1")]
    pub failed_jobs_history_limit: Option<i32>,

    /// Remove the assets of this pipeline from Marmot when the Run is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::boolean_true")]
    pub teardown_on_delete: Option<bool>,

    /// CPU and memory of the ingestion container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// Labels added to Jobs and pods. The operator's own labels cannot be overridden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_labels: Option<BTreeMap<String, String>>,

    /// Annotations added to Jobs and pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_annotations: Option<BTreeMap<String, String>>,

    /// Image of the ingestion container. The operator's default if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::image")]
    pub image: Option<String>,

    /// When to pull the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::image_pull_policy")]
    pub image_pull_policy: Option<ImagePullPolicy>,

    /// Secrets to pull the image with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_secrets: Option<Vec<LocalObjectReference>>,

    /// ServiceAccount of the pods. The operator's default if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,

    /// Environment of the ingestion container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<EnvVar>>,

    /// Environment from ConfigMaps and Secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_from: Option<Vec<EnvFromSource>>,

    /// Volumes of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Vec<Volume>>,

    /// Where the ingestion container sees them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_mounts: Option<Vec<VolumeMount>>,

    /// Nodes the pods may run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<BTreeMap<String, String>>,

    /// Taints the pods tolerate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerations: Option<Vec<Toleration>>,

    /// Affinity of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,

    /// Priority of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,

    /// Security context of the pods. What is unset takes the values that Pod Security `restricted` asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_security_context: Option<PodSecurityContext>,

    /// Security context of the ingestion container. What is unset takes the values that `restricted` asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<SecurityContext>,
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
