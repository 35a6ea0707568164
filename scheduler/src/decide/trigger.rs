//! Manual triggers by annotation (R27).

use super::Look;
use crate::claim::Claim;
use crate::names;
use crate::policy::ConcurrencyPolicy;
use crate::state::RunKind;

/// Claims a run for the annotation, unless one is claimed whose annotation still stands: triggers set before the removal
/// merge. While the policy forbids it, the annotation stays where it is and waits.
pub(super) fn plan(look: &mut Look<'_>) {
    let obs = look.obs;
    if obs.run.trigger.as_deref() != Some("true") || obs.spec.problem.is_some() {
        return;
    }
    if look.state.claims.values().any(|claim| claim.kind == RunKind::Trigger && !is_taken(look, claim)) {
        return;
    }
    if obs.spec.policy == ConcurrencyPolicy::Forbid && look.is_busy() {
        look.trigger_queued = true;
        return;
    }
    let number = look.state.trigger_count.saturating_add(1);
    look.state.trigger_count = number;
    let claim = Claim { number: Some(number), ..Claim::new(RunKind::Trigger, &obs.process.holder, look.stamp) };
    look.claim(names::trigger(&obs.run.name, number), claim);
}

/// The annotation of this claim was removed: one that stands now is a later trigger.
pub(super) fn is_taken(look: &Look<'_>, claim: &Claim) -> bool {
    claim.number.is_some() && claim.number <= look.obs.run.trigger_taken
}
