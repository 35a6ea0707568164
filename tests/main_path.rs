//! The main path on the real API server: Runs turn into Jobs, Jobs into status.

mod support;

use std::time::Duration;

use crds::{Outcome, Phase};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use support::operator::{World, finished, status};

// R9, R12, R32: a tick becomes the Job of its name; the status tells what happened and what comes next.
#[tokio::test]
async fn a_tick_becomes_a_job_and_its_end_becomes_status() {
    let world = World::new("tick").await;
    let _operator = world.operator(&[]);
    world.create("orders", json!({ "schedule": "@every 5s" })).await;
    let run = world.run_when("orders", "run once", |run| status(run).last_result.is_some()).await;

    let status = status(&run);
    let result = status.last_result.unwrap();
    assert_eq!(result.outcome, Outcome::Succeeded);
    let tick = run.creation_timestamp().unwrap().0.as_second() + 5;
    let name = if tick % 60 == 0 { format!("orders-{}", tick / 60) } else { format!("orders-{tick}s") };
    assert_eq!(result.job, name);
    assert!(status.last_schedule_time.unwrap().0.as_second() >= tick);
    assert!(status.next_schedule_time.is_some());
    assert_eq!(status.observed_generation, Some(1));

    let job = world.job_when(&name, "there", |_| true).await;
    assert_eq!(job.labels()[crds::RUN_LABEL], "orders");
    assert_eq!(job.labels()[crds::MANAGED_BY_LABEL], crds::MANAGED_BY);
    let scheduled: Timestamp = job.annotations()[crds::SCHEDULED_TIMESTAMP_ANNOTATION].parse().unwrap();
    assert_eq!(scheduled.as_second(), tick);
    assert_eq!(job.owner_references()[0].uid, run.uid().unwrap());
}

// R8: the pipeline stands in the ConfigMap as the CLI reads it, and is put back when somebody changes it.
#[tokio::test]
async fn the_config_map_holds_the_pipeline_and_is_repaired() {
    let world = World::new("config").await;
    let _operator = world.operator(&[]);
    world.create("orders", json!({ "schedule": "0 0 1 1 *" })).await;
    world.run_when("orders", "armed", |run| status(run).next_schedule_time.is_some()).await;
    let configs = world.api::<ConfigMap>();
    let pipeline = |config: &ConfigMap| config.data.as_ref().unwrap()["pipeline.yaml"].clone();
    let text = pipeline(&configs.get("orders-config").await.unwrap());
    assert!(text.starts_with("name: 'orders'\nruns:\n"), "{text}");

    let spoilt = json!({ "data": { "pipeline.yaml": "spoilt" } });
    configs.patch("orders-config", &PatchParams::default(), &Patch::Merge(&spoilt)).await.unwrap();
    let repaired = |config: Option<&ConfigMap>| config.is_some_and(|config| pipeline(config) == text);
    let waited = kube::runtime::wait::await_condition(configs, "orders-config", repaired);
    tokio::time::timeout(Duration::from_secs(10), waited).await.expect("repaired in time").unwrap();
}

// R26: one run per spec that shapes the pipeline; other edits run nothing.
#[tokio::test]
async fn a_run_without_schedule_runs_once_for_each_pipeline() {
    let world = World::new("oneshot").await;
    let _operator = world.operator(&[]);
    world.create("once", json!({})).await;
    world.run_when("once", "done", |run| status(run).phase == Some(Phase::Succeeded)).await;
    assert_eq!(world.job_names("once").await, ["once-gen1"]);

    world.patch("once", json!({ "spec": { "successfulJobsHistoryLimit": 5, "teardownOnDelete": false } })).await;
    world.run_when("once", "looked at", |run| status(run).observed_generation == Some(2)).await;
    world.patch("once", json!({ "spec": { "image": "example.org/marmot:newer" } })).await;
    let again = |run: &crds::Run| status(run).last_result.is_some_and(|result| result.job == "once-gen3");
    world.run_when("once", "run again", again).await;
    assert_eq!(world.job_names("once").await, ["once-gen1", "once-gen3"]);
}

// R27, R28: the annotation starts a run at once and goes; the Job goes 60 s after it finished.
#[tokio::test]
async fn a_trigger_runs_at_once_and_its_job_goes_after_a_minute() {
    let world = World::new("trigger").await;
    let mut operator = world.operator(&[]);
    world.create("orders", json!({ "schedule": "0 0 1 1 *", "suspend": true })).await;
    world.run_when("orders", "suspended", |run| status(run).phase == Some(Phase::Suspended)).await;
    world.trigger("orders").await;
    let job = world.job_when("orders-trigger-1", "finished", finished).await;
    let run = world.run_when("orders", "done", |run| status(run).last_result.is_some()).await;
    assert!(!run.annotations().contains_key(crds::TRIGGER_ANNOTATION));
    assert_eq!(status(&run).last_schedule_time, None, "a trigger does not move the mark");
    assert_eq!(status(&run).trigger_count, Some(1));

    // The operator in charge of the clean-up is not the one that made the Job.
    operator.kill();
    let _operator = world.operator(&["--leader-elect=false"]);
    let conditions = job.status.unwrap().conditions.unwrap();
    let end = conditions.iter().find(|condition| condition.type_ == "Complete").unwrap();
    let end = end.last_transition_time.as_ref().unwrap().0;
    world.job_gone("orders-trigger-1").await;
    let kept = Timestamp::now().duration_since(end);
    assert!((60..66).contains(&kept.as_secs()), "kept for {kept:?}");
}

