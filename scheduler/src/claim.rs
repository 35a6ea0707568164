//! Claims: written permission to create one Job (R32–R34).

use jiff::{SignedDuration, Timestamp};

use crate::observation::Process;
use crate::state::RunKind;

/// A create is sent only within this time of its tick or of its claim, whichever is later (R33). Ten thousand creates due
/// on one instant take an API server of two cores 11 to 16 s, and one that comes too late costs another claim.
pub const CREATE_WINDOW: SignedDuration = SignedDuration::from_secs(20);
/// A claim is made no longer than this ahead of its tick (R32).
pub const LONGEST_LEAD: SignedDuration = SignedDuration::from_mins(2);
/// Time-out of one create (R33).
pub const CREATE_TIMEOUT: SignedDuration = SignedDuration::from_secs(5);
/// No Job is deleted before this time has passed since its claim was settled: until then a create of its name may
/// still be on its way (R33). Longer than window, time-out, and the 30 s that admission may hold a create.
pub const PRUNE_FLOOR: SignedDuration = SignedDuration::from_secs(60);

/// Permission to create the Job it is filed under. It is no debt: it is judged again before the create (R33).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// What the Job will run.
    pub kind: RunKind,
    /// The tick, for scheduled runs.
    pub tick: Option<Timestamp>,
    /// The trigger's number, for trigger runs.
    pub number: Option<i64>,
    /// The annotation of this trigger was taken off: one that stands now is a later trigger, and the run is owed (R27).
    pub taken: bool,
    /// 1 for the first holder; each take-over by another process adds one.
    pub attempt: i32,
    /// Attempts up to this one are known to have made no Job. The one after it is certain to be the first that may.
    pub resolved: i32,
    /// The process that may create.
    pub holder: String,
    /// When the claim was made or renewed.
    pub claimed_at: Timestamp,
}

impl Claim {
    /// The first claim for a Job.
    #[must_use]
    pub fn new(kind: RunKind, holder: &str, now: Timestamp) -> Self {
        let (tick, number, holder) = (None, None, holder.to_owned());
        Self { kind, tick, number, taken: false, attempt: 1, resolved: 0, holder, claimed_at: now }
    }

    /// The instant the window for its create opens: the tick, or the claim itself if that came later.
    #[must_use]
    pub fn opens_at(&self) -> Timestamp {
        self.tick.map_or(self.claimed_at, |tick| tick.max(self.claimed_at))
    }

    /// A create may be sent until then (R33).
    #[must_use]
    pub fn closes_at(&self) -> Timestamp {
        self.opens_at().saturating_add(CREATE_WINDOW).unwrap_or(Timestamp::MAX)
    }

    /// After this instant no create sent under this claim, by whichever process, can still be answered: a live GET
    /// then tells the truth about the Job (R33). The tick of a clock that was far ahead may never come; the process with
    /// that clock has closed its window all the same.
    #[must_use]
    pub fn doubt_ends_at(&self) -> Timestamp {
        let later = |at: Timestamp, by| at.saturating_add(by).unwrap_or(Timestamp::MAX);
        // Claims are noted in whole seconds.
        let farthest = later(later(self.claimed_at, LONGEST_LEAD), CREATE_WINDOW + SignedDuration::from_secs(1));
        later(self.closes_at().min(farthest), CREATE_TIMEOUT)
    }

    /// No create that could still make a Job was sent under this claim: only this process has held it since the last
    /// one is known to have failed, and it has sent none.
    #[must_use]
    pub fn is_unsent(&self, job: &str, process: &Process) -> bool {
        self.attempt == self.resolved.saturating_add(1)
            && self.holder == process.holder
            && process.in_doubt.get(job).is_none_or(|attempt| *attempt <= self.resolved)
    }

    /// The claim renewed for this process after it became certain that no attempt has made a Job.
    #[must_use]
    pub fn resolved(&self, process: &Process, now: Timestamp) -> Self {
        let (attempt, holder) = (self.attempt.saturating_add(1), process.holder.clone());
        Self { attempt, resolved: self.attempt, holder, claimed_at: now, ..self.clone() }
    }

    /// This process may create now, without renewing the claim first.
    #[must_use]
    pub fn allows_create(&self, job: &str, process: &Process, now: Timestamp) -> bool {
        self.holder == process.holder
            && !self.is_in_doubt(job, process)
            && self.tick.is_none_or(|tick| tick <= now)
            && now < self.closes_at()
    }

    /// The claim renewed for this process (R33). The attempt grows whenever a create may have been sent before, so that
    /// the first attempt of a holder is known to be unsent, and so that every renewal changes the record: a write that
    /// changes nothing would not move the resourceVersion.
    #[must_use]
    pub fn renewed(&self, job: &str, process: &Process, now: Timestamp) -> Self {
        let untouched = self.holder == process.holder && !self.is_in_doubt(job, process) && self.claimed_at != now;
        let attempt = if untouched { self.attempt } else { self.attempt.saturating_add(1) };
        Self { attempt, holder: process.holder.clone(), claimed_at: now, ..self.clone() }
    }

    /// This process sent a create under this very attempt and does not know what became of it.
    fn is_in_doubt(&self, job: &str, process: &Process) -> bool {
        process.in_doubt.get(job).is_some_and(|attempt| *attempt >= self.attempt)
    }
}
