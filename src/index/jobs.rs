//! Jobs as the index holds them: by the ten thousand, so nothing but what somebody looks at.

use std::borrow::Cow;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::JobCondition;
use scheduler::legacy_kind;
use scheduler::observation::{Finished, ForeignJob, ObservedJob};
use scheduler::state::{Outcome, RunKind};

use super::{Key, Version};
use crate::light::LightJob;

/// What Kubernetes says of nearly every Job that has ended: kept once, and not with each.
const COMMON: [&str; 6] = [
    "CompletionsReached",
    "Reached expected number of succeeded pods",
    "BackoffLimitExceeded",
    "Job has reached the specified backoff limit",
    "DeadlineExceeded",
    "Job was active longer than specified deadline",
];

/// A Job of a Run, or of a CronJob that is taken over (R31).
#[derive(Clone, Debug)]
pub struct KnownJob {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// The version that was seen.
    pub version: Version,
    /// The list of Jobs during or after which it was taken in, counted from 1; 0 before the first.
    pub list: u32,
    /// It has owners. One without is found by label (R30).
    pub owned: bool,
    seen: Seen,
}

#[derive(Clone, Debug)]
enum Seen {
    /// A run, or a teardown.
    Run(ObservedJob),
    /// Nothing that decisions are about.
    Other(ForeignJob),
}

impl KnownJob {
    /// What there is to know of a Job of that Run; `None` of one that was never stored.
    #[must_use]
    pub fn of(job: &LightJob, run: Option<&Key>) -> Option<Self> {
        let metadata = &job.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let other = || {
            let (name, uid) = (metadata.name.clone()?, metadata.uid.clone()?);
            Some(ForeignJob { name, uid, created_at: metadata.creation_timestamp.as_ref()?.0 })
        };
        Some(Self {
            // Kept once, with the Run, for nearly all.
            namespace: run
                .filter(|run| *run.namespace == *namespace)
                .map_or_else(|| namespace.into(), |run| Arc::clone(&run.namespace)),
            version: Version::of(metadata),
            list: 0,
            owned: metadata.owner_references.as_ref().is_some_and(|owners| !owners.is_empty()),
            seen: observed(job).map(Seen::Run).or_else(|| other().map(Seen::Other))?,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.seen {
            Seen::Run(job) => &job.name,
            Seen::Other(job) => &job.name,
        }
    }

    /// Its UID.
    #[must_use]
    pub fn uid(&self) -> &str {
        match &self.seen {
            Seen::Run(job) => &job.uid,
            Seen::Other(job) => &job.uid,
        }
    }

    /// What decisions look at, if it is of the operator's own making, or of the one before it (R31); others of its owner
    /// are none of its business.
    #[must_use]
    pub const fn observed(&self) -> Option<&ObservedJob> {
        match &self.seen {
            Seen::Run(job) => Some(job),
            Seen::Other(_) => None,
        }
    }

    /// What a take-over looks at.
    #[must_use]
    pub fn foreign(&self) -> ForeignJob {
        match &self.seen {
            Seen::Run(job) => ForeignJob { name: job.name.clone(), uid: job.uid.clone(), created_at: job.created_at },
            Seen::Other(job) => job.clone(),
        }
    }
}

fn observed(job: &LightJob) -> Option<ObservedJob> {
    let (labels, annotations) = (job.metadata.labels.as_ref()?, job.metadata.annotations.as_ref());
    Some(ObservedJob {
        name: job.metadata.name.clone()?,
        uid: job.metadata.uid.clone()?,
        kind: match labels.get(crds::KIND_LABEL).map(String::as_str) {
            Some("Scheduled") => RunKind::Scheduled,
            Some("OneShot") => RunKind::OneShot,
            Some("Trigger") => RunKind::Trigger,
            Some("Teardown") => RunKind::Teardown,
            Some(_) => return None,
            None => legacy_kind(labels.get(crds::RUN_LABEL)?, job.metadata.name.as_deref()?)?,
        },
        legacy: !labels.contains_key(crds::KIND_LABEL),
        legacy_tick: annotations.and_then(|all| all.get(crds::SCHEDULED_TIMESTAMP_ANNOTATION)?.parse().ok()),
        created_at: job.metadata.creation_timestamp.as_ref()?.0,
        deleting_since: job.metadata.deletion_timestamp.as_ref().map(|time| time.0),
        running: is_running(job),
        finished: job.status.conditions.iter().flatten().find_map(|condition| finished(job, condition)),
    })
}

/// A queueing system may hold a Job back on purpose (R17); an ingestion container is ready as soon as it runs.
fn is_running(job: &LightJob) -> bool {
    let held = |condition: &JobCondition| condition.type_ == "Suspended" && condition.status == "True";
    job.status.ready.is_some_and(|ready| ready > 0) || job.status.conditions.iter().flatten().any(held)
}

fn text(text: Option<&String>) -> Option<Cow<'static, str>> {
    let text = text?;
    Some(COMMON.into_iter().find(|common| common == text).map_or_else(|| text.clone().into(), Cow::Borrowed))
}

/// A Job has finished when it has `Complete` or `Failed` (R5), not when a pod of it has.
fn finished(job: &LightJob, condition: &JobCondition) -> Option<Finished> {
    if condition.status != "True" {
        return None;
    }
    let outcome = match condition.type_.as_str() {
        "Complete" => Outcome::Succeeded,
        "Failed" if condition.reason.as_deref() == Some("DeadlineExceeded") => Outcome::Killed,
        // The one rule our Jobs have is about the exit code that says so (R36).
        "Failed" if condition.reason.as_deref() == Some("PodFailurePolicy") => Outcome::Partial,
        "Failed" => Outcome::Failed,
        _ => return None,
    };
    let at = condition.last_transition_time.as_ref().or(job.metadata.creation_timestamp.as_ref())?.0;
    Some(Finished { outcome, at, reason: text(condition.reason.as_ref()), message: text(condition.message.as_ref()) })
}
