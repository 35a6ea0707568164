//! Runs whose pods do not start (R41).

mod support;

use serde_json::json;
use support::operator::{World, is_ready_for, status};

// R41: the reason stands in the Run, in words, while the pod waits; a schedule goes on.
#[tokio::test]
async fn a_pod_that_does_not_start_is_explained() {
    let world = World::new("pending").await;
    let _operator = world.operator(&[]);
    world.create("stuck", json!({ "nodeSelector": { "no-such": "node" }, "teardownOnDelete": false })).await;
    let run = world.run_when("stuck", "explained", |run| is_ready_for(run, "PodPending")).await;
    let ready = status(&run).conditions.into_iter().find(|condition| condition.type_ == "Ready").expect("there is one");
    assert!(ready.message.contains("Unschedulable: 0/"), "{}", ready.message);
    assert_eq!(status(&run).active, Some(1));
}

// R41: without its ServiceAccount a Job has no pods at all. (The test's API server does not look for it; a quota does.)
#[tokio::test]
async fn a_job_without_pods_is_explained() {
    let world = World::new("no-pod").await;
    let quota = json!({ "metadata": { "name": "none" }, "spec": { "hard": { "pods": "0" } } });
    let quota = serde_json::from_value(quota).expect("a quota");
    let quotas = world.api::<k8s_openapi::api::core::v1::ResourceQuota>();
    quotas.create(&kube::api::PostParams::default(), &quota).await.expect("the quota is created");
    let full = |quota: Option<&k8s_openapi::api::core::v1::ResourceQuota>| {
        quota.is_some_and(|quota| quota.status.as_ref().is_some_and(|status| status.hard.is_some()))
    };
    kube::runtime::wait::await_condition(quotas, "none", full).await.expect("the quota counts");
    let _operator = world.operator(&[]);
    world.create("stuck", json!({ "teardownOnDelete": false })).await;
    let run = world.run_when("stuck", "explained", |run| is_ready_for(run, "PodPending")).await;
    let ready = status(&run).conditions.into_iter().find(|condition| condition.type_ == "Ready").expect("there is one");
    assert!(ready.message.contains("kubectl describe job"), "{}", ready.message);
}
