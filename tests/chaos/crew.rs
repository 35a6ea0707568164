//! Operator processes as the chart's Deployment would start them, with the rights of the chart's `ServiceAccount`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use marmot_operator::leader::LEASE_NAME;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::cluster::Cluster;
use crate::support::operator::PATIENCE;
use crate::{chart, helm};

/// Duration of the lease in these tests; the renew deadline is 3 s.
pub(crate) const LEASE_DURATION: Duration = Duration::from_secs(5);

/// The operator's program in the folder of the test.
const PROGRAM: &str = "marmot-operator";

const VALUES: &[&str] = &[
    "operator.enabled=true",
    "operator.replicas=3",
    "operator.marmot.url=http://marmot.test:8080",
    "operator.runner.enabled=false",
    "operator.log.level=info\\,marmot_operator::execute=debug",
    "operator.extraArgs[0]=--leader-elect-lease-duration=5s",
    "operator.extraArgs[1]=--leader-elect-renew-deadline=3s",
    "operator.extraArgs[2]=--leader-elect-retry-period=1s",
];

/// A control plane of its own, the chart installed, and the operator's processes.
pub(crate) struct Crew {
    pub(crate) cluster: Cluster,
    pub(crate) client: Client,
    /// Where the Runs are.
    pub(crate) namespace: String,
    folder: PathBuf,
    started: usize,
    members: Vec<Member>,
}

/// One process; killed when dropped.
pub(crate) struct Member {
    /// `POD_NAME`, with which its name in the Lease begins.
    pub(crate) name: String,
    child: Child,
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Member {
    pub(crate) fn signal(&self, signal: Signal) {
        send(i32::try_from(self.child.id()).unwrap(), signal);
    }

    /// Waits for its end, which must be an orderly one.
    pub(crate) async fn ended(mut self) {
        let status = tokio::task::spawn_blocking(move || self.child.wait()).await.unwrap().unwrap();
        assert!(status.success(), "after SIGTERM an operator ended with {status}");
    }
}

fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

impl Crew {
    /// Starts a control plane that forgets nothing, and installs the chart.
    pub(crate) async fn install(folder: &Path) -> Self {
        let cluster = Cluster::start(&["--restart", "--keep-history"]).unwrap_or_else(|message| panic!("{message}"));
        let mut install = helm::program("helm");
        install.arg("--kubeconfig").arg(&cluster.kubeconfig).args(["install", helm::RELEASE]).arg(chart());
        install.args(["--namespace", helm::NAMESPACE, "--create-namespace"]).args(helm::sets(VALUES));
        let installed = install.output().unwrap();
        assert!(installed.status.success(), "{}", helm::text(&installed.stderr));
        let wait = ["wait", "--for=condition=established", "--timeout=60s", "crd/runs.runs.marmotdata.io"];
        assert!(cluster.kubectl(wait).status.success());
        let client = cluster.client().await;
        let namespace = cluster.namespace("chaos").await;
        // A build meanwhile must not change what is tested.
        std::fs::copy(env!("CARGO_BIN_EXE_marmot-operator"), folder.join(PROGRAM)).unwrap();
        let crew = Self { cluster, client, namespace, folder: folder.to_owned(), started: 0, members: Vec::new() };
        crew.write_kubeconfig();
        crew
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.join("operator.kubeconfig")
    }

    fn write_kubeconfig(&self) {
        let args = ["create", "token", helm::RELEASE, "--namespace", helm::NAMESPACE, "--duration=24h"];
        let token = self.cluster.kubectl(args);
        assert!(token.status.success(), "{}", helm::text(&token.stderr));
        let admin = std::fs::read_to_string(&self.cluster.kubeconfig).unwrap();
        let (before, _) = admin.split_once("token:").expect("the kubeconfig ends with a token");
        let text = format!("{before}token: {} }}\n", helm::text(&token.stdout).trim());
        std::fs::write(self.kubeconfig(), text).unwrap();
    }

    /// Starts processes until there are so many. None may have ended by itself.
    pub(crate) fn fill(&mut self, wanted: usize) {
        for member in &mut self.members {
            let ended = member.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended by itself: {ended:?}; see its log", member.name);
        }
        let mut arguments = arguments();
        arguments.extend([format!("--kubeconfig={}", self.kubeconfig().display())]);
        while self.members.len() < wanted {
            self.started += 1;
            let name = format!("operator-{}", self.started);
            let log = File::create(self.folder.join(format!("{name}.log"))).unwrap();
            let child = Command::new(self.folder.join(PROGRAM))
                .args(&arguments)
                .env("POD_NAMESPACE", helm::NAMESPACE)
                .env("POD_NAME", &name)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn();
            self.members.push(Member { name, child: child.expect("the operator starts") });
        }
    }

    /// The place of the leader among the members.
    async fn leader(&self) -> Option<usize> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), helm::NAMESPACE);
        let lease = tokio::time::timeout(Duration::from_secs(2), leases.get(LEASE_NAME)).await.ok()?.ok()?;
        let holder = lease.spec?.holder_identity?;
        self.members.iter().position(|member| process(&holder) == member.name)
    }

    /// Waits until one of the members leads, and returns its place.
    pub(crate) async fn led(&self) -> usize {
        let led = async {
            loop {
                if let Some(leader) = self.leader().await {
                    return leader;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, led).await.expect("somebody leads in time")
    }

    pub(crate) fn member(&self, place: usize) -> &Member {
        &self.members[place]
    }

    pub(crate) fn take(&mut self, place: usize) -> Member {
        self.members.remove(place)
    }

    /// The place of a member that does not lead.
    pub(crate) fn standby(&self, leader: usize) -> Option<usize> {
        (0..self.members.len()).find(|place| *place != leader)
    }

    /// Signals a component of the control plane.
    pub(crate) fn signal_component(&self, name: &str, signal: Signal) {
        let file = self.cluster.kubeconfig.with_file_name(format!("{name}.pid"));
        send(std::fs::read_to_string(file).unwrap().trim().parse().unwrap(), signal);
    }
}

/// The process behind a holder of the Lease.
pub(crate) fn process(holder: &str) -> &str {
    holder.rsplit_once('_').map_or(holder, |(process, _)| process)
}

/// What the chart's container is started with, but for addresses and paths of a pod.
fn arguments() -> Vec<String> {
    let objects = helm::render(VALUES);
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").expect("there is a Deployment");
    let arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
    let arguments = arguments.iter().map(|argument| argument.as_str().unwrap().to_owned());
    let of_the_pod = ["--metrics-bind-address", "--health-probe-bind-address", "--job-defaults"];
    let kept = arguments.filter(|argument| !of_the_pod.iter().any(|own| argument.starts_with(own)));
    kept.chain(["--metrics-bind-address=0".to_owned(), "--health-probe-bind-address=0".to_owned()]).collect()
}
