//! helm itself, against a real API server: what docs/install.md promises of installing, upgrading, taking over and
//! uninstalling. The CRD comes and goes, so the cluster is this test's own.

use std::process::Output;

use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::support::cluster::Cluster;
use crate::{chart, helm};

type Crd = k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

const CRD: &str = "runs.runs.marmotdata.io";

/// `helm ARGS` for the release of the tests, which lives in `default`.
fn helm(cluster: &Cluster, args: &[&str]) -> Output {
    let mut command = helm::program("helm");
    command.arg("--kubeconfig").arg(&cluster.kubeconfig).args(args).output().expect("helm can be started")
}

fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", helm::text(&output.stdout), helm::text(&output.stderr));
    helm::text(&output.stdout)
}

fn install(cluster: &Cluster, command: &str, more: &[&str]) -> Output {
    let chart = chart().display().to_string();
    helm(cluster, &[&[command, helm::RELEASE, &chart, "--set", "operator.enabled=true"][..], more].concat())
}

/// The CRD as an older operator's chart leaves it: without our fields, and belonging to no release.
async fn install_old_crd(client: &Client) -> Api<Crd> {
    let mut crd = serde_json::to_value(crds::crd()).unwrap();
    let version = &mut crd["spec"]["versions"][0];
    let spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"].as_object_mut().unwrap();
    // Rules name the fields that go.
    spec.remove("x-kubernetes-validations");
    assert!(spec["properties"].as_object_mut().unwrap().remove("timeZone").is_some());
    version["additionalPrinterColumns"].as_array_mut().unwrap().truncate(5);
    let crds: Api<Crd> = Api::all(client.clone());
    let crd: Crd = serde_json::from_value(crd).unwrap();
    crds.create(&PostParams::default(), &crd).await.expect("the old CRD is created");
    let established = kube::runtime::conditions::is_crd_established();
    kube::runtime::wait::await_condition(crds.clone(), CRD, established).await.expect("the CRD is established");
    crds
}

async fn knows_time_zones(crds: &Api<Crd>) -> bool {
    let crd = serde_json::to_value(crds.get(CRD).await.expect("the CRD is there")).unwrap();
    crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/timeZone").is_some()
}

#[tokio::test]
async fn the_release_comes_and_goes_and_the_runs_stay() {
    let cluster = Cluster::start(&["--no-kwok"]).unwrap_or_else(|message| panic!("{message}"));
    let client = cluster.client().await;
    let crds = install_old_crd(&client).await;
    let runs: Api<crds::Run> = Api::default_namespaced(client);
    let run = json!({
        "apiVersion": "runs.marmotdata.io/v1alpha1", "kind": "Run", "metadata": { "name": "orders" },
        "spec": { "schedule": "@daily", "runs": [{ "postgresql": {} }] },
    });
    let run: crds::Run = serde_json::from_value(run).unwrap();
    let uid = runs.create(&PostParams::default(), &run).await.expect("the Run is created").metadata.uid;
    let same_run = async || runs.get("orders").await.expect("the Run is there").metadata.uid == uid;

    // Somebody else's CRD is not taken without being told to; the commands are those of docs/install.md.
    let refused = install(&cluster, "install", &[]);
    assert!(helm::text(&refused.stderr).contains("invalid ownership metadata"), "{}", helm::text(&refused.stderr));
    let release = format!("meta.helm.sh/release-name={}", helm::RELEASE);
    let crd = format!("crd/{CRD}");
    let namespace = "meta.helm.sh/release-namespace=default";
    assert!(cluster.kubectl(["annotate", "--overwrite", &crd, &release, namespace]).status.success());
    let label = "app.kubernetes.io/managed-by=Helm";
    assert!(cluster.kubectl(["label", "--overwrite", &crd, label]).status.success());
    let notes = succeeds(&install(&cluster, "install", &[]));
    assert!(notes.contains("watches the Runs of all namespaces"), "{notes}");
    assert!(knows_time_zones(&crds).await && same_run().await);

    // An upgrade updates the CRD too, which helm does not do for one in crds/.
    succeeds(&install(&cluster, "upgrade", &["--set", "operator.jobDefaults.backoffLimit=1"]));
    let limit = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/backoffLimit/default";
    let upgraded = serde_json::to_value(crds.get(CRD).await.unwrap()).unwrap();
    assert_eq!(upgraded.pointer(limit), Some(&json!(1)));

    // Neither switching it off nor uninstalling removes the CRD, and with it every Run.
    succeeds(&install(&cluster, "upgrade", &["--set", "operator.enabled=false"]));
    assert!(same_run().await);
    succeeds(&install(&cluster, "upgrade", &[]));
    let kept = succeeds(&helm(&cluster, &["uninstall", helm::RELEASE]));
    assert!(kept.contains(CRD), "{kept}");
    assert!(knows_time_zones(&crds).await && same_run().await);

    // And back again; then with the flag that newer helms have for taking over.
    succeeds(&install(&cluster, "install", &[]));
    succeeds(&helm(&cluster, &["uninstall", helm::RELEASE]));
    let nobody = json!({ "metadata": { "annotations": null, "labels": null } });
    crds.patch(CRD, &PatchParams::default(), &Patch::Merge(nobody)).await.expect("the CRD is made nobody's");
    succeeds(&install(&cluster, "install", &["--take-ownership"]));
    assert!(same_run().await);
}
