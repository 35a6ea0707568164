//! Changes of schedule, zone and suspension (R13, R14, R16): noticed against the recorded schedule in force.

use jiff::{SignedDuration, Timestamp};

use super::Look;
use crate::schedule::{Schedule, Zone};
use crate::state::{InForce, RunKind, SkipReason, Skipped};

/// Notices that the schedule, its zone or `suspend` changed: from now on only ticks after this moment count. Claims for
/// ticks to come are void; those already due go on and are judged as any other.
pub(super) fn notice_changes(look: &mut Look<'_>) {
    let wanted = wanted(look);
    let Some(old) = look.state.in_force.clone() else {
        look.state.in_force = Some(wanted);
        return;
    };
    let same = old.expression == wanted.expression && old.zone == wanted.zone && old.suspend == wanted.suspend;
    if same {
        return;
    }
    account_for_the_past(look, &old);
    let now = look.now;
    look.state.claims.retain(|_, claim| claim.kind != RunKind::Scheduled || claim.tick.is_none_or(|tick| tick <= now));
    look.state.in_force = Some(wanted);
}

/// The schedule of the spec, in force since now. A Run that was never looked at and never edited has had it from the
/// start; one that was edited before the first look may not have.
fn wanted(look: &Look<'_>) -> InForce {
    let spec = &look.obs.spec;
    let untouched =
        look.obs.state.in_force.is_none() && (look.obs.run.generation <= 1 || look.obs.state.mark.is_some());
    InForce {
        expression: spec.schedule.as_ref().map(|schedule| schedule.expression.clone()),
        zone: spec.schedule.as_ref().map(|schedule| schedule.zone.clone()).unwrap_or_default(),
        suspend: spec.suspend,
        since: if untouched { look.obs.run.created_at } else { look.stamp },
    }
}

/// The ticks of the old schedule that nobody dealt with: counted once, as suspended or as missed. A change found at the
/// first look may have happened at any time since the mark, so then the new schedule is asked too (R13).
fn account_for_the_past(look: &mut Look<'_>, old: &InForce) {
    let reason = if old.suspend { SkipReason::Suspended } else { SkipReason::Missed };
    let old_schedule = old.expression.as_deref().and_then(|expression| parse(expression, &old.zone));
    let new_schedule = look.obs.spec.schedule.as_ref().and_then(|spec| spec.parsed.as_ref().ok());
    let candidates = [old_schedule.as_ref(), new_schedule.filter(|_| look.obs.process.first_look)];
    let (floor, until) = (look.floor(), before_due_claims(look));
    let skipped = candidates.into_iter().flatten().find_map(|schedule| passed(schedule, floor, until, reason));
    if let Some(skipped) = skipped {
        look.skip(skipped);
    }
}

/// Ticks of due claims are not missed: they end the range.
fn before_due_claims(look: &Look<'_>) -> Timestamp {
    let due = look.state.claims.values().filter_map(|claim| claim.tick).filter(|tick| *tick <= look.now).min();
    due.and_then(|tick| tick.checked_sub(SignedDuration::from_secs(1)).ok()).unwrap_or(look.now)
}

/// All ticks in (floor, until] as one ledger entry.
pub(super) fn passed(schedule: &Schedule, floor: Timestamp, until: Timestamp, reason: SkipReason) -> Option<Skipped> {
    if until <= floor {
        return None;
    }
    let to = schedule.latest_between(floor, until)?;
    let from = schedule.next_in(floor, floor)?;
    Some(Skipped { reason, count: schedule.count_between(floor, until), from, to })
}

fn parse(expression: &str, zone: &str) -> Option<Schedule> {
    let zone = if zone.is_empty() { Zone::utc() } else { Zone::parse(zone).ok()? };
    Schedule::parse(expression, &zone).ok()
}
