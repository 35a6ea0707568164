//! The operator's metrics: what each family means, and one small method per place that counts.
//!
//! No family has a label per Run unless that is switched on, so that their number does not grow with the cluster.

mod fleet;
mod labels;

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};
use scheduler::caps::Cap;
use scheduler::state::{RunResult, SkipReason};

pub use self::fleet::Sources;
pub use self::labels::{Resource, Verb};

use self::fleet::Fleet;
use self::labels::{CallLabels, CapLabels, EndLabels, KindLabels, ReasonLabels, RouteLabels, TickLabels};

/// Prefix of every family.
pub const PREFIX: &str = "marmot_operator";

/// Seconds: from one create's round trip to what only an outage explains.
const LAG_BUCKETS: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Seconds: an API call has at most 5.
const CALL_BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 5.0];
/// Seconds: from a pipeline with one small source to one that should have a deadline.
const RUN_BUCKETS: [f64; 12] = [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0];

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
    runs_finished: Counters<EndLabels>,
    run_duration: Histograms<KindLabels>,
    teardowns_skipped: Counters<ReasonLabels>,
    starts_delayed: Counters<CapLabels>,
    starts_waiting: Gauge,
    api_calls: Counters<CallLabels>,
    api_call: Histograms<RouteLabels>,
    events_dropped: Counter,
    clock_skew: Gauge<f64, AtomicU64>,
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
            run_duration: {
                let family = Histograms::new_with_constructor(|| Histogram::new(RUN_BUCKETS));
                registered(r, "run_duration_seconds", "Time from a Job being stored to its end", family)
            },
            teardowns_skipped: register(r, "teardowns_skipped", "Runs that went without the teardown they wanted"),
            starts_delayed: register(r, "starts_delayed", "Starts that a cap across Runs held back, by cap"),
            starts_waiting: register(r, "starts_waiting", "Starts that wait because of a cap across Runs"),
            api_calls: register(
                r,
                "api_calls",
                "Calls about Runs and their objects, but watches and events; code 0: no answer",
            ),
            api_call: {
                let family = Histograms::new_with_constructor(|| Histogram::new(CALL_BUCKETS));
                registered(r, "api_call_seconds", "Time an answered call to the API server took", family)
            },
            events_dropped: register(r, "events_dropped", "Events not written: too many waited, or they were refused"),
            clock_skew: register(
                r,
                "clock_skew_seconds",
                "Our clock minus the API server's, as far as its Date header, which has whole seconds, proves it",
            ),
            registry,
        }
    }

    /// Shows from now on what these sources hold, at each scrape.
    pub fn show(&mut self, sources: Sources) {
        self.registry.register_collector(Box::new(Fleet { sources, leader: self.leader.clone() }));
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
    pub fn run_finished(&self, result: &RunResult) {
        let (kind, outcome) = (labels::kind(result.kind), labels::outcome(result.outcome));
        self.runs_finished.get_or_create(&EndLabels { kind, outcome }).inc();
        if let Some(started_at) = result.started_at {
            let took = result.finished_at.duration_since(started_at).as_secs_f64();
            self.run_duration.get_or_create(&KindLabels { kind }).observe(took.max(0.0));
        }
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
        self.starts_waiting.set(i64::try_from(starts).unwrap_or(i64::MAX));
    }

    /// A call to the API server was answered with the HTTP status `code` after `took`; `None`: it was not answered.
    pub fn api_call(&self, verb: Verb, resource: Resource, code: Option<u16>, took: Duration) {
        let (verb, resource) = (verb.as_str(), resource.as_str());
        self.api_calls.get_or_create(&CallLabels { verb, resource, code: code.unwrap_or(0) }).inc();
        if code.is_some() {
            self.api_call.get_or_create(&RouteLabels { verb, resource }).observe(took.as_secs_f64());
        }
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

#[cfg(test)]
mod tests;
