//! The API server that all contend on, and how the contenders are started.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{conditions, wait::await_condition};

use super::cluster::{self, Cluster};
use super::objects;
use super::process::Process;

/// etcd and kube-apiserver with the CRD of Run; without any controller, unless asked for.
pub(crate) struct ControlPlane {
    cluster: Cluster,
    /// A client with all rights.
    pub(crate) client: Client,
    programs: PathBuf,
    logs: AtomicU32,
}

impl ControlPlane {
    /// Starts it without controllers; it ends when dropped.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_with(&["--no-controller-manager", "--no-kwok"]).await
    }

    /// Starts it with these options of `cluster up`.
    pub(crate) async fn start_with(options: &'static [&'static str]) -> anyhow::Result<Self> {
        let start = || Cluster::start(options);
        let cluster = tokio::task::spawn_blocking(start).await?.map_err(anyhow::Error::msg)?;
        let client = cluster.client().await;
        let programs = cluster::programs().map_err(anyhow::Error::msg)?;
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        let name = "runs.runs.marmotdata.io";
        crds.patch(name, &PatchParams::apply("benches").force(), &Patch::Apply(crds::crd())).await?;
        let established = await_condition(crds, name, conditions::is_crd_established());
        tokio::time::timeout(Duration::from_secs(30), established).await.context("the CRD is not established")??;
        Ok(Self { cluster, client, programs, logs: AtomicU32::new(0) })
    }

    /// What the API server calls itself.
    pub(crate) async fn version(&self) -> anyhow::Result<String> {
        Ok(self.client.apiserver_version().await?.git_version)
    }

    /// A namespace that no other contender has.
    pub(crate) async fn namespace(&self, prefix: &str) -> String {
        self.cluster.namespace(prefix).await
    }

    /// kube-controller-manager with the CronJob controller alone: with the flags it has by default, or with limits out
    /// of its way.
    pub(crate) fn cron_job_controller(&self, raised: bool) -> anyhow::Result<Process> {
        let flags: &[&str] = if raised { &["--concurrent-cron-job-syncs=64"] } else { &[] };
        self.controller_manager("cronjob-controller", flags, raised)
    }

    /// kube-controller-manager with these controllers alone; `raised`: its own rate limit is out of the way.
    pub(crate) fn controller_manager(&self, only: &str, flags: &[&str], raised: bool) -> anyhow::Result<Process> {
        let kubeconfig = self.cluster.kubeconfig.with_file_name("kube-controller-manager.kubeconfig");
        let mut command = Command::new(self.programs.join("kube-controller-manager"));
        command.arg("--kubeconfig").arg(kubeconfig).args(["--leader-elect=false", "--secure-port=0"]);
        command.arg(format!("--controllers={only}")).args(flags);
        command.arg("--flex-volume-plugin-dir").arg(self.cluster.kubeconfig.with_file_name("flex"));
        if raised {
            command.args(["--kube-api-qps=4000", "--kube-api-burst=4000"]);
        }
        self.process(&mut command, "kube-controller-manager")
    }

    /// Kills kube-apiserver, which comes back if the plane was started with `--restart`.
    pub(crate) fn kill_api_server(&self) -> anyhow::Result<()> {
        let pid = std::fs::read_to_string(self.cluster.kubeconfig.with_file_name("kube-apiserver.pid"))?;
        let status = Command::new("kill").args(["-9", pid.trim()]).status()?;
        anyhow::ensure!(status.success(), "kill -9 {}: {status}", pid.trim());
        Ok(())
    }

    /// A replica of this operator for one namespace, as released but for its ports.
    pub(crate) fn operator(&self, namespace: &str) -> anyhow::Result<Process> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_marmot-operator"));
        command.arg("operator").arg("--kubeconfig").arg(&self.cluster.kubeconfig);
        command.args(["--namespace", namespace, "--leader-election-namespace", namespace]);
        command.args(["--metrics-bind-address", "0", "--health-probe-bind-address", "0"]);
        command.args(["--image", objects::IMAGE, "--marmot-url", "http://marmot.bench:8080"]);
        if let Ok(level) = std::env::var("BENCH_LOG_LEVEL") {
            command.args(["--log-level", &level]);
        }
        self.process(&mut command, "operator")
    }

    fn process(&self, command: &mut Command, name: &str) -> anyhow::Result<Process> {
        let number = self.logs.fetch_add(1, Ordering::Relaxed);
        let logs = std::env::var_os("BENCH_LOGS").map(PathBuf::from);
        let file = format!("{number}-{name}.log");
        let log = logs.map_or_else(|| self.cluster.kubeconfig.with_file_name(&file), |folder| folder.join(&file));
        Process::start(command, &log)
    }
}
