//! A claim is permission, not debt: every claim is judged again before its create (R33).

use super::{Look, jobs, place, scheduled, skew, takeover, trigger};
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
    /// Not now: something else will wake us.
    Wait,
    /// Its time has not come.
    WaitUntil(Timestamp),
    /// It will not create; for a tick, with the reason for the ledger.
    GiveUp(Option<SkipReason>),
    /// It may create as far as the Run is concerned: the policy decides.
    Ask,
}

/// What `concurrencyPolicy` says about a run that may start otherwise (R17, R18).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    /// Nothing is in its way.
    Free,
    /// Another claim goes first: it may have a Job already, or makes one now.
    Behind,
    /// A run is unfinished, and may go on.
    Taken,
    /// Unfinished runs were asked to go.
    Clearing,
}

/// Judges the claims. Those that may have a Job already come first, then those that open first: of two that meet, the
/// later one sees what becomes of the earlier one. Where several may have a Job, nobody knows which has: under a policy
/// that allows one run only, each is cleared up before any is created again.
pub(super) fn judge(look: &mut Look<'_>) {
    let mut claims: Vec<(String, Claim)> = look.state.claims.clone().into_iter().collect();
    let order = |job: &str, claim: &Claim| (!may_have_job(look, job, claim), claim.opens_at());
    claims.sort_by(|(a_job, a), (b_job, b)| (order(a_job, a), a_job).cmp(&(order(b_job, b), b_job)));
    let mut behind = false;
    for (job, claim) in claims {
        let goes_on = match verdict(look, &job, &claim) {
            Verdict::Wait => false,
            Verdict::WaitUntil(at) => {
                look.wake_at(at);
                false
            }
            Verdict::GiveUp(reason) => !give_up(look, &job, &claim, reason),
            Verdict::Ask if is_one_of_several(look, &job, &claim) => {
                clear_up(look, &job, &claim);
                true
            }
            Verdict::Ask => proceed(look, &job, &claim, behind),
        };
        behind |= goes_on || (look.state.claims.contains_key(&job) && may_have_job(look, &job, &claim));
    }
}

/// A create may have been sent under this claim. That of a trigger is sent once its annotation is removed.
fn may_have_job(look: &Look<'_>, job: &str, claim: &Claim) -> bool {
    let untaken = claim.kind == RunKind::Trigger && !claim.taken;
    let process = &look.obs.process;
    let sent = claim.opens_at() <= look.now || process.in_doubt.contains_key(job);
    !untaken && sent && !claim.is_unsent(job, process)
}

/// This claim may have a Job, and so may another, where only one run is allowed.
fn is_one_of_several(look: &Look<'_>, job: &str, claim: &Claim) -> bool {
    let mut others = look.state.claims.iter().filter(|(other, _)| *other != job);
    look.obs.spec.policy != ConcurrencyPolicy::Allow
        && claim.kind != RunKind::Teardown
        && may_have_job(look, job, claim)
        && others.any(|(other, claim)| may_have_job(look, other, claim))
}

/// Finds out whether this claim has made a Job, and claims afresh if it has not.
fn clear_up(look: &mut Look<'_>, job: &str, claim: &Claim) {
    let process = &look.obs.process;
    if look.now < claim.doubt_ends_at() {
        look.wake_at(claim.doubt_ends_at());
    } else if process.absent.contains(job) {
        let fresh = claim.resolved(process, look.stamp);
        look.claim(job.to_owned(), fresh);
    } else {
        look.then.push(Effect::LookUpJob(job.to_owned()));
    }
}

/// Starts the run, or does what its kind does where the policy leaves no room. Whether a Job may come of it now.
fn proceed(look: &mut Look<'_>, job: &str, claim: &Claim, behind: bool) -> bool {
    if claim.kind == RunKind::Teardown {
        return start(look, job, claim);
    }
    match (room(look, job, behind), claim.kind) {
        (Room::Free, _) if place::is_awaited(look, job, claim) => {
            scheduled::wake_when_too_late(look, claim);
            true
        }
        (Room::Free, RunKind::Trigger) if !claim.taken => {
            trigger::take(look, job, claim);
            true
        }
        (Room::Free, _) => start(look, job, claim),
        (Room::Taken, RunKind::Scheduled) => !give_up(look, job, claim, Some(SkipReason::ConcurrencyForbidden)),
        (room @ (Room::Taken | Room::Behind), RunKind::Trigger) => {
            look.trigger_queued |= room == Room::Taken || !claim.taken;
            false
        }
        (Room::Taken | Room::Behind, _) => {
            scheduled::wake_when_too_late(look, claim);
            false
        }
        (Room::Clearing, _) => true,
    }
}

