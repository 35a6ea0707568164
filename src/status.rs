//! `status` ↔ the core's [`State`] and [`Report`]; likewise the claim beside the trigger annotation. Pure.

use std::collections::BTreeMap;

use crds::{Run, RunStatus, TakenTrigger};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as ApiCondition, Time};
use scheduler::claim::Claim;
use scheduler::report::{Condition, ConditionKind, Phase, Report};
use scheduler::state::{
    ActiveJob, InForce, OneShot, Outcome, RunKind, RunResult, SkipReason, Skipped, State, TakeOver, Teardown,
};
use serde_json::{Map, Value};

/// All that the core keeps of a Run: its `status`, and the claim beside the trigger annotation (R32).
#[must_use]
pub fn record(run: &Run) -> State {
    let mut state = run.status.as_ref().map(state).unwrap_or_default();
    if let Some(taken) = taken(run) {
        state.take_in(run.metadata.name.as_deref().unwrap_or_default(), &taken);
    }
    state
}

/// The claim beside the trigger annotation. One that was copied from another Run, or written by hand, is none.
#[must_use]
pub fn taken(run: &Run) -> Option<Claim> {
    let text = run.metadata.annotations.as_ref()?.get(crds::TRIGGER_TAKEN_ANNOTATION)?;
    let taken: TakenTrigger = serde_json::from_str(text).ok()?;
    let claim = Claim::new(RunKind::Trigger, &taken.holder, taken.claimed_at.0);
    let is_ours = run.metadata.uid.as_ref() == Some(&taken.run_uid);
    is_ours.then_some(Claim { number: Some(taken.number), taken: true, ..claim })
}

/// `status` with all claims of the [`record`].
#[must_use]
pub fn with_taken_trigger(run: &Run) -> RunStatus {
    RunStatus { claims: claims_out(&record(run)), ..run.status.clone().unwrap_or_default() }
}

/// The annotation that makes this claim.
#[must_use]
pub fn taken_out(run: &Run, claim: &Claim) -> TakenTrigger {
    TakenTrigger {
        run_uid: run.metadata.uid.clone().unwrap_or_default(),
        number: claim.number.unwrap_or_default(),
        holder: claim.holder.clone(),
        claimed_at: Time(claim.claimed_at),
    }
}

/// The record the core keeps in `status`.
#[must_use]
pub fn state(status: &RunStatus) -> State {
    State {
        mark: instant(status.last_schedule_time.as_ref()),
        skewed_since: instant(status.skewed_since.as_ref()),
        in_force: status.schedule_in_force.as_ref().map(|in_force| InForce {
            expression: in_force.expression.clone(),
            zone: in_force.zone.clone().unwrap_or_default(),
            suspend: in_force.suspend,
            since: in_force.since.0,
        }),
        claims: status.claims.iter().map(|(job, claim)| (job.clone(), claim_in(claim))).collect(),
        active_jobs: status.active_jobs.iter().map(active_in).collect(),
        one_shot: status.one_shot.as_ref().map(|shot| OneShot { hash: shot.hash.clone(), generation: shot.generation }),
        take_over: status.take_over.as_ref().map(|step| TakeOver {
            cron_job: step.cron_job.clone(),
            since: step.since.0,
            suspended: step.suspended,
            contested: step.contested,
            done: step.done,
        }),
        inherited: status.inherited,
        teardown: status.teardown.as_ref().map(|teardown| Teardown {
            attempts: teardown.attempts,
            retry_at: instant(teardown.retry_at.as_ref()),
            message: teardown.message.clone(),
            over: teardown.over,
        }),
        trigger_count: status.trigger_count.unwrap_or_default(),
        ledger: status.skipped_ticks.iter().filter_map(skipped_in).collect(),
        last_run: instant(status.last_run_time.as_ref()),
        last_success: instant(status.last_successful_time.as_ref()),
        last_failure: instant(status.last_failure_time.as_ref()),
        consecutive_failures: status.consecutive_failures.unwrap_or_default(),
        last_result: status.last_result.as_ref().and_then(result_in),
    }
}

/// The derived part of `status`, as it stands.
#[must_use]
pub fn report(status: &RunStatus) -> Report {
    let condition = |kind: ConditionKind| {
        let found = status.conditions.iter().find(|condition| condition.type_ == kind.as_str())?;
        Some(Condition {
            kind,
            status: found.status.to_lowercase().parse().ok(),
            reason: found.reason.clone(),
            message: found.message.clone(),
        })
    };
    Report {
        observed_generation: status.observed_generation.unwrap_or_default(),
        phase: phase_in(status.phase.unwrap_or_default()),
        active: status.active.unwrap_or_default(),
        next: instant(status.next_schedule_time.as_ref()),
        conditions: ConditionKind::ALL.into_iter().filter_map(condition).collect(),
    }
}

