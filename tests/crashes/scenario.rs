//! The golden scenarios: what users do, and what they wait for. None knows what is done to the operator meanwhile.

use std::sync::Arc;

use crds::{ConcurrencyPolicy, Phase};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use k8s_openapi::api::batch::v1::CronJob;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use serde_json::json;

use crate::faults::call::Call;
use crate::stage::Stage;
use crate::support::legacy;
use crate::support::operator::{PATIENCE, finished};

/// A story that ends at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A tick of a new Run, from the ConfigMap to the outcome (R12, R32).
    Tick,
    /// A tick beside an unfinished run (R17, R18).
    Beside(ConcurrencyPolicy),
    /// A trigger, up to the deletion of its Job (R27, R28).
    Trigger,
    /// A one-shot Run that is edited after it has run (R26).
    Edit,
    /// One that is edited while it runs, under Replace.
    EditBetween,
    /// A Run that has run is deleted, up to the deletion of the teardown Job (R30).
    Teardown,
    /// A Job goes when history has no place for it (R29).
    History,
    /// A CronJob and its Jobs become the Run's (R31).
    TakeOver,
    /// A tick, with another operator standing by (R35).
    Failover,
    /// The same, and the calls that count are those of the election.
    Election,
}

impl Scenario {
    /// The calls at which something may happen.
    pub const fn counts(self) -> fn(&Call) -> bool {
        match self {
            Self::Election => |call| call.resource == "leases",
            _ => Call::decides,
        }
    }

    /// How many of the calls are of interest: the election renews for ever.
    pub const fn most(self) -> usize {
        if let Self::Election = self { 6 } else { usize::MAX }
    }

    /// What the play must make, once each: nothing else is golden.
    pub fn makes(self) -> &'static [&'static str] {
        match self {
            Self::Tick | Self::Failover | Self::Election => &["tick"],
            Self::Beside(ConcurrencyPolicy::Forbid) | Self::Trigger => &["trigger-1"],
            Self::Beside(_) => &["tick", "trigger-1"],
            Self::Edit | Self::EditBetween => &["gen1", "gen2"],
            Self::Teardown => &["gen1", "teardown 1"],
            Self::History => &["gen1"],
            Self::TakeOver => &["1", "2"],
        }
    }

    /// Plays it.
    pub async fn play(self, stage: &Arc<Stage>) {
        match self {
            Self::Tick => {
                stage.layer.count();
                stage.start();
                tick(stage).await;
            }
            Self::Failover | Self::Election => {
                stage.layer.count();
                stage.start_pair().await;
                tick(stage).await;
            }
            Self::Beside(policy) => {
                stage.start();
                beside(stage, policy).await;
            }
            Self::Trigger => trigger(stage).await,
            Self::Edit => edit(stage).await,
            Self::EditBetween => edit_between(stage).await,
            Self::Teardown => teardown(stage).await,
            Self::History => history(stage).await,
            Self::TakeOver => take_over(stage).await,
        }
    }
}

async fn tick(stage: &Stage) {
    stage.create("fast", json!({ "schedule": once(next_minute()) })).await;
    stage.run_when("run", |status| status.last_result.is_some()).await;
}

async fn beside(stage: &Stage, policy: ConcurrencyPolicy) {
    stage.create("never", json!({ "schedule": "0 0 1 1 *", "concurrencyPolicy": policy })).await;
    stage.world.trigger("orders").await;
    stage.run_when("triggered", |status| !status.active_jobs.is_empty()).await;
    // The new schedule has to be seen before its tick (R14), or there is none.
    loop {
        let tick = next_minute();
        stage.edit(json!({ "schedule": once(tick) })).await;
        let run = stage.run_when("scheduled", |status| expression(status) == Some(once(tick))).await;
        let since = run.status.and_then(|status| status.schedule_in_force).expect("it was there").since.0;
        if since < tick {
            break;
        }
    }
    stage.layer.count();
    let dealt_with = |status: &crds::RunStatus| status.last_schedule_time.is_some() && status.claims.is_empty();
    stage.run_when("past the tick", dealt_with).await;
}

/// The first minute that is far enough away for whoever has to hear of it.
fn next_minute() -> Timestamp {
    let earliest = Timestamp::now().as_second() + 8;
    Timestamp::from_second((earliest / 60 + 1) * 60).expect("a time")
}

