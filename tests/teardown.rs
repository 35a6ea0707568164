//! The end of a Run on the real API server (R10, R11, R30). What the pods do is asked for by their annotation.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use crds::{Phase, Run};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{DeleteParams, PropagationPolicy};
use kube::{Api, ResourceExt};
use serde_json::json;
use support::operator::{World, finished, is_ready_for, status};

const OUTCOME: &str = "test.marmotdata.io/outcome";

/// A one-shot Run that has run; returns it.
async fn after_a_run(world: &World) -> Run {
    world.create("once", json!({})).await;
    world.run_when("once", "done", |run| status(run).phase == Some(Phase::Succeeded)).await
}

fn teardown(run: &Run, number: i64) -> String {
    scheduler::names::teardown("once", &run.uid().unwrap(), number)
}

/// The pods of this Run end like that from now on.
async fn pods_end(world: &World, outcome: &str) {
    world.patch("once", json!({ "spec": { "podAnnotations": { OUTCOME: outcome }, "backoffLimit": 0 } })).await;
}

async fn delete(world: &World, propagation: PropagationPolicy) {
    let params = DeleteParams { propagation_policy: Some(propagation), ..DeleteParams::default() };
    world.runs().delete("once", &params).await.unwrap();
}

// R30: the Job that removes the assets has no owner, runs before the Run goes, and is put away a minute later.
#[tokio::test]
async fn a_teardown_runs_and_is_put_away() {
    let world = World::new("teardown").await;
    let _operator = world.operator(&[]);
    let run = after_a_run(&world).await;
    assert!(run.finalizers().iter().any(|finalizer| finalizer == crds::FINALIZER));
    delete(&world, PropagationPolicy::Background).await;
    world.run_gone("once").await;
    let job = world.job_when(&teardown(&run, 1), "there", |_| true).await;
    assert!(job.owner_references().is_empty());
    assert_eq!(job.spec.as_ref().unwrap().active_deadline_seconds, Some(600));
    let container = &job.spec.unwrap().template.spec.unwrap().containers[0];
    assert!(container.command.as_ref().unwrap().last().unwrap().contains("once"), "{:?}", container.command);
    let job = world.job_when(&teardown(&run, 1), "finished", finished).await;
    let conditions = job.status.unwrap().conditions.unwrap();
    let end = conditions.iter().find(|condition| condition.type_ == "Complete").unwrap();
    let end = end.last_transition_time.as_ref().unwrap().0;
    world.job_gone(&teardown(&run, 1)).await;
    let kept = Timestamp::now().duration_since(end);
    assert!(kept.as_secs() >= 60, "not before its minute is over: {kept:?}");
    world.job_gone("once-gen1").await;
}

// R30: tried again until it succeeds; the reason and the way out stand in the Run.
#[tokio::test]
async fn a_failed_teardown_is_shown_and_tried_again() {
    let world = World::new("teardown-fails").await;
    let _operator = world.operator(&[]);
    let run = after_a_run(&world).await;
    pods_end(&world, "failure").await;
    // The edit runs the pipeline once more (R26).
    world.run_when("once", "failed", |run| status(run).phase == Some(Phase::Failed)).await;
    delete(&world, PropagationPolicy::Background).await;
    let failed = |run: &Run| is_ready_for(run, "TeardownFailed");
    let stuck = world.run_when("once", "stuck", failed).await;
    let ready = status(&stuck).conditions.into_iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert!(ready.message.contains("teardownOnDelete"), "{}", ready.message);
    let twice =
        |run: &Run| status(run).teardown.is_some_and(|teardown| teardown.attempts == 2 && teardown.retry_at.is_some());
    world.run_when("once", "stuck after the second attempt", twice).await;
    pods_end(&world, "success").await;
    world.run_gone("once").await;
    world.job_when(&teardown(&run, 3), "there", |_| true).await;
}

