use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use scheduler::state::{Outcome, RunKind};
use serde_json::{Value, json};

use super::*;
use crate::clock::ManualClock;
use crate::index::Index;
use crate::lenient::Lenient;

fn has(metrics: &Metrics, line: &str) -> bool {
    metrics.encode().unwrap().lines().any(|found| found == line)
}

#[test]
fn what_is_counted_is_exposed() {
    let metrics = Metrics::new();
    metrics.set_leading(true);
    metrics.set_leading(true);
    metrics.observe_renewal(Duration::from_millis(3));
    metrics.tick_run(Duration::from_millis(4));
    metrics.ticks_skipped(SkipReason::Missed, 7);
    metrics.run_finished(&RunResult {
        job: "job".to_owned(),
        kind: RunKind::OneShot,
        started_at: Some(Timestamp::UNIX_EPOCH),
        finished_at: Timestamp::from_second(20).unwrap(),
        outcome: Outcome::Partial,
        reason: None,
        message: None,
    });
    metrics.api_call(Verb::Create, Resource::Jobs, Some(201), Duration::from_millis(2));
    metrics.api_call(Verb::Patch, Resource::RunStatus, None, Duration::from_secs(5));
    metrics.set_clock_skew(-0.25);
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
        r#"marmot_operator_run_duration_seconds_bucket{le="15.0",kind="one_shot"} 0"#,
        r#"marmot_operator_run_duration_seconds_bucket{le="30.0",kind="one_shot"} 1"#,
        r#"marmot_operator_api_calls_total{verb="create",resource="jobs",code="201"} 1"#,
        r#"marmot_operator_api_calls_total{verb="patch",resource="runs/status",code="0"} 1"#,
        r#"marmot_operator_api_call_seconds_count{verb="create",resource="jobs"} 1"#,
        "marmot_operator_clock_skew_seconds -0.25",
        "marmot_operator_events_dropped_total 0",
    ] {
        assert!(has(&metrics, line), "{line} is missing in\n{}", metrics.encode().unwrap());
    }
}

/// Metrics of a process whose clock shows this many seconds.
fn showing(index: &Arc<Index>, seconds: i64, per_run: bool) -> Metrics {
    let clock = Arc::new(ManualClock::new(Timestamp::from_second(seconds).unwrap()));
    let queue = Arc::default();
    let ticker = Arc::new(crate::ticker::Ticker::new(clock.clone(), Arc::clone(&queue)));
    let mut metrics = Metrics::new();
    let (index, readiness) = (Arc::clone(index), crate::admin::Readiness::default());
    metrics.show(Sources { index, queue, ticker, readiness, clock, per_run });
    metrics
}

fn run(name: &str, version: &str, status: &Value) -> Lenient<crds::Run> {
    let run = json!({
        "metadata": { "namespace": "sales", "name": name, "uid": name, "resourceVersion": version },
        "spec": { "runs": [{ "x": {} }] },
        "status": status,
    });
    Lenient(Ok(serde_json::from_value(run).unwrap()))
}

// R35: both replicas hold the same caches.
#[test]
fn the_leader_alone_counts_runs() {
    let index = Arc::new(Index::default());
    let failing = json!({
        "phase": "Failed",
        "consecutiveFailures": 4,
        "claims": { "a": { "kind": "Scheduled", "attempt": 1, "resolved": 0, "holder": "x", "claimedAt": "1970-01-01T00:00:00Z" } },
        "activeJobs": [
            { "name": "b", "uid": "1", "kind": "Trigger", "attempt": 1, "settledAt": "1970-01-01T00:00:00Z" },
            { "name": "c", "uid": "2", "kind": "Trigger", "attempt": 1, "settledAt": "1970-01-01T00:00:00Z", "finished": true },
        ],
    });
    index.apply_run(run("one", "1", &failing)).unwrap();
    index.apply_run(run("two", "1", &json!({ "phase": "Scheduled" }))).unwrap();
    let metrics = showing(&index, 0, false);
    let counted = [
        r#"marmot_operator_runs{phase="Failed"} 1"#,
        r#"marmot_operator_runs{phase="Running"} 0"#,
        r#"marmot_operator_active_runs{kind="trigger"} 1"#,
        r#"marmot_operator_active_runs{kind="scheduled"} 0"#,
        r#"marmot_operator_failing_runs{at_least="3"} 1"#,
        r#"marmot_operator_failing_runs{at_least="10"} 0"#,
        "marmot_operator_claims_outstanding 1",
        "marmot_operator_oldest_deletion_seconds 0",
    ];
    assert!(counted.iter().all(|line| !has(&metrics, line)), "a stand-by counts no Runs");
    assert!(has(&metrics, "marmot_operator_queue_depth 0"));
    metrics.set_leading(true);
    for line in counted {
        assert!(has(&metrics, line), "{line} is missing in\n{}", metrics.encode().unwrap());
    }
    assert!(!metrics.encode().unwrap().contains("sales"), "no label per Run unless asked for");
}

#[test]
fn a_run_has_series_while_it_is_there() {
    let index = Arc::new(Index::default());
    let at = "1970-01-01T00:01:00Z";
    let result = json!({ "job": "j", "kind": "Scheduled", "completionTime": at, "outcome": "Killed" });
    let status =
        json!({ "lastSuccessfulTime": at, "lastResult": result, "consecutiveFailures": 2, "nextScheduleTime": at });
    index.apply_run(run("one", "1", &status)).unwrap();
    let metrics = showing(&index, 0, true);
    metrics.set_leading(true);
    for line in [
        r#"marmot_operator_run_last_success_timestamp_seconds{run_namespace="sales",run="one"} 60"#,
        r#"marmot_operator_run_last_outcome{run_namespace="sales",run="one",outcome="killed"} 1"#,
        r#"marmot_operator_run_next_tick_timestamp_seconds{run_namespace="sales",run="one"} 60"#,
        r#"marmot_operator_run_consecutive_failures{run_namespace="sales",run="one"} 2"#,
    ] {
        assert!(has(&metrics, line), "{line} is missing in\n{}", metrics.encode().unwrap());
    }
    index.forget_unlisted_runs(&HashSet::new());
    assert!(!metrics.encode().unwrap().contains("sales"));
}

#[test]
fn a_late_view_is_counted() {
    let index = Arc::new(Index::default());
    for version in ["5", "7", "7", "6"] {
        let _ = index.apply_run(run("one", version, &Value::Null)).unwrap();
    }
    assert!(has(&showing(&index, 0, false), "marmot_operator_cache_stale_skips_total 1"));
}

// R30
#[test]
fn a_deletion_has_an_age() {
    let index = Arc::new(Index::default());
    let mut going = run("one", "1", &Value::Null).0.unwrap();
    going.metadata.deletion_timestamp = Some(serde_json::from_value(json!("1970-01-01T00:01:00Z")).unwrap());
    index.apply_run(Lenient(Ok(going))).unwrap();
    let metrics = showing(&index, 90, false);
    metrics.set_leading(true);
    assert!(has(&metrics, "marmot_operator_oldest_deletion_seconds 30"));
}
