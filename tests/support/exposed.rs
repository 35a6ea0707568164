//! The metrics of an operator that has seen everything once.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use marmot_operator::admin::Readiness;
use marmot_operator::clock::SystemClock;
use marmot_operator::index::Index;
use marmot_operator::lenient::Lenient;
use marmot_operator::metrics::{Metrics, Resource, Sources, Verb};
use marmot_operator::queue::Queue;
use marmot_operator::ticker::Ticker;
use scheduler::caps::Cap;
use scheduler::state::{Outcome, RunKind, RunResult, SkipReason};
use serde_json::{Value, json};

const KINDS: [RunKind; 4] = [RunKind::Scheduled, RunKind::OneShot, RunKind::Trigger, RunKind::Teardown];
const OUTCOMES: [Outcome; 4] = [Outcome::Succeeded, Outcome::Partial, Outcome::Failed, Outcome::Killed];

/// Metrics that have counted everything that can be counted, with one Run for each outcome.
pub fn everything() -> Metrics {
    let index = Arc::new(Index::default());
    for outcome in OUTCOMES {
        index.apply_run(Lenient(Ok(serde_json::from_value(run(outcome)).unwrap()))).unwrap();
    }
    let metrics = showing(index, true);
    metrics.set_leading(true);
    metrics.observe_renewal(Duration::from_millis(1));
    metrics.set_clock_skew(0.0);
    metrics.tick_run(Duration::from_millis(1));
    for reason in SkipReason::ALL {
        metrics.ticks_skipped(reason, 1);
    }
    for reason in ["PipelineShared", "NamespaceTerminating"] {
        metrics.teardown_skipped(reason);
    }
    for cap in [Cap::ConcurrentRuns, Cap::StartsPerSecond] {
        metrics.start_delayed(cap);
    }
    for kind in KINDS {
        for outcome in OUTCOMES {
            metrics.run_finished(&result(kind, outcome));
        }
    }
    let calls = [
        (Verb::Create, Resource::Jobs),
        (Verb::Patch, Resource::RunStatus),
        (Verb::Delete, Resource::Jobs),
        (Verb::Get, Resource::Runs),
        (Verb::Create, Resource::ConfigMaps),
        (Verb::Patch, Resource::CronJobs),
        (Verb::List, Resource::Pods),
    ];
    for (verb, resource) in calls {
        for code in [Some(200), Some(403), Some(500), None] {
            metrics.api_call(verb, resource, code, Duration::from_millis(1));
        }
    }
    metrics
}

/// Fresh metrics of a process that holds these Runs.
pub fn showing(index: Arc<Index>, per_run: bool) -> Metrics {
    let (clock, queue) = (Arc::new(SystemClock), Arc::new(Queue::default()));
    let ticker = Arc::new(Ticker::new(clock.clone(), Arc::clone(&queue)));
    let mut metrics = Metrics::new();
    metrics.show(Sources { index, queue, ticker, readiness: Readiness::default(), clock, per_run });
    metrics
}

fn result(kind: RunKind, outcome: Outcome) -> RunResult {
    let job = "job".to_owned();
    let (started_at, finished_at) = (Some(Timestamp::UNIX_EPOCH), Timestamp::from_second(61).unwrap());
    RunResult { job, kind, started_at, finished_at, outcome, reason: None, message: None }
}

/// A Run that has ended like that.
pub fn run(outcome: Outcome) -> Value {
    let (name, at) = (format!("{outcome:?}"), "2026-01-01T00:00:00Z");
    json!({
        "metadata": { "namespace": "sales", "name": name, "uid": name, "resourceVersion": "2" },
        "spec": { "runs": [{ "x": {} }] },
        "status": {
            "phase": "Running",
            "nextScheduleTime": at,
            "lastSuccessfulTime": at,
            "consecutiveFailures": 3,
            "lastResult": { "job": "job", "kind": "Scheduled", "completionTime": at, "outcome": name },
            "activeJobs": [{ "name": "job", "uid": "1", "kind": "Trigger", "attempt": 1, "settledAt": at }],
        },
    })
}
