//! Changes of schedule, zone and suspension (R13, R14, R16): noticed against the recorded schedule in force.

use jiff::{SignedDuration, Timestamp};

use super::Look;
use crate::schedule::{Schedule, Zone};
use crate::state::{InForce, SkipReason, Skipped};

/// Notices that the schedule, its zone or `suspend` changed: from now on only ticks after this moment count. Claims for
/// ticks to come are void; those already due go on and are judged as any other.
pub(super) fn notice_changes(look: &mut Look<'_>) {
    let wanted = wanted(look);
    let Some(old) = look.state.in_force.clone() else {
        look.state.in_force = Some(wanted);
        look.state.inherited = look.obs.report.observed_generation > 0;
        return;
    };
    let same_schedule = old.expression == wanted.expression && old.zone == wanted.zone;
    if same_schedule && old.suspend == wanted.suspend {
        return;
    }
    account_for_the_past(look, &old);
    if old.expression.is_some() != wanted.expression.is_some() {
        // Without its schedule the Run is one-shot from here on, whatever it ran before (R26).
        look.state.one_shot = None;
    }
    // What passes during a suspension is counted at its end, so its beginning moves no floor.
    let since = if same_schedule && wanted.suspend { old.since } else { wanted.since };
    look.state.in_force = Some(InForce { since, ..wanted });
}

/// The schedule of the spec, in force since now. A Run that was never looked at and never edited has had it from the
/// start; one that was edited before the first look, or that another operator has run, may not have. Neither has one whose
/// status was lost: its own Jobs, or a trigger that was taken, tell that it was looked at.
fn wanted(look: &Look<'_>) -> InForce {
    let spec = &look.obs.spec;
    let obs = look.obs;
    let is_known = obs.state.trigger_count > 0 || look.jobs.iter().any(|job| !job.legacy);
    let is_new = obs.run.generation <= 1 && obs.report.observed_generation == 0 && !is_known;
    let untouched = obs.state.in_force.is_none() && (is_new || obs.state.mark.is_some());
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
    let floor = look.floor();
    let skipped = candidates.into_iter().flatten().find_map(|schedule| {
        // The latest tick may still run, if it was claimed: it was due before the change was seen.
        let latest = schedule.latest_between(floor, look.now).filter(|latest| is_claimed(look, *latest));
        passed(look, schedule, floor, latest.map_or(look.now, just_before), reason)
    });
    if let Some(skipped) = skipped {
        look.skip(skipped);
    }
}

/// All ticks in (floor, until] as one ledger entry. Claimed ones are not among them: they are judged one by one.
pub(super) fn passed(
    look: &Look<'_>,
    schedule: &Schedule,
    floor: Timestamp,
    until: Timestamp,
    reason: SkipReason,
) -> Option<Skipped> {
    if until <= floor {
        return None;
    }
    let in_range =
        |tick: &Timestamp| floor < *tick && *tick <= until && schedule.latest_between(floor, *tick) == Some(*tick);
    let claimed = look.state.claims.values().filter_map(|claim| claim.tick).filter(in_range).count() as u64;
    let count = schedule.count_between(floor, until).checked_sub(claimed).filter(|count| *count > 0)?;
    let mut to = schedule.latest_between(floor, until)?;
    while is_claimed(look, to) {
        to = schedule.latest_between(floor, just_before(to))?;
    }
    let mut from = schedule.next_in(floor, floor)?;
    while is_claimed(look, from) {
        from = schedule.next_in(floor, from)?;
    }
    Some(Skipped { reason, count, from, to })
}

pub(super) fn just_before(tick: Timestamp) -> Timestamp {
    tick.checked_sub(SignedDuration::from_secs(1)).unwrap_or(tick)
}

fn is_claimed(look: &Look<'_>, tick: Timestamp) -> bool {
    look.state.claims.values().any(|claim| claim.tick == Some(tick))
}

fn parse(expression: &str, zone: &str) -> Option<Schedule> {
    let zone = if zone.is_empty() { Zone::utc() } else { Zone::parse(zone).ok()? };
    Schedule::parse(expression, &zone).ok()
}
