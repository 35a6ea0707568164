//! Manual triggers by annotation (R27).

use super::Look;
use crate::claim::Claim;
use crate::decision::Effect;
use crate::names;
use crate::policy::ConcurrencyPolicy;
use crate::state::RunKind;

/// The value of the annotation that asks for a run; any other is left alone.
pub(super) const VALUE: &str = "true";

/// Claims a run for the annotation. One trigger at a time: set again before its removal it merges into the claimed run;
/// set again after that it stays until that run has its Job, which takes long only where the API server refuses it.
/// While the policy forbids it, it stays and waits too.
pub(super) fn plan(look: &mut Look<'_>) {
    let obs = look.obs;
    if obs.run.trigger.as_deref() != Some(VALUE) || obs.spec.problem.is_some() {
        return;
    }
    if let Some((job, claim)) = look.state.claims.iter().find(|(_, claim)| claim.kind == RunKind::Trigger) {
        look.trigger_queued = claim.taken && obs.process.refused.contains_key(job);
        return;
    }
    if obs.spec.policy == ConcurrencyPolicy::Forbid && look.is_busy_beside("") {
        look.trigger_queued = true;
        return;
    }
    let number = look.state.trigger_count.saturating_add(1);
    look.state.trigger_count = number;
    let claim = Claim { number: Some(number), ..Claim::new(RunKind::Trigger, &obs.process.holder, look.stamp) };
    look.claim(names::trigger(&obs.run.name, number), claim);
}

/// Takes the annotation off, for a run that may start now. The write that does so carries the claim: one that stands
/// nowhere yet is not recorded before (R32).
pub(super) fn take(look: &mut Look<'_>, job: &str, claim: &Claim) {
    if !look.obs.state.claims.contains_key(job) {
        look.state.claims.remove(job);
        look.state.trigger_count = look.obs.state.trigger_count;
    }
    look.starts.push(Effect::TakeTrigger(claim.clone()));
}
