//! What is counted anew at each scrape: what the caches show, and what waits. Nothing is left behind of a Run that is gone.
//!
//! All replicas have the same caches. Only the leader shows what is in them, so that a sum over replicas is true.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use scheduler::report::Report;
use scheduler::state::{Outcome, RunKind, State};

use super::labels::{self, KindLabels, PhaseLabels, RunLabels, RunOutcomeLabels, StreakLabels};
use crate::admin::Readiness;
use crate::clock::Clock;
use crate::index::{Index, Key};
use crate::queue::Queue;
use crate::status;
use crate::ticker::Ticker;

/// Failures in a row that a Run is counted for.
const STREAKS: [i32; 3] = [1, 3, 10];

/// Where the figures are read.
pub struct Sources {
    /// Runs.
    pub index: Arc<Index>,
    /// Who is looked at next.
    pub queue: Arc<Queue>,
    /// Who is woken when.
    pub ticker: Arc<Ticker>,
    /// What the process still waits for.
    pub readiness: Readiness,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Also show the few series that each Run may have.
    pub per_run: bool,
}

/// The sources, as a collector.
pub(super) struct Fleet {
    pub(super) sources: Sources,
    pub(super) leader: Gauge,
}

/// What is told of all Runs together.
#[derive(Default)]
struct Totals {
    phases: BTreeMap<&'static str, i64>,
    active: BTreeMap<RunKind, i64>,
    claims: i64,
    failing: [i64; STREAKS.len()],
    /// Age of the oldest deletion, in seconds.
    oldest_deletion: i64,
}

/// What is told of each Run, where that is asked for. Times are in seconds.
struct Standing {
    run: RunLabels,
    success: Option<i64>,
    outcome: Option<Outcome>,
    next: Option<i64>,
    failures: i64,
}

impl Collector for Fleet {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Sources { index, queue, ticker, readiness, per_run, .. } = &self.sources;
        let e = &mut encoder;
        let ready = i64::from(readiness.missing().is_empty());
        gauge(e, "ready", "1 once caches and CRD are there, as /readyz says.", ready)?;
        gauge(e, "queue_depth", "Runs waiting to be looked at.", count(queue.len()))?;
        gauge(e, "armed_runs", "Runs with a time at which they will be looked at.", count(ticker.armed()))?;
        let help = "Views of a Run, Job or ConfigMap passed over because a newer one was held already.";
        let skips = ConstCounter::new(index.stale());
        skips.encode(e.encode_descriptor("cache_stale_skips", help, None, skips.metric_type())?)?;
        if self.leader.get() == 0 {
            return Ok(());
        }
        let age = |since: Timestamp| self.sources.clock.now().duration_since(since).as_secs().max(0);
        let mut totals = Totals { oldest_deletion: index.oldest_deletion().map_or(0, age), ..Totals::default() };
        let mut each = Vec::new();
        for key in index.keys() {
            let Some(status) = index.status(&key) else { continue };
            let (state, report) = (status::state(&status), status::report(&status));
            totals.add(&state, &report);
            if *per_run {
                each.push(Standing::of(&key, &state, &report));
            }
        }
        totals.encode(e)?;
        if *per_run { encode_each(e, &each) } else { Ok(()) }
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").finish_non_exhaustive()
    }
}

impl Totals {
    fn add(&mut self, state: &State, report: &Report) {
        *self.phases.entry(labels::phase(report.phase)).or_default() += 1;
        for job in state.active_jobs.iter().filter(|job| !job.finished) {
            *self.active.entry(job.kind).or_default() += 1;
        }
        self.claims += count(state.claims.len());
        for (failing, at_least) in self.failing.iter_mut().zip(STREAKS) {
            *failing += i64::from(state.consecutive_failures >= at_least);
        }
    }

    fn encode(&self, e: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let phases = labels::PHASES.map(labels::phase);
        let phases = phases.map(|phase| (PhaseLabels { phase }, self.phases.get(phase).copied().unwrap_or_default()));
        family(e, "runs", "Runs by phase.", phases)?;
        let active = |kind| self.active.get(&kind).copied().unwrap_or_default();
        let active = labels::KINDS.map(|kind| (KindLabels { kind: labels::kind(kind) }, active(kind)));
        family(e, "active_runs", "Jobs under way, by what started them.", active)?;
        gauge(e, "claims_outstanding", "Claims that are not settled.", self.claims)?;
        let failing = STREAKS.into_iter().zip(self.failing);
        let failing = failing.map(|(at_least, runs)| (StreakLabels { at_least }, runs));
        family(e, "failing_runs", "Runs whose last runs have failed at least so often in a row.", failing)?;
        let help = "Age of the oldest deletion of a Run that is still there; 0: none is being deleted.";
        gauge(e, "oldest_deletion_seconds", help, self.oldest_deletion)
    }
}

impl Standing {
    fn of(key: &Key, state: &State, report: &Report) -> Self {
        Self {
            run: RunLabels { run_namespace: key.namespace.to_string(), run: key.name.to_string() },
            success: state.last_success.map(Timestamp::as_second),
            outcome: state.last_result.as_ref().map(|result| result.outcome),
            next: report.next.map(Timestamp::as_second),
            failures: state.consecutive_failures.into(),
        }
    }
}

/// The series of each Run.
fn encode_each(e: &mut DescriptorEncoder<'_>, runs: &[Standing]) -> Result<(), fmt::Error> {
    let success = runs.iter().filter_map(|run| Some((run.run.clone(), run.success?)));
    family(e, "run_last_success_timestamp_seconds", "When the newest run that succeeded ended.", success)?;
    let outcome = |run: &RunLabels, outcome: Outcome| RunOutcomeLabels {
        run_namespace: run.run_namespace.clone(),
        run: run.run.clone(),
        outcome: labels::outcome(outcome),
    };
    let last = runs.iter().filter_map(|run| Some((outcome(&run.run, run.outcome?), 1)));
    family(e, "run_last_outcome", "1 for how the newest finished run ended.", last)?;
    let next = runs.iter().filter_map(|run| Some((run.run.clone(), run.next?)));
    family(e, "run_next_tick_timestamp_seconds", "The next tick; none while suspended.", next)?;
    let failures = runs.iter().map(|run| (run.run.clone(), run.failures));
    family(e, "run_consecutive_failures", "Failures since the last success.", failures)
}

fn gauge(e: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: i64) -> Result<(), fmt::Error> {
    let gauge = ConstGauge::new(value);
    gauge.encode(e.encode_descriptor(name, help, None, gauge.metric_type())?)
}

fn family<L: Clone + Hash + Eq + EncodeLabelSet>(
    e: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl IntoIterator<Item = (L, i64)>,
) -> Result<(), fmt::Error> {
    let family = Family::<L, Gauge>::default();
    for (labels, value) in series {
        family.get_or_create(&labels).set(value);
    }
    family.encode(e.encode_descriptor(name, help, None, family.metric_type())?)
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
