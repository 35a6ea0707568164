//! Command line. The flags of `operator` are those of the Go operator with its names, defaults and ports, and more.

#![allow(clippy::doc_markdown, reason = "these docs are the text of --help, where backticks are noise")]

mod value;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use scheduler::caps::Limits;

use crate::cli::explain::ExplainArgs;
use crate::cli::next::NextArgs;
use crate::cli::reach::ReachArgs;
use crate::cli::validate::ValidateArgs;
use crate::leader::{self, LeaderConfig};
use crate::objects::Runner;
use crate::telemetry::LogFormat;
pub use value::Bind;

/// Where a pod finds the name of its namespace.
pub const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// A renewal must fit this many times into the renew deadline, as client-go demands too.
const RETRY_FACTOR: f64 = 1.2;

/// Runs Marmot ingestion pipelines on Kubernetes: on schedules it keeps itself, once, or on demand.
#[derive(Clone, Debug, Parser)]
#[command(name = "marmot-operator", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the operator: watch Runs and start their Jobs
    Operator(Box<OperatorArgs>),
    /// Print the CustomResourceDefinition of Run (`marmot-operator crd | kubectl apply --server-side --force-conflicts -f -`)
    Crd,
    /// Tell why a Run does or does not run, from what the cluster holds
    Explain(ExplainArgs),
    /// Show when a schedule runs next, and what daylight saving does to it
    Next(NextArgs),
    /// Tell whether addresses answer from here; `helm test` asks so for the operator's metrics and Marmot
    Reach(ReachArgs),
    /// Check manifests of Runs without a cluster
    Validate(ValidateArgs),
    /// Run marmot inside an ingestion pod and tell how it really ended; the operator's Jobs call this
    #[command(subcommand)]
    Runner(crate::runner::args::Command),
}

/// Flags of `operator`.
#[derive(Args, Clone, Debug)]
pub struct OperatorArgs {
    /// Watch the Runs of this namespace only; empty: of all
    #[arg(long, default_value = "", value_parser = value::namespace_or_all, value_name = "NAMESPACE")]
    pub namespace: String,

    /// Marmot as the ingestion pods reach it; empty: the Service of Marmot's chart in the operator's own namespace
    #[arg(long, default_value = "http://marmot:8080", value_parser = value::url_or_none, value_name = "URL")]
    pub marmot_url: String,

    /// Image of the ingestion pods; empty: each Run names its own in spec.image
    #[arg(long, default_value = "", value_parser = value::image)]
    pub image: String,

    /// ServiceAccount of the ingestion pods
    #[arg(long, default_value = "marmot-ingest", value_parser = value::service_account, value_name = "NAME")]
    pub ingest_service_account: String,

    /// Image of this operator, for the init container that brings the runner into ingestion pods; empty: pods run marmot
    /// directly, and its errors count as successes
    #[arg(long, default_value = "", value_parser = value::image, value_name = "IMAGE", help_heading = "Runner")]
    pub runner_image: String,

    /// When nodes pull --runner-image [default: Kubernetes decides by the tag]
    #[arg(long, value_parser = ["Always", "IfNotPresent", "Never"], value_name = "POLICY", help_heading = "Runner")]
    pub runner_image_pull_policy: Option<String>,

    /// Secret with the credentials for --runner-image, in every namespace with Runs; may be given more than once
    #[arg(long, value_parser = value::secret, value_name = "NAME", help_heading = "Runner")]
    pub runner_image_pull_secret: Vec<String>,
    /// YAML file with what Runs get that do not say otherwise: resources, backoffLimit, activeDeadlineSeconds, env,
    /// envFrom, volumes and more fields of spec; read once, at the start
    #[arg(long, value_name = "FILE")]
    pub job_defaults: Option<PathBuf>,

    /// Runs that may be unfinished at a time, of all Runs together; those above wait, first due, first served [default: no
    /// limit]
    #[arg(long, value_parser = value::cap, value_name = "N", help_heading = "Caps across Runs")]
    pub max_concurrent_runs: Option<usize>,

