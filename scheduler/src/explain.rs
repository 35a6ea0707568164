//! A decision in words: what is to be done, and what stands in the way of more. For the question "why did it not run?".

use jiff::Timestamp;

use crate::decision::{Decision, DeletionReason, Effect, JobOrder, News, Record};
use crate::names;
use crate::observation::Observation;
use crate::policy::ConcurrencyPolicy;
use crate::report::{ConditionKind, Report};
use crate::state::{RunKind, SkipReason, Skipped, State};

/// What the decision does, and why no more than that: one sentence each, the most telling first.
#[must_use]
pub fn why(observation: &Observation, decision: &Decision) -> Vec<String> {
    let record = decision.effects.iter().find_map(|effect| match effect {
        Effect::Record(record) => Some(record.as_ref()),
        _ => None,
    });
    let (state, report) = record.map_or((&observation.state, &observation.report), |r| (&r.state, &r.report));
    let mut why: Vec<String> = decision.effects.iter().flat_map(|effect| words(effect, &observation.state)).collect();
    reasons(observation, state, report, &mut why);
    why.extend(report.next.map(|next| format!("the next tick is at {next}")));
    why.extend(decision.wake.map(|wake| format!("unless something changes, the next look is at {wake}")));
    why
}

/// The newest tick that was dealt with, and what became of it; `None` before the first.
#[must_use]
pub fn newest_tick(observation: &Observation) -> Option<(Timestamp, String)> {
    let state = &observation.state;
    let tick = state.mark?;
    let job = names::scheduled(&observation.run.name, tick);
    if let Some(entry) = state.ledger.iter().find(|entry| entry.from <= tick && tick <= entry.to) {
        return Some((tick, format!("not run: {}", not_run(entry.reason))));
    }
    let result = state.last_result.as_ref().filter(|result| result.job == job);
    let fate = match (observation.job(&job), result) {
        (_, Some(result)) => format!("run by Job {job}: {:?}", result.outcome),
        (Some(seen), None) if seen.finished.is_none() => format!("run by Job {job}, which has not ended"),
        (Some(seen), None) => {
            let outcome = seen.finished.as_ref().map(|finished| finished.outcome);
            format!("run by Job {job}: {}", outcome.map(|outcome| format!("{outcome:?}")).unwrap_or_default())
        }
        (None, None) => "dealt with; its Job, if it had one, is gone".to_owned(),
    };
    Some((tick, fate))
}

/// A reason of the ledger with what it means.
#[must_use]
pub fn not_run(reason: SkipReason) -> String {
    let meaning = match reason {
        SkipReason::Missed => "no operator was at work, and a later tick came due",
        SkipReason::TooLate => "found later than startingDeadlineSeconds allows",
        SkipReason::Suspended => "the Run was suspended",
        SkipReason::ConcurrencyForbidden => "another run had not ended (concurrencyPolicy: Forbid)",
        SkipReason::Superseded => "a newer tick came while it waited (concurrencyPolicy: Replace)",
        SkipReason::CapReached => "a cap across Runs left no place for it until the next tick",
        SkipReason::NameConflict => "an object of its Job's name is in the way",
        SkipReason::Rejected => "the API server refused its Job until the next tick",
        SkipReason::Invalid => "the Run has a mistake, see its conditions",
        SkipReason::NoMarmot => "it was not known where Marmot is",
    };
    format!("{}: {meaning}", reason.as_str())
}

/// One effect in the imperative. A record is told by what is new in it.
fn words(effect: &Effect, before: &State) -> Vec<String> {
    vec![match effect {
        Effect::Record(record) => return record_words(record, before),
        Effect::EnsureConfig => "write the ConfigMap with the pipeline".to_owned(),
        Effect::TakeTrigger(_) => "take the trigger annotation off".to_owned(),
        Effect::CreateJob(JobOrder { name, tick: Some(tick), .. }) => {
            format!("create Job {name} for the tick of {tick}")
        }
        Effect::CreateJob(JobOrder { name, kind, .. }) => format!("create Job {name} ({kind:?})"),
        Effect::ReturnPlace(job) => format!("give the place of Job {job} under the caps across Runs back"),
        Effect::AskForPlace { job, .. } => format!("ask the caps across Runs for a place for Job {job}"),
        Effect::DeleteJob(deletion) => {
            let reason = match deletion.reason {
                DeletionReason::Pruned => "it has been kept as long as the history asks",
                DeletionReason::Replaced => "it makes way for a newer run",
                DeletionReason::Stray => "nothing accounts for it",
                DeletionReason::Stopped => "the Run is being deleted, or its teardown was called off",
            };
            format!("delete Job {}: {reason}", deletion.name)
        }
        Effect::LookUpJob(job) => format!("ask the API server whether Job {job} exists"),
        Effect::AskPods(job) => format!("ask the pods of Job {job} why they do not run"),
        Effect::ConfirmRun => "make sure that nobody has changed the Run meanwhile".to_owned(),
        Effect::SuspendCronJob(_) => "suspend the CronJob of another operator".to_owned(),
        Effect::AdoptJob { name, .. } => format!("take over Job {name} of another operator"),
        Effect::DeleteCronJob(_) => "delete the CronJob of another operator".to_owned(),
        Effect::AddFinalizer => "set the finalizer, so that a teardown follows the deletion".to_owned(),
        Effect::ReleaseFinalizer => "take the finalizer off: the Run goes".to_owned(),
    }]
}