// R17: a tick that comes due while a run is unfinished is consumed and stands in the ledger.
#[tokio::test]
async fn forbid_consumes_ticks_and_says_so() {
    let world = World::new("forbid").await;
    let _operator = world.operator(&[]);
    let slow = json!({ "test.marmotdata.io/outcome": "never" });
    world.create("orders", json!({ "schedule": "@every 4s", "podAnnotations": slow })).await;
    let skipped = |run: &crds::Run| status(run).skipped_ticks.iter().any(|skipped| skipped.count >= 2);
    let run = world.run_when("orders", "two ticks consumed", skipped).await;
    let ledger = status(&run).skipped_ticks;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!(ledger[0].reason, "ConcurrencyForbidden");
    assert_eq!(world.job_names("orders").await.len(), 1);
    assert_eq!(status(&run).phase, Some(Phase::Running));
}

// R18: the unfinished run makes way.
#[tokio::test]
async fn replace_stops_the_unfinished_run() {
    let world = World::new("replace").await;
    let _operator = world.operator(&[]);
    let slow = json!({ "test.marmotdata.io/outcome": "never" });
    let spec = json!({ "schedule": "@every 8s", "concurrencyPolicy": "Replace", "podAnnotations": slow });
    let created = world.create("orders", spec).await;
    let first = created.creation_timestamp().unwrap().0.as_second() + 8;
    let second = |run: &crds::Run| {
        let jobs = status(run).active_jobs;
        jobs.iter().any(|job| !job.finished && job.name != tick_name("orders", first))
    };
    let run = world.run_when("orders", "the second run active", second).await;
    assert_eq!(status(&run).last_result.unwrap().outcome, Outcome::Killed);
    world.job_gone(&tick_name("orders", first)).await;
}

// R19, R14: suspension stops ticks; its end does not run the past.
#[tokio::test]
async fn a_suspended_run_rests_and_does_not_catch_up() {
    let world = World::new("suspend").await;
    let _operator = world.operator(&[]);
    world.create("orders", json!({ "schedule": "@every 3s", "suspend": true })).await;
    let run = world.run_when("orders", "suspended", |run| status(run).phase == Some(Phase::Suspended)).await;
    let version = run.resource_version();
    // The ticks of another Run tell that time has passed.
    world.create("witness", json!({ "schedule": "@every 3s", "concurrencyPolicy": "Allow" })).await;
    let thrice = |run: &crds::Run| {
        let since = run.creation_timestamp().unwrap().0;
        status(run).last_schedule_time.is_some_and(|mark| mark.0.duration_since(since).as_secs() >= 9)
    };
    world.run_when("witness", "run three times", thrice).await;
    let rested = world.runs().get("orders").await.unwrap();
    assert_eq!(rested.resource_version(), version, "no writes while suspended (R7)");
    assert!(world.job_names("orders").await.is_empty());

    world.patch("orders", json!({ "spec": { "suspend": false } })).await;
    let run = world.run_when("orders", "run again", |run| status(run).last_result.is_some()).await;
    let ledger = status(&run).skipped_ticks;
    assert_eq!(ledger[0].reason, "Suspended");
    assert!(ledger[0].count >= 2, "{ledger:?}");
}

// R29: successes and failures are kept apart.
#[tokio::test]
async fn history_keeps_as_many_as_asked_for() {
    let world = World::new("history").await;
    let _operator = world.operator(&[]);
    let spec = json!({ "schedule": "@every 5s", "successfulJobsHistoryLimit": 1 });
    world.create("orders", spec).await;
    let run = world.run_when("orders", "run once", |run| status(run).last_result.is_some()).await;
    let first = status(&run).last_result.unwrap().job;
    let settled = status(&run).active_jobs.iter().find(|job| job.name == first).unwrap().settled_at.0;
    world.job_gone(&first).await;
    let kept = Timestamp::now().duration_since(settled);
    assert!(kept.as_secs() >= 60, "not before the prune floor has passed (R33): {kept:?}");
}

