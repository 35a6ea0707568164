//! `marmot-operator explain` on the real API server, state by state.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use crds::Phase;
use serde_json::{Value, json};
use support::operator::{World, is_ready_for, status};

const OUTCOME: &str = "test.marmotdata.io/outcome";
/// A schedule that does not come due during a test.
const RARE: &str = "0 0 1 1 *";

/// Exit code, standard output and standard error.
fn explain(world: &World, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_marmot-operator"));
    command.arg("explain").args(args).arg("--kubeconfig").arg(&world.cluster.kubeconfig);
    let output = command.output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The explanation of a Run of this world, which must hold each of these pieces.
fn told(world: &World, run: &str, pieces: &[&str]) -> String {
    let name = format!("{}/{run}", world.namespace);
    let (code, text, error) = explain(world, &[&name, "--leader-election-namespace", &world.namespace]);
    assert_eq!((code, error.as_str()), (Some(0), ""), "{text}");
    for piece in pieces {
        assert!(text.contains(piece), "{piece:?} is missing in\n{text}");
    }
    text
}

#[tokio::test]
async fn a_scheduled_run_and_a_suspended_one() {
    let world = World::new("explain").await;
    let operator = world.operator(&[]);
    world.create("yearly", json!({ "schedule": RARE, "timeZone": "Europe/Berlin" })).await;
    world.run_when("yearly", "armed", |run| status(run).next_schedule_time.is_some()).await;
    let next = "do nothing, because:\n  - the next tick is at ";
    let pieces =
        ["Phase:       Scheduled", "Europe/Berlin (\"0 0 1 1 *\")", "Newest tick: none yet", next, "Ready=True"];
    let text = told(&world, "yearly", &pieces);
    assert!(text.contains(&format!("by the Lease in namespace {}", world.namespace)), "{text}");

    world.patch("yearly", json!({ "spec": { "suspend": true } })).await;
    world.run_when("yearly", "suspended", |run| status(run).phase == Some(Phase::Suspended)).await;
    told(&world, "yearly", &["; suspended", "Next tick:   none", "it is suspended: no tick runs until spec.suspend"]);

    // Without a leader, the same, and who is missing.
    drop(operator);
    world.patch("yearly", json!({ "spec": { "suspend": false } })).await;
    let (_, text, _) = explain(&world, &["yearly", "-n", &world.namespace, "--leader-election-namespace", "default"]);
    assert!(text.contains("Leader:      nobody"), "{text}");
    assert!(text.contains("Nobody leads. An operator that did would now"), "{text}");
}

// R17
#[tokio::test]
async fn a_tick_that_forbid_did_not_run() {
    let world = World::new("explain-forbid").await;
    let _operator = world.operator(&[]);
    let spec = json!({ "schedule": "@every 3s", "podAnnotations": { OUTCOME: "never" } });
    world.create("busy", spec).await;
    let skipped =
        |run: &crds::Run| status(run).skipped_ticks.iter().any(|entry| entry.reason == "ConcurrencyForbidden");
    world.run_when("busy", "skipping", skipped).await;
    let text =
        told(&world, "busy", &["Phase:       Running", "Ticks not run:", "a tick that comes due meanwhile is not run"]);
    let why = "ConcurrencyForbidden: another run had not ended (concurrencyPolicy: Forbid)";
    assert!(text.contains(&format!("not run: {why}")) && text.contains(&format!(", {why}")), "{text}");
}

// R3, R22
#[tokio::test]
async fn a_schedule_that_cannot_be_used() {
    let world = World::new("explain-invalid").await;
    let _operator = world.operator(&[]);
    world.create("wrong", json!({ "schedule": "61 * * * *" })).await;
    world.run_when("wrong", "refused", |run| is_ready_for(run, "InvalidSchedule")).await;
    told(
        &world,
        "wrong",
        &["\"61 * * * *\", which cannot be used", "Ready=False", "  - InvalidSchedule: spec.schedule"],
    );
}

// R27
#[tokio::test]
async fn a_trigger_that_waits() {
    let world = World::new("explain-trigger").await;
    let _operator = world.operator(&[]);
    world.create("once", json!({ "podAnnotations": { OUTCOME: "never" } })).await;
    world.run_when("once", "running", |run| status(run).phase == Some(Phase::Running)).await;
    world.trigger("once").await;
    let queued = |run: &crds::Run| status(run).conditions.iter().any(|condition| condition.reason == "TriggerQueued");
    world.run_when("once", "queued", queued).await;
    told(&world, "once", &["Schedule:    none", "once-gen1 (OneShot)", "  - TriggerQueued: the trigger waits"]);
}

// R30
#[tokio::test]
async fn a_deletion_that_cannot_go_on() {
    let world = World::new("explain-deletion").await;
    let _operator = world.operator(&[]);
    world.create("leaving", json!({})).await;
    world.run_when("leaving", "done", |run| status(run).phase == Some(Phase::Succeeded)).await;
    told(&world, "leaving", &["it has no schedule, and this pipeline has had its run"]);
    world.patch("leaving", json!({ "spec": { "podAnnotations": { OUTCOME: "failure" }, "backoffLimit": 0 } })).await;
    world.run_when("leaving", "failed", |run| status(run).phase == Some(Phase::Failed)).await;
    world.runs().delete("leaving", &kube::api::DeleteParams::default()).await.expect("it is deleted");
    world.run_when("leaving", "stuck", |run| is_ready_for(run, "TeardownFailed")).await;
    told(&world, "leaving", &["  - TeardownFailed: ", "teardownOnDelete", "(Teardown), made at"]);
}

/// The body of the answer to one GET.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: operator\r\nconnection: close\r\n\r\n").expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is text");
    answer.split_once("\r\n\r\n").expect("there is a body").1.to_owned()
}

