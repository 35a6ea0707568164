//! What users read: phase, counts and conditions (R4, R5), and the news in their changes.

use super::{Look, pending, place, takeover, teardown};
use crate::decision::News;
use crate::names;
use crate::observation::{Problem, RefusalCause};
use crate::report::{Condition, ConditionKind, Phase, Report};
use crate::state::{Outcome, RunResult};

/// Stands in the message of `Ready` between the Run's own state and how its last run failed.
const LAST_RUN: &str = "; last run ";

/// The derived part of `status` for the state as decided.
pub(super) fn report(look: &Look<'_>) -> Report {
    let active = i32::try_from(look.unfinished().len()).unwrap_or(i32::MAX);
    let disarmed = disarmed(look);
    let problem = disarmed
        .clone()
        .or_else(|| refused(look))
        .or_else(|| pending::problem(look, |_| true))
        .filter(|_| !look.obs.run.is_deleting());
    Report {
        observed_generation: look.obs.run.generation,
        phase: phase(look, active),
        active,
        next: look.next.filter(|_| disarmed.is_none()),
        conditions: vec![
            with_last_failure(ready(look, problem.as_ref()), look.state.last_result.as_ref()),
            reconciling(look),
            stalled(problem.as_ref()),
            last_run_succeeded(look.state.last_result.as_ref()),
        ],
    }
}

/// Adds to the news what changed in the conditions and needs somebody's attention.
pub(super) fn tell(look: &mut Look<'_>, report: &Report) {
    let old = &look.obs.report;
    let (was, is) = (old.condition(ConditionKind::Ready), report.condition(ConditionKind::Ready));
    let warning = warning(look).map(|warning| warning.reason);
    let is_warning = |is: &&Condition| is.status == Some(false) || Some(&is.reason) == warning.as_ref();
    // What happens on the way out is told as it happens.
    let is_news = |is: &&Condition| was.is_none_or(|was| differs(is, was)) && !look.obs.run.is_deleting();
    if let Some(is) = is.filter(is_warning).filter(is_news) {
        look.news.push(News::Problem { reason: is.reason.clone(), message: own_words(&is.message).to_owned() });
    }
    let reason = |report: &Report, kind| report.condition(kind).map(|condition| condition.reason.clone());
    let changed = |kind, word: &str| {
        let now = reason(report, kind);
        now.as_deref() == Some(word) && now != reason(old, kind)
    };
    if changed(ConditionKind::Reconciling, "TriggerQueued") {
        look.news.push(News::TriggerQueued);
    }
    if changed(ConditionKind::Reconciling, place::REASON) {
        look.news.extend(look.start_delayed.clone().map(|message| News::StartDelayed { message }));
    }
    if changed(ConditionKind::Reconciling, "InvalidTrigger") {
        look.news.push(News::InvalidTrigger { value: look.obs.run.trigger.clone().unwrap_or_default() });
    }
}

/// Whether the Run's own state is another one; how its last run failed is told with that run.
fn differs(is: &Condition, was: &Condition) -> bool {
    (is.status, &is.reason, own_words(&is.message)) != (was.status, &was.reason, own_words(&was.message))
}

fn own_words(message: &str) -> &str {
    message.split_once(LAST_RUN).map_or(message, |(own, _)| own)
}

fn phase(look: &Look<'_>, active: i32) -> Phase {
    let scheduled = look.obs.spec.schedule.is_some();
    let last = look.state.last_result.as_ref().map(|result| result.outcome == Outcome::Succeeded);
    match last {
        _ if scheduled && look.obs.spec.suspend => Phase::Suspended,
        _ if active > 0 => Phase::Running,
        Some(false) => Phase::Failed,
        _ if scheduled => Phase::Scheduled,
        Some(true) => Phase::Succeeded,
        None => Phase::Idle,
    }
}

/// What keeps the Run from starting anything, the most telling first.
fn disarmed(look: &Look<'_>) -> Option<Problem> {
    let spec = &look.obs.spec;
    let schedule = spec.schedule.as_ref();
    let unparsable = schedule.and_then(|schedule| schedule.parsed.as_ref().err().cloned());
    let never = schedule.and_then(|schedule| schedule.parsed.as_ref().ok().filter(|parsed| parsed.never_fires()));
    let never = never.map(|_| Problem {
        reason: "NeverFires".to_owned(),
        message: "spec.schedule names a date that does not exist: it will never run".to_owned(),
    });
    let skewed = look.state.skewed_since.map(|since| Problem {
        reason: "ClockSkew".to_owned(),
        message: format!(
            "status speaks of a time more than an hour ahead: a clock was wrong, or this one is; ticks go on 5 minutes after {since}"
        ),
    });
    let other = takeover::is_contested(look).then(|| Problem {
        reason: "OtherOperator".to_owned(),
        message: format!("{}, then the ticks are taken over", takeover::CONTESTED),
    });
    spec.problem.clone().or(unparsable).or(never).or(other).or(skewed)
}

