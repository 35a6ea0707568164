//! The derived part of `status`: what users and tools read (R4, R5). A function of state and observation, written only
//! together with the state or when it changed.

use jiff::Timestamp;

/// The derived part of `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Report {
    /// `metadata.generation` this report speaks of.
    pub observed_generation: i64,
    /// One word for the Run.
    pub phase: Phase,
    /// Unfinished runs.
    pub active: i32,
    /// The next tick, if one is armed.
    pub next: Option<Timestamp>,
    /// Conditions, in the order of [`ConditionKind`].
    pub conditions: Vec<Condition>,
}

/// `status.phase` (R4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// One-shot, nothing started.
    #[default]
    Idle,
    /// Armed.
    Scheduled,
    /// At least one run is unfinished.
    Running,
    /// One-shot, the last run succeeded.
    Succeeded,
    /// The last finished run failed.
    Failed,
    /// `suspend: true`.
    Suspended,
}

/// The conditions of a Run (R5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConditionKind {
    /// The spec is accepted and armed.
    Ready,
    /// Something is going on that will end by itself (kstatus).
    Reconciling,
    /// Nothing more happens until somebody mends it (kstatus).
    Stalled,
    /// The newest finished run succeeded.
    LastRunSucceeded,
}

impl ConditionKind {
    /// All of them, in the order they stand in `status`.
    pub const ALL: [Self; 4] = [Self::Ready, Self::Reconciling, Self::Stalled, Self::LastRunSucceeded];

    /// The condition's `type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::LastRunSucceeded => "LastRunSucceeded",
        }
    }
}

/// One condition, without its times: those belong to the shell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Its type.
    pub kind: ConditionKind,
    /// `None` stands for `Unknown`.
    pub status: Option<bool>,
    /// Stable word for programs.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Condition {
    /// A condition.
    #[must_use]
    pub fn new(
        kind: ConditionKind,
        status: impl Into<Option<bool>>,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, status: status.into(), reason: reason.into(), message: message.into() }
    }
}

impl Report {
    /// The condition of that kind.
    #[must_use]
    pub fn condition(&self, kind: ConditionKind) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }
}