// What the process itself says, where it is asked to.
#[tokio::test]
async fn the_leader_tells_its_last_decisions() {
    let world = World::new("explain-debug").await;
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let address = format!("127.0.0.1:{port}");
    let _operator = world.operator(&["--health-probe-bind-address", &address, "--debug-endpoint"]);
    // `explain` sees Runs of all namespaces, and those of one name share a pipeline (R11): each test has names of its own.
    world.create("rare", json!({ "schedule": RARE })).await;
    world.run_when("rare", "armed", |run| status(run).next_schedule_time.is_some()).await;
    let name = format!("{}/rare", world.namespace);
    let said = get(&address, &format!("/debug/runs?run={name}"));
    let said: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!((&said["leading"], &said["runs"][0]["run"]), (&json!(true), &json!(name)), "{said:#}");
    let acted = &said["runs"][0]["lastAction"]["effects"];
    assert!(acted.as_array().is_some_and(|effects| effects.contains(&json!("Record"))), "{said:#}");
}

#[tokio::test]
async fn what_cannot_be_explained() {
    let world = World::new("explain-errors").await;
    let name = format!("{}/absent", world.namespace);
    let (code, _, error) = explain(&world, &[&name]);
    assert_eq!(code, Some(1));
    assert!(error.starts_with(&format!("error: there is no Run {name};")), "{error}");

    // A ServiceAccount without any right.
    let token = world.cluster.kubectl(["create", "token", support::cluster::SERVICE_ACCOUNT, "-n", &world.namespace]);
    let token = String::from_utf8_lossy(&token.stdout).trim().to_owned();
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.kubeconfig", world.namespace));
    std::fs::copy(&world.cluster.kubeconfig, &path).expect("it is copied");
    let path = path.to_str().expect("a path of text");
    for args in [
        &["set-credentials", "nobody", &format!("--token={token}")][..],
        &["set-context", "--current", "--user=nobody"],
    ] {
        let path = ["--kubeconfig", path, "config"];
        assert!(world.cluster.kubectl(path.iter().chain(args)).status.success());
    }
    let output = Command::new(env!("CARGO_BIN_EXE_marmot-operator"))
        .args(["explain", &name, "--kubeconfig", path])
        .output()
        .expect("the program starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(error.starts_with("error: cannot read the Run: ") && error.contains("forbidden"), "{error}");
}