/// The ConfigMap of the generation to run is not there yet (R8), and it is time to make it.
pub(super) fn needs_config(look: &mut Look<'_>) -> bool {
    let obs = look.obs;
    if obs.run.is_deleting() || obs.spec.problem.is_some() || has_config(look) {
        return false;
    }
    if let Some(refusal) = obs.process.refusal_in_force(names::CONFIG, look.now) {
        look.wake_at(refusal.retry_at);
        return false;
    }
    true
}

/// The ConfigMap is that of the generation to run.
pub(super) fn has_config(look: &Look<'_>) -> bool {
    look.obs.config_hash.as_ref() == Some(&look.obs.spec.config_hash)
}

/// The API server did not take it.
pub(super) fn has_failed_config(look: &Look<'_>) -> bool {
    look.obs.process.refused.contains_key(names::CONFIG)
}

fn verdict(look: &Look<'_>, job: &str, claim: &Claim) -> Verdict {
    if look.obs.run.is_deleting() {
        return match claim.kind {
            RunKind::Teardown if !look.obs.spec.teardown => Verdict::GiveUp(None),
            RunKind::Teardown if look.obs.spec.teardown_problem.is_some() => Verdict::Wait,
            RunKind::Teardown => Verdict::Ask,
            _ => Verdict::GiveUp(None),
        };
    }
    let is_wanted = look.obs.run.trigger.as_deref() == Some(trigger::VALUE);
    match claim.kind {
        RunKind::Scheduled => tick_verdict(look, job, claim),
        RunKind::OneShot if look.obs.spec.schedule.is_some() || !is_newest_one_shot(look, job) => Verdict::GiveUp(None),
        RunKind::Trigger if !claim.taken && !is_wanted => Verdict::GiveUp(None),
        RunKind::OneShot | RunKind::Trigger if look.obs.spec.problem.is_some() => Verdict::Wait,
        RunKind::OneShot | RunKind::Trigger => Verdict::Ask,
        RunKind::Teardown => Verdict::GiveUp(None),
    }
}

fn is_newest_one_shot(look: &Look<'_>, job: &str) -> bool {
    look.state.one_shot.as_ref().is_some_and(|shot| names::one_shot(&look.obs.run.name, shot.generation) == job)
}

fn tick_verdict(look: &Look<'_>, job: &str, claim: &Claim) -> Verdict {
    let Some(tick) = claim.tick else { return Verdict::GiveUp(None) };
    if look.state.mark.max(look.due) > Some(tick) {
        return Verdict::GiveUp(Some(reason_overtaken(look, job)));
    }
    if scheduled::is_void(look, tick) || takeover::is_held(look) {
        return Verdict::GiveUp(None);
    }
    if tick > look.now {
        return Verdict::WaitUntil(tick);
    }
    if look.obs.spec.suspend && look.obs.spec.schedule.is_some() {
        return Verdict::GiveUp(Some(SkipReason::Suspended));
    }
    if let Some(reason) = scheduled::reason_not_to_run(look, tick) {
        return Verdict::GiveUp(Some(refusal_reason(look, job).unwrap_or(reason)));
    }
    if look.obs.process.refused.get(job).is_some_and(|refusal| refusal.cause == RefusalCause::NameConflict) {
        return Verdict::GiveUp(Some(SkipReason::NameConflict));
    }
    Verdict::Ask
}

/// Why a claimed tick did not run before a later one came due (R16).
fn reason_overtaken(look: &Look<'_>, job: &str) -> SkipReason {
    let replaced = look.obs.spec.policy == ConcurrencyPolicy::Replace && look.is_busy_beside(job);
    match refusal_reason(look, job) {
        Some(reason) => reason,
        // It, or what goes before it.
        None if place::is_delayed(look) => SkipReason::CapReached,
        None if replaced => SkipReason::Superseded,
        None => SkipReason::Missed,
    }
}