/// The `status` to write. A condition keeps its transition time while its status stays the same; conditions of other
/// writers stay.
#[must_use]
pub fn render(current: &RunStatus, state: &State, report: &Report, now: Timestamp) -> RunStatus {
    RunStatus {
        observed_generation: Some(report.observed_generation),
        phase: Some(phase_out(report.phase)),
        active: Some(report.active),
        last_run_time: time(state.last_run),
        last_successful_time: time(state.last_success),
        last_failure_time: time(state.last_failure),
        last_schedule_time: time(state.mark),
        next_schedule_time: time(report.next),
        consecutive_failures: Some(state.consecutive_failures),
        last_result: state.last_result.as_ref().map(result_out),
        skipped_ticks: state.ledger.iter().map(skipped_out).collect(),
        conditions: conditions(current, report, now),
        active_jobs: state.active_jobs.iter().map(active_out).collect(),
        claims: claims_out(state),
        skewed_since: time(state.skewed_since),
        schedule_in_force: state.in_force.as_ref().map(|in_force| crds::ScheduleInForce {
            expression: in_force.expression.clone(),
            zone: Some(in_force.zone.clone()).filter(|zone| !zone.is_empty()),
            suspend: in_force.suspend,
            since: Time(in_force.since),
        }),
        one_shot: state
            .one_shot
            .as_ref()
            .map(|shot| crds::OneShot { hash: shot.hash.clone(), generation: shot.generation }),
        inherited: state.inherited,
        take_over: state.take_over.as_ref().map(|step| crds::TakeOver {
            cron_job: step.cron_job.clone(),
            since: Time(step.since),
            suspended: step.suspended,
            contested: step.contested,
            done: step.done,
        }),
        teardown: state.teardown.as_ref().map(|teardown| crds::Teardown {
            attempts: teardown.attempts,
            retry_at: time(teardown.retry_at),
            message: teardown.message.clone(),
            over: teardown.over,
        }),
        trigger_count: Some(state.trigger_count).filter(|count| *count > 0),
    }
}

