//! Where Marmot is, when no flag says it: the Service of its chart in the operator's own namespace (R16, R41).

mod support;

use crds::Run;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use support::operator::{World, is_ready_for, status};

fn host(job: &Job) -> Option<String> {
    let pod = job.spec.as_ref()?.template.spec.as_ref()?;
    let env = pod.containers.first()?.env.as_ref()?;
    env.iter().find(|variable| variable.name == "MARMOT_HOST")?.value.clone()
}

// R16, R41: not found is a condition, and the tick is told; found, and found elsewhere, it is followed.
#[tokio::test]
async fn marmot_is_found_by_its_service_and_followed() {
    let world = World::new("marmot").await;
    let _operator = world.operator(&["--marmot-url", ""]);
    world.create("orders", json!({ "schedule": "@every 2s", "teardownOnDelete": false })).await;
    let without = |run: &Run| {
        is_ready_for(run, "NoMarmot") && status(run).skipped_ticks.iter().any(|skipped| skipped.reason == "NoMarmot")
    };
    world.run_when("orders", "without Marmot", without).await;
    assert!(world.job_names("orders").await.is_empty());
    world.create("once", json!({ "teardownOnDelete": false })).await;
    world.run_when("once", "without Marmot", |run| is_ready_for(run, "NoMarmot")).await;

    let services = world.api::<Service>();
    let service = json!({
        "metadata": { "name": "catalog", "labels": { "app.kubernetes.io/name": "marmot" } },
        "spec": { "ports": [{ "name": "http", "port": 8080 }] },
    });
    services.create(&PostParams::default(), &serde_json::from_value(service).unwrap()).await.unwrap();
    let job = world.job_when("once-gen1", "made", |_| true).await;
    assert_eq!(host(&job), Some(format!("http://catalog.{}.svc:8080", world.namespace)));
    world.run_when("orders", "armed", |run| is_ready_for(run, "Scheduled")).await;

    let moved = json!({ "spec": { "ports": [{ "name": "http", "port": 80 }] } });
    services.patch("catalog", &PatchParams::default(), &Patch::Merge(&moved)).await.unwrap();
    let elsewhere = format!("http://catalog.{}.svc:80", world.namespace);
    let jobs = world.jobs();
    let config = kube::runtime::watcher::Config::default().labels(&format!("{}=orders", crds::RUN_LABEL));
    let mut watch = std::pin::pin!(kube::runtime::watcher(jobs, config));
    let followed = async {
        use futures::TryStreamExt as _;
        use kube::runtime::watcher::Event;
        while let Some(event) = watch.try_next().await.unwrap() {
            let (Event::Apply(job) | Event::InitApply(job)) = event else { continue };
            if host(&job).as_ref() == Some(&elsewhere) {
                return;
            }
        }
    };
    tokio::time::timeout(support::operator::PATIENCE, followed).await.expect("Jobs use the new port");

    services.delete("catalog", &DeleteParams::default()).await.unwrap();
    world.run_when("orders", "without Marmot again", |run| is_ready_for(run, "NoMarmot")).await;
}
