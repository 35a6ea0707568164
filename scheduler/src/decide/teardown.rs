//! The end of a Run (R30): its runs end, then a Job removes from Marmot what they brought in, then the finalizer goes.

use jiff::{SignedDuration, Timestamp};

use super::{Look, jobs, pending, takeover};
use crate::claim::Claim;
use crate::decision::{Deletion, DeletionReason, Effect, News};
use crate::names;
use crate::observation::RefusalCause;
use crate::state::{Outcome, RunKind, RunResult, Teardown};

/// An active run may end by itself for this long: what a killed one has left in Marmot, no teardown can find.
pub(super) const GRACE: SignedDuration = SignedDuration::from_mins(10);
/// Pause after the first failed attempt; it doubles with each further one.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(10);
/// It grows no longer than this.
pub(super) const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(10);
/// Reason of a teardown that found nothing to remove; see the runner.
const NOTHING_FOUND: &str = "NothingFound";

/// What stands between the Run and its end.
pub(super) enum Stage {
    /// Claims that may have a Job are being looked up.
    Settling,
    /// Runs are unfinished, and may be until then.
    Draining(Timestamp),
    /// Runs, or a teardown that is not wanted any more, were asked to go.
    Stopping,
    /// A teardown Job runs, or is about to.
    Running,
    /// The last attempt failed; the next one follows then.
    Paused(Timestamp),
    /// Nothing.
    Over(Over),
}

/// Why the Run may go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// A teardown succeeded.
    TornDown,
    /// It brought nothing in, or is not to be torn down.
    NothingToDo,
    /// A living Run of its name shares the pipeline: a teardown would remove what that one brought in (R11).
    Shared,
    /// Its namespace is going: nothing can be made in it any more.
    NamespaceTerminating,
}

/// The finalizer stands as long as a teardown is wanted, and before the first Job can be made.
pub(super) fn guard(look: &mut Look<'_>) {
    let wanted = look.obs.spec.teardown;
    if wanted && !look.obs.run.finalizer {
        look.first.push(Effect::AddFinalizer);
    } else if !wanted && look.obs.run.finalizer {
        look.then.push(Effect::ReleaseFinalizer);
    }
}

/// Brings a Run that is being deleted a step further to its end.
pub(super) fn plan(look: &mut Look<'_>) {
    if !look.obs.run.finalizer {
        return;
    }
    match stage(look) {
        Stage::Running if !is_claimed(look) && active(look).is_none() => claim(look),
        Stage::Settling | Stage::Running => {}
        Stage::Draining(until) | Stage::Paused(until) => look.wake_at(until),
        Stage::Stopping => stop(look),
        Stage::Over(why) => {
            if !matches!(why, Over::TornDown | Over::NothingToDo) && !is_over(look) {
                let teardown = look.state.teardown.get_or_insert_default();
                teardown.over = true;
                let (reason, why) = explain(why);
                look.news.push(News::TeardownSkipped { reason, why: why.to_owned() });
            }
            look.then.push(Effect::ReleaseFinalizer);
        }
    }
}

/// Where the Run stands on its way out.
pub(super) fn stage(look: &Look<'_>) -> Stage {
    let obs = look.obs;
    let teardown = look.state.teardown.clone().unwrap_or_default();
    if is_namespace_going(look) {
        return Stage::Over(Over::NamespaceTerminating);
    }
    if !obs.spec.teardown {
        let pending = active(look).is_some() || look.state.claims.values().any(|claim| claim.kind == RunKind::Teardown);
        return if pending { Stage::Stopping } else { Stage::Over(Over::NothingToDo) };
    }
    let claimed = look.state.claims.values().any(|claim| claim.kind != RunKind::Teardown);
    if claimed || takeover::is_held(look) {
        return Stage::Settling;
    }
    if !look.unfinished().is_empty() {
        let since = obs.run.deleting_since.unwrap_or(look.now);
        let until = since.saturating_add(GRACE).unwrap_or(Timestamp::MAX);
        return if look.now < until { Stage::Draining(until) } else { Stage::Stopping };
    }
    if teardown.over {
        return Stage::Over(Over::TornDown);
    }
    if !has_run(look) {
        return Stage::Over(Over::NothingToDo);
    }
    if !obs.run.namesakes.is_empty() && active(look).is_none() && !is_claimed(look) {
        return Stage::Over(Over::Shared);
    }
    match teardown.retry_at.filter(|at| look.now < *at) {
        Some(at) => Stage::Paused(at),
        None => Stage::Running,
    }
}

