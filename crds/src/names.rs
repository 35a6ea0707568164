//! Names other programs rely on.

/// API group.
pub const GROUP: &str = "runs.marmotdata.io";
/// API version.
pub const VERSION: &str = "v1alpha1";
/// Kind.
pub const KIND: &str = "Run";
/// Label on everything the operator makes.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY: &str = "marmot-operator";
/// Label: name of the Run.
pub const RUN_LABEL: &str = "runs.marmotdata.io/run";
/// Label: UID of the Run, which tells two Runs of one name apart.
pub const RUN_UID_LABEL: &str = "runs.marmotdata.io/run-uid";
/// Label of Jobs: `Scheduled`, `OneShot`, `Trigger` or `Teardown`.
pub const KIND_LABEL: &str = "runs.marmotdata.io/kind";
/// Annotation by which users ask for a run: `true` (R27).
pub const TRIGGER_ANNOTATION: &str = "runs.marmotdata.io/trigger";
/// Annotation that says which trigger was taken last, and by whom: set in the write that removes [`TRIGGER_ANNOTATION`].
/// Its value is a [`TakenTrigger`](crate::TakenTrigger).
pub const TRIGGER_TAKEN_ANNOTATION: &str = "runs.marmotdata.io/trigger-taken";
/// Annotation of scheduled Jobs: their tick, as CronJob writes it.
pub const SCHEDULED_TIMESTAMP_ANNOTATION: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// Annotation of the ConfigMap: SHA-256 of its content.
pub const CONFIG_HASH_ANNOTATION: &str = "runs.marmotdata.io/config-hash";
/// Finalizer of Runs whose deletion tears their assets down (R30).
pub const FINALIZER: &str = "runs.marmotdata.io/finalizer";

/// Default of `backoffLimit`.
pub const DEFAULT_BACKOFF_LIMIT: i32 = 3;
/// Default of `successfulJobsHistoryLimit`.
pub const DEFAULT_SUCCESSFUL_HISTORY: i32 = 3;
/// Default of `failedJobsHistoryLimit`.
pub const DEFAULT_FAILED_HISTORY: i32 = 1;