/// The API server has refused its Job, or its ConfigMap (R39).
fn refusal_reason(look: &Look<'_>, job: &str) -> Option<SkipReason> {
    let refused = &look.obs.process.refused;
    match refused.get(job).or_else(|| refused.get(names::CONFIG))?.cause {
        RefusalCause::Rejected | RefusalCause::NamespaceTerminating => Some(SkipReason::Rejected),
        RefusalCause::NameBusy | RefusalCause::NameConflict => Some(SkipReason::NameConflict),
        RefusalCause::Unanswered => None,
    }
}

/// `concurrencyPolicy`, judged at the moment the run is dealt with (R17, R18).
fn room(look: &mut Look<'_>, job: &str, behind: bool) -> Room {
    let busy = look.is_busy_beside(job);
    match look.obs.spec.policy {
        ConcurrencyPolicy::Forbid if busy => Room::Taken,
        ConcurrencyPolicy::Forbid | ConcurrencyPolicy::Replace if behind => Room::Behind,
        ConcurrencyPolicy::Replace if busy => clear(look, job),
        _ => Room::Free,
    }
}

/// Gives a claim up once it is certain that it made no Job: at once if no create was sent, else after the last create
/// that could have been sent has timed out and a live GET found nothing (R33). Whether it is gone.
fn give_up(look: &mut Look<'_>, job: &str, claim: &Claim, reason: Option<SkipReason>) -> bool {
    let process = &look.obs.process;
    if claim.is_unsent(job, process) || (look.now >= claim.doubt_ends_at() && process.absent.contains(job)) {
        look.drop_claim(job, reason);
        return true;
    }
    if skew::is_ahead(look.now, claim.claimed_at) {
        // By that clock its window may never close. Taken over, it closes by ours (R12).
        let renewed = claim.renewed(job, process, look.stamp);
        look.claim(job.to_owned(), renewed);
        return false;
    }
    if look.now < claim.doubt_ends_at() {
        look.wake_at(claim.doubt_ends_at());
    } else {
        look.then.push(Effect::LookUpJob(job.to_owned()));
    }
    false
}

/// Asks the unfinished runs to go, and waits for them, but no longer than 60 s after the last was asked (R18).
fn clear(look: &mut Look<'_>, job: &str) -> Room {
    let mut until = Timestamp::MIN;
    let mut deletions = Vec::new();
    let mut floors = Vec::new();
    for name in look.unfinished().into_iter().filter(|name| *name != job) {
        // One the cache does not show is being looked up.
        let Some(running) = look.obs.job(name) else { return Room::Clearing };
        match (running.deleting_since, jobs::may_be_stopped(look, &running.uid)) {
            (Some(since), _) => until = until.max(since.saturating_add(REPLACE_PATIENCE).unwrap_or(Timestamp::MAX)),
            // A second create of its name may be on its way, and would start it again.
            (None, Err(floor)) => floors.push(floor),
            (None, Ok(())) => deletions.push(Effect::DeleteJob(Deletion {
                name: name.to_owned(),
                uid: running.uid.clone(),
                reason: DeletionReason::Replaced,
            })),
        }
    }
    if !deletions.is_empty() || !floors.is_empty() {
        look.starts.append(&mut deletions);
        for floor in floors {
            look.wake_at(floor);
        }
        return Room::Clearing;
    }
    look.wake_at(until);
    if look.now < until { Room::Clearing } else { Room::Free }
}

/// Creates under a recorded claim inside its window; renews the claim first where that is needed (R33). Whether a Job
/// may come of it before the next look.
fn start(look: &mut Look<'_>, job: &str, claim: &Claim) -> bool {
    let process = &look.obs.process;
    if let Some(refusal) = process.refusal_in_force(job, look.now) {
        look.wake_at(refusal.retry_at);
        return false;
    }
    if claim.kind != RunKind::Teardown && !has_config(look) {
        return true;
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
    true
}
