//! Taking Runs over from the operator that makes CronJobs of them, as that operator leaves them (R31).

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use crds::{Phase, Run};
use jiff::{Timestamp, ToSpan};
use k8s_openapi::api::batch::v1::CronJob;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use support::legacy::{self, labels, owner, template};
use support::operator::{World, is_ready_for, status};

/// Whole minutes ago.
fn minutes_ago(minutes: i64) -> Timestamp {
    let now = Timestamp::now().as_second();
    Timestamp::from_second(now - now % 60).unwrap() - (minutes * 60).seconds()
}

fn name(tick: Timestamp) -> String {
    format!("orders-{}", tick.as_second() / 60)
}

// R31: Jobs keep running and become the Run's, no tick the CronJob ran runs again, and the CronJob goes last.
#[tokio::test]
async fn a_cron_job_is_taken_over() {
    let world = World::new("takeover").await;
    let last = minutes_ago(1);
    let (run, cron_job) = legacy::run(&world, "*/5 * * * *", last).await;
    let running = legacy::job(&world, &cron_job, &name(last), last, "never").await;
    let before = minutes_ago(6);
    let done = legacy::job(&world, &cron_job, &name(before), before, "success").await;
    let pods = world.api::<k8s_openapi::api::core::v1::Pod>();
    let _operator = world.operator(&[]);

    let gone = |cron_job: Option<&CronJob>| cron_job.is_none();
    let waited = kube::runtime::wait::await_condition(world.api::<CronJob>(), "orders", gone);
    tokio::time::timeout(Duration::from_secs(40), waited).await.expect("the CronJob goes").unwrap();
    for old in [&running, &done] {
        let now = world.jobs().get(&old.name_any()).await.unwrap();
        assert_eq!(now.uid(), old.uid(), "the Job is the same");
        assert_eq!(now.owner_references().len(), 1);
        assert_eq!(now.owner_references()[0].uid, run.uid().unwrap());
    }
    let of_running = ListParams::default().labels(&format!("job-name={}", running.name_any()));
    let pods = pods.list(&of_running).await.unwrap().items;
    assert!(pods.len() == 1 && pods[0].metadata.deletion_timestamp.is_none(), "its pod runs on");

    let taken = |run: &Run| status(run).take_over.is_some_and(|step| step.done) && status(run).active == Some(1);
    let run = world.run_when("orders", "taken over", taken).await;
    assert!(status(&run).last_schedule_time.unwrap().0 >= last);
    assert_eq!(status(&run).phase, Some(Phase::Running));
    assert!(is_ready_for(&run, "Scheduled"), "{:?}", status(&run).conditions);
    let names = world.job_names("orders").await;
    assert!(names.len() <= 3, "nothing of before runs again: {names:?}");
}

// R31: an operator that keeps the CronJob alive is noticed, and the two do not fight over it.
#[tokio::test]
async fn a_living_operator_is_noticed() {
    let world = World::new("contested").await;
    let (run, _) = legacy::run(&world, "*/5 * * * *", minutes_ago(1)).await;
    let _operator = world.operator(&[]);
    let api = world.api::<CronJob>();
    let suspended = |cron_job: Option<&CronJob>| {
        cron_job.is_some_and(|cron_job| cron_job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true)))
    };
    kube::runtime::wait::await_condition(api.clone(), "orders", suspended).await.unwrap();
    let on = json!({ "spec": { "suspend": false } });
    api.patch("orders", &PatchParams::default(), &Patch::Merge(&on)).await.unwrap();
    world.run_when("orders", "contested", |run| is_ready_for(run, "OtherOperator")).await;
    assert_eq!(api.get("orders").await.unwrap().spec.unwrap().suspend, Some(false));
    assert!(world.job_names("orders").await.is_empty());
    let now = world.runs().get("orders").await.unwrap();
    assert_eq!(now.uid(), run.uid());
}

// R26, R31: a one-shot Run that the other operator has dealt with, Job and all, does not run again.
#[tokio::test]
async fn a_one_shot_run_does_not_run_again() {
    let world = World::new("takeover-once").await;
    let run = world.create("orders", json!({})).await;
    let job = json!({
        "metadata": {
            "name": "orders", "labels": labels(),
            "ownerReferences": owner("runs.marmotdata.io/v1alpha1", "Run", "orders", &run.uid().unwrap()),
        },
        "spec": { "template": template("slow") },
    });
    let job = world.jobs().create(&PostParams::default(), &serde_json::from_value(job).unwrap()).await.unwrap();
    let _operator = world.operator(&[]);
    let ended = |run: &Run| status(run).phase == Some(Phase::Succeeded);
    let run = world.run_when("orders", "done", ended).await;
    assert_eq!(status(&run).last_result.unwrap().job, "orders");
    assert_eq!(world.job_names("orders").await, ["orders"]);
    assert_eq!(world.jobs().get("orders").await.unwrap().uid(), job.uid());
}

// R31: the mark is the CronJob's own where no Job of it is left; the other operator's triggers are runs like any other, and
// its teardowns are left alone.
#[tokio::test]
async fn what_it_ran_is_known_although_its_jobs_were_pruned() {
    let world = World::new("takeover-pruned").await;
    let last = minutes_ago(3);
    let (run, _) = legacy::run(&world, "0 0 1 1 *", last).await;
    for (name, outcome) in [("orders-trigger-1767225600", "never"), ("orders-teardown-1767225600", "fast")] {
        let job = json!({
            "metadata": {
                "name": name, "labels": labels(),
                "ownerReferences": owner("runs.marmotdata.io/v1alpha1", "Run", "orders", &run.uid().unwrap()),
            },
            "spec": { "template": template(outcome) },
        });
        world.jobs().create(&PostParams::default(), &serde_json::from_value(job).unwrap()).await.unwrap();
    }
    let _operator = world.operator(&[]);

    let taken = |run: &Run| status(run).take_over.is_some_and(|step| step.done) && status(run).active == Some(1);
    let run = world.run_when("orders", "taken over", taken).await;
    assert_eq!(status(&run).last_schedule_time.unwrap().0, last);
    assert_eq!(status(&run).phase, Some(Phase::Running));
    assert!(status(&run).skipped_ticks.is_empty());
    let gone = |cron_job: Option<&CronJob>| cron_job.is_none();
    let waited = kube::runtime::wait::await_condition(world.api::<CronJob>(), "orders", gone);
    tokio::time::timeout(Duration::from_secs(40), waited).await.expect("the CronJob goes").unwrap();
    for job in world.jobs().list(&ListParams::default()).await.unwrap().items {
        assert_eq!(job.metadata.deletion_timestamp, None, "{} is left alone", job.name_any());
    }
    assert_eq!(world.job_names("orders").await, ["orders-teardown-1767225600", "orders-trigger-1767225600"]);
}
