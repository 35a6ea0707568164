//! Runs without a schedule: one run per spec that shapes the pipeline (R26).

use super::Look;
use crate::claim::Claim;
use crate::names;
use crate::policy::ConcurrencyPolicy;
use crate::state::{OneShot, RunKind};

/// Claims a run for the newest spec, if none was started for it. The spec's hash is recorded in the same write as the
/// claim, so a Job deleted by hand does not run again.
pub(super) fn plan(look: &mut Look<'_>) {
    let obs = look.obs;
    if obs.spec.schedule.is_some() {
        return;
    }
    if look.state.one_shot.as_ref().is_some_and(|done| done.hash == obs.spec.pipeline_hash) {
        return;
    }
    if obs.spec.problem.is_some() || (obs.spec.policy == ConcurrencyPolicy::Forbid && look.is_busy_beside("")) {
        return;
    }
    let generation = obs.run.generation;
    look.state.one_shot = Some(OneShot { hash: obs.spec.pipeline_hash.clone(), generation });
    let claim = Claim::new(RunKind::OneShot, &obs.process.holder, look.stamp);
    look.claim(names::one_shot(&obs.run.name, generation), claim);
}
