//! What Runs get that do not say otherwise themselves: the file of `--job-defaults`, made by the chart from its values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crds::{ImagePullPolicy, Run, RunSpec};
use k8s_openapi::DeepMerge as _;
use k8s_openapi::api::core::v1::{
    Affinity, EnvFromSource, EnvVar, LocalObjectReference, PodSecurityContext, ResourceRequirements, Toleration,
    Volume, VolumeMount,
};
use kube::api::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The user of Marmot's image, which names it only: of a number Kubernetes can check that it is not root.
const MARMOT_USER: i64 = 10_001;
/// Volumes of these names are the operator's own.
const OWN_VOLUMES: &str = "marmot-";

/// Why a file of `--job-defaults` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DefaultsError {
    /// The file is not there, or closed to us.
    #[error("--job-defaults {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is no YAML, or not of this form.
    #[error("--job-defaults {}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The field, and what to do.
        message: String,
    },
}

/// Defaults for the Jobs of all Runs. Names and types are those of `spec` of a Run, and a Run's own field counts more:
/// `env`, `envFrom`, `volumes` and `volumeMounts` are joined entry by entry, `podSecurityContext` field by field, and every
/// other field is taken whole.
///
/// None of it shapes the hash of a one-shot Run, so a change here runs nothing (R26).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct JobDefaults {
    /// CPU and memory of the ingestion container.
    pub resources: Option<ResourceRequirements>,
    /// Retries of a Job. Counts only where the CRD set no default of its own when the Run was stored.
    pub backoff_limit: Option<i32>,
    /// Longest time of a Job in seconds, retries included.
    pub active_deadline_seconds: Option<i64>,
    /// Environment of the ingestion container, such as `MARMOT_API_KEY` from a Secret of the Run's namespace.
    pub env: Vec<EnvVar>,
    /// Secrets and `ConfigMap`s that become environment.
    pub env_from: Vec<EnvFromSource>,
    /// Volumes of the pod.
    pub volumes: Vec<Volume>,
    /// Where the ingestion container sees volumes.
    pub volume_mounts: Vec<VolumeMount>,
    /// When the node pulls the ingestion image.
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Secrets to pull the ingestion image with.
    pub image_pull_secrets: Option<Vec<LocalObjectReference>>,
    /// Labels that a node must have.
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints that the pod tolerates.
    pub tolerations: Option<Vec<Toleration>>,
    /// Affinity of the pod.
    pub affinity: Option<Affinity>,
    /// Priority class of the pod.
    pub priority_class_name: Option<String>,
    /// Security context of the pod; unless given, the user of Marmot's image. Null or empty leaves the user to cluster or
    /// image.
    pub pod_security_context: Option<PodSecurityContext>,
}

impl Default for JobDefaults {
    /// Without a file: only the user is set.
    fn default() -> Self {
        let user = PodSecurityContext {
            run_as_user: Some(MARMOT_USER),
            run_as_group: Some(MARMOT_USER),
            ..PodSecurityContext::default()
        };
        Self {
            resources: None,
            backoff_limit: None,
            active_deadline_seconds: None,
            env: Vec::new(),
            env_from: Vec::new(),
            volumes: Vec::new(),
            volume_mounts: Vec::new(),
            image_pull_policy: None,
            image_pull_secrets: None,
            node_selector: None,
            tolerations: None,
            affinity: None,
            priority_class_name: None,
            pod_security_context: Some(user),
        }
    }
}

