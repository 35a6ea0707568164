//! What the Jobs tell: claims are settled when their Job is there, runs end when it has ended (R32, R33).

use std::borrow::Cow;

use jiff::Timestamp;

use super::{Look, skew, teardown};
use crate::claim::PRUNE_FLOOR;
use crate::decision::{Deletion, DeletionReason, Effect, News};
use crate::observation::ObservedJob;
use crate::state::{ActiveJob, Outcome, RunKind, RunResult};

/// A stray is left alone for this long: its claim may be younger than our view of the Run.
const STRAY_AGE: jiff::SignedDuration = jiff::SignedDuration::from_secs(20);

/// Settles every claim whose Job exists: the mark moves over its tick, the Job becomes active (R32).
pub(super) fn settle(look: &mut Look<'_>) {
    for job in look.jobs.clone() {
        let Some(claim) = look.state.claims.remove(&job.name) else { continue };
        look.state.mark = look.state.mark.max(claim.tick);
        if claim.kind != RunKind::Teardown {
            look.state.last_run = look.state.last_run.max(Some(job.created_at));
        }
        look.state.active_jobs.retain(|active| active.name != job.name);
        look.state.active_jobs.push(ActiveJob {
            name: job.name.clone(),
            uid: job.uid.clone(),
            kind: claim.kind,
            attempt: claim.attempt,
            settled_at: look.stamp,
            finished: false,
        });
        look.news.push(News::Started {
            job: job.name.clone(),
            kind: claim.kind,
            tick: claim.tick,
            created_at: job.created_at,
        });
    }
}

/// Records the outcome of every settled run that has ended. A Job the cache does not show has ended too, but only once
/// the API server itself says that it is gone (R33).
pub(super) fn finish(look: &mut Look<'_>) {
    let mut ended = Vec::new();
    for active in &look.state.active_jobs {
        if active.finished {
            continue;
        }
        match look.jobs.iter().find(|job| job.uid == active.uid) {
            Some(job) => ended.extend(result_of(job, active.kind)),
            None if look.obs.process.absent.contains(&active.name) || is_replaced(look, active) => {
                ended.push(RunResult {
                    job: active.name.clone(),
                    kind: active.kind,
                    started_at: None,
                    finished_at: look.stamp,
                    outcome: Outcome::Killed,
                    reason: Some("JobDeleted".to_owned()),
                    message: Some("the Job was deleted before it had finished".to_owned()),
                });
            }
            None => look.then.push(Effect::LookUpJob(active.name.clone())),
        }
    }
    ended.sort_by(|a, b| (a.finished_at, &a.job).cmp(&(b.finished_at, &b.job)));
    for result in ended {
        record(look, result);
    }
    delete_strays(look);
}

/// There is a younger Job of its name, so this one is gone.
fn is_replaced(look: &Look<'_>, active: &ActiveJob) -> bool {
    look.jobs.iter().any(|job| job.name == active.name && job.uid != active.uid && job.created_at > active.settled_at)
}

pub(super) fn result_of(job: &ObservedJob, kind: RunKind) -> Option<RunResult> {
    let finished = job.finished.as_ref()?;
    Some(RunResult {
        job: job.name.clone(),
        kind,
        started_at: Some(job.created_at),
        finished_at: finished.at,
        outcome: finished.outcome,
        reason: finished.reason.clone().map(Cow::into_owned),
        message: finished.message.clone().map(Cow::into_owned),
    })
}

fn record(look: &mut Look<'_>, result: RunResult) {
    for active in look.state.active_jobs.iter_mut().filter(|active| active.name == result.job) {
        active.finished = true;
    }
    if result.kind == RunKind::Teardown {
        teardown::record(look, &result);
        look.news.push(News::Finished(result));
        return;
    }
    let now = look.now;
    // An end that is seen late says nothing about how things are now.
    let is_older = |last: &RunResult| last.finished_at <= result.finished_at || skew::is_ahead(now, last.finished_at);
    let newest = look.state.last_result.as_ref().is_none_or(is_older);
    let state = &mut look.state;
    if result.outcome == Outcome::Succeeded {
        state.last_success = state.last_success.max(Some(result.finished_at));
    } else {
        state.last_failure = state.last_failure.max(Some(result.finished_at));
    }
    if newest {
        let failures = state.consecutive_failures.saturating_add(1);
        state.consecutive_failures = if result.outcome == Outcome::Succeeded { 0 } else { failures };
        state.last_result = Some(result.clone());
    }
    look.news.push(News::Finished(result));
}

/// An unfinished Job of this Run that is neither claimed nor settled was made by a create that came too late (R34).
fn delete_strays(look: &mut Look<'_>) {
    for job in look.jobs.clone() {
        let known = look.state.active_jobs.iter().any(|active| active.uid == job.uid);
        if known || job.finished.is_some() || job.deleting_since.is_some() {
            continue;
        }
        let ripe = job.created_at.saturating_add(STRAY_AGE).unwrap_or(Timestamp::MAX);
        if look.now < ripe {
            look.wake_at(ripe);
            continue;
        }
        look.then.push(Effect::ConfirmRun);
        look.then.push(Effect::DeleteJob(Deletion {
            name: job.name.clone(),
            uid: job.uid.clone(),
            reason: DeletionReason::Stray,
        }));
    }
}

/// The claim of this Job was settled long enough ago that no create of its name is on its way any more (R33): from then
/// on it may be deleted. `Err` holds the instant this becomes true.
pub(super) fn prune_floor(look: &Look<'_>, uid: &str) -> Result<(), Timestamp> {
    let Some(active) = look.state.active_jobs.iter().find(|active| active.uid == uid) else { return Ok(()) };
    let floor = active.settled_at.saturating_add(PRUNE_FLOOR).unwrap_or(Timestamp::MAX);
    if look.now < floor { Err(floor) } else { Ok(()) }
}

/// No other create of this name can be on its way: then the Job may be stopped before the prune floor too. `Err` holds
/// the instant this becomes true.
pub(super) fn may_be_stopped(look: &Look<'_>, uid: &str) -> Result<(), Timestamp> {
    let is_only = |attempt| attempt <= 1;
    match look.state.active_jobs.iter().find(|active| active.uid == uid) {
        Some(active) if !is_only(active.attempt) => prune_floor(look, uid),
        _ => Ok(()),
    }
}

/// Forgets finished runs whose prune floor has passed, but only along with another change: an entry is no reason to
/// write (R7).
pub(super) fn forget(look: &mut Look<'_>) {
    if look.state == look.obs.state {
        return;
    }
    let now = look.now;
    look.state.active_jobs.retain(|active| {
        let floor = active.settled_at.saturating_add(PRUNE_FLOOR).unwrap_or(Timestamp::MAX);
        !active.finished || now < floor
    });
}
