//! Label sets of the families, and the words that stand in them.

use prometheus_client::encoding::EncodeLabelSet;
use scheduler::report::Phase;
use scheduler::state::{Outcome, RunKind};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TickLabels {
    pub(super) outcome: &'static str,
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct EndLabels {
    pub(super) kind: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KindLabels {
    pub(super) kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PhaseLabels {
    pub(super) phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabels {
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CapLabels {
    pub(super) cap: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StreakLabels {
    pub(super) at_least: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CallLabels {
    pub(super) verb: &'static str,
    pub(super) resource: &'static str,
    pub(super) code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RouteLabels {
    pub(super) verb: &'static str,
    pub(super) resource: &'static str,
}

/// One Run. Its namespace is not called `namespace`: Prometheus gives that name to the one it scraped in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RunLabels {
    pub(super) run_namespace: String,
    pub(super) run: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RunOutcomeLabels {
    pub(super) run_namespace: String,
    pub(super) run: String,
    pub(super) outcome: &'static str,
}

/// What an API call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// POST.
    Create,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
    /// GET of one object.
    Get,
    /// GET of many.
    List,
}

/// What an API call was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// The Run itself: annotations, finalizer.
    Runs,
    /// The Run's status.
    RunStatus,
    /// Jobs.
    Jobs,
    /// `ConfigMap`s with pipelines.
    ConfigMaps,
    /// `CronJob`s of the Go operator (R31).
    CronJobs,
    /// Pods that are asked how they ended (R36), or why they do not start (R41).
    Pods,
}

impl Verb {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::Get => "get",
            Self::List => "list",
        }
    }
}

impl Resource {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::RunStatus => "runs/status",
            Self::Jobs => "jobs",
            Self::ConfigMaps => "configmaps",
            Self::CronJobs => "cronjobs",
            Self::Pods => "pods",
        }
    }
}

/// Every kind, in the order of its declaration.
pub(super) const KINDS: [RunKind; 4] = [RunKind::Scheduled, RunKind::OneShot, RunKind::Trigger, RunKind::Teardown];

pub(super) const fn kind(kind: RunKind) -> &'static str {
    match kind {
        RunKind::Scheduled => "scheduled",
        RunKind::OneShot => "one_shot",
        RunKind::Trigger => "trigger",
        RunKind::Teardown => "teardown",
    }
}

pub(super) const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Partial => "partial",
        Outcome::Failed => "failed",
        Outcome::Killed => "killed",
    }
}

/// Every phase, in the order of its declaration.
pub(super) const PHASES: [Phase; 6] =
    [Phase::Idle, Phase::Scheduled, Phase::Running, Phase::Succeeded, Phase::Failed, Phase::Suspended];

/// As it stands in `status.phase`.
pub(super) const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "Idle",
        Phase::Scheduled => "Scheduled",
        Phase::Running => "Running",
        Phase::Succeeded => "Succeeded",
        Phase::Failed => "Failed",
        Phase::Suspended => "Suspended",
    }
}
