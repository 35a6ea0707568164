//! Taking a Run over from the operator that made a CronJob of it (R31): no tick twice, none lost, no pod killed.

use jiff::{SignedDuration, Timestamp};

use super::{Look, jobs};
use crate::decision::{Effect, News};
use crate::observation::ObservedCronJob;
use crate::state::{ActiveJob, OneShot, Outcome, RunKind, TakeOver};

/// A suspended CronJob may still make the Job it had decided on before it saw the suspension.
const QUIET: SignedDuration = SignedDuration::from_secs(10);
/// What somebody has to do who keeps it alive.
pub(super) const CONTESTED: &str = "another operator keeps the CronJob of this Run alive: stop it";
/// Pause before another attempt while somebody puts the CronJob back.
const TRUCE: SignedDuration = SignedDuration::from_secs(60);

/// Brings the take-over a step further. While there is a CronJob the ticks are its own, see [`is_held`].
pub(super) fn plan(look: &mut Look<'_>) {
    count_as_done(look);
    let Some(cron_job) = look.obs.cron_jobs.first() else { return put_away(look) };
    let mut step = look.state.take_over.clone().unwrap_or_else(|| begin(look, cron_job));
    let is_other = step.cron_job != cron_job.uid;
    if step.done && !is_other {
        look.then.extend((!cron_job.deleting).then(|| Effect::DeleteCronJob(cron_job.uid.clone())));
    } else if is_other || (step.suspended && !cron_job.suspended) {
        // Only a living operator makes it again or lets it run again.
        step = TakeOver { contested: true, ..begin(look, cron_job) };
        look.wake_at(later(look.now, TRUCE));
    } else if !cron_job.suspended {
        let truce = if step.contested { later(step.since, TRUCE) } else { step.since };
        if look.now < truce {
            look.wake_at(truce);
        } else {
            look.then.push(Effect::SuspendCronJob(cron_job.uid.clone()));
        }
    } else {
        if !step.suspended {
            step = TakeOver { suspended: true, since: look.stamp, ..step };
        }
        settle(look, cron_job, &mut step);
    }
    look.state.take_over = Some(step);
}

/// A CronJob runs the ticks, or has just been asked to go.
pub(super) fn is_held(look: &Look<'_>) -> bool {
    !look.obs.cron_jobs.is_empty()
}

/// Somebody else keeps the CronJob alive.
pub(super) fn is_contested(look: &Look<'_>) -> bool {
    is_held(look) && look.state.take_over.as_ref().is_some_and(|step| step.contested)
}

/// Once it is quiet: its Jobs become the Run's, then the mark moves over all it ran, and only then it goes.
fn settle(look: &mut Look<'_>, cron_job: &ObservedCronJob, step: &mut TakeOver) {
    let newest = cron_job.jobs.iter().map(|job| job.created_at).max();
    let quiet = later(newest.map_or(step.since, |newest| newest.max(step.since)), QUIET);
    if look.now < quiet {
        look.wake_at(quiet);
        return;
    }
    if !cron_job.jobs.is_empty() {
        look.then
            .extend(cron_job.jobs.iter().map(|job| Effect::AdoptJob { name: job.name.clone(), uid: job.uid.clone() }));
        return;
    }
    let ran = look.jobs.iter().filter_map(|job| job.legacy_tick).max();
    let mark = cron_job.last_schedule.max(ran).unwrap_or(look.stamp);
    look.state.mark = look.state.mark.max(Some(mark));
    if let Some(in_force) = look.state.in_force.as_mut().filter(|_| look.obs.state.mark.is_none()) {
        // Ticks after the mark are owed, even those that came due during the take-over.
        in_force.since = in_force.since.min(mark);
    }
    inherit(look);
    step.done = true;
    look.news.push(News::TookOver { cron_job: cron_job.name.clone() });
    look.then.push(Effect::DeleteCronJob(cron_job.uid.clone()));
}

/// The CronJob is gone. If that was not our doing, what it ran is unknown: ticks count from now on.
fn put_away(look: &mut Look<'_>) {
    if look.state.take_over.as_ref().is_some_and(|step| !step.done) {
        look.state.take_over = None;
        look.state.mark = look.state.mark.max(Some(look.stamp));
    }
}

fn begin(look: &Look<'_>, cron_job: &ObservedCronJob) -> TakeOver {
    TakeOver { cron_job: cron_job.uid.clone(), since: look.stamp, suspended: false, contested: false, done: false }
}

/// Unfinished Jobs of the other operator are runs of this Run like any other.
pub(super) fn adopt(look: &mut Look<'_>) {
    for job in look.jobs.clone() {
        let known = look.state.active_jobs.iter().any(|active| active.uid == job.uid);
        if job.legacy && !known && job.finished.is_none() && job.deleting_since.is_none() {
            look.state.active_jobs.push(ActiveJob {
                name: job.name.clone(),
                uid: job.uid.clone(),
                kind: job.kind,
                attempt: 1,
                settled_at: look.stamp,
                finished: false,
            });
        }
    }
}

/// A one-shot Run that the other operator has dealt with does not run again.
fn count_as_done(look: &mut Look<'_>) {
    let obs = look.obs;
    let is_first = obs.state.in_force.is_none() && obs.state.one_shot.is_none() && obs.spec.schedule.is_none();
    // Its status tells which spec it has run; without one its Job does.
    let made = look.jobs.iter().any(|job| job.legacy && job.kind == RunKind::OneShot && job.name == obs.run.name);
    let has_run_it = match obs.report.observed_generation {
        0 => made,
        told => told == obs.run.generation,
    };
    if is_first && has_run_it {
        look.state.one_shot = Some(OneShot { hash: obs.spec.pipeline_hash.clone(), generation: obs.run.generation });
        inherit(look);
    }
}

/// How the newest run of the other operator ended is how the Run stands (R4). It was told when it ended: this is no news.
fn inherit(look: &mut Look<'_>) {
    if look.state.last_result.is_some() {
        return;
    }
    let ended = look.jobs.iter().filter(|job| job.legacy).filter_map(|job| jobs::result_of(job, job.kind));
    let Some(result) = ended.max_by(|a, b| (a.finished_at, &a.job).cmp(&(b.finished_at, &b.job))) else { return };
    let state = &mut look.state;
    state.last_run = state.last_run.max(result.started_at);
    if result.outcome == Outcome::Succeeded {
        state.last_success = state.last_success.max(Some(result.finished_at));
    } else {
        state.last_failure = state.last_failure.max(Some(result.finished_at));
        state.consecutive_failures = state.consecutive_failures.max(1);
    }
    state.last_result = Some(result);
}

/// What kind of run a Job of the other operator carries, by its name: it has no label for that (R31).
#[must_use]
pub fn legacy_kind(run: &str, job: &str) -> Option<RunKind> {
    let rest = job.strip_prefix(run)?;
    match rest.strip_prefix('-') {
        None if rest.is_empty() => Some(RunKind::OneShot),
        Some(tail) if is_number(tail) => Some(RunKind::Scheduled),
        Some(tail) if tail.strip_prefix("trigger-").is_some_and(is_number) => Some(RunKind::Trigger),
        _ => None,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn later(at: Timestamp, pause: SignedDuration) -> Timestamp {
    at.saturating_add(pause).unwrap_or(Timestamp::MAX)
}
