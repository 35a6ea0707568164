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
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use support::operator::{PATIENCE, World, status};
use tokio::net::TcpListener;

const HEALTHY: usize = 5;
const BAD: usize = 100;
const TICKS: i64 = 2;
/// A port on which nobody listens.
const NOBODY: u16 = 1;

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

/// Creates of Jobs with the label `test/admission: hangs` are never answered; for those with `away`, and for the ConfigMap of
/// the Run `away`, nobody is there to ask; those with `refused` are refused.
async fn admission(client: &Client, namespace: &str, port: u16) {
    let creates = |group: &str, resource: &str| {
        let (group, resource) = ([group], [resource]);
        json!([{ "apiGroups": group, "apiVersions": ["v1"], "operations": ["CREATE"], "resources": resource }])
    };
    let jobs = creates("batch", "jobs");
    let labelled = |how: &str| json!({ "matchLabels": { "test/admission": how } });
    let here = json!({ "matchLabels": { "kubernetes.io/metadata.name": namespace } });
    let webhook = |name: &str, port: u16, rules: &Value, selector: &Value| {
        json!({
            "name": format!("{name}.marmotdata.test"),
            "clientConfig": { "url": format!("https://127.0.0.1:{port}/") },
            "rules": rules,
            "namespaceSelector": here,
            "objectSelector": selector,
            "timeoutSeconds": 10,
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        })
    };
    let of_away = json!({ "matchLabels": { crds::RUN_LABEL: "away" } });
    let webhooks = [
        webhook("hangs", port, &jobs, &labelled("hangs")),
        webhook("away", NOBODY, &jobs, &labelled("away")),
        webhook("config", NOBODY, &creates("", "configmaps"), &of_away),
    ];
    make::<ValidatingWebhookConfiguration>(client, json!({ "metadata": { "name": namespace }, "webhooks": webhooks }))
        .await;
    make::<ValidatingAdmissionPolicy>(
        client,
        json!({
            "metadata": { "name": namespace },
            "spec": {
                "matchConstraints": {
                    "resourceRules": jobs,
                    "namespaceSelector": here,
                    "objectSelector": labelled("refused"),
                },
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

/// Waits until so many creates hang.
async fn hang(connections: &AtomicUsize, count: usize) {
    let hang = async {
        while connections.load(Ordering::Relaxed) < count {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, hang).await.expect("the creates hang");
}

/// `Ready` says that the Job is not made, and why.
fn is_told(run: &Run, why: &str) -> bool {
    status(run).conditions.iter().any(|condition| {
        let told = (condition.type_.as_str(), condition.status.as_str(), condition.reason.as_str());
        let message = &condition.message;
        told == ("Ready", "False", "FailedCreate") && message.contains(why) && !message.contains("ApiError")
    })
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
    hang(&connections, probes + BAD).await;

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

// R38: nor under a cap, whose places they keep only until it is known that they have made nothing.
#[tokio::test(flavor = "multi_thread")]
async fn runs_that_hang_do_not_keep_the_places_of_others() {
    let world = World::new("slow").await;
    let (port, connections) = silent_server().await;
    admission(&world.client, &world.namespace, port).await;
    in_effect(&world, "hangs").await;
    let probes = connections.load(Ordering::Relaxed);
    let _operator = world.operator(&["--leader-elect=false", "--max-concurrent-runs=2"]);
    for n in 0..2 {
        let labels = json!({ "test/admission": "hangs" });
        world.create(&format!("hangs-{n}"), json!({ "podLabels": labels, "teardownOnDelete": false })).await;
    }
    hang(&connections, probes + 2).await;
    world.create("healthy", json!({ "teardownOnDelete": false })).await;
    world.job_when("healthy-gen1", "made", |_| true).await;
    world.run_when("hangs-0", "told", |run| is_told(run, "no answer in time")).await;
}

// R39
#[tokio::test(flavor = "multi_thread")]
async fn an_admission_webhook_that_is_away_is_told_until_it_is_mended() {
    let world = World::new("slow").await;
    admission(&world.client, &world.namespace, NOBODY).await;
    in_effect(&world, "away").await;
    let _operator = world.operator(&["--leader-elect=false"]);
    world.create("away", json!({ "teardownOnDelete": false })).await;
    world.create("orders", json!({ "podLabels": { "test/admission": "away" }, "teardownOnDelete": false })).await;
    for (run, object) in [("away", "the ConfigMap"), ("orders", "Job orders-gen1")] {
        let why = format!("{object}: ");
        world.run_when(run, "told", |run| is_told(run, &why) && is_told(run, "failed calling webhook")).await;
    }
    let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(world.client.clone());
    webhooks.delete(&world.namespace, &DeleteParams::default()).await.unwrap();
    for run in ["away", "orders"] {
        world.job_when(&format!("{run}-gen1"), "made", |_| true).await;
        world.run_when(run, "ready", |run| !is_told(run, "")).await;
    }
}
