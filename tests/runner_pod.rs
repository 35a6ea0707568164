//! The runner's pods on the real API server: accepted under restricted Pod Security, and their last words read (R36).
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use crds::{Outcome, Phase, Run, RunResult};
use k8s_openapi::api::core::v1::{Event, Namespace, Pod};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use support::operator::{World, status};

const RUNNER: [&str; 2] = ["--runner-image", "example.org/operator:test"];

/// Runs until the test says otherwise.
fn open() -> Value {
    json!({ "podAnnotations": { "test.marmotdata.io/outcome": "never" }, "backoffLimit": 2 })
}

/// The pod of a Job, once it runs on the fake node.
async fn pod_of(world: &World, job: &str) -> Pod {
    let pods: Api<Pod> = world.api();
    let selector = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    world.job_when(job, "started", |job| job.status.as_ref().is_some_and(|status| status.active == Some(1))).await;
    let pod = pods.list(&selector).await.unwrap().items.remove(0);
    let runs =
        |pod: Option<&Pod>| pod.is_some_and(|pod| pod.status.as_ref().unwrap().phase.as_deref() == Some("Running"));
    let name = pod.name_any();
    let waited = kube::runtime::wait::await_condition(pods, &name, runs);
    tokio::time::timeout(support::operator::PATIENCE, waited).await.expect("it runs in time").unwrap().unwrap()
}

/// What a kubelet reports when the container has ended.
async fn end(world: &World, pod: &Pod, exit_code: i32, message: &str) {
    let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap().to_string();
    let terminated = json!({
        "exitCode": exit_code, "reason": if exit_code == 0 { "Completed" } else { "Error" }, "message": message,
        "startedAt": now, "finishedAt": now,
    });
    let container = json!({
        "name": "marmot-ingest", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "terminated": terminated },
    });
    let phase = if exit_code == 0 { "Succeeded" } else { "Failed" };
    let patch = json!({ "status": { "phase": phase, "containerStatuses": [container] } });
    let pods: Api<Pod> = world.api();
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

fn said(outcome: &str, reason: &str, message: &str) -> String {
    json!({ "outcome": outcome, "reason": reason, "message": message, "counts": { "created": 2 } }).to_string()
}

async fn result_of(world: &World, run: &str) -> (Run, RunResult) {
    let run = world.run_when(run, "ended", |run| status(run).last_result.is_some()).await;
    let result = status(&run).last_result.unwrap();
    (run, result)
}

// R8, R36: the Job and its pod pass the API server and restricted Pod Security, with all that users may set.
#[tokio::test]
async fn the_pod_is_accepted_under_restricted_pod_security() {
    let world = World::new("runner-pod").await;
    let restricted = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } });
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.patch(&world.namespace, &PatchParams::default(), &Patch::Merge(&restricted)).await.unwrap();
    let _operator = world.operator(&RUNNER);
    let mut spec = open();
    spec["env"] = json!([{ "name": "PG", "valueFrom": { "secretKeyRef": { "name": "pg", "key": "password" } } }]);
    spec["envFrom"] = json!([{ "prefix": "DB_", "secretRef": { "name": "db" } }]);
    spec["resources"] = json!({ "limits": { "cpu": "1", "memory": "1Gi" } });
    spec["podSecurityContext"] = json!({ "runAsUser": 1_000_680_000 });
    world.create("once", spec).await;
    let pod = pod_of(&world, "once-gen1").await;
    let command = pod.spec.as_ref().unwrap().containers[0].command.clone().unwrap();
    assert_eq!(command[..3], ["/marmot-runner/marmot-operator", "runner", "ingest"]);
    assert!(command.contains(&"--secret-env=PG".to_owned()) && command.contains(&"--secret-env-from=DB_".to_owned()));
}

// R36: exit code 3 ends the Job at once although it may be retried, and stands in status and events as what it is.
#[tokio::test]
async fn partial_is_not_retried_and_says_why() {
    let world = World::new("runner-partial").await;
    let _operator = world.operator(&RUNNER);
    world.create("once", open()).await;
    let pod = pod_of(&world, "once-gen1").await;
    end(&world, &pod, 3, &said("Partial", "AssetsLost", "2 of 3 discovered assets arrived in Marmot")).await;
    let (run, result) = result_of(&world, "once").await;
    assert_eq!((result.outcome, result.reason.as_deref()), (Outcome::Partial, Some("AssetsLost")));
    assert_eq!(result.message.as_deref(), Some("2 of 3 discovered assets arrived in Marmot"));
    assert_eq!(status(&run).phase, Some(Phase::Failed));
    let events: Api<Event> = world.api();
    let told = |event: &Event| event.message.as_deref().unwrap_or_default().contains("AssetsLost: 2 of 3 discovered");
    let until = tokio::time::Instant::now() + support::operator::PATIENCE;
    while !events.list(&ListParams::default()).await.unwrap().items.iter().any(told) {
        assert!(tokio::time::Instant::now() < until, "no event says so");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

// R36: a success with a reason of its own keeps it; a pod that said nothing leaves the Job's condition.
#[tokio::test]
async fn successes_keep_their_reason_and_silence_leaves_the_jobs_words() {
    let world = World::new("runner-well").await;
    let _operator = world.operator(&RUNNER);
    world.create("empty", open()).await;
    let pod = pod_of(&world, "empty-gen1").await;
    end(&world, &pod, 0, &said("Succeeded", "NoAssets", "the sources hold no assets")).await;
    let (run, result) = result_of(&world, "empty").await;
    assert_eq!((result.outcome, result.reason.as_deref()), (Outcome::Succeeded, Some("NoAssets")));
    assert_eq!(status(&run).phase, Some(Phase::Succeeded));

    world.create("silent", json!({})).await;
    let (_, result) = result_of(&world, "silent").await;
    assert_eq!((result.outcome, result.reason.as_deref()), (Outcome::Succeeded, Some("CompletionsReached")));
}

// R36: the newest of several attempts counts, and pods that are gone leave the Job's condition.
#[tokio::test]
async fn the_last_attempt_counts() {
    let world = World::new("runner-last").await;
    let _operator = world.operator(&RUNNER);
    let mut spec = open();
    spec["backoffLimit"] = json!(0);
    world.create("failed", spec.clone()).await;
    let pod = pod_of(&world, "failed-gen1").await;
    end(&world, &pod, 1, &said("Failed", "Unauthorized", "Marmot answered 401, unauthorized")).await;
    let (_, result) = result_of(&world, "failed").await;
    assert_eq!((result.outcome, result.reason.as_deref()), (Outcome::Failed, Some("Unauthorized")));

    world.create("gone", spec).await;
    let pod = pod_of(&world, "gone-gen1").await;
    let pods: Api<Pod> = world.api();
    // As good as gone: the label by which it would be found is not there, and its Job counts it by another.
    let unlabelled = json!({ "metadata": { "labels": { "batch.kubernetes.io/job-name": null } } });
    pods.patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&unlabelled)).await.unwrap();
    end(&world, &pod, 1, &said("Failed", "Unauthorized", "nobody reads this")).await;
    let (_, result) = result_of(&world, "gone").await;
    assert_eq!((result.outcome, result.reason.as_deref()), (Outcome::Failed, Some("BackoffLimitExceeded")));
}
