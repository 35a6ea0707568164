//! The operator's metrics: what each family means, and one small method per place that counts.
//!
//! No family has a label per Run, so that their number does not grow with the cluster.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};
use scheduler::caps::Cap;
use scheduler::state::{Outcome, RunKind, SkipReason};

/// Prefix of every family.
pub const PREFIX: &str = "marmot_operator";

/// Seconds: from one create's round trip to what only an outage explains.
const LAG_BUCKETS: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Seconds: an API call has at most 5.
const CALL_BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 5.0];

type Counters<L> = Family<L, Counter>;
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// All metrics of one operator process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    leader: Gauge,
    leader_transitions: Counter,
    lease_renew: Histogram,
    ticks: Counters<TickLabels>,
    tick_lag: Histogram,
    runs_finished: Counters<RunLabels>,
    teardowns_skipped: Counters<ReasonLabels>,
    starts_delayed: Counters<CapLabels>,
    starts_waiting: Gauge,
    api_calls: Counters<CallLabels>,
    api_call: Histograms<RouteLabels>,
    queue_depth: Gauge,
    armed_runs: Gauge,
    claims: Gauge,
    cache_stale_skips: Counter,
    events_dropped: Counter,
    clock_skew: Gauge<f64, AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TickLabels {
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CapLabels {
    cap: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    verb: &'static str,
    resource: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    verb: &'static str,
    resource: &'static str,
}

/// What an API call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// POST.
    Create,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
    /// GET of one object.
    Get,
    /// GET of many.
    List,
}

/// What an API call was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// The Run itself: annotations, finalizer.
    Runs,
    /// The Run's status.
    RunStatus,
    /// Jobs.
    Jobs,
    /// `ConfigMap`s with pipelines.
    ConfigMaps,
    /// `CronJob`s of the Go operator (R31).
    CronJobs,
    /// Events.
    Events,
    /// Pods that are asked how they ended (R36), or why they do not start (R41).
    Pods,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that all stand at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let r = &mut registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        r.register("build", "The running operator: its version", build);
        Self {
            leader: register(r, "leader", "1 while this replica leads, else 0"),
            leader_transitions: register(r, "leader_transitions", "Times this replica began or ceased to lead"),
            lease_renew: histogram(r, "lease_renew_seconds", "Time one renewal of the lease took", CALL_BUCKETS),
            ticks: register(r, "ticks", "Ticks dealt with: outcome run, or skipped with the reason of the ledger"),
            tick_lag: histogram(r, "tick_lag_seconds", "Time from a tick to its Job being stored", LAG_BUCKETS),
            runs_finished: register(r, "runs_finished", "Runs that ended, by what started them and how they ended"),
            teardowns_skipped: register(r, "teardowns_skipped", "Runs that went without the teardown they wanted"),
            starts_delayed: register(r, "starts_delayed", "Starts that a cap across Runs held back, by cap"),
            starts_waiting: register(r, "starts_waiting", "Starts that wait because of a cap across Runs"),
            api_calls: register(r, "api_calls", "Calls to the API server; code 0: no answer"),
            api_call: {
                let family = Histograms::new_with_constructor(|| Histogram::new(CALL_BUCKETS));
                registered(r, "api_call_seconds", "Time an answered call to the API server took", family)
            },
            queue_depth: register(r, "queue_depth", "Runs waiting to be looked at"),
            armed_runs: register(r, "armed_runs", "Runs with a time at which they will be looked at"),
            claims: register(r, "claims_outstanding", "Claims of this replica that are not settled"),
            cache_stale_skips: register(
                r,
                "cache_stale_skips",
                "Looks put off because the cache was older than our own last write",
            ),
            events_dropped: register(r, "events_dropped", "Events not sent because of the rate limit"),
            clock_skew: register(r, "clock_skew_seconds", "Our clock minus the API server's, by its Date header"),
            registry,
        }
    }

    /// The metrics in `OpenMetrics` text form.
    ///
    /// # Errors
    /// Only when a value cannot be formatted, which none of ours can do.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// This replica began or ceased to lead.
    pub fn set_leading(&self, leading: bool) {
        if self.leader.set(i64::from(leading)) != i64::from(leading) {
            self.leader_transitions.inc();
        }
    }

    /// A renewal of the lease took `took`.
    pub fn observe_renewal(&self, took: Duration) {
        self.lease_renew.observe(took.as_secs_f64());
    }

    /// A tick was run: its Job was stored `lag` after it.
    pub fn tick_run(&self, lag: Duration) {
        self.ticks.get_or_create(&TickLabels { outcome: "run", reason: "" }).inc();
        self.tick_lag.observe(lag.as_secs_f64());
    }

    /// `count` ticks were not run (R16).
    pub fn ticks_skipped(&self, reason: SkipReason, count: u64) {
        self.ticks.get_or_create(&TickLabels { outcome: "skipped", reason: reason.as_str() }).inc_by(count);
    }

    /// A run ended.
    pub fn run_finished(&self, kind: RunKind, outcome: Outcome) {
        let kind = match kind {
            RunKind::Scheduled => "scheduled",
            RunKind::OneShot => "one_shot",
            RunKind::Trigger => "trigger",
            RunKind::Teardown => "teardown",
        };
        let outcome = match outcome {
            Outcome::Succeeded => "succeeded",
            Outcome::Partial => "partial",
            Outcome::Failed => "failed",
            Outcome::Killed => "killed",
        };
        self.runs_finished.get_or_create(&RunLabels { kind, outcome }).inc();
    }

    /// A Run went without the teardown it wanted (R30).
    pub fn teardown_skipped(&self, reason: &'static str) {
        self.teardowns_skipped.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// A cap across Runs held a start back.
    pub fn start_delayed(&self, cap: Cap) {
        self.starts_delayed.get_or_create(&CapLabels { cap: cap.as_str() }).inc();
    }

    /// How many starts wait because of a cap across Runs.
    pub fn set_starts_waiting(&self, starts: usize) {
        self.starts_waiting.set(gauge(starts));
    }

    /// A call to the API server was answered with the HTTP status `code` after `took`; `None`: it was not answered.
    pub fn api_call(&self, verb: Verb, resource: Resource, code: Option<u16>, took: Duration) {
        let (verb, resource) = (verb.as_str(), resource.as_str());
        self.api_calls.get_or_create(&CallLabels { verb, resource, code: code.unwrap_or(0) }).inc();
        if code.is_some() {
            self.api_call.get_or_create(&RouteLabels { verb, resource }).observe(took.as_secs_f64());
        }
    }

    /// How many Runs wait to be looked at.
    pub fn set_queue_depth(&self, runs: usize) {
        self.queue_depth.set(gauge(runs));
    }

    /// How many Runs have a time at which they will be looked at.
    pub fn set_armed_runs(&self, runs: usize) {
        self.armed_runs.set(gauge(runs));
    }

    /// How many claims of this replica are not settled.
    pub fn set_claims_outstanding(&self, claims: usize) {
        self.claims.set(gauge(claims));
    }

    /// A look was put off because the cache was older than our own last write to that Run.
    pub fn cache_stale_skip(&self) {
        self.cache_stale_skips.inc();
    }

    /// `count` events were not sent.
    pub fn events_dropped(&self, count: u64) {
        self.events_dropped.inc_by(count);
    }

    /// Our clock minus the API server's, in seconds (R12).
    pub fn set_clock_skew(&self, seconds: f64) {
        self.clock_skew.set(seconds);
    }
}

