//! Edge cases that only a real API server can show (docs/edge-cases.md).
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use crds::{Phase, Run};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use serde_json::{Value, json};
use support::operator::{World, finished, status};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

// R10, R29: owner and UID decide, neither name nor label; what is pruned takes its pods with it.
#[tokio::test]
async fn jobs_of_others_are_neither_adopted_nor_pruned() {
    let world = World::new("others").await;
    let none = json!({ "teardownOnDelete": false, "successfulJobsHistoryLimit": 0, "failedJobsHistoryLimit": 0 });
    let spec = || none.clone();
    let operator = world.operator(&[]);

    // One of a Run that was deleted and made again, and one of a namesake of another kind.
    world.create("orders", spec()).await;
    let first = world.run_when("orders", "done", |run| status(run).phase == Some(Phase::Succeeded)).await;
    drop(operator);
    let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    world.runs().delete("orders", &orphan).await.unwrap();
    world.run_gone("orders").await;
    // It was orphaned too, and is nobody's now: a user has to take it away, as the Run would say (`NameConflict`).
    world.api::<ConfigMap>().delete("orders-config", &DeleteParams::default()).await.unwrap();
    let owner = json!({ "metadata": { "name": "orders" } });
    let owner = serde_json::from_value::<ConfigMap>(owner).unwrap();
    let owner = world.api::<ConfigMap>().create(&PostParams::default(), &owner).await.unwrap();
    let namesake = json!({
        "metadata": {
            "name": "orders-1",
            "labels": { crds::RUN_LABEL: "orders", crds::MANAGED_BY_LABEL: crds::MANAGED_BY },
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "ConfigMap", "name": "orders", "uid": owner.uid(), "controller": true,
            }],
        },
        "spec": { "template": { "spec": {
            "restartPolicy": "Never", "containers": [{ "name": "x", "image": "example.org/x:1" }],
        } } },
    });
    world.jobs().create(&PostParams::default(), &serde_json::from_value(namesake).unwrap()).await.unwrap();
    let namesake = world.job_when("orders-1", "finished", finished).await;
    let old = world.job_when("orders-gen1", "there", |_| true).await;

    // The old Job's name is the one the new Run needs: it is a foreign one now. An edit needs another name.
    let second = world.create("orders", spec()).await;
    assert_ne!(first.uid(), second.uid());
    world.patch("orders", json!({ "spec": { "image": "example.org/marmot:newer" } })).await;
    let _operator = world.operator(&["--leader-elect=false"]);
    let own = |run: &Run| status(run).last_result.is_some_and(|result| result.job == "orders-gen2");
    let run = world.run_when("orders", "run once", own).await;
    assert_eq!(status(&run).active.unwrap_or_default(), 0);
    world.job_gone("orders-gen2").await;
    for job in [&old, &namesake] {
        let now = world.jobs().get(&job.name_any()).await.unwrap();
        assert_eq!((now.uid(), now.metadata.deletion_timestamp), (job.uid(), None));
    }
    let pods = world.api::<Pod>();
    let of = ListParams::default().labels("job-name=orders-gen2");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !pods.list(&of).await.unwrap().items.is_empty() {
        assert!(Instant::now() < deadline, "the pods of a pruned Job go with it");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

// R8: a Job without the labels by which it is watched is there all the same: they come back, and its end is seen.
#[tokio::test]
async fn the_labels_of_a_running_job_are_put_back() {
    let world = World::new("labels").await;
    let _operator = world.operator(&[]);
    let never = json!({ "test.marmotdata.io/outcome": "never" });
    world.create("orders", json!({ "podAnnotations": never, "teardownOnDelete": false })).await;
    world.run_when("orders", "running", |run| status(run).phase == Some(Phase::Running)).await;
    for (label, value, other) in
        [(crds::MANAGED_BY_LABEL, crds::MANAGED_BY, Value::Null), (crds::KIND_LABEL, "OneShot", json!("Other"))]
    {
        let patch = Patch::Merge(json!({ "metadata": { "labels": { label: other } } }));
        world.jobs().patch("orders-gen1", &PatchParams::default(), &patch).await.unwrap();
        world
            .job_when("orders-gen1", "labelled again", |job| job.labels().get(label).is_some_and(|now| now == value))
            .await;
    }
    world.jobs().delete("orders-gen1", &DeleteParams::background()).await.unwrap();
    world.run_when("orders", "ended", |run| status(run).last_result.is_some()).await;
}

// R8: what belongs to the Run itself stays there.
#[tokio::test]
async fn nothing_of_the_run_itself_is_copied_to_its_jobs() {
    let world = World::new("copies").await;
    let run = json!({
        "apiVersion": "runs.marmotdata.io/v1alpha1", "kind": "Run",
        "metadata": {
            "name": "orders",
            "labels": { "argocd.argoproj.io/instance": "data" },
            "annotations": {
                LAST_APPLIED: "{}", "argocd.argoproj.io/tracking-id": "data:x", crds::TRIGGER_ANNOTATION: "true",
            },
        },
        "spec": {
            "schedule": "0 0 1 1 *", "podAnnotations": { "team": "data" }, "runs": [{ "postgresql": { "host": "db" } }],
        },
    });
    world.runs().create(&PostParams::default(), &serde_json::from_value(run).unwrap()).await.unwrap();
    let _operator = world.operator(&[]);
    let job = world.job_when("orders-trigger-1", "there", |_| true).await;
    let template = job.spec.as_ref().unwrap().template.metadata.clone().unwrap();
    for annotations in [job.annotations(), &template.annotations.unwrap_or_default()] {
        assert_eq!(annotations.get("team").map(String::as_str), Some("data"));
        let others = [LAST_APPLIED, "argocd.argoproj.io/tracking-id", crds::TRIGGER_ANNOTATION];
        assert!(others.iter().all(|other| !annotations.contains_key(*other)), "{annotations:?}");
    }
    for labels in [job.labels(), &template.labels.unwrap_or_default()] {
        assert!(!labels.contains_key("argocd.argoproj.io/instance"), "{labels:?}");
    }
}

// R7, R14, R32: others write to the Run all the time, so that status writes meet conflicts; no tick is lost or doubled.
#[tokio::test]
async fn conflicting_writes_lose_and_double_no_tick() {
    let world = World::new("writers").await;
    let _operator = world.operator(&[]);
    let spec = json!({
        "schedule": "@every 2s", "concurrencyPolicy": "Allow", "successfulJobsHistoryLimit": 1000,
        "podAnnotations": { "test.marmotdata.io/outcome": "fast" },
    });
    let created = world.create("orders", spec).await.creation_timestamp().unwrap().0.as_second();
    let end = Instant::now() + Duration::from_secs(12);
    let mut writes = 0;
    while Instant::now() < end {
        writes += 1;
        world.patch("orders", json!({ "metadata": { "labels": { "writes": writes.to_string() } } })).await;
    }
    println!("{writes} writes beside the operator's");
    let armed = |run: &Run| status(run).last_schedule_time.is_some_and(|mark| mark.0.as_second() >= created + 12);
    world.run_when("orders", "run on", armed).await;
    world.patch("orders", json!({ "spec": { "suspend": true } })).await;
    let run = world.run_when("orders", "suspended", |run| status(run).phase == Some(Phase::Suspended)).await;
    let mark = status(&run).last_schedule_time.unwrap().0.as_second();
    let name = |second: i64| scheduler::names::scheduled("orders", Timestamp::from_second(second).unwrap());
    let mut wanted: Vec<String> = (created..=mark).step_by(2).skip(1).map(name).collect();
    wanted.sort();
    assert_eq!(world.job_names("orders").await, wanted);
    assert_eq!(status(&run).skipped_ticks, Vec::new());
    let text: Value = serde_json::to_value(&run).unwrap();
    assert_eq!(text["metadata"]["labels"]["writes"], writes.to_string(), "nor a write of theirs");
}