// R30: the way out, while a teardown that never ends runs.
#[tokio::test]
async fn a_teardown_can_be_called_off() {
    let world = World::new("teardown-off").await;
    let _operator = world.operator(&[]);
    let run = after_a_run(&world).await;
    world.patch("once", json!({ "spec": { "schedule": "0 0 1 1 *", "podAnnotations": { OUTCOME: "never" } } })).await;
    delete(&world, PropagationPolicy::Background).await;
    world.run_when("once", "on its way", |run| is_ready_for(run, "TearingDown")).await;
    world.job_when(&teardown(&run, 1), "there", |_| true).await;
    world.patch("once", json!({ "spec": { "teardownOnDelete": false } })).await;
    world.run_gone("once").await;
    assert!(world.jobs().get_opt(&teardown(&run, 1)).await.unwrap().is_none());
}

// R30: foreground deletion takes the ConfigMap and the Jobs first; orphaning leaves the Jobs behind.
#[tokio::test]
async fn deletion_of_every_kind_ends() {
    for (prefix, propagation, orphans) in
        [("foreground", PropagationPolicy::Foreground, false), ("orphan", PropagationPolicy::Orphan, true)]
    {
        let world = World::new(prefix).await;
        let _operator = world.operator(&[]);
        let run = after_a_run(&world).await;
        delete(&world, propagation).await;
        world.run_gone("once").await;
        world.job_when(&teardown(&run, 1), "there", |_| true).await;
        if orphans {
            world.job_when("once-gen1", "left behind", |job| job.owner_references().is_empty()).await;
        } else {
            world.job_gone("once-gen1").await;
        }
    }
}

// R30: in a namespace that goes nothing can be made; it is not held up.
#[tokio::test]
async fn a_namespace_that_goes_is_not_held_up() {
    let world = World::new("namespace").await;
    // The lease lives elsewhere, as it does in a cluster.
    let _operator = world.operator(&["--leader-election-namespace", "default"]);
    after_a_run(&world).await;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.delete(&world.namespace, &DeleteParams::default()).await.unwrap();
    let gone = kube::runtime::wait::await_condition(namespaces, &world.namespace, |namespace: Option<&Namespace>| {
        namespace.is_none()
    });
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("gone in time").unwrap();
}

// R30: nobody was there when the Run was deleted.
#[tokio::test]
async fn a_deletion_found_at_the_start_is_carried_out() {
    let world = World::new("absent").await;
    let mut operator = world.operator(&[]);
    let run = after_a_run(&world).await;
    operator.kill();
    delete(&world, PropagationPolicy::Background).await;
    let _operator = world.operator(&["--leader-elect=false"]);
    world.run_gone("once").await;
    world.job_when(&teardown(&run, 1), "there", |_| true).await;
}

// R10: the old one is torn down, the new one of its name starts afresh.
#[tokio::test]
async fn a_run_made_again_starts_afresh() {
    let world = World::new("again").await;
    let _operator = world.operator(&[]);
    let first = after_a_run(&world).await;
    delete(&world, PropagationPolicy::Background).await;
    world.run_gone("once").await;
    let second = after_a_run(&world).await;
    assert_ne!(first.uid(), second.uid());
    let job =
        world.job_when("once-gen1", "the new one's", |job| job.owner_references()[0].uid == second.uid().unwrap());
    job.await;
    let config = world.api::<ConfigMap>().get("once-config").await.unwrap();
    assert_eq!(config.owner_references()[0].uid, second.uid().unwrap());
}

// R30: no teardown is wanted, or there is nothing to tear down.
#[tokio::test]
async fn nothing_is_torn_down_without_need() {
    let world = World::new("no-teardown").await;
    let _operator = world.operator(&[]);
    world.create("keep", json!({ "teardownOnDelete": false })).await;
    let kept = world.run_when("keep", "done", |run| status(run).phase == Some(Phase::Succeeded)).await;
    assert!(kept.finalizers().is_empty());
    world.create("armed", json!({ "schedule": "0 0 1 1 *" })).await;
    world.run_when("armed", "armed", |run| status(run).next_schedule_time.is_some()).await;
    for name in ["keep", "armed"] {
        world.runs().delete(name, &DeleteParams::default()).await.unwrap();
        world.run_gone(name).await;
    }
    world.job_gone("keep-gen1").await;
    assert!(world.job_names("keep").await.is_empty() && world.job_names("armed").await.is_empty());
}
