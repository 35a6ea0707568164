//! The operator as a process, and waiting for what it does: on watches, never on luck.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crds::Run;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::{Condition, await_condition};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::cluster::{self, Cluster};

/// Longest wait for anything that is expected to happen.
pub const PATIENCE: Duration = Duration::from_secs(100);

/// A namespace of its own with the CRD installed, and operators that watch only it.
pub struct World {
    /// The cluster it lives in.
    pub cluster: &'static Cluster,
    /// Its namespace.
    pub namespace: String,
    /// A client with all rights.
    pub client: Client,
}

/// An operator process; killed when dropped.
pub struct Operator(Child);

impl World {
    /// A fresh namespace.
    pub async fn new(prefix: &str) -> Self {
        let cluster = cluster::shared().await;
        let client = cluster.client().await;
        Box::pin(install_crd(&client)).await;
        let namespace = cluster.namespace(prefix).await;
        Self { cluster, namespace, client }
    }

    /// Starts an operator for this namespace alone. `more` may say otherwise.
    pub fn operator(&self, more: &[&str]) -> Operator {
        self.operator_by(&self.cluster.kubeconfig, more, Stdio::inherit())
    }

    /// Starts one that reaches the API server by that kubeconfig and logs there.
    pub fn operator_by(&self, kubeconfig: &Path, more: &[&str], log: Stdio) -> Operator {
        let kubeconfig = kubeconfig.to_str().expect("a path in UTF-8");
        let usual = [
            ("--kubeconfig", kubeconfig),
            ("--namespace", &self.namespace),
            ("--leader-election-namespace", &self.namespace),
            ("--metrics-bind-address", "0"),
            ("--health-probe-bind-address", "0"),
            ("--image", "example.org/marmot:test"),
            ("--marmot-url", "http://marmot.test:8080"),
        ];
        let usual = usual.into_iter().filter(|(flag, _)| !more.contains(flag));
        let child = Command::new(env!("CARGO_BIN_EXE_marmot-operator"))
            .arg("operator")
            .args(usual.flat_map(|(flag, value)| [flag, value]))
            .args(more)
            .env("POD_NAMESPACE", &self.namespace)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the operator starts");
        Operator(child)
    }

    /// The Runs of the namespace.
    pub fn runs(&self) -> Api<Run> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The Jobs of the namespace.
    pub fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Any other kind, in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates a Run whose pipeline is one source, with further spec fields.
    pub async fn create(&self, name: &str, mut spec: Value) -> Run {
        spec["runs"] = json!([{ "postgresql": { "host": "db" } }]);
        let run = json!({
            "apiVersion": "runs.marmotdata.io/v1alpha1",
            "kind": "Run",
            "metadata": { "name": name },
            "spec": spec,
        });
        let run: Run = serde_json::from_value(run).expect("the spec is one");
        self.runs().create(&PostParams::default(), &run).await.expect("the Run is created")
    }

    /// Merges a patch into a Run.
    pub async fn patch(&self, name: &str, patch: Value) -> Run {
        self.runs().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.expect("the Run is patched")
    }

    /// Annotates a Run with the trigger.
    pub async fn trigger(&self, name: &str) {
        self.patch(name, json!({ "metadata": { "annotations": { crds::TRIGGER_ANNOTATION: "true" } } })).await;
    }

    /// Waits until a Run is as described, and returns it.
    pub async fn run_when(&self, name: &str, what: &str, is: impl Fn(&Run) -> bool + Send + Sync) -> Run {
        wait_for(self.runs(), name, what, |run: Option<&Run>| run.is_some_and(&is)).await.expect("it was there")
    }

    /// Waits until a Job is as described, and returns it.
    pub async fn job_when(&self, name: &str, what: &str, is: impl Fn(&Job) -> bool + Send + Sync) -> Job {
        wait_for(self.jobs(), name, what, |job: Option<&Job>| job.is_some_and(&is)).await.expect("it was there")
    }

    /// Waits until there is no Run of that name.
    pub async fn run_gone(&self, name: &str) {
        wait_for(self.runs(), name, "gone", |run: Option<&Run>| run.is_none()).await;
    }

    /// Waits until there is no Job of that name.
    pub async fn job_gone(&self, name: &str) {
        wait_for(self.jobs(), name, "gone", |job: Option<&Job>| job.is_none()).await;
    }

    /// Names of the Jobs of a Run, sorted.
    pub async fn job_names(&self, run: &str) -> Vec<String> {
        let selector = ListParams::default().labels(&format!("{}={run}", crds::RUN_LABEL));
        let jobs = self.jobs().list(&selector).await.expect("Jobs are listed");
        let mut names: Vec<String> = jobs.items.into_iter().filter_map(|job| job.metadata.name).collect();
        names.sort();
        names
    }
}

impl Operator {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// SIGTERM; returns once the process has ended.
    pub fn terminate(&mut self) {
        let status = Command::new("kill").arg(self.0.id().to_string()).status().expect("kill runs");
        assert!(status.success());
        let ended = self.0.wait().expect("the operator ends");
        assert!(ended.success(), "the operator ended with {ended}");
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The status of a Run, empty if it has none yet.
pub fn status(run: &Run) -> crds::RunStatus {
    run.status.clone().unwrap_or_default()
}

/// The condition `Ready` has this reason.
pub fn is_ready_for(run: &Run, reason: &str) -> bool {
    let conditions = status(run).conditions;
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.reason == reason)
}

/// A Job has the condition `Complete` or `Failed`.
pub fn finished(job: &Job) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ends = |kind: &str| kind == "Complete" || kind == "Failed";
    conditions.into_iter().flatten().any(|condition| ends(&condition.type_) && condition.status == "True")
}

async fn wait_for<K>(api: Api<K>, name: &str, what: &str, is: impl Condition<K> + Send) -> Option<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    let waited = tokio::time::timeout(PATIENCE, await_condition(api.clone(), name, is)).await;
    let Ok(found) = waited else { panic!("{name} never was: {what}; it is {:#?}", api.get_opt(name).await) };
    found.expect("the watch goes on")
}

async fn install_crd(client: &Client) {
    static INSTALLED: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    let install = async {
        let crds: Api<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition> =
            Api::all(client.clone());
        let name = "runs.runs.marmotdata.io";
        let params = PatchParams::apply("tests").force();
        crds.patch(name, &params, &Patch::Apply(crds::crd())).await.expect("the CRD is applied");
        let established = kube::runtime::conditions::is_crd_established();
        let waited = tokio::time::timeout(PATIENCE, await_condition(crds, name, established)).await;
        waited.expect("the CRD is established in time").expect("the watch goes on");
        // Established is a little earlier than served, and served a second or two earlier than published.
        let runs: Api<Run> = Api::all(client.clone());
        let served = async || runs.list(&ListParams::default().limit(1)).await.is_ok();
        while !served().await || marmot_operator::preflight::check(client, "").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    Box::pin(INSTALLED.get_or_init(|| install)).await;
}
