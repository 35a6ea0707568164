//! The check of the CRD against a real API server.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use marmot_operator::admin::Readiness;
use marmot_operator::preflight::{self, Preflight};
use serde_json::Value;

/// The API server publishes a changed schema within a second or so.
async fn until(client: &kube::Client, wanted: impl Fn(&Result<(), Preflight>) -> bool) -> Result<(), Preflight> {
    let changed = async {
        loop {
            let result = preflight::check(client, "https://test").await;
            if wanted(&result) {
                return result;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), changed).await.expect("the schema is published within 20 s")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crd_that_is_missing_or_older_is_recognized_and_waited_for() {
    let start = || support::cluster::Cluster::start(&["--no-kwok", "--no-controller-manager"]);
    let cluster = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
    let client = cluster.client().await;
    assert!(matches!(preflight::check(&client, "https://test").await, Err(Preflight::CrdMissing)));

    let readiness = Readiness::default();
    let gate = readiness.gate("not checked yet");
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { preflight::wait(&client, "https://test", gate).await }
    });

    let apply = async |crd: &Value| {
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        let params = PatchParams::apply("test").force();
        crds.patch("runs.runs.marmotdata.io", &params, &Patch::Apply(crd)).await.unwrap();
    };
    let current = serde_json::to_value(crds::crd()).unwrap();
    let mut older = current.clone();
    let schema = &mut older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    schema["status"]["properties"].as_object_mut().unwrap().remove("claims").expect("status has claims");
    apply(&older).await;
    let outdated = until(&client, |result| matches!(result, Err(Preflight::CrdOutdated(_)))).await.unwrap_err();
    assert!(outdated.to_string().contains("it lacks status.claims)"), "{outdated}");
    assert!(!readiness.missing().is_empty());

    apply(&current).await;
    until(&client, Result::is_ok).await.unwrap();
    tokio::time::timeout(Duration::from_secs(15), waiting).await.expect("the wait ends").unwrap();
    assert!(readiness.missing().is_empty());
}
