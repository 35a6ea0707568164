//! A claim is permission, not debt: every claim is judged again before its create (R33).

use super::{Look, scheduled, trigger};
use crate::claim::Claim;
use crate::decision::{Deletion, DeletionReason, Effect, JobOrder};
use crate::names;
use crate::observation::RefusalCause;
use crate::policy::ConcurrencyPolicy;
use crate::state::{RunKind, SkipReason};

use jiff::{SignedDuration, Timestamp};

/// How long `Replace` waits for the runs it deleted (R18).
const REPLACE_PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// What becomes of a claim now.
enum Verdict {
    /// Its time has not come, or what it waits for will wake us.
    Wait(Option<Timestamp>),
    /// It will not create; for a tick, with the reason for the ledger.
    GiveUp(Option<SkipReason>),
    /// The policy stands in the way until the unfinished runs are gone.
    Replace,
    /// The annotation goes first (R27).
    TakeTrigger(i64),
    /// It may create.
    Start,
}

/// Judges the claims in the order they open.
pub(super) fn judge(look: &mut Look<'_>) {
    let mut claims: Vec<(String, Claim)> = look.state.claims.clone().into_iter().collect();
    claims.sort_by(|(a_job, a), (b_job, b)| (a.opens_at(), a_job).cmp(&(b.opens_at(), b_job)));
    for (job, claim) in claims {
        match verdict(look, &job, &claim) {
            Verdict::Wait(Some(at)) => look.wake_at(at),
            Verdict::Wait(None) => {}
            Verdict::GiveUp(reason) => give_up(look, &job, &claim, reason),
            Verdict::Replace => replace(look, &job, &claim),
            Verdict::TakeTrigger(number) => look.then.push(Effect::TakeTrigger(number)),
            Verdict::Start => start(look, &job, &claim),
        }
    }
}

/// The ConfigMap of the generation to run is not there yet (R8).
pub(super) fn needs_config(look: &Look<'_>) -> bool {
    let obs = look.obs;
    let waiting = obs.process.refused.get(names::CONFIG).is_some_and(|refusal| look.now < refusal.retry_at);
    !obs.run.deleting && obs.spec.problem.is_none() && !has_config(look) && !waiting
}

fn has_config(look: &Look<'_>) -> bool {
    look.obs.config_hash.as_ref() == Some(&look.obs.spec.config_hash)
}

fn verdict(look: &Look<'_>, job: &str, claim: &Claim) -> Verdict {
    if look.obs.run.deleting {
        return Verdict::GiveUp(None);
    }
    match claim.kind {
        RunKind::Scheduled => tick_verdict(look, job, claim),
        RunKind::OneShot if look.obs.spec.schedule.is_some() || !is_newest_one_shot(look, job) => Verdict::GiveUp(None),
        RunKind::Trigger if !trigger::is_taken(look, claim) && look.obs.run.trigger.is_none() => Verdict::GiveUp(None),
        RunKind::OneShot | RunKind::Trigger if look.obs.spec.problem.is_some() => Verdict::Wait(None),
        RunKind::OneShot | RunKind::Trigger => match policy_verdict(look, job, claim) {
            Verdict::Start if claim.kind == RunKind::Trigger && !trigger::is_taken(look, claim) => {
                claim.number.map_or(Verdict::GiveUp(None), Verdict::TakeTrigger)
            }
            Verdict::GiveUp(_) => Verdict::Wait(None),
            other => other,
        },
        RunKind::Teardown => Verdict::GiveUp(None),
    }
}

fn is_newest_one_shot(look: &Look<'_>, job: &str) -> bool {
    look.state.one_shot.as_ref().is_some_and(|shot| names::one_shot(&look.obs.run.name, shot.generation) == job)
}