/// Notes the end of an attempt.
pub(super) fn record(look: &mut Look<'_>, result: &RunResult) {
    let now = look.stamp;
    let teardown = look.state.teardown.get_or_insert_default();
    if result.outcome == Outcome::Succeeded {
        *teardown = Teardown { over: true, retry_at: None, message: None, ..*teardown };
        if result.reason.as_deref() == Some(NOTHING_FOUND) {
            look.news.push(News::NothingTornDown);
        }
        return;
    }
    let doublings = u32::try_from(teardown.attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
    teardown.retry_at = now.checked_add(pause).ok();
    let parts = [result.reason.clone(), result.message.clone()];
    let why = parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
    teardown.message = Some(if why.is_empty() { "it failed".to_owned() } else { why });
}

/// The teardown Job that is not known to be over.
pub(super) fn active<'a>(look: &'a Look<'_>) -> Option<&'a str> {
    let settled = look.state.active_jobs.iter().filter(|job| job.kind == RunKind::Teardown && !job.finished);
    let seen = look.jobs.iter().filter(|job| job.kind == RunKind::Teardown && job.finished.is_none());
    settled.map(|job| job.name.as_str()).chain(seen.map(|job| job.name.as_str())).next()
}

/// Asks to go: a teardown that is not wanted any more, or else the runs before it.
fn stop(look: &mut Look<'_>) {
    let is_meant = |kind| (kind == RunKind::Teardown) != look.obs.spec.teardown;
    let unfinished = look.jobs.iter().filter(|job| job.finished.is_none() && job.deleting_since.is_none());
    let meant: Vec<(String, String)> =
        unfinished.filter(|job| is_meant(job.kind)).map(|job| (job.name.clone(), job.uid.clone())).collect();
    for (name, uid) in meant {
        match jobs::may_be_stopped(look, &uid) {
            Err(floor) => look.wake_at(floor),
            Ok(()) => {
                look.then.push(Effect::DeleteJob(Deletion { name, uid, reason: DeletionReason::Stopped }));
            }
        }
    }
}

fn claim(look: &mut Look<'_>) {
    let teardown = look.state.teardown.get_or_insert_default();
    let number = teardown.attempts.saturating_add(1);
    teardown.attempts = number;
    teardown.retry_at = None;
    let claim = Claim { number: Some(number), ..Claim::new(RunKind::Teardown, &look.obs.process.holder, look.stamp) };
    let run = &look.obs.run;
    look.claim(names::teardown(&run.name, &run.uid, number), claim);
}

/// What stands in `status` and in events about the way out, for people (R30).
pub(super) fn describe(look: &Look<'_>) -> (&'static str, String) {
    let (namespace, run) = (&look.obs.run.namespace, &look.obs.run.name);
    let is_teardown = |job: &String| look.state.claims.get(job).is_some_and(|claim| claim.kind == RunKind::Teardown);
    let refusal = look.obs.process.refused.iter().find(|(job, _)| is_teardown(job));
    let refusal = refusal.map(|(_, refusal)| refusal.message.clone());
    let failure = refusal.or_else(|| look.state.teardown.as_ref()?.message.clone());
    let contested = takeover::is_contested(look).then(|| takeover::CONTESTED.to_owned());
    let problem = look.obs.spec.teardown_problem.as_ref().map(|problem| problem.message.clone()).or(contested);
    // Of a run that is waited for it is nothing.
    let pending = pending::problem(look, |job| job.kind == RunKind::Teardown).map(|problem| problem.message);
    if let Some(why) = problem.or(pending).or(failure) {
        let patch = r#"--type merge -p '{"spec":{"teardownOnDelete":false}}'"#;
        let way_out = format!("kubectl -n {namespace} patch runs.runs.marmotdata.io {run} {patch}");
        return ("TeardownFailed", format!("{why}; it is tried again; to let the Run go without it: {way_out}"));
    }
    let message = match stage(look) {
        Stage::Draining(until) => format!("waits for the active run to end, until {until} at most"),
        Stage::Stopping => "waits for Jobs that were stopped to be gone".to_owned(),
        Stage::Settling | Stage::Running | Stage::Paused(_) => "removes from Marmot what the Run brought in".to_owned(),
        Stage::Over(why) => explain(why).1.to_owned(),
    };
    ("TearingDown", message)
}

fn is_claimed(look: &Look<'_>) -> bool {
    look.state.claims.values().any(|claim| claim.kind == RunKind::Teardown)
}

fn is_over(look: &Look<'_>) -> bool {
    look.state.teardown.as_ref().is_some_and(|teardown| teardown.over)
}

/// It has, or may have, brought something into Marmot. What another operator did is not known for sure.
fn has_run(look: &Look<'_>) -> bool {
    let jobs = look.jobs.iter().any(|job| job.kind != RunKind::Teardown);
    jobs || look.state.inherited || look.state.last_run.is_some() || look.state.last_result.is_some()
}

fn is_namespace_going(look: &Look<'_>) -> bool {
    let refused = look.obs.process.refused.values();
    refused.into_iter().any(|refusal| refusal.cause == RefusalCause::NamespaceTerminating)
}

fn explain(why: Over) -> (&'static str, &'static str) {
    match why {
        Over::Shared => ("PipelineShared", "another Run of this name is alive and shares the pipeline in Marmot"),
        Over::NamespaceTerminating => {
            ("NamespaceTerminating", "the namespace is being deleted: its assets stay in Marmot")
        }
        Over::TornDown => ("TornDown", "what the Run brought in is gone from Marmot"),
        Over::NothingToDo => ("NothingToDo", "nothing is to be removed from Marmot"),
    }
}