    /// Runs that may start within any second, of all Runs together; those above wait, first due, first served [default: no
    /// limit]
    #[arg(long, value_parser = value::cap, value_name = "N", help_heading = "Caps across Runs")]
    pub max_starts_per_second: Option<usize>,

    /// Address of /metrics, as `:port` or `host:port`; 0 turns it off
    #[arg(long, default_value = ":8090", value_name = "ADDRESS", help_heading = "Endpoints")]
    pub metrics_bind_address: Bind,

    /// Show a few metrics of each Run too: last success, last outcome, next tick, failures in a row
    #[arg(long, help_heading = "Endpoints")]
    pub metrics_per_run: bool,

    /// Address of /healthz and /readyz, as `:port` or `host:port`; 0 turns them off
    #[arg(long, default_value = ":8091", value_name = "ADDRESS", help_heading = "Endpoints")]
    pub health_probe_bind_address: Bind,

    /// Serve /debug/runs beside /healthz: wake time, claims and the last decision of each Run, as JSON
    #[arg(long, help_heading = "Endpoints")]
    pub debug_endpoint: bool,

    #[allow(missing_docs, reason = "a doc comment here would become the text of every command's help")]
    #[command(flatten)]
    pub server: ServerArgs,

    #[command(flatten)]
    election: ElectionArgs,

    /// Form of a log line on standard error
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Logs")]
    pub log_format: LogFormat,

    /// What is logged: error, warn, info, debug or trace, also per module (`info,marmot_operator::leader=debug`)
    #[arg(long, default_value = "info", value_parser = value::log_level, value_name = "LEVEL", help_heading = "Logs")]
    pub log_level: String,
}

/// Flags that name an API server.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "API server")]
pub struct ServerArgs {
    /// Kubeconfig file [default: $KUBECONFIG, else ~/.kube/config, else the pod's own ServiceAccount]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// Flags of the election.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Leader election")]
#[allow(clippy::struct_field_names, reason = "the fields are the flags")]
struct ElectionArgs {
    /// Act only while holding the Lease `marmot-operator.marmotdata.io`; `--leader-elect=false` only where never more
    /// than one operator runs
    #[arg(
        long,
        default_value = "true",
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = clap::ArgAction::Set,
        value_parser = value::boolean,
        value_name = "BOOL"
    )]
    leader_elect: bool,

    /// Namespace of the Lease [default: $POD_NAMESPACE, else the pod's own]
    #[arg(long, value_parser = value::namespace, value_name = "NAMESPACE")]
    leader_election_namespace: Option<String>,

    /// A leader that gives no sign of life for this long is replaced; whole seconds
    #[arg(long, default_value = "15s", value_parser = value::duration, value_name = "DURATION")]
    leader_elect_lease_duration: Duration,

    /// A leader that cannot renew the lease for this long stops leading
    #[arg(long, default_value = "10s", value_parser = value::duration, value_name = "DURATION")]
    leader_elect_renew_deadline: Duration,

    /// Pause between renewals
    #[arg(long, default_value = "2s", value_parser = value::duration, value_name = "DURATION")]
    leader_elect_retry_period: Duration,
}

/// Flags that are right one by one, but not together or not here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// Outside a cluster nothing says where the Lease is.
    #[error(
        "--leader-election-namespace: the namespace of the Lease is not known outside a cluster; give it, or run a \
         single operator with --leader-elect=false"
    )]
    NoLeaseNamespace,
    /// Nothing says where to look for Marmot.
    #[error(
        "--marmot-url: empty means the operator's own namespace, which is not known outside a cluster; give the URL"
    )]
    NoMarmotNamespace,
    /// The duration has a fraction, which a Lease cannot store.
    #[error("--leader-elect-lease-duration: {} is not a whole number of seconds; try 15s", humantime::format_duration(*.0))]
    LeaseDuration(Duration),
    /// The leader would lead on after its lease has ended.
    #[error(
        "--leader-elect-renew-deadline: {} is not shorter than --leader-elect-lease-duration {}: a leader must stop \
         before it can be replaced; try two thirds of it",
        humantime::format_duration(*.deadline), humantime::format_duration(*.lease)
    )]
    RenewDeadline {
        /// `--leader-elect-renew-deadline`.
        deadline: Duration,
        /// `--leader-elect-lease-duration`.
        lease: Duration,
    },
    /// A single late renewal would cost the lease.
    #[error(
        "--leader-elect-retry-period: {} leaves no time to renew within --leader-elect-renew-deadline {}, which must be \
         more than 1.2 times as long; try a fifth of it",
        humantime::format_duration(*.retry), humantime::format_duration(*.deadline)
    )]
    RetryPeriod {
        /// `--leader-elect-retry-period`.
        retry: Duration,
        /// `--leader-elect-renew-deadline`.
        deadline: Duration,
    },
}