impl JobDefaults {
    /// Reads a file.
    ///
    /// # Errors
    /// [`DefaultsError`], with the file, the field, and what to do.
    pub fn load(path: &Path) -> Result<Self, DefaultsError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| DefaultsError::Read { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|message| DefaultsError::Invalid { path: path.to_owned(), message })
    }

    /// Reads a text. An empty one is as good as none.
    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut fields: Map<String, Value> = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        if let Some(context @ Value::Null) = fields.get_mut("podSecurityContext") {
            *context = Value::Object(Map::new());
        }
        fields.retain(|_, value| !value.is_null());
        if let Some(resources) = fields.get_mut("resources") {
            write_quantities(resources);
        }
        // One by one, because an error inside a field does not name the field.
        for (name, value) in &fields {
            let alone = Map::from_iter([(name.clone(), value.clone())]);
            serde_json::from_value::<Self>(Value::Object(alone)).map_err(|error| format!("{name}: {error}"))?;
        }
        let given = Value::Object(fields);
        let defaults: Self = serde_json::from_value(given.clone()).map_err(|error| error.to_string())?;
        let understood = serde_json::to_value(&defaults).map_err(|error| error.to_string())?;
        if let Some(field) = unknown("", &given, &understood) {
            return Err(format!("{field} is no field that Kubernetes knows; check its spelling"));
        }
        defaults.check()?;
        Ok(defaults)
    }

    /// What the types let through and the API server would refuse at every tick.
    fn check(&self) -> Result<(), String> {
        if self.backoff_limit.is_some_and(|limit| limit < 0) {
            return Err("backoffLimit: a number of retries, 0 or more".to_owned());
        }
        if self.active_deadline_seconds.is_some_and(|seconds| seconds < 1) {
            return Err("activeDeadlineSeconds: seconds, 1 or more; leave it out for no limit".to_owned());
        }
        if let Some(index) = self.env.iter().position(|variable| variable.name.is_empty()) {
            return Err(format!("env[{index}].name is empty: name the variable"));
        }
        if let Some(index) = self.volumes.iter().position(|volume| volume.name.starts_with(OWN_VOLUMES)) {
            return Err(format!(
                "volumes[{index}].name: names that begin with {OWN_VOLUMES} are the operator's own; choose another"
            ));
        }
        Ok(())
    }

    /// The Run with what it leaves open, to build its Jobs from; it has no status.
    #[must_use]
    pub fn fill(&self, run: &Run) -> Run {
        let own = run.spec.clone();
        let spec = RunSpec {
            resources: own.resources.or_else(|| self.resources.clone()),
            backoff_limit: own.backoff_limit.or(self.backoff_limit),
            active_deadline_seconds: own.active_deadline_seconds.or(self.active_deadline_seconds),
            env: join(&self.env, own.env, |variable| &variable.name),
            env_from: (own.env_from.is_some() || !self.env_from.is_empty())
                .then(|| self.env_from.iter().cloned().chain(own.env_from.unwrap_or_default()).collect()),
            volumes: join(&self.volumes, own.volumes, |volume| &volume.name),
            volume_mounts: join(&self.volume_mounts, own.volume_mounts, |mount| &mount.mount_path),
            image_pull_policy: own.image_pull_policy.or(self.image_pull_policy),
            image_pull_secrets: own.image_pull_secrets.or_else(|| self.image_pull_secrets.clone()),
            node_selector: own.node_selector.or_else(|| self.node_selector.clone()),
            tolerations: own.tolerations.or_else(|| self.tolerations.clone()),
            affinity: own.affinity.or_else(|| self.affinity.clone()),
            priority_class_name: own.priority_class_name.or_else(|| self.priority_class_name.clone()),
            pod_security_context: merge(self.pod_security_context.as_ref(), own.pod_security_context),
            ..own
        };
        let metadata: ObjectMeta = run.metadata.clone();
        Run { metadata, spec, status: None }
    }
}

/// The defaults whose key the Run does not use, then the Run's own, which may refer to them.
fn join<T: Clone>(defaults: &[T], own: Option<Vec<T>>, key: impl Fn(&T) -> &String) -> Option<Vec<T>> {
    if defaults.is_empty() {
        return own;
    }
    let own = own.unwrap_or_default();
    let open = |default: &&T| own.iter().all(|entry| key(entry) != key(default));
    let mut joined: Vec<T> = defaults.iter().filter(open).cloned().collect();
    joined.extend(own);
    Some(joined)
}

/// The Run's fields over the defaults': a Run that needs an `fsGroup` still runs as the user of the others.
fn merge(default: Option<&PodSecurityContext>, own: Option<PodSecurityContext>) -> Option<PodSecurityContext> {
    let (Some(default), Some(own)) = (default, own.as_ref()) else {
        return own.or_else(|| default.cloned());
    };
    let mut merged = default.clone();
    merged.merge_from(own.clone());
    Some(merged)
}

/// Kubernetes takes `cpu: 1` as well as `cpu: "1"`.
fn write_quantities(resources: &mut Value) {
    for amounts in ["requests", "limits"] {
        let amounts = resources.get_mut(amounts).and_then(Value::as_object_mut);
        for amount in amounts.into_iter().flat_map(Map::values_mut) {
            if amount.is_number() {
                *amount = Value::String(amount.to_string());
            }
        }
    }
}

/// Path of a field that was given and not understood: types of Kubernetes drop what they do not know.
fn unknown(path: &str, given: &Value, understood: &Value) -> Option<String> {
    match given {
        Value::Object(fields) => fields.iter().filter(|(_, value)| !is_nothing(value)).find_map(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match understood.get(name) {
                Some(understood) => unknown(&path, value, understood),
                None => Some(path),
            }
        }),
        Value::Array(entries) => entries.iter().enumerate().find_map(|(index, entry)| {
            unknown(&format!("{path}[{index}]"), entry, understood.get(index).unwrap_or(&Value::Null))
        }),
        _ => None,
    }
}

/// What may be left out when it is written again.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(entries) => entries.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
