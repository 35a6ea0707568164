//! Caps across Runs: a start that may go ahead otherwise asks for a place first (`caps`).

use jiff::SignedDuration;

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
        // Before another create: has that one made the Job? Only the place of one that has not is free again.
        Some(Place::InDoubt) if !process.absent.contains(job) => {
            look.then.push(Effect::LookUpJob(job.to_owned()));
            true
        }
        Some(Place::Waiting { cap, since }) => {
            // What passes at once is not worth a write.
            let telling = since.saturating_add(TELLING).unwrap_or(*since);
            if look.now < telling {
                look.wake_at(telling);
            } else {
                look.start_delayed = Some(format!("Job {job} waits since {since:.0}: {}", explain(*cap)));
            }
            true
        }
        place @ (Some(Place::InDoubt) | None) => {
            let due = match claim.kind {
                // To the back: however many are refused, or not answered, again and again, they are not to keep the others
                // from starting.
                _ if place.is_some() || process.refused.contains_key(job) => look.now,
                RunKind::Scheduled => claim.tick.unwrap_or(claim.claimed_at),
                _ => claim.claimed_at,
            };
            look.starts.push(Effect::AskForPlace { job: job.to_owned(), due });
            true
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