// R3, R40: a schedule that cannot be read is a condition, and stops nobody else.
#[tokio::test]
async fn a_bad_schedule_is_a_condition_that_points() {
    let world = World::new("bad").await;
    let _operator = world.operator(&[]);
    world.create("bad", json!({ "schedule": "0 24 * * *" })).await;
    world.create("good", json!({})).await;
    let ready = |run: &crds::Run| status(run).conditions.iter().any(|condition| condition.type_ == "Ready");
    let run = world.run_when("bad", "reported on", ready).await;
    let conditions = status(&run).conditions;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "InvalidSchedule"));
    assert!(ready.message.contains("hour: 24 is above 23 (position 3)"), "{}", ready.message);
    world.run_when("good", "done", |run| status(run).phase == Some(Phase::Succeeded)).await;
}

// R10: a foreign Job of the name is left alone and reported.
#[tokio::test]
async fn a_foreign_job_of_the_name_is_left_alone() {
    let world = World::new("conflict").await;
    let foreign = json!({
        "metadata": { "name": "once-gen1" },
        "spec": { "suspend": true, "template": { "spec": {
            "restartPolicy": "Never", "containers": [{ "name": "x", "image": "example.org/x:1" }],
        } } },
    });
    let foreign = world.jobs().create(&PostParams::default(), &serde_json::from_value(foreign).unwrap()).await.unwrap();
    let _operator = world.operator(&[]);
    world.create("once", json!({})).await;
    let refused = |run: &crds::Run| {
        let ready = status(run).conditions.into_iter().find(|condition| condition.type_ == "Ready");
        ready.is_some_and(|ready| ready.status == "False" && ready.message.contains("once-gen1"))
    };
    world.run_when("once", "refused", refused).await;
    assert_eq!(world.jobs().get("once-gen1").await.unwrap().uid(), foreign.uid());

    // Out of the way, the run starts.
    world.jobs().delete("once-gen1", &DeleteParams::background()).await.unwrap();
    world.run_when("once", "done", |run| status(run).phase == Some(Phase::Succeeded)).await;
}

// R15, R34: after kill -9 the newest missed tick runs, the others stand in the ledger, and nothing runs twice.
#[tokio::test]
async fn what_was_missed_is_caught_up_once() {
    let world = World::new("downtime").await;
    let mut operator = world.operator(&[]);
    world.create("orders", json!({ "schedule": "@every 3s", "concurrencyPolicy": "Allow" })).await;
    world.run_when("orders", "run once", |run| status(run).last_result.is_some()).await;
    operator.kill();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let _operator = world.operator(&["--leader-elect=false"]);
    let run = world.run_when("orders", "caught up", |run| !status(run).skipped_ticks.is_empty()).await;
    let ledger = status(&run).skipped_ticks;
    assert_eq!(ledger[0].reason, "Missed", "{ledger:?}");
    assert!(ledger[0].count >= 1);
    world.job_when(&tick_name("orders", ledger[0].to.0.as_second() + 3), "made", |_| true).await;
}

// R35: SIGTERM hands over within a second, and the ticks go on.
#[tokio::test]
async fn sigterm_hands_over() {
    let world = World::new("handover").await;
    let mut first = world.operator(&[]);
    world.create("orders", json!({ "schedule": "@every 5s", "concurrencyPolicy": "Allow" })).await;
    world.run_when("orders", "run once", |run| status(run).last_result.is_some()).await;
    let _second = world.operator(&[]);
    first.terminate();
    let mark = status(&world.runs().get("orders").await.unwrap()).last_schedule_time;
    let moved = |run: &crds::Run| status(run).last_schedule_time > mark;
    let run = world.run_when("orders", "run by the second", moved).await;
    assert!(status(&run).skipped_ticks.is_empty(), "{:?}", status(&run).skipped_ticks);
}

// Deleting a Run takes its ConfigMap and its Jobs with it.
#[tokio::test]
async fn a_deleted_run_leaves_nothing() {
    let world = World::new("delete").await;
    let _operator = world.operator(&[]);
    world.create("once", json!({})).await;
    world.run_when("once", "done", |run| status(run).phase == Some(Phase::Succeeded)).await;
    world.runs().delete("once", &DeleteParams::default()).await.unwrap();
    world.job_gone("once-gen1").await;
}

#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
fn tick_name(run: &str, second: i64) -> String {
    scheduler::names::scheduled(run, Timestamp::from_second(second).unwrap())
}

// R37: clear-text credentials work as documented, with a warning that names the field and not the value.
#[tokio::test]
async fn a_secret_in_clear_text_is_warned_of() {
    let world = World::new("secret").await;
    let _operator = world.operator(&[]);
    let run = json!({
        "apiVersion": "runs.marmotdata.io/v1alpha1", "kind": "Run", "metadata": { "name": "once" },
        "spec": { "teardownOnDelete": false, "runs": [{ "postgresql": { "password": "hunter2" } }] },
    });
    world.runs().create(&PostParams::default(), &serde_json::from_value(run).unwrap()).await.unwrap();
    let run = world.run_when("once", "done", |run| status(run).phase == Some(Phase::Succeeded)).await;
    let ready = status(&run).conditions.into_iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", "ClearTextCredentials"));
    assert!(ready.message.contains("spec.runs[0].postgresql.password") && !ready.message.contains("hunter2"));
}