impl OperatorArgs {
    /// The election to stand in, with a new identity; `None` with `--leader-elect=false`.
    ///
    /// # Errors
    /// Where the flags of the election contradict each other, or the namespace of the Lease is not known.
    pub fn election(&self) -> Result<Option<LeaderConfig>, ArgsError> {
        let pod_namespace = std::env::var("POD_NAMESPACE").ok();
        self.election.config(pod_namespace.as_deref(), Path::new(NAMESPACE_FILE))
    }

    /// Caps across Runs.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        Limits { concurrent_runs: self.max_concurrent_runs, starts_per_second: self.max_starts_per_second }
    }

    /// The runner of ingestion pods; `None` without `--runner-image`.
    #[must_use]
    pub fn runner(&self) -> Option<Runner> {
        let image = Some(self.runner_image.clone()).filter(|image| !image.is_empty())?;
        let (pull_policy, pull_secrets) =
            (self.runner_image_pull_policy.clone(), self.runner_image_pull_secret.clone());
        Some(Runner { image, pull_policy, pull_secrets })
    }

    /// The namespace to watch; `None` for all.
    #[must_use]
    pub fn watched_namespace(&self) -> Option<&str> {
        Some(self.namespace.as_str()).filter(|namespace| !namespace.is_empty())
    }
}

/// The namespace this program runs in: `$POD_NAMESPACE`, else the pod's own; `None` outside a cluster.
#[must_use]
pub fn pod_namespace() -> Option<String> {
    own_namespace(std::env::var("POD_NAMESPACE").ok().as_deref(), Path::new(NAMESPACE_FILE))
}

fn own_namespace(pod_namespace: Option<&str>, file: &Path) -> Option<String> {
    let in_file = || std::fs::read_to_string(file).ok().map(|text| text.trim().to_owned());
    pod_namespace.map(str::to_owned).or_else(in_file).filter(|namespace| !namespace.is_empty())
}

impl ElectionArgs {
    fn config(&self, pod_namespace: Option<&str>, file: &Path) -> Result<Option<LeaderConfig>, ArgsError> {
        if !self.leader_elect {
            return Ok(None);
        }
        let (lease, deadline) = (self.leader_elect_lease_duration, self.leader_elect_renew_deadline);
        let retry = self.leader_elect_retry_period;
        if lease.subsec_nanos() != 0 || lease.is_zero() {
            return Err(ArgsError::LeaseDuration(lease));
        }
        if deadline >= lease {
            return Err(ArgsError::RenewDeadline { deadline, lease });
        }
        if retry.is_zero() || deadline.as_secs_f64() <= retry.as_secs_f64() * RETRY_FACTOR {
            return Err(ArgsError::RetryPeriod { retry, deadline });
        }
        let namespace = self
            .leader_election_namespace
            .clone()
            .or_else(|| own_namespace(pod_namespace, file))
            .ok_or(ArgsError::NoLeaseNamespace)?;
        Ok(Some(LeaderConfig {
            namespace,
            lease_name: leader::LEASE_NAME.to_owned(),
            identity: leader::identity(),
            lease_duration: lease,
            renew_deadline: deadline,
            retry_period: retry,
        }))
    }
}

#[cfg(test)]
mod tests;
