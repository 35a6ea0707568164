//! Caps across Runs on the real API server: never more than allowed, in order, and nothing is lost.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::{ListParams, WatchEvent, WatchParams};
use serde_json::json;
use support::operator::{PATIENCE, World, finished, status};
use tokio::sync::watch;

/// Unfinished Jobs in the order in which the API server changed them.
struct Seen {
    unfinished: BTreeSet<String>,
    most: usize,
    order: Vec<String>,
}

/// Watches the Jobs of the namespace from now on; the number that have finished so far.
async fn watch_jobs(world: &World) -> (Arc<Mutex<Seen>>, watch::Receiver<usize>) {
    let jobs = world.jobs();
    let version = jobs.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let seen = Arc::new(Mutex::new(Seen { unfinished: BTreeSet::new(), most: 0, order: Vec::new() }));
    let (told, ended) = watch::channel(0);
    let store = Arc::clone(&seen);
    tokio::spawn(async move {
        let params = WatchParams::default().timeout(290);
        let mut stream = jobs.watch(&params, &version).await.unwrap().boxed();
        let mut done = BTreeSet::new();
        while let Some(event) = stream.next().await {
            let (job, gone): (Job, bool) = match event.unwrap() {
                WatchEvent::Added(job) | WatchEvent::Modified(job) => (job, false),
                WatchEvent::Deleted(job) => (job, true),
                _ => continue,
            };
            let name = job.name_any();
            let mut seen = store.lock().unwrap();
            if gone || finished(&job) {
                seen.unfinished.remove(&name);
                done.insert(name);
            } else if seen.unfinished.insert(name.clone()) && !done.contains(&name) {
                seen.order.push(job.owner_references()[0].name.clone());
            }
            seen.most = seen.most.max(seen.unfinished.len());
            told.send_replace(done.len());
        }
    });
    (seen, ended)
}

async fn until(ended: &mut watch::Receiver<usize>, count: usize) {
    let waited = tokio::time::timeout(PATIENCE, ended.wait_for(|ended| *ended >= count)).await;
    waited.unwrap_or_else(|_| panic!("never were {count} runs over")).unwrap();
}

const RUNS: usize = 12;

// R15, R33, R35: twelve ticks on one minute under a cap of three, and the leader is killed in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_the_cap_run_and_all_run_in_the_end() {
    let world = World::new("caps").await;
    let flags = ["--max-concurrent-runs=3", "--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s"];
    let flags = [&flags[..], &["--leader-elect-retry-period=500ms"]].concat();
    let mut operator = world.operator(&flags);
    let (seen, mut ended) = watch_jobs(&world).await;
    // A minute that leaves time to make everything.
    let minute = Timestamp::now() + SignedDuration::from_secs(15);
    let minute = Timestamp::from_second((minute.as_second() / 60 + 1) * 60).unwrap();
    let time = minute.to_zoned(jiff::tz::TimeZone::UTC);
    let schedule = format!("{} {} * * *", time.minute(), time.hour());
    for number in 0..RUNS {
        world.create(&format!("run-{number:02}"), json!({ "schedule": schedule, "teardownOnDelete": false })).await;
    }
    until(&mut ended, 4).await;
    operator.kill();
    let _successor = world.operator(&flags);
    until(&mut ended, RUNS).await;

    let seen = seen.lock().unwrap();
    assert!(seen.most <= 3, "{} unfinished at once", seen.most);
    // All are due at one instant: the free places go to whoever asks first, those that wait go by name. Of those in flight
    // together the order is the API server's.
    let (first, waited) = seen.order.split_at(3);
    let all = (0..RUNS).map(|number| format!("run-{number:02}"));
    let expected: Vec<String> = all.filter(|run| !first.contains(run)).collect();
    let place = |run: &String| expected.iter().position(|one| one == run).unwrap();
    let orderly = waited.iter().enumerate().all(|(at, run)| at.abs_diff(place(run)) < 3);
    assert!(orderly, "{:?}", seen.order);
    assert_eq!(seen.order.iter().collect::<BTreeSet<_>>().len(), RUNS);
    assert_eq!(seen.order.len(), RUNS, "twice: {:?}", seen.order);
}

// R27, R7: a trigger and a one-shot wait like a tick; the status says so once, and a place that is free is used at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_says_so_and_goes_on_when_there_is_room() {
    let world = World::new("caps").await;
    let _operator = world.operator(&["--max-concurrent-runs=1"]);
    let slow = json!({ "podAnnotations": { "test.marmotdata.io/outcome": "slow" }, "teardownOnDelete": false });
    world.create("first", slow).await;
    world.job_when("first-gen1", "made", |_| true).await;
    world.create("second", json!({ "teardownOnDelete": false })).await;
    world.create("third", json!({ "schedule": "0 0 1 1 *", "teardownOnDelete": false })).await;
    world.run_when("third", "armed", |run| status(run).next_schedule_time.is_some()).await;
    world.trigger("third").await;

    let delayed = |run: &crds::Run| {
        status(run).conditions.iter().any(|condition| {
            condition.type_ == "Reconciling" && condition.reason == "StartDelayed" && condition.status == "True"
        })
    };
    for run in ["second", "third"] {
        let run = world.run_when(run, "delayed", delayed).await;
        assert!(status(&run).active_jobs.is_empty());
    }
    let first = world.job_when("first-gen1", "finished", finished).await;
    let second = world.job_when("second-gen1", "made", |_| true).await;
    let end = first.status.unwrap().completion_time.unwrap().0;
    assert!(second.creation_timestamp().unwrap().0 >= end);
    let run = world.run_when("third", "run", |run| status(run).last_result.is_some()).await;
    assert!(!delayed(&run));
}
