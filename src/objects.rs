//! The objects made for a Run: its ConfigMap and its Jobs (R8). Pure: the same Run gives the same object.

mod optional;
mod pod;
mod runner;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crds::Run;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{ConfigMap, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use scheduler::decision::JobOrder;
use scheduler::state::RunKind;
use sha2::{Digest, Sha256};

use crate::defaults::JobDefaults;
use crate::marmot::Address;
pub use pod::CONTAINER;
pub use runner::Runner;

/// Key of the ConfigMap that holds the pipeline.
pub const PIPELINE_KEY: &str = "pipeline.yaml";

/// Seconds one attempt at a teardown may take (R30).
const TEARDOWN_DEADLINE: i64 = 600;

/// What every pod of this operator shares: flags, not spec.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// Address of Marmot.
    pub marmot: Address,
    /// Image of the ingestion container, `--image`; empty means that each Run names its own.
    pub image: String,
    /// ServiceAccount of ingestion pods, `--ingest-service-account`.
    pub service_account: String,
    /// The runner in ingestion pods; `None` gives the plain documented command (R36).
    pub runner: Option<Runner>,
    /// What Runs leave open, `--job-defaults`.
    pub job: JobDefaults,
}

/// SHA-256 of a text, in hexadecimal.
#[must_use]
pub fn content_hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut hash, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hash, "{byte:02x}");
        hash
    })
}

/// Name of the Run's ConfigMap.
#[must_use]
pub fn config_map_name(run: &str) -> String {
    format!("{run}-config")
}

/// The ConfigMap with the pipeline (R8).
#[must_use]
pub fn config_map(run: &Run, pipeline: &str) -> ConfigMap {
    let name = run.metadata.name.as_deref().unwrap_or_default();
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(config_map_name(name)),
            namespace: run.metadata.namespace.clone(),
            labels: Some(own_labels(run)),
            annotations: Some(BTreeMap::from([(crds::CONFIG_HASH_ANNOTATION.to_owned(), content_hash(pipeline))])),
            owner_references: Some(vec![owner_reference(run)]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(PIPELINE_KEY.to_owned(), pipeline.to_owned())])),
        ..ConfigMap::default()
    }
}

/// The Job for an order (R8, R9).
#[must_use]
pub fn job(run: &Run, order: &JobOrder, defaults: &Defaults) -> Job {
    let run = &defaults.job.fill(run);
    let mut labels = run.spec.pod_labels.clone().unwrap_or_default();
    labels.extend(job_labels(run, order.kind));
    let pod_annotations = run.spec.pod_annotations.clone().unwrap_or_default();
    let mut annotations = pod_annotations.clone();
    if let Some(tick) = order.tick {
        annotations
            .insert(crds::SCHEDULED_TIMESTAMP_ANNOTATION.to_owned(), in_zone(tick, run.spec.time_zone.as_deref()));
    }
    let teardown = order.kind == RunKind::Teardown;
    Job {
        metadata: ObjectMeta {
            name: Some(order.name.clone()),
            namespace: run.metadata.namespace.clone(),
            labels: Some(labels.clone()),
            annotations: Some(annotations),
            // The garbage collector would take a teardown away together with the Run's other Jobs (R30).
            owner_references: (!teardown).then(|| vec![owner_reference(run)]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(if teardown { 0 } else { run.spec.backoff_limit() }),
            active_deadline_seconds: if teardown { Some(TEARDOWN_DEADLINE) } else { run.spec.active_deadline_seconds },
            pod_failure_policy: defaults.runner.as_ref().map(|_| runner::failure_policy()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    annotations: Some(pod_annotations),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod::spec(run, order.kind, defaults)),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}

/// The labels of a Job by which it is found, and which tell what it runs (R8).
#[must_use]
pub fn job_labels(run: &Run, kind: RunKind) -> BTreeMap<String, String> {
    let mut labels = own_labels(run);
    labels.insert(crds::KIND_LABEL.to_owned(), kind_label(kind).to_owned());
    labels
}

/// Labels of everything made for a Run. They come last, so that `podLabels` cannot take them over.
fn own_labels(run: &Run) -> BTreeMap<String, String> {
    BTreeMap::from([
        (crds::MANAGED_BY_LABEL.to_owned(), crds::MANAGED_BY.to_owned()),
        (crds::RUN_LABEL.to_owned(), run.metadata.name.clone().unwrap_or_default()),
        (crds::RUN_UID_LABEL.to_owned(), run.metadata.uid.clone().unwrap_or_default()),
    ])
}

pub(crate) fn owner_reference(run: &Run) -> OwnerReference {
    OwnerReference {
        api_version: format!("{}/{}", crds::GROUP, crds::VERSION),
        kind: crds::KIND.to_owned(),
        name: run.metadata.name.clone().unwrap_or_default(),
        uid: run.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(false),
    }
}

/// The word on a Job for what it runs.
#[must_use]
pub fn kind_label(kind: RunKind) -> &'static str {
    match kind {
        RunKind::Scheduled => "Scheduled",
        RunKind::OneShot => "OneShot",
        RunKind::Trigger => "Trigger",
        RunKind::Teardown => "Teardown",
    }
}

/// RFC 3339 in the Run's zone, as CronJob writes it (KEP-4026).
fn in_zone(tick: Timestamp, zone: Option<&str>) -> String {
    let zone = zone.and_then(|zone| scheduler::schedule::Zone::parse(zone).ok());
    match zone {
        Some(zone) => tick.display_with_offset(zone.time_zone().to_offset(tick)).to_string(),
        None => tick.to_string(),
    }
}

#[cfg(test)]
mod tests;
