//! The real API server takes what the chart renders, where Pod Security `restricted` is enforced.

use crds::Run;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams, ValidationDirective};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use marmot_operator::defaults::JobDefaults;
use marmot_operator::objects::{self, Defaults};
use rstest::rstest;
use scheduler::decision::JobOrder;
use scheduler::state::RunKind;
use serde_json::{Value, json};

use crate::helm;
use crate::support::cluster::shared;

/// Kinds of the Prometheus operator, which a test cluster does not have; helm-unittest looks at them.
const FOREIGN: &str = "monitoring.coreos.com/v1";

/// A namespace that refuses pods which are not `restricted`.
async fn restricted_namespace() -> (Client, String) {
    let cluster = shared().await;
    let (client, name) = (cluster.client().await, cluster.namespace("chart").await);
    let labels = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } });
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.patch(&name, &PatchParams::default(), &Patch::Merge(labels)).await.expect("the namespace is labelled");
    (client, name)
}

/// Has the server judge an object, and refuse fields it does not know, without storing it.
async fn try_object(client: &Client, object: &Value) -> Result<(), String> {
    send(client, object, true).await
}

/// Stores an object.
pub(crate) async fn apply(client: &Client, object: &Value) -> Result<(), String> {
    send(client, object, false).await
}

async fn send(client: &Client, object: &Value, dry_run: bool) -> Result<(), String> {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let (group, version) = version.split_once('/').unwrap_or(("", &version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
    let name = object["metadata"]["name"].as_str().expect("an object has a name");
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let params = PatchParams {
        dry_run,
        force: true,
        field_manager: Some("helm".to_owned()),
        field_validation: Some(ValidationDirective::Strict),
    };
    let answer = api.patch(name, &params, &Patch::Apply(object)).await;
    answer.map(|_| ()).map_err(|error| format!("{kind} {name}: {error}"))
}

/// Has the server judge a pod: Pod Security looks at pods, not at what makes them.
async fn try_pod(client: &Client, namespace: &str, template: &Value) -> Result<(), String> {
    let pod = json!({
        "metadata": { "name": "x", "labels": template["metadata"]["labels"] },
        "spec": template["spec"],
    });
    let pod: Pod = serde_json::from_value(pod).map_err(|error| error.to_string())?;
    let params = PostParams { dry_run: true, field_manager: None };
    let answer = Api::<Pod>::namespaced(client.clone(), namespace).create(&params, &pod).await;
    answer.map(|_| ()).map_err(|error| format!("pod of {namespace}: {error}"))
}

/// The file that the operator reads.
pub(crate) fn job_defaults(objects: &[Value]) -> &str {
    let file = objects.iter().find_map(|object| object["data"]["job-defaults.yaml"].as_str());
    file.expect("there is a ConfigMap with the defaults of Jobs")
}

/// The Job of a Run that says nothing itself, under the defaults that the chart gives the operator.
fn job(objects: &[Value], namespace: &str) -> Value {
    let path = std::env::temp_dir().join(format!("{namespace}-job-defaults.yaml"));
    std::fs::write(&path, job_defaults(objects)).unwrap();
    let job = JobDefaults::load(&path).unwrap_or_else(|error| panic!("{error}"));
    std::fs::remove_file(path).unwrap();
    let run: Run = serde_json::from_value(json!({
        "apiVersion": "runs.marmotdata.io/v1alpha1", "kind": "Run",
        "metadata": { "name": "orders", "namespace": namespace, "uid": "1" },
        "spec": { "runs": [{ "postgresql": {} }] },
    }))
    .unwrap();
    let order = JobOrder {
        name: "orders-gen1".to_owned(),
        kind: RunKind::OneShot,
        tick: None,
        attempt: 1,
        closes_at: jiff::Timestamp::MAX,
    };
    let defaults = Defaults { image: "example.com/marmot:1".to_owned(), job, ..Defaults::default() };
    let mut job = serde_json::to_value(objects::job(&run, &order, &defaults)).unwrap();
    job["apiVersion"] = json!("batch/v1");
    job["kind"] = json!("Job");
    job
}

const DIGEST: &str = "operator.image.digest=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

// R8
#[rstest]
#[case::default(&["operator.enabled=true"])]
#[case::everything(helm::EVERYTHING)]
#[case::one_namespace(&["operator.enabled=true", "operator.watchNamespace=NAMESPACE", "operator.replicas=2"])]
#[case::alone_and_silent(&[
    "operator.enabled=true", "operator.leaderElect=false", "operator.metricsBindAddress=0",
    "operator.healthProbeBindAddress=0", "operator.networkPolicy.enabled=true",
])]
#[case::into_given_accounts(&[
    "operator.enabled=true", "crd.install=false", "operator.rbac.create=false", "operator.rbac.aggregate=false",
    "operator.serviceAccount.create=false", "operator.serviceAccount.name=given",
    "operator.ingest.serviceAccount.create=false", "operator.runner.enabled=false",
])]
#[case::other_names(&["operator.enabled=true", "fullnameOverride=other", "nameOverride=thing", "operator.image.tag=v1", DIGEST])]
#[case::go_values(&["@tests/values/go-operator.yaml", "operator.watchNamespace=NAMESPACE"])]
#[case::no_job_defaults(&[
    "operator.enabled=true", "operator.jobDefaults.resources=null", "operator.jobDefaults.backoffLimit=null",
    "operator.jobDefaults.activeDeadlineSeconds=null", "operator.ingest.serviceAccount.namespaces={NAMESPACE,default}",
])]
#[tokio::test]
async fn the_api_server_takes_all_of_it(#[case] set: &[&str]) {
    let (client, namespace) = restricted_namespace().await;
    let set: Vec<String> = set.iter().map(|set| set.replace("NAMESPACE", &namespace)).collect();
    let set: Vec<&str> = set.iter().map(String::as_str).collect();
    let objects = helm::render_in(&namespace, &set);
    let job = job(&objects, &namespace);
    let mut refused = Vec::new();
    for object in objects.iter().chain([&job]).filter(|object| object["apiVersion"] != FOREIGN) {
        refused.extend(try_object(&client, object).await.err());
        let template = &object["spec"]["template"];
        if template.is_object() {
            refused.extend(try_pod(&client, &namespace, template).await.err());
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

// What the test above relies on.
#[tokio::test]
async fn the_api_server_does_refuse() {
    let (client, namespace) = restricted_namespace().await;
    let container = json!({ "name": "x", "image": "x" });
    let refusal = try_pod(&client, &namespace, &json!({ "spec": { "containers": [container] } })).await.unwrap_err();
    assert!(refusal.contains("violates PodSecurity \"restricted"), "{refusal}");
    let metadata = json!({ "name": "x", "namespace": namespace });
    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": { "prots": [] } });
    let refusal = try_object(&client, &service).await.unwrap_err();
    assert!(refusal.contains("prots"), "{refusal}");
}