/// An object that the API server did not take. It is tried again; the next tick is armed.
fn refused(look: &Look<'_>) -> Option<Problem> {
    let refused = &look.obs.process.refused;
    let config = refused.get(names::CONFIG).map(|refusal| ("the ConfigMap".to_owned(), refusal));
    let claimed = |job: &String| look.state.claims.contains_key(job);
    let job = || refused.iter().find(|(job, _)| claimed(job)).map(|(job, refusal)| (format!("Job {job}"), refusal));
    let (object, refusal) = config.or_else(job)?;
    let reason = if refusal.cause == RefusalCause::NameConflict { "NameConflict" } else { "FailedCreate" };
    Some(Problem { reason: reason.to_owned(), message: format!("{object}: {}", refusal.message) })
}

fn ready(look: &Look<'_>, problem: Option<&Problem>) -> Condition {
    let ready = ConditionKind::Ready;
    let spec = &look.obs.spec;
    if look.obs.run.is_deleting() {
        let (reason, message) = ending(look);
        return Condition::new(ready, false, reason, message);
    }
    let warning = warning(look);
    match problem.or(warning.as_ref()) {
        Some(warning) if problem.is_none() => Condition::new(ready, true, &warning.reason, &warning.message),
        Some(problem) => Condition::new(ready, false, &problem.reason, &problem.message),
        None if spec.schedule.is_none() => Condition::new(ready, true, "Accepted", "runs once for each change"),
        None if spec.suspend => Condition::new(ready, true, "Suspended", "suspended: no tick runs, triggers do"),
        None => Condition::new(ready, true, "Scheduled", "the schedule is armed"),
    }
}

/// `kubectl get run -o wide` shows the message of `Ready`: that is where one looks for the reason of a failure (R6).
fn with_last_failure(mut ready: Condition, last: Option<&RunResult>) -> Condition {
    let failed = last.filter(|last| ready.status == Some(true) && last.outcome != Outcome::Succeeded);
    if let Some(last) = failed {
        ready.message.push_str(LAST_RUN);
        ready.message.push_str(word(last.outcome));
        push_why(&mut ready.message, last);
    }
    ready
}

/// The Run is on its way out: how far, and why no further.
fn ending(look: &Look<'_>) -> (&'static str, String) {
    if look.obs.run.finalizer { teardown::describe(look) } else { ("Deleting", "the Run is being deleted".to_owned()) }
}

/// It runs, but not as its author should want it.
fn warning(look: &Look<'_>) -> Option<Problem> {
    let (name, namesakes) = (&look.obs.run.name, &look.obs.run.namesakes);
    let shared = (!namesakes.is_empty()).then(|| Problem {
        reason: "PipelineShared".to_owned(),
        message: format!(
            "Runs of this name in other namespaces ({}) write to the same pipeline {name:?} in Marmot and remove each \
             other's assets: rename all but one",
            namesakes.join(", ")
        ),
    });
    shared.or_else(|| look.obs.spec.warning.clone())
}

fn reconciling(look: &Look<'_>) -> Condition {
    let kind = ConditionKind::Reconciling;
    if look.obs.run.is_deleting() {
        let (reason, message) = ending(look);
        return Condition::new(kind, true, reason, message);
    }
    if look.trigger_queued {
        return Condition::new(kind, true, "TriggerQueued", "the trigger waits for the active run to end");
    }
    if let Some(message) = &look.start_delayed {
        return Condition::new(kind, true, place::REASON, message);
    }
    if takeover::is_held(look) {
        return Condition::new(kind, true, "TakingOver", "the CronJob of another operator is being taken over");
    }
    match look.obs.run.trigger.as_deref() {
        Some(value) if value != "true" => Condition::new(
            kind,
            false,
            "InvalidTrigger",
            format!("annotation runs.marmotdata.io/trigger is {value:?}: set it to \"true\" to start a run"),
        ),
        _ => Condition::new(kind, false, "UpToDate", "nothing is in progress but runs"),
    }
}

/// Problems that only an edit mends are stalls; a refused Job is tried again.
fn stalled(problem: Option<&Problem>) -> Condition {
    let passing = ["FailedCreate", "NoMarmot", "ClockSkew", "OtherOperator", pending::REASON];
    match problem.filter(|problem| !passing.contains(&problem.reason.as_str())) {
        Some(problem) => Condition::new(ConditionKind::Stalled, true, &problem.reason, &problem.message),
        None => Condition::new(ConditionKind::Stalled, false, "UpToDate", "nothing stands in the way"),
    }
}

fn last_run_succeeded(last: Option<&RunResult>) -> Condition {
    let kind = ConditionKind::LastRunSucceeded;
    let Some(last) = last else { return Condition::new(kind, None, "NoRunYet", "no run has finished yet") };
    let mut message = format!("Job {}", last.job);
    push_why(&mut message, last);
    Condition::new(kind, last.outcome == Outcome::Succeeded, word(last.outcome), message)
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "Succeeded",
        Outcome::Partial => "Partial",
        Outcome::Failed => "Failed",
        Outcome::Killed => "Killed",
    }
}

fn push_why(message: &mut String, result: &RunResult) {
    for part in [result.reason.as_deref(), result.message.as_deref()].into_iter().flatten() {
        message.push_str(": ");
        message.push_str(part);
    }
}
