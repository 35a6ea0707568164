//! The spec of a Run, read once per generation: schedule, hashes, and what is wrong with it (R3, R21–R26, R41).

use crds::{Run, RunSpec};
use scheduler::observation::{Problem, ScheduleSpec};
use scheduler::schedule::{Schedule, Zone};
use serde_json::{Value, json};

use crate::objects::content_hash;
use crate::{credentials, pipeline};

/// A label of every object holds the Run's name.
const MAX_NAME: usize = 63;

/// What a spec means.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The schedule; `None` for a one-shot Run.
    pub schedule: Option<ScheduleSpec>,
    /// Hash of the ConfigMap's content; empty if there can be none.
    pub config_hash: String,
    /// Hash of what shapes the pipeline and its pod (R26).
    pub pipeline_hash: String,
    /// Why no run can start.
    pub problem: Option<Problem>,
    /// What should be mended although it runs (R37).
    pub warning: Option<Problem>,
}

impl Parsed {
    /// Reads the spec.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        let name = run.metadata.name.as_deref().unwrap_or_default();
        let pipeline = pipeline::render(name, run.spec.runs.get());
        let too_long = (name.len() > MAX_NAME).then(|| Problem {
            reason: "InvalidName".to_owned(),
            message: format!(
                "metadata.name has {} characters; labels carry it, so {MAX_NAME} is the limit",
                name.len()
            ),
        });
        let invalid = pipeline.as_ref().err();
        let invalid = invalid.map(|message| Problem { reason: "InvalidPipeline".to_owned(), message: message.clone() });
        Self {
            schedule: run
                .spec
                .schedule
                .as_deref()
                .filter(|text| !text.is_empty())
                .map(|text| schedule(&run.spec, text)),
            config_hash: pipeline.map(|text| content_hash(&text)).unwrap_or_default(),
            pipeline_hash: pipeline_hash(&run.spec),
            problem: too_long.or(invalid),
            warning: clear_text(&run.spec),
        }
    }
}

/// The first credential that everybody who may read Runs can read. Its value is not shown.
fn clear_text(spec: &RunSpec) -> Option<Problem> {
    let runs: Value = serde_json::from_str(spec.runs.get()).ok()?;
    let path = credentials::find_clear_text("spec.runs", "", &runs)?;
    Some(Problem {
        reason: "ClearTextCredentials".to_owned(),
        message: format!(
            "{path} looks like a secret in clear text: put it into a Secret, name that in spec.env and write ${{NAME}} there"
        ),
    })
}

fn schedule(spec: &RunSpec, expression: &str) -> ScheduleSpec {
    let zone = spec.time_zone.clone().unwrap_or_default();
    let parsed_zone = if spec.time_zone.is_none() {
        Ok(Zone::utc())
    } else {
        Zone::parse(&zone).map_err(|error| Problem {
            reason: "InvalidTimeZone".to_owned(),
            message: format!("spec.timeZone: {error}"),
        })
    };
    let parsed = parsed_zone.and_then(|zone| {
        Schedule::parse(expression, &zone).map_err(|error| Problem {
            reason: "InvalidSchedule".to_owned(),
            message: format!("spec.schedule {expression:?}: {error}"),
        })
    });
    ScheduleSpec { expression: expression.to_owned(), zone, parsed }
}

/// Hash over the fields that shape the pipeline and its pod, never over defaults or flags, so that an upgrade of the
/// operator runs nothing (R26). The version in front says which fields are meant.
fn pipeline_hash(spec: &RunSpec) -> String {
    let runs: Value = serde_json::from_str(spec.runs.get()).unwrap_or_default();
    let shape = json!({
        "runs": runs,
        "backoffLimit": spec.backoff_limit,
        "activeDeadlineSeconds": spec.active_deadline_seconds,
        "resources": spec.resources,
        "podLabels": spec.pod_labels,
        "podAnnotations": spec.pod_annotations,
        "image": spec.image,
        "imagePullPolicy": spec.image_pull_policy,
        "imagePullSecrets": spec.image_pull_secrets,
        "serviceAccountName": spec.service_account_name,
        "env": spec.env,
        "envFrom": spec.env_from,
        "volumes": spec.volumes,
        "volumeMounts": spec.volume_mounts,
        "nodeSelector": spec.node_selector,
        "tolerations": spec.tolerations,
        "affinity": spec.affinity,
        "priorityClassName": spec.priority_class_name,
        "podSecurityContext": spec.pod_security_context,
        "securityContext": spec.security_context,
    });
    format!("v1:{}", content_hash(&shape.to_string()))
}