/// The JSON merge patch (RFC 7386) that turns `from` into `to`; `None` if they are equal.
#[must_use]
pub fn merge_patch(from: &Value, to: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (from, to) else {
        return (from != to).then(|| to.clone());
    };
    let mut patch = Map::new();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        match old.get(key) {
            Some(known) => patch.extend(merge_patch(known, value).map(|change| (key.clone(), change))),
            None => patch.extend([(key.clone(), value.clone())]),
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

fn conditions(current: &RunStatus, report: &Report, now: Timestamp) -> Vec<ApiCondition> {
    let ours = report.conditions.iter().map(|condition| {
        let status = condition.status.map_or("Unknown", |holds| if holds { "True" } else { "False" });
        let known = current.conditions.iter().find(|known| known.type_ == condition.kind.as_str());
        let since =
            known.filter(|known| known.status == status).map_or(Time(now), |known| known.last_transition_time.clone());
        ApiCondition {
            type_: condition.kind.as_str().to_owned(),
            status: status.to_owned(),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
            last_transition_time: since,
            observed_generation: Some(report.observed_generation),
        }
    });
    let foreign = |condition: &&ApiCondition| ConditionKind::ALL.iter().all(|kind| kind.as_str() != condition.type_);
    ours.chain(current.conditions.iter().filter(foreign).cloned()).collect()
}

fn instant(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}

fn time(instant: Option<Timestamp>) -> Option<Time> {
    instant.map(Time)
}

fn claim_in(claim: &crds::Claim) -> Claim {
    Claim {
        kind: kind_in(claim.kind),
        tick: instant(claim.tick.as_ref()),
        number: claim.number,
        taken: claim.taken,
        attempt: claim.attempt,
        resolved: claim.resolved,
        holder: claim.holder.clone(),
        claimed_at: claim.claimed_at.0,
    }
}

fn claims_out(state: &State) -> BTreeMap<String, crds::Claim> {
    state.claims.iter().map(|(job, claim)| (job.clone(), claim_out(claim))).collect()
}

fn claim_out(claim: &Claim) -> crds::Claim {
    crds::Claim {
        kind: kind_out(claim.kind),
        tick: time(claim.tick),
        number: claim.number,
        taken: claim.taken,
        attempt: claim.attempt,
        resolved: claim.resolved,
        holder: claim.holder.clone(),
        claimed_at: Time(claim.claimed_at),
    }
}

fn active_in(job: &crds::ActiveJob) -> ActiveJob {
    ActiveJob {
        name: job.name.clone(),
        uid: job.uid.clone(),
        kind: kind_in(job.kind),
        attempt: job.attempt,
        settled_at: job.settled_at.0,
        finished: job.finished,
    }
}

fn active_out(job: &ActiveJob) -> crds::ActiveJob {
    crds::ActiveJob {
        name: job.name.clone(),
        uid: job.uid.clone(),
        kind: kind_out(job.kind),
        attempt: job.attempt,
        settled_at: Time(job.settled_at),
        finished: job.finished,
    }
}

/// An entry of a reason we do not know was written by a newer operator; it is dropped at the next write.
fn skipped_in(skipped: &crds::SkippedTicks) -> Option<Skipped> {
    Some(Skipped {
        reason: SkipReason::parse(&skipped.reason)?,
        count: u64::try_from(skipped.count).unwrap_or_default(),
        from: skipped.from.0,
        to: skipped.to.0,
    })
}

fn skipped_out(skipped: &Skipped) -> crds::SkippedTicks {
    crds::SkippedTicks {
        reason: skipped.reason.as_str().to_owned(),
        count: i64::try_from(skipped.count).unwrap_or(i64::MAX),
        from: Time(skipped.from),
        to: Time(skipped.to),
    }
}

fn result_in(result: &crds::RunResult) -> Option<RunResult> {
    Some(RunResult {
        job: result.job.clone(),
        kind: kind_in(result.kind),
        started_at: instant(result.start_time.as_ref()),
        finished_at: instant(result.completion_time.as_ref())?,
        outcome: match result.outcome {
            crds::Outcome::Succeeded => Outcome::Succeeded,
            crds::Outcome::Partial => Outcome::Partial,
            crds::Outcome::Failed => Outcome::Failed,
            crds::Outcome::Killed => Outcome::Killed,
        },
        reason: result.reason.clone(),
        message: result.message.clone(),
    })
}

fn result_out(result: &RunResult) -> crds::RunResult {
    crds::RunResult {
        job: result.job.clone(),
        kind: kind_out(result.kind),
        start_time: time(result.started_at),
        completion_time: Some(Time(result.finished_at)),
        outcome: match result.outcome {
            Outcome::Succeeded => crds::Outcome::Succeeded,
            Outcome::Partial => crds::Outcome::Partial,
            Outcome::Failed => crds::Outcome::Failed,
            Outcome::Killed => crds::Outcome::Killed,
        },
        reason: result.reason.clone(),
        message: result.message.clone(),
    }
}

fn kind_in(kind: crds::RunKind) -> RunKind {
    match kind {
        crds::RunKind::Scheduled => RunKind::Scheduled,
        crds::RunKind::OneShot => RunKind::OneShot,
        crds::RunKind::Trigger => RunKind::Trigger,
        crds::RunKind::Teardown => RunKind::Teardown,
    }
}

fn kind_out(kind: RunKind) -> crds::RunKind {
    match kind {
        RunKind::Scheduled => crds::RunKind::Scheduled,
        RunKind::OneShot => crds::RunKind::OneShot,
        RunKind::Trigger => crds::RunKind::Trigger,
        RunKind::Teardown => crds::RunKind::Teardown,
    }
}

fn phase_in(phase: crds::Phase) -> Phase {
    match phase {
        crds::Phase::Idle => Phase::Idle,
        crds::Phase::Scheduled => Phase::Scheduled,
        crds::Phase::Running => Phase::Running,
        crds::Phase::Succeeded => Phase::Succeeded,
        crds::Phase::Failed => Phase::Failed,
        crds::Phase::Suspended => Phase::Suspended,
    }
}

fn phase_out(phase: Phase) -> crds::Phase {
    match phase {
        Phase::Idle => crds::Phase::Idle,
        Phase::Scheduled => crds::Phase::Scheduled,
        Phase::Running => crds::Phase::Running,
        Phase::Succeeded => crds::Phase::Succeeded,
        Phase::Failed => crds::Phase::Failed,
        Phase::Suspended => crds::Phase::Suspended,
    }
}
