//! One Run's trouble never delays another's tick (R38): Runs whose Jobs are refused, or whose creates hang, beside
//! healthy ones.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crds::Run;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration,
};
use kube::api::PostParams;
use kube::{Api, Client};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use support::operator::{PATIENCE, World, status};
use tokio::net::TcpListener;

const HEALTHY: usize = 5;
const BAD: usize = 100;
const TICKS: i64 = 2;

/// A server that takes every connection and never says a word; counts them.
async fn silent_server() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok(connection) = listener.accept().await {
            connections.push(connection);
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    (port, count)
}

async fn make<K>(client: &Client, object: Value)
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    let object: K = serde_json::from_value(object).unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &object).await.expect("the object is created");
}

/// Creates of Jobs with the label `test/admission: hangs` are never answered; those with `refused` are refused.
async fn admission(client: &Client, namespace: &str, port: u16) {
    let jobs =
        json!([{ "apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"] }]);
    let labelled = |how: &str| json!({ "matchLabels": { "test/admission": how } });
    make::<ValidatingWebhookConfiguration>(
        client,
        json!({
            "metadata": { "name": namespace },
            "webhooks": [{
                "name": "hangs.marmotdata.test",
                "clientConfig": { "url": format!("https://127.0.0.1:{port}/") },
                "rules": jobs,
                "objectSelector": labelled("hangs"),
                "timeoutSeconds": 10,
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }],
        }),
    )
    .await;
    make::<ValidatingAdmissionPolicy>(
        client,
        json!({
            "metadata": { "name": namespace },
            "spec": {
                "matchConstraints": { "resourceRules": jobs, "objectSelector": labelled("refused") },
                "validations": [{ "expression": "false", "message": "never" }],
            },
        }),
    )
    .await;
    make::<ValidatingAdmissionPolicyBinding>(
        client,
        json!({
            "metadata": { "name": namespace },
            "spec": { "policyName": namespace, "validationActions": ["Deny"] },
        }),
    )
    .await;
}

/// Waits until the API server asks the admission for such Jobs.
async fn in_effect(world: &World, how: &str) {
    let job = json!({
        "metadata": { "generateName": "probe-", "labels": { "test/admission": how } },
        "spec": { "template": { "spec": { "restartPolicy": "Never", "containers": [{ "name": "x", "image": "x" }] } } },
    });
    let job = serde_json::from_value(job).unwrap();
    let params = PostParams { dry_run: true, field_manager: None };
    let effect = async {
        // A dry run is stored nowhere.
        while let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(1), world.jobs().create(&params, &job)).await {}
    };
    tokio::time::timeout(PATIENCE, effect).await.expect("the admission is in effect in time");
}

fn mark(run: &Run) -> Option<Timestamp> {
    status(run).last_schedule_time.map(|mark| mark.0)
}

// R38, R39
#[tokio::test(flavor = "multi_thread")]
async fn runs_that_hang_or_are_refused_delay_no_others() {
    let world = World::new("slow").await;
    let (port, connections) = silent_server().await;
    admission(&world.client, &world.namespace, port).await;
    for (how, schedule) in [("hangs", "@every 10s"), ("refused", "@every 30s")] {
        in_effect(&world, how).await;
        for n in 0..BAD {
            let labels = json!({ "test/admission": how });
            let spec = json!({ "schedule": schedule, "concurrencyPolicy": "Allow", "podLabels": labels });
            world.create(&format!("{how}-{n}"), spec).await;
        }
    }
    let probes = connections.load(Ordering::Relaxed);
    let _operator = world.operator(&["--leader-elect=false"]);
    let hang = async {
        while connections.load(Ordering::Relaxed) < probes + BAD {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, hang).await.expect("a hundred creates hang");

    // They are tried again and again; whoever had to wait for them would miss ticks.
    let healthy: Vec<String> = (0..HEALTHY).map(|n| format!("healthy-{n}")).collect();
    for name in &healthy {
        world.create(name, json!({ "schedule": "@every 10s", "concurrencyPolicy": "Allow" })).await;
    }
    let mut ends = Vec::new();
    for name in &healthy {
        let run = world.run_when(name, "scheduled", |run| mark(run).is_some()).await;
        ends.push(mark(&run).unwrap() + SignedDuration::from_secs(10 * TICKS));
    }
    for (name, end) in healthy.iter().zip(ends) {
        let run = world.run_when(name, "some ticks on", |run| mark(run).is_some_and(|mark| mark >= end)).await;
        let skipped = run.status.unwrap_or_default().skipped_ticks;
        assert!(skipped.is_empty(), "{name}: {skipped:?}");
        assert!(!world.job_names(name).await.is_empty(), "{name} has Jobs");
    }
}