/// A schedule with this tick, and no other for a year.
fn once(tick: Timestamp) -> String {
    let tick = tick.to_zoned(TimeZone::UTC);
    format!("{} {} {} {} *", tick.minute(), tick.hour(), tick.day(), tick.month())
}

fn expression(status: &crds::RunStatus) -> Option<String> {
    status.schedule_in_force.as_ref().and_then(|in_force| in_force.expression.clone())
}

async fn trigger(stage: &Arc<Stage>) {
    stage.layer.count();
    stage.start();
    stage.create("fast", json!({ "schedule": "0 0 1 1 *", "suspend": true })).await;
    stage.run_when("suspended", |status| status.phase == Some(Phase::Suspended)).await;
    stage.world.trigger("orders").await;
    stage.run_when("run", |status| status.last_result.is_some()).await;
    stage.world.job_gone("orders-trigger-1").await;
}

async fn edit(stage: &Arc<Stage>) {
    stage.layer.count();
    stage.start();
    stage.create("fast", json!({})).await;
    stage.run_when("run", |status| has_ended(status, "orders-gen1")).await;
    stage.edit(json!({ "image": "example.org/marmot:newer" })).await;
    stage.run_when("run again", |status| has_ended(status, "orders-gen2")).await;
}

async fn edit_between(stage: &Arc<Stage>) {
    stage.layer.count();
    stage.start();
    stage.create("never", json!({ "concurrencyPolicy": "Replace" })).await;
    stage.run_when("running", |status| status.active_jobs.iter().any(|job| job.name == "orders-gen1")).await;
    stage.edit(json!({ "podAnnotations": { "test.marmotdata.io/outcome": "fast" } })).await;
    stage.run_when("run again", |status| has_ended(status, "orders-gen2")).await;
}

async fn teardown(stage: &Arc<Stage>) {
    stage.start();
    let run = stage.create("fast", json!({})).await;
    stage.run_when("run", |status| has_ended(status, "orders-gen1")).await;
    stage.layer.count();
    stage.world.runs().delete("orders", &DeleteParams::background()).await.expect("it is deleted");
    stage.world.run_gone("orders").await;
    stage.world.job_gone("orders-gen1").await;
    let job = scheduler::names::teardown("orders", &run.uid().expect("it is stored"), 1);
    stage.world.job_gone(&job).await;
}

async fn history(stage: &Arc<Stage>) {
    stage.start();
    stage.create("fast", json!({ "successfulJobsHistoryLimit": 0 })).await;
    stage.run_when("run", |status| has_ended(status, "orders-gen1")).await;
    stage.layer.count();
    stage.world.job_gone("orders-gen1").await;
}

async fn take_over(stage: &Arc<Stage>) {
    let (run, cron_job) = legacy::run(&stage.world, "0 0 1 1 *", "2026-01-01T00:00:00Z".parse().unwrap()).await;
    let created = run.creation_timestamp().expect("it is stored").0;
    let ran = json!({ "status": { "lastScheduleTime": created - 60.seconds() } });
    let cron_jobs = stage.world.api::<CronJob>();
    cron_jobs.patch_status("orders", &PatchParams::default(), &Patch::Merge(&ran)).await.expect("it is patched");
    legacy::job(&stage.world, &cron_job, "orders-2", created - 60.seconds(), "never").await;
    legacy::job(&stage.world, &cron_job, "orders-1", created - 360.seconds(), "fast").await;
    stage.world.job_when("orders-1", "finished", finished).await;
    stage.layer.count();
    stage.start();
    let gone = await_condition(stage.world.api::<CronJob>(), "orders", |cron_job: Option<&CronJob>| cron_job.is_none());
    tokio::time::timeout(PATIENCE, gone).await.expect("the CronJob goes in time").expect("the watch goes on");
    let taken = |status: &crds::RunStatus| status.take_over.as_ref().is_some_and(|step| step.done);
    stage.run_when("taken over", taken).await;
}

fn has_ended(status: &crds::RunStatus, job: &str) -> bool {
    status.last_result.as_ref().is_some_and(|result| result.job == job)
}
