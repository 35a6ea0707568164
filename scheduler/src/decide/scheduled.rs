//! Ticks: which one is due, which one is next (R12–R17).

use jiff::{SignedDuration, Timestamp};

use super::{Look, in_force, takeover};
use crate::claim::Claim;
use crate::names;
use crate::schedule::Schedule;
use crate::state::{RunKind, SkipReason, Skipped};

/// Claims the tick that is due, if nobody has, and the next one once it is near.
pub(super) fn plan(look: &mut Look<'_>) {
    let obs = look.obs;
    let Some(Ok(schedule)) = obs.spec.schedule.as_ref().map(|spec| spec.parsed.as_ref()) else { return };
    if obs.spec.suspend || takeover::is_held(look) {
        return;
    }
    let floor = look.floor();
    look.next = schedule.next_in(floor, floor.max(look.now));
    look.due = (floor < look.now).then(|| schedule.latest_between(floor, look.now)).flatten();
    if let Some(tick) = look.due {
        catch_up(look, schedule, floor, tick);
    }
    if let Some(next) = look.next {
        claim_ahead(look, next);
    }
}

/// Of all ticks that are due only the newest may still run; the older ones are one ledger entry (R15). Whether it runs is
/// judged with all other claims.
fn catch_up(look: &mut Look<'_>, schedule: &Schedule, floor: Timestamp, tick: Timestamp) {
    let older = in_force::passed(look, schedule, floor, in_force::just_before(tick), SkipReason::Missed);
    if let Some(missed) = older {
        look.skip(missed);
    }
    let job = names::scheduled(&look.obs.run.name, tick);
    if look.state.claims.contains_key(&job) {
        return;
    }
    match reason_not_to_run(look, tick) {
        Some(reason) => look.skip(Skipped { reason, count: 1, from: tick, to: tick }),
        None => claim(look, job, tick),
    }
}

/// The claim is for a tick that came after the newest change of the schedule, and which the schedule no longer has.
pub(super) fn is_void(look: &Look<'_>, tick: Timestamp) -> bool {
    let since = look.state.in_force.as_ref().map(|in_force| in_force.since);
    if since.is_some_and(|since| tick <= since) {
        return false;
    }
    let spec = &look.obs.spec;
    match spec.schedule.as_ref().map(|schedule| schedule.parsed.as_ref()) {
        _ if spec.suspend && tick > look.now => true,
        Some(Ok(schedule)) => schedule.latest_between(look.floor(), tick) != Some(tick),
        _ => true,
    }
}

/// Why this tick may not run now, whatever else is running.
pub(super) fn reason_not_to_run(look: &Look<'_>, tick: Timestamp) -> Option<SkipReason> {
    let spec = &look.obs.spec;
    if spec.starting_deadline.is_some_and(|deadline| look.now.duration_since(tick) > deadline) {
        return Some(SkipReason::TooLate);
    }
    let problem = spec.problem.as_ref()?;
    Some(if problem.reason == "NoMarmot" { SkipReason::NoMarmot } else { SkipReason::Invalid })
}

/// A tick that waits is told as too late when it is, not when it would have started.
pub(super) fn wake_when_too_late(look: &mut Look<'_>, claim: &Claim) {
    if let (Some(tick), Some(deadline)) = (claim.tick, look.obs.spec.starting_deadline) {
        let late = deadline.saturating_add(SignedDuration::from_secs(1));
        look.wake_at(tick.saturating_add(late).unwrap_or(Timestamp::MAX));
    }
}

/// The claim is made ahead of the tick, so that at the tick one create is all that is left (R32).
fn claim_ahead(look: &mut Look<'_>, next: Timestamp) {
    let job = names::scheduled(&look.obs.run.name, next);
    let from = next.checked_sub(look.obs.lead).unwrap_or(Timestamp::MIN);
    if look.state.claims.contains_key(&job) {
        look.wake_at(next);
    } else if from <= look.now {
        claim(look, job, next);
        look.wake_at(next);
    } else {
        look.wake_at(from);
    }
}

fn claim(look: &mut Look<'_>, job: String, tick: Timestamp) {
    let claim = Claim { tick: Some(tick), ..Claim::new(RunKind::Scheduled, &look.obs.process.holder, look.stamp) };
    look.claim(job, claim);
}