fn tick_verdict(look: &Look<'_>, job: &str, claim: &Claim) -> Verdict {
    let Some(tick) = claim.tick else { return Verdict::GiveUp(None) };
    if tick > look.now {
        return Verdict::Wait(Some(tick));
    }
    let refused = look.obs.process.refused.get(job).map(|refusal| refusal.cause);
    if look.due.is_some_and(|due| due > tick) {
        return Verdict::GiveUp(Some(match refused {
            Some(RefusalCause::Rejected) => SkipReason::Rejected,
            Some(RefusalCause::NameBusy | RefusalCause::NameConflict) => SkipReason::NameConflict,
            None if look.obs.spec.policy == ConcurrencyPolicy::Replace && look.is_busy_for(job, claim.opens_at()) => {
                SkipReason::Superseded
            }
            None => SkipReason::Missed,
        }));
    }
    if look.obs.spec.suspend && look.obs.spec.schedule.is_some() {
        return Verdict::GiveUp(Some(SkipReason::Suspended));
    }
    if let Some(reason) = scheduled::reason_not_to_run(look, tick) {
        return Verdict::GiveUp(Some(reason));
    }
    if refused == Some(RefusalCause::NameConflict) {
        return Verdict::GiveUp(Some(SkipReason::NameConflict));
    }
    policy_verdict(look, job, claim)
}

/// `concurrencyPolicy`, judged at the moment the run is dealt with (R17, R18).
fn policy_verdict(look: &Look<'_>, job: &str, claim: &Claim) -> Verdict {
    match look.obs.spec.policy {
        ConcurrencyPolicy::Forbid if look.is_busy_for(job, claim.opens_at()) => {
            Verdict::GiveUp(Some(SkipReason::ConcurrencyForbidden))
        }
        ConcurrencyPolicy::Replace if look.is_busy_for(job, claim.opens_at()) => Verdict::Replace,
        _ => Verdict::Start,
    }
}

/// Gives a claim up once it is certain that it made no Job: at once if no create was sent, else after the last create
/// that could have been sent has timed out and a live GET found nothing (R33).
fn give_up(look: &mut Look<'_>, job: &str, claim: &Claim, reason: Option<SkipReason>) {
    let process = &look.obs.process;
    if claim.is_unsent(job, process, look.now) {
        look.drop_claim(job, reason);
    } else if look.now < claim.doubt_ends_at() {
        look.wake_at(claim.doubt_ends_at());
    } else if process.absent.contains(job) {
        look.drop_claim(job, reason);
    } else {
        look.then.push(Effect::LookUpJob(job.to_owned()));
    }
}

/// Asks the unfinished runs to go, and starts when they are gone or 60 s after the first asking (R18).
fn replace(look: &mut Look<'_>, job: &str, claim: &Claim) {
    let names: Vec<String> = look.unfinished().filter(|name| *name != job).map(str::to_owned).collect();
    let mut patience: Option<Timestamp> = None;
    for name in names {
        let Some(running) = look.obs.job(&name) else { continue };
        if let Some(since) = running.deleting_since {
            let until = since.saturating_add(REPLACE_PATIENCE).unwrap_or(Timestamp::MAX);
            patience = patience.max(Some(until));
        } else {
            patience = Some(Timestamp::MAX);
            let reason = DeletionReason::Replaced;
            look.then.push(Effect::DeleteJob(Deletion { name, uid: running.uid.clone(), reason }));
        }
    }
    match patience {
        Some(until) if look.now >= until => start(look, job, claim),
        Some(until) => look.wake_at(until),
        None => {}
    }
}

/// Creates under a recorded claim inside its window; renews the claim first where that is needed (R33).
fn start(look: &mut Look<'_>, job: &str, claim: &Claim) {
    let process = &look.obs.process;
    if let Some(refusal) = process.refused.get(job).filter(|refusal| look.now < refusal.retry_at) {
        look.wake_at(refusal.retry_at);
        return;
    }
    if !has_config(look) {
        if let Some(refusal) = process.refused.get(names::CONFIG) {
            look.wake_at(refusal.retry_at);
        }
        return;
    }
    let recorded = look.obs.state.claims.get(job) == Some(claim);
    if recorded && claim.allows_create(job, process, look.now) {
        look.creates.push(JobOrder {
            name: job.to_owned(),
            kind: claim.kind,
            tick: claim.tick,
            attempt: claim.attempt,
            closes_at: claim.closes_at(),
        });
    } else if recorded {
        let renewed = claim.renewed(job, process, look.stamp);
        look.claim(job.to_owned(), renewed);
    }
}
