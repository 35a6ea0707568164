//! What becomes of ticks that are not simply run, on the real API server: each is told once, and none comes back.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crds::{Run, SkippedTicks};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use support::operator::{World, status};

/// A port of this machine that nobody listens on.
fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// The value of a series of an operator's metrics; 0 where it is not there yet.
fn series(operator: SocketAddr, name: &str) -> u64 {
    let mut text = String::new();
    let mut stream = TcpStream::connect(operator).expect("the operator serves its metrics");
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("the request is sent");
    stream.read_to_string(&mut text).expect("the answer is text");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_default()
}

fn tick_of(job: &Job) -> Timestamp {
    job.annotations()[crds::SCHEDULED_TIMESTAMP_ANNOTATION].parse().expect("a time")
}

fn ledger(run: &Run) -> Vec<SkippedTicks> {
    status(run).skipped_ticks
}

// R16: a tick that is not run is told exactly once in each place: ledger, event and metric.
#[tokio::test]
async fn a_tick_not_run_is_told_once_in_ledger_event_and_metric() {
    let world = World::new("told").await;
    let metrics = free_port();
    let _operator = world.operator(&["--metrics-bind-address", &metrics.to_string()]);
    let slow = json!({ "test.marmotdata.io/outcome": "never" });
    world.create("orders", json!({ "schedule": "@every 3s", "podAnnotations": slow })).await;
    let told = |run: &Run| ledger(run).iter().any(|entry| entry.count >= 3);
    world.run_when("orders", "three ticks consumed", told).await;
    let end = json!({ "spec": { "suspend": true } });
    world.patch("orders", end).await;
    let suspended = |run: &Run| status(run).observed_generation == Some(2);
    let run = world.run_when("orders", "suspended", suspended).await;

    let entries = ledger(&run);
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0].reason, "ConcurrencyForbidden");
    let count = u64::try_from(entries[0].count).unwrap();
    let counted = r#"marmot_operator_ticks_total{outcome="skipped",reason="ConcurrencyForbidden"}"#;
    assert_eq!(series(metrics, counted), count);
    assert_eq!(entries[0].to.0.duration_since(entries[0].from.0).as_secs(), 3 * (entries[0].count - 1));

    // Events are written last, and nothing waits for them. Those of one reason are one object with a count.
    let of_reason = ListParams::default().fields("reason=ConcurrencyForbidden");
    let events = world.api::<Event>();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let told: Vec<i32> = events.list(&of_reason).await.unwrap().items.into_iter().map(times).collect();
        if told.iter().sum::<i32>() == i32::try_from(count).unwrap() {
            break;
        }
        assert!(Instant::now() < deadline, "{count} ticks, and events for {told:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn times(event: Event) -> i32 {
    event.series.map_or(1, |series| series.count)
}

// R13, R14: an edit that is found at the start runs nothing of the past: what had come due is one entry, and ticks count
// from the moment it was seen.
#[tokio::test]
async fn an_edit_found_at_the_start_runs_nothing_of_the_past() {
    let world = World::new("edited").await;
    let mut operator = world.operator(&[]);
    // Under `Forbid` the next ones would wait until it is known what became of a claim that was killed with its holder.
    world.create("orders", json!({ "schedule": "@every 3s", "concurrencyPolicy": "Allow" })).await;
    let run = world.run_when("orders", "run once", |run| status(run).last_result.is_some()).await;
    operator.kill();
    let mark = status(&world.runs().get("orders").await.unwrap()).last_schedule_time.unwrap().0;
    world.patch("orders", json!({ "spec": { "schedule": "@every 5s" } })).await;
    let passed = mark.saturating_add(SignedDuration::from_secs(7)).unwrap();
    tokio::time::sleep(passed.duration_since(Timestamp::now()).try_into().unwrap_or_default()).await;
    let _operator = world.operator(&["--leader-elect=false"]);

    let before = status(&run).last_result.unwrap().job;
    let again = |run: &Run| {
        let status = status(run);
        status.observed_generation == Some(2) && status.last_result.is_some_and(|result| result.job != before)
    };
    let run = world.run_when("orders", "run by the new schedule", again).await;
    let since = status(&run).schedule_in_force.unwrap().since.0;
    let jobs = world.jobs().list(&ListParams::default()).await.unwrap().items;
    let between: Vec<_> = jobs.iter().map(tick_of).filter(|tick| *tick > passed && *tick <= since).collect();
    assert!(between.is_empty(), "nothing of the past: {between:?}, the edit was seen at {since}");
    let first = jobs.iter().map(tick_of).filter(|tick| *tick > since).min().unwrap();
    assert_eq!(first.duration_since(since).as_secs(), 5, "the new schedule counts from when it was seen");
    // One may have been claimed by the operator that was killed: it is told when no create of it can be on its way any more.
    let due = passed.duration_since(mark).as_secs() / 3;
    let told = |run: &Run| ledger(run).iter().map(|entry| entry.count).sum::<i64>() >= due;
    let entries = ledger(&world.run_when("orders", "told what had come due", told).await);
    assert!(entries.iter().all(|entry| entry.reason == "Missed" && entry.to.0 <= since), "{entries:?}");
}

// R12, R20: a clock that went back, seen from the record: no tick at or before the mark is looked at again.
#[tokio::test]
async fn no_tick_at_or_before_the_mark_comes_again() {
    let world = World::new("mark").await;
    world.create("orders", json!({ "schedule": "@every 2s", "concurrencyPolicy": "Allow" })).await;
    let ahead = Timestamp::from_second(Timestamp::now().as_second() + 9).unwrap();
    let status_of = json!({ "status": { "lastScheduleTime": ahead.to_string() } });
    world.runs().patch_status("orders", &PatchParams::default(), &Patch::Merge(&status_of)).await.unwrap();
    let _operator = world.operator(&[]);
    let run = world.run_when("orders", "run once", |run| status(run).last_result.is_some()).await;
    let jobs = world.jobs().list(&ListParams::default()).await.unwrap().items;
    let early: Vec<_> = jobs.iter().map(tick_of).filter(|tick| *tick <= ahead).collect();
    assert!(early.is_empty(), "{early:?} are not after the mark {ahead}");
    assert!(ledger(&run).is_empty(), "what the mark has passed was dealt with: {:?}", ledger(&run));
}
