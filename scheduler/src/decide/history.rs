//! Which finished Jobs go (R28, R29). Never before the outcome is recorded and the prune floor has passed (R33).

use jiff::{SignedDuration, Timestamp};

use super::{Look, jobs};
use crate::decision::{Deletion, DeletionReason, Effect};
use crate::observation::{Finished, ObservedJob};
use crate::state::{Outcome, RunKind};

/// How long a finished trigger Job stays (R28).
const TRIGGER_KEPT: SignedDuration = SignedDuration::from_secs(60);

/// Deletes finished Jobs beyond the history limits, and trigger Jobs whose time is over.
pub(super) fn prune(look: &mut Look<'_>) {
    let obs = look.obs;
    let mut finished: Vec<(&ObservedJob, &Finished)> = look
        .jobs
        .iter()
        .copied()
        .filter(|job| job.deleting_since.is_none() && !look.state.claims.contains_key(&job.name))
        .filter_map(|job| Some((job, job.finished.as_ref()?)))
        .collect();
    finished.sort_by(|(a, a_end), (b, b_end)| (b_end.at, &b.name).cmp(&(a_end.at, &a.name)));
    let (mut succeeded, mut failed, mut teardowns) = (obs.spec.successful_history, obs.spec.failed_history, 1_usize);
    for (job, end) in finished {
        match job.kind {
            RunKind::Trigger => {
                let over = end.at.saturating_add(TRIGGER_KEPT).unwrap_or(Timestamp::MAX);
                if look.now < over { look.wake_at(over) } else { delete(look, job) }
            }
            RunKind::Scheduled | RunKind::OneShot => {
                let left = if end.outcome == Outcome::Succeeded { &mut succeeded } else { &mut failed };
                match left.checked_sub(1) {
                    Some(less) => *left = less,
                    None => delete(look, job),
                }
            }
            // The newest attempt stays for its log.
            RunKind::Teardown => match teardowns.checked_sub(1) {
                Some(less) => teardowns = less,
                None => delete(look, job),
            },
        }
    }
}

fn delete(look: &mut Look<'_>, job: &ObservedJob) {
    match jobs::prune_floor(look, &job.uid) {
        Err(floor) => look.wake_at(floor),
        Ok(()) => look.then.push(Effect::DeleteJob(Deletion {
            name: job.name.clone(),
            uid: job.uid.clone(),
            reason: DeletionReason::Pruned,
        })),
    }
}