impl Verb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::Get => "get",
            Self::List => "list",
        }
    }
}

impl Resource {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::RunStatus => "runs/status",
            Self::Jobs => "jobs",
            Self::ConfigMaps => "configmaps",
            Self::CronJobs => "cronjobs",
            Self::Events => "events",
            Self::Pods => "pods",
        }
    }
}

fn register<M: Metric + Default + Clone>(registry: &mut Registry, name: &str, help: &str) -> M {
    registered(registry, name, help, M::default())
}

fn histogram<const N: usize>(registry: &mut Registry, name: &str, help: &str, buckets: [f64; N]) -> Histogram {
    registered(registry, name, help, Histogram::new(buckets))
}

/// Registers a metric, whose clones share their value.
fn registered<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_exposed() {
        let metrics = Metrics::new();
        metrics.set_leading(true);
        metrics.set_leading(true);
        metrics.observe_renewal(Duration::from_millis(3));
        metrics.tick_run(Duration::from_millis(4));
        metrics.ticks_skipped(SkipReason::Missed, 7);
        metrics.run_finished(RunKind::OneShot, Outcome::Partial);
        metrics.api_call(Verb::Create, Resource::Jobs, Some(201), Duration::from_millis(2));
        metrics.api_call(Verb::Patch, Resource::RunStatus, None, Duration::from_secs(5));
        metrics.set_queue_depth(2);
        metrics.set_clock_skew(-0.25);
        let text = metrics.encode().unwrap();
        for line in [
            concat!(r#"marmot_operator_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
            "marmot_operator_leader 1",
            "marmot_operator_leader_transitions_total 1",
            r#"marmot_operator_lease_renew_seconds_bucket{le="0.005"} 1"#,
            r#"marmot_operator_ticks_total{outcome="run",reason=""} 1"#,
            r#"marmot_operator_ticks_total{outcome="skipped",reason="Missed"} 7"#,
            r#"marmot_operator_tick_lag_seconds_bucket{le="0.005"} 1"#,
            r#"marmot_operator_tick_lag_seconds_bucket{le="60.0"} 1"#,
            r#"marmot_operator_runs_finished_total{kind="one_shot",outcome="partial"} 1"#,
            r#"marmot_operator_api_calls_total{verb="create",resource="jobs",code="201"} 1"#,
            r#"marmot_operator_api_calls_total{verb="patch",resource="runs/status",code="0"} 1"#,
            r#"marmot_operator_api_call_seconds_count{verb="create",resource="jobs"} 1"#,
            "marmot_operator_queue_depth 2",
            "marmot_operator_clock_skew_seconds -0.25",
            "marmot_operator_events_dropped_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
