//! Caps across Runs: a start that may go ahead otherwise asks for a place first (`caps`).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Look, start};
use crate::caps::{Cap, Place};
use crate::claim::Claim;
use crate::decision::Effect;
use crate::state::RunKind;

/// Reason of `Reconciling` while a start waits for a place.
pub(super) const REASON: &str = "StartDelayed";

/// What waits shorter than this is not told.
const TELLING: SignedDuration = SignedDuration::from_secs(5);

/// The start waits for a place, or asks for one now. It keeps its claim as it is: that is renewed once there is a place
/// (R33), and nothing is written while it waits (R7).
pub(super) fn is_awaited(look: &mut Look<'_>, job: &str, claim: &Claim) -> bool {
    let process = &look.obs.process;
    let Some(places) = process.places.as_ref() else { return false };
    // It would not start with a place either.
    if process.refusal_in_force(job, look.now).is_some() {
        return false;
    }
    // The ConfigMap comes first (R8), and may be refused for long.
    if !start::has_config(look) {
        return true;
    }
    match places.get(job) {
        Some(Place::Free) => false,
        Some(Place::InDoubt) => true,
        Some(Place::Waiting { cap, since, .. }) => {
            // What passes at once is not worth a write.
            let telling = since.saturating_add(TELLING).unwrap_or(*since);
            if look.now < telling {
                look.wake_at(telling);
            } else {
                look.start_delayed = Some(format!("Job {job} waits since {since:.0}: {}", explain(*cap)));
            }
            true
        }
        None => {
            let again = process.refused.contains_key(job) || process.in_doubt.contains_key(job);
            let due = match claim.kind {
                _ if again => look.now,
                RunKind::Scheduled => inherited(look, places).into_iter().chain(claim.tick).min().unwrap_or(look.now),
                _ => claim.claimed_at.min(look.now),
            };
            look.starts.push(Effect::AskForPlace { job: job.to_owned(), due, again });
            true
        }
    }
}

/// Since when a tick has waited that this Run owes no more: the newer one takes over its wait.
fn inherited(look: &Look<'_>, places: &BTreeMap<String, Place>) -> Option<Timestamp> {
    let overtaken = places.iter().filter(|(job, _)| !look.state.claims.contains_key(*job));
    let waited = overtaken.filter_map(|(_, place)| match place {
        Place::Waiting { due, .. } => Some(*due),
        Place::Free | Place::InDoubt => None,
    });
    waited.min()
}

/// A place whose create was not answered is given back as soon as a live GET has shown that it made no Job, whatever else
/// its Run waits for.
pub(super) fn resolve(look: &mut Look<'_>) {
    let process = &look.obs.process;
    let in_doubt = process.places.iter().flatten().filter(|(_, place)| **place == Place::InDoubt);
    for (job, _) in in_doubt.filter(|(job, _)| look.state.claims.contains_key(*job)) {
        let look_up = Effect::LookUpJob(job.clone());
        if process.absent.contains(job) {
            look.starts.push(Effect::ReturnPlace(job.clone()));
        } else if !look.then.contains(&look_up) {
            look.then.push(look_up);
        }
    }
}

/// A start of this Run waits for a place, or has just been given one.
pub(super) fn is_delayed(look: &Look<'_>) -> bool {
    let mut places = look.obs.process.places.iter().flat_map(|places| places.values());
    places.any(|place| *place != Place::InDoubt)
}

const fn explain(cap: Cap) -> &'static str {
    match cap {
        Cap::ConcurrentRuns => "as many runs are unfinished as --max-concurrent-runs allows",
        Cap::StartsPerSecond => "more starts are due than --max-starts-per-second allows",
    }
}
