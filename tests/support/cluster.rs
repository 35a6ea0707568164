//! A real API server, with controllers and a fake node: see `tests/cluster/README.md`.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

/// The `ServiceAccount` that [`Cluster::namespace`] makes, for the pods of Runs.
pub const SERVICE_ACCOUNT: &str = "marmot-ingest";

/// A running cluster. One that was started here ends when this is dropped or the process ends, in whatever way.
#[derive(Debug)]
pub struct Cluster {
    /// Path of a kubeconfig whose user may do anything.
    pub kubeconfig: PathBuf,
    kubectl: PathBuf,
    supervisor: Option<Child>,
}

/// The cluster of this test binary: the one named by `MARMOT_TEST_KUBECONFIG`, else one started at the first call.
///
/// # Panics
/// When the cluster's programs are not built, or it does not become ready. Every later call repeats the same words.
pub async fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
    let shared = tokio::task::spawn_blocking(|| SHARED.get_or_init(given_or_started)).await;
    match shared.expect("starting the cluster panicked") {
        Ok(cluster) => cluster,
        Err(message) => panic!("{message}"),
    }
}

fn given_or_started() -> Result<Cluster, String> {
    match std::env::var_os("MARMOT_TEST_KUBECONFIG") {
        Some(kubeconfig) => Ok(Cluster { kubeconfig: kubeconfig.into(), kubectl: "kubectl".into(), supervisor: None }),
        None => Cluster::start(&[]),
    }
}

impl Cluster {
    /// Starts a cluster of one's own, for a test that needs a quiet server or means to break it. `options` are those of
    /// `cluster up`. Blocks for about three seconds.
    ///
    /// # Errors
    /// When the programs are not built (the message says how to build them) or the cluster does not become ready.
    pub fn start(options: &[&str]) -> Result<Self, String> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let bin = programs()?;
        let name = format!("cluster-{}-{}", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        // The supervisor ends when its standard input does; only this process holds the other end.
        let mut supervisor = Command::new(bin.join("cluster"))
            .args(["up", "--until-eof", "--state"])
            .arg(&state)
            .args(audit(&name))
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("start the cluster's supervisor: {error}"))?;
        let mut line = String::new();
        let stdout = supervisor.stdout.take().ok_or("the supervisor has no standard output")?;
        let read = BufReader::new(stdout).read_line(&mut line);
        let cluster =
            Self { kubeconfig: state.join("kubeconfig"), kubectl: bin.join("kubectl"), supervisor: Some(supervisor) };
        match read {
            Ok(1..) => Ok(cluster),
            _ => Err("the cluster did not start; standard error says why".to_owned()),
        }
    }

    /// A client with the rights of the kubeconfig's user. Each test needs its own: a client's connections live on the
    /// runtime that made them, and every `#[tokio::test]` has its own runtime.
    ///
    /// # Panics
    /// When the kubeconfig cannot be read.
    pub async fn client(&self) -> Client {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).expect("the kubeconfig can be read");
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let mut config = config.expect("the kubeconfig names a cluster");
        // It is on this machine.
        config.proxy_url = None;
        Client::try_from(config).expect("the kubeconfig makes a client")
    }

    /// Runs kubectl as the kubeconfig's user and waits for it.
    ///
    /// # Panics
    /// When kubectl cannot be started; that it fails is the caller's to see.
    pub fn kubectl<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Output {
        let mut command = Command::new(&self.kubectl);
        if self.supervisor.is_some() {
            // It remembers a server's kinds by address, and ports come again.
            command.env("KUBECACHEDIR", self.kubeconfig.with_file_name("kubectl-cache"));
        }
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(args).stdin(Stdio::null());
        command.output().expect("kubectl can be started")
    }

    /// Makes a namespace that no other test has, with the `ServiceAccount` [`SERVICE_ACCOUNT`], and returns its name.
    ///
    /// # Panics
    /// When the API server refuses.
    pub async fn namespace(&self, prefix: &str) -> String {
        let client = self.client().await;
        let generated = ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() };
        let namespace = Namespace { metadata: generated, ..Namespace::default() };
        let namespace = Api::all(client.clone()).create(&PostParams::default(), &namespace).await;
        let name = namespace.expect("the namespace is created").metadata.name.expect("a stored object has a name");
        let named = ObjectMeta { name: Some(SERVICE_ACCOUNT.to_owned()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata: named, ..ServiceAccount::default() };
        let account = Api::namespaced(client, &name).create(&PostParams::default(), &account).await;
        account.expect("the ServiceAccount is created");
        name
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut supervisor) = self.supervisor.take() {
            // Waiting closes its standard input first, and that ends it.
            let _ = supervisor.wait();
        }
    }
}

/// Options that make the cluster write who asked what into the folder named by `MARMOT_AUDIT_LOGS`; none without it.
fn audit(name: &str) -> Vec<PathBuf> {
    let Some(folder) = std::env::var_os("MARMOT_AUDIT_LOGS").map(PathBuf::from) else { return Vec::new() };
    vec!["--audit-log".into(), folder.join(format!("{name}.log"))]
}

/// The folder of the cluster's programs, helm among them. Building them takes minutes, which a test must not do in
/// silence.
///
/// # Errors
/// When one is missing; the message says how to build it.
pub fn programs() -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/build.sh");
    let output = Command::new(script).arg("--where").output().map_err(|error| format!("build.sh: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    stdout.lines().last().map(PathBuf::from).ok_or_else(|| "build.sh named no folder".to_owned())
}
