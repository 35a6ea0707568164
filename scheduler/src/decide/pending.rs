//! Runs whose pod does not start: why (R41).

use jiff::{SignedDuration, Timestamp};

use super::Look;
use crate::decision::Effect;
use crate::observation::{ObservedJob, Problem};

/// A pod may take this long to start before it is looked at.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);
/// It is looked at no more often than this.
const PAUSE: SignedDuration = SignedDuration::from_secs(60);
/// Reason of `Ready`.
pub(super) const REASON: &str = "PodPending";

/// Asks for the pods of runs that are not running yet.
pub(super) fn ask(look: &mut Look<'_>) {
    for job in look.jobs.clone().into_iter().filter(|job| is_pending(job)) {
        let asked = look.obs.process.waiting.get(&job.name).map(|waiting| waiting.asked_at);
        let due = asked.map_or_else(|| later(job.created_at, PATIENCE), |asked| later(asked, PAUSE));
        if look.now < due {
            look.wake_at(due);
        } else {
            look.then.push(Effect::AskPods(job.name.clone()));
        }
    }
}

/// Why a run does not start, for people; of those that count.
pub(super) fn problem(look: &Look<'_>, counts: impl Fn(&ObservedJob) -> bool) -> Option<Problem> {
    let waiting = |job: &&ObservedJob| look.obs.process.waiting.get(&job.name)?.why.as_ref();
    look.jobs.iter().copied().filter(|job| is_pending(job) && counts(job)).find_map(|job| {
        let why = waiting(&job)?;
        let message = format!("the pod of Job {} does not start: {}: {}", job.name, why.reason, why.message);
        Some(Problem { reason: REASON.to_owned(), message })
    })
}

fn is_pending(job: &ObservedJob) -> bool {
    !job.running && job.finished.is_none() && job.deleting_since.is_none()
}

fn later(at: Timestamp, pause: SignedDuration) -> Timestamp {
    at.saturating_add(pause).unwrap_or(Timestamp::MAX)
}
