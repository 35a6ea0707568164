//! An election on a Lease of its own.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams, PostParams};
use marmot_operator::clock::{Clock, SystemClock};
use marmot_operator::leader::{self, LeaderConfig, Leadership, Term};
use marmot_operator::metrics::Metrics;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A silent leader is dead after this time.
pub const LEASE_DURATION: Duration = Duration::from_secs(3);
/// Name of the Lease.
pub const LEASE: &str = "election";

/// A namespace with its election.
pub struct Election {
    /// Where the API server is.
    pub config: kube::Config,
    /// Where the Lease is.
    pub namespace: String,
    /// All Leases there.
    pub leases: Api<Lease>,
}

/// One stander.
pub struct Candidate {
    /// Its name in the Lease.
    pub identity: String,
    /// What it knows.
    pub leadership: watch::Receiver<Leadership>,
    /// Makes it give the lease back and end.
    pub release: CancellationToken,
    /// Its metrics.
    pub metrics: Arc<Metrics>,
    /// It runs in here.
    pub task: JoinHandle<()>,
}

impl Election {
    /// A namespace of its own.
    pub async fn new() -> Self {
        let cluster = super::cluster::shared().await;
        let kubeconfig = kube::config::Kubeconfig::read_from(&cluster.kubeconfig).unwrap();
        let options = kube::config::KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        let namespace = cluster.namespace("leader").await;
        let leases = Api::namespaced(cluster.client().await, &namespace);
        Self { config, namespace, leases }
    }

    /// A candidate.
    pub fn candidate(&self, identity: &str) -> Candidate {
        self.candidate_with(identity, Arc::new(SystemClock))
    }

    /// A candidate with a clock of its own.
    pub fn candidate_with(&self, identity: &str, clock: Arc<dyn Clock>) -> Candidate {
        let config = LeaderConfig {
            namespace: self.namespace.clone(),
            lease_name: LEASE.to_owned(),
            identity: identity.to_owned(),
            lease_duration: LEASE_DURATION,
            renew_deadline: Duration::from_secs(2),
            retry_period: Duration::from_millis(500),
        };
        let (release, metrics) = (CancellationToken::new(), Arc::new(Metrics::new()));
        let (leadership, task) =
            leader::run(config, self.config.clone(), clock, release.clone(), metrics.clone()).unwrap();
        Candidate { identity: identity.to_owned(), leadership, release, metrics, task }
    }

    /// Creates the Lease.
    pub async fn create(&self, spec: serde_json::Value) {
        let lease = json!({"metadata": {"name": LEASE}, "spec": spec});
        self.leases.create(&PostParams::default(), &serde_json::from_value(lease).unwrap()).await.unwrap();
    }

    /// Patches the Lease.
    pub async fn patch(&self, spec: serde_json::Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.leases.patch(LEASE, &PatchParams::default(), &patch).await.unwrap();
    }

    /// The holder of the Lease.
    pub async fn holder(&self) -> String {
        self.leases.get(LEASE).await.unwrap().spec.unwrap().holder_identity.unwrap_or_default()
    }
}

impl Candidate {
    /// The term, when there is one.
    pub async fn leads(&mut self) -> Term {
        let leading = self.leadership.wait_for(|state| state.term().is_some_and(|term| term.holds(&SystemClock)));
        let leading = tokio::time::timeout(Duration::from_secs(20), leading).await.expect("it leads within 20 s");
        leading.unwrap().term().unwrap().clone()
    }

    /// Waits until it stands by behind that leader.
    pub async fn stands_by_behind(&mut self, leader: &str) {
        let behind =
            |state: &Leadership| matches!(state, Leadership::Standby { holder: Some(holder) } if holder == leader);
        let standing_by = self.leadership.wait_for(behind);
        tokio::time::timeout(Duration::from_secs(20), standing_by).await.expect("it stands by within 20 s").unwrap();
    }

    /// It leads.
    pub fn holds(&self) -> bool {
        self.leadership.borrow().term().is_some_and(|term| term.holds(&SystemClock))
    }

    /// Nothing of it runs any more, and nobody was told.
    pub async fn die(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}