fn record_words(record: &Record, before: &State) -> Vec<String> {
    let claimed = record.state.claims.iter().filter(|(job, claim)| before.claims.get(*job) != Some(claim));
    let mut words: Vec<String> = claimed
        .map(|(job, claim)| {
            let tick = claim.tick.map(|tick| format!(" for the tick of {tick}")).unwrap_or_default();
            format!("claim Job {job}{tick}, attempt {}", claim.attempt)
        })
        .collect();
    words.extend(record.news.iter().filter_map(|news| match news {
        News::Started { job, .. } => Some(format!("record that Job {job} was made")),
        News::Finished(result) => Some(format!("record that Job {} ended: {:?}", result.job, result.outcome)),
        News::Skipped(skipped) => Some(skipped_words(skipped)),
        News::TeardownSkipped { why, .. } => Some(format!("go without a teardown: {why}")),
        News::TookOver { cron_job } => Some(format!("run the ticks of CronJob {cron_job} from now on")),
        News::NothingTornDown => Some("record that the teardown found nothing".to_owned()),
        // The conditions say it.
        News::Problem { .. } | News::TriggerQueued | News::StartDelayed { .. } | News::InvalidTrigger { .. } => None,
    }));
    if words.is_empty() {
        words.push("bring status up to date".to_owned());
    }
    words
}

fn skipped_words(skipped: &Skipped) -> String {
    let Skipped { reason, count, from, to } = skipped;
    let ticks = if from == to { format!("the tick of {to}") } else { format!("{count} ticks from {from} to {to}") };
    format!("record {ticks} as not run: {}", not_run(*reason))
}

/// What stands in the way, and what is under way.
fn reasons(observation: &Observation, state: &State, report: &Report, why: &mut Vec<String>) {
    let spec = &observation.spec;
    let condition = |kind| report.condition(kind);
    if let Some(ready) = condition(ConditionKind::Ready).filter(|ready| ready.status == Some(false)) {
        why.push(format!("{}: {}", ready.reason, ready.message));
    }
    if observation.run.is_deleting() {
        return;
    }
    if spec.schedule.is_some() && spec.suspend {
        why.push("it is suspended: no tick runs until spec.suspend is false; triggers do".to_owned());
    }
    let has_run = state.one_shot.as_ref().is_some_and(|shot| shot.hash == spec.pipeline_hash);
    if spec.schedule.is_none() && has_run {
        let message =
            "it has no schedule, and this pipeline has had its run: the next one follows a change, or a trigger";
        why.push(message.to_owned());
    }
    let told = |reason: &str| ["TriggerQueued", "StartDelayed", "InvalidTrigger", "TakingOver"].contains(&reason);
    why.extend(
        condition(ConditionKind::Reconciling)
            .filter(|condition| told(&condition.reason))
            .map(|condition| format!("{}: {}", condition.reason, condition.message)),
    );
    for (job, claim) in state.claims.iter().filter(|(job, claim)| observation.state.claims.get(*job) == Some(claim)) {
        let from =
            if claim.kind == RunKind::Scheduled { format!(" from {} on", claim.opens_at()) } else { String::new() };
        why.push(format!(
            "Job {job} is claimed by {}, attempt {}: it may be created{from}",
            claim.holder, claim.attempt
        ));
    }
    let under_way = state.active_jobs.iter().filter(|job| !job.finished && job.kind != RunKind::Teardown);
    for job in under_way.filter(|_| spec.schedule.is_some()) {
        let policy = match spec.policy {
            ConcurrencyPolicy::Allow => "ticks run beside it (concurrencyPolicy: Allow)",
            ConcurrencyPolicy::Forbid => "a tick that comes due meanwhile is not run (concurrencyPolicy: Forbid)",
            ConcurrencyPolicy::Replace => "the next tick ends it (concurrencyPolicy: Replace)",
        };
        why.push(format!("Job {} has not ended: {policy}", job.name));
    }
}
