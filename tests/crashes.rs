//! Faults at every single call, on the real API server (R32–R34). A scenario is played once, and again with a fault at
//! each of its calls; the operator is a process, so a crash is `kill -9` and a new process. The world must end the same.
//!
//! What is part of `make test` is every call with some of the faults; `make crashes` is all of it.
#![allow(dead_code, unreachable_pub, reason = "its modules are private")]
#![allow(clippy::large_futures, reason = "a play waits much longer than a copy takes")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests panic")]

#[path = "crashes/ending.rs"]
mod ending;
#[path = "support/faults/mod.rs"]
mod faults;
#[path = "crashes/leaders.rs"]
mod leaders;
#[path = "crashes/replay.rs"]
mod replay;
#[path = "crashes/scenario.rs"]
mod scenario;
#[path = "crashes/seen.rs"]
mod seen;
#[path = "crashes/stage.rs"]
mod stage;
mod support;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use crds::ConcurrencyPolicy::{Allow, Forbid, Replace};
use crds::Run;
use faults::Layer;
use faults::call::Call;
use faults::fault::{Fault, Side};
use replay::{Extent, replay, replay_in};
use rstest::rstest;
use scenario::Scenario::{
    self, Beside, Edit, EditBetween, Election, Failover, History, TakeOver, Teardown, Tick, Trigger,
};
use serde_json::{Value, json};
use stage::Trouble;
use support::operator::{World, status};

const CRASHES: &[Fault] = &[Fault::Kill(Side::Before), Fault::Kill(Side::After)];
/// What the network and the API server do to a call. The late one arrives when its sender has given it up.
const ANSWERS: &[Fault] = &[
    Fault::Close(Side::After),
    Fault::Close(Side::Before),
    Fault::Reset(Side::After),
    Fault::Reset(Side::Before),
    Fault::Refuse(500),
    Fault::Refuse(429),
    Fault::Refuse(409),
    Fault::Late(Duration::from_secs(7)),
];
/// Those of them that do not make a play much longer.
const SOME_ANSWERS: &[Fault] =
    &[Fault::Close(Side::After), Fault::Reset(Side::After), Fault::Refuse(500), Fault::Refuse(429)];
const STALE: &[Fault] = &[Fault::Outdate, Fault::KillAndOutdate];

/// Each call of each scenario, with the faults in turns.
#[rstest]
#[case::tick(Tick)]
#[case::beside_allow(Beside(Allow))]
#[case::beside_forbid(Beside(Forbid))]
#[case::beside_replace(Beside(Replace))]
#[case::trigger(Trigger)]
#[case::edit(Edit)]
#[case::edit_between(EditBetween)]
#[case::teardown(Teardown)]
#[case::history(History)]
#[case::take_over(TakeOver)]
#[case::failover(Failover)]
#[case::election(Election)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some(#[case] scenario: Scenario) {
    replay(scenario, &[CRASHES, SOME_ANSWERS, STALE].concat(), Extent::Some).await;
}

/// Each call of each scenario, with each fault.
#[rstest]
#[case::tick(Tick)]
#[case::beside_allow(Beside(Allow))]
#[case::beside_forbid(Beside(Forbid))]
#[case::beside_replace(Beside(Replace))]
#[case::trigger(Trigger)]
#[case::edit(Edit)]
#[case::edit_between(EditBetween)]
#[case::teardown(Teardown)]
#[case::history(History)]
#[case::take_over(TakeOver)]
#[case::failover(Failover)]
#[case::election(Election)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make crashes"]
async fn all(#[case] scenario: Scenario, #[values(CRASHES, ANSWERS, STALE)] faults: &[Fault]) {
    replay(scenario, faults, Extent::All).await;
}

/// A view of the world that is old all the time, and one that loses what it has not shown yet.
#[rstest]
#[case::tick(Tick)]
#[case::beside_allow(Beside(Allow))]
#[case::beside_forbid(Beside(Forbid))]
#[case::beside_replace(Beside(Replace))]
#[case::trigger(Trigger)]
#[case::edit(Edit)]
#[case::edit_between(EditBetween)]
#[case::teardown(Teardown)]
#[case::history(History)]
#[case::take_over(TakeOver)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make crashes"]
async fn blurred(#[case] scenario: Scenario) {
    let troubles = [
        Trouble::Lag(Duration::from_secs(1)),
        Trouble::Lag(Duration::from_secs(4)),
        Trouble::Expiry(Duration::from_millis(300)),
        Trouble::Expiry(Duration::from_millis(1100)),
    ];
    replay_in(scenario, &troubles).await;
}

// What the operator gets to see of a connection that ends.
#[rstest]
#[case::close(Fault::Close(Side::Before), Ok(0))]
#[case::reset(Fault::Reset(Side::Before), Err(ErrorKind::ConnectionReset))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_ends_as_told(#[case] fault: Fault, #[case] end: Result<usize, ErrorKind>) {
    let client = support::cluster::shared().await.client().await;
    let layer = Layer::start(&format!("{fault:?}"), client, |_| true, None).await;
    layer.count();
    layer.strike(1, fault);
    let kubeconfig: Value = serde_json::from_slice(&std::fs::read(layer.kubeconfig()).unwrap()).unwrap();
    let server = kubeconfig["clusters"][0]["cluster"]["server"].as_str().unwrap();
    let mut stream = TcpStream::connect(server.trim_start_matches("http://")).unwrap();
    stream.write_all(b"GET /version HTTP/1.1\r\nhost: layer\r\n\r\n").unwrap();
    assert_eq!(stream.read(&mut [0; 9]).map_err(|error| error.kind()), end);
}

// R35: a stand-by has watched all the time, so it asks for nothing when it takes over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stand_by_takes_over_without_a_list() {
    let world = World::new("warm").await;
    let mut first = world.operator(&[]);
    world.create("orders", json!({ "schedule": "@every 3s", "concurrencyPolicy": "Allow" })).await;
    let ran = |run: &Run| status(run).last_result;
    world.run_when("orders", "run once", |run| ran(run).is_some()).await;

    let lists = |call: &Call| call.verb == "list" && !["pods", "leases"].contains(&call.resource.as_str());
    let layer = Layer::start(&world.namespace, world.client.clone(), lists, None).await;
    layer.count();
    let _second = world.operator_by(layer.kubeconfig(), &[], Stdio::inherit());
    let watched = ["configmaps", "cronjobs", "jobs", "runs"];
    let has_listed = |calls: &[Call]| watched.iter().all(|kind| calls.iter().any(|call| call.resource == *kind));
    while !has_listed(&layer.calls()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    layer.count();
    first.terminate();
    let last = ran(&world.runs().get("orders").await.unwrap());
    world.run_when("orders", "run by the second", |run| ran(run).is_some_and(|now| Some(now) != last)).await;
    assert_eq!(layer.calls(), []);
}

// R29: whoever refuses a deletion in these words (an admission webhook may) has not deleted the Job.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_meets_a_conflict_is_made_again() {
    replay(History, &[Fault::Refuse(409)], Extent::All).await;
}

// R34: both believe that they lead. `SEED=N` repeats the order in which things were drawn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_leaders_make_no_job_twice() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = std::env::var("SEED").map_or(now.as_secs(), |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    leaders::play(seed).await;
}
