//! The commands that need no cluster, as users call them.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use rstest::rstest;
use serde_json::Value;

fn marmot_operator(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_marmot-operator"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // As in an image without certificates.
        .env("SSL_CERT_FILE", "/dev/null")
        .env("SSL_CERT_DIR", "/nowhere")
        .output()
        .expect("it starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A manifest in a file of its own.
fn manifest(name: &str, text: &str) -> String {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, text).expect("written");
    file.display().to_string()
}

// R23
#[test]
fn next_tells_what_the_clocks_do() {
    let question = ["next", "30 2 * * *", "--zone", "Europe/Berlin", "--from", "2025-10-25T12:00", "-n", "2"];
    let answer = marmot_operator(&question);
    assert_eq!(
        stdout(&answer),
        "every day at 02:30, Europe/Berlin\n\n\
         Sun 2025-10-26 02:30:00 CEST   2025-10-26T00:30:00Z  in 14h 30m\n    \
         26 Oct 2025: 02:30 happens twice, runs at the first\n\
         Mon 2025-10-27 02:30:00 CET    2025-10-27T01:30:00Z  in 1day 15h 30m\n"
    );
    assert_eq!(answer.status.code(), Some(0));
}

// R24
#[test]
fn next_counts_every_from_the_time_given() {
    let answer = marmot_operator(&["next", "@every 90m", "--from", "2026-01-01T00:00:00Z", "-n", "2", "-o", "json"]);
    let answer: Value = serde_json::from_str(&stdout(&answer)).expect("JSON");
    let times: Vec<&str> =
        answer["ticks"].as_array().expect("a list").iter().filter_map(|t| t["time"].as_str()).collect();
    assert_eq!(times, ["2026-01-01T01:30:00Z", "2026-01-01T03:00:00Z"]);
}

#[test]
fn next_reads_runs_with_their_zones() {
    let answer = marmot_operator(&["next", "-f", "examples/daily.yaml", "--from", "2026-07-01", "-n", "1"]);
    assert!(stdout(&answer).starts_with("Run warehouse: every day at 02:30, Europe/Berlin\n"), "{}", stdout(&answer));
    assert!(stdout(&answer).contains("2026-07-01T00:30:00Z"));
}

// R21, R22, R25
#[rstest]
#[case(&["next", "0 24 * * *"], 2, "hour: 24 is above 23 (position 3)")]
#[case(&["next", "0 1 * * *", "--zone", "europe/berlin"], 2, "Europe/Berlin")]
#[case(&["next", "0 1 * * *", "--from", "tomorrow"], 2, "--from \"tomorrow\": write 2026-03-28T12:00:00Z")]
#[case(&["next"], 2, "<SCHEDULE>")]
#[case(&["next", "-f", "no-such-file.yaml"], 2, "no-such-file.yaml")]
#[case(&["next", "0 0 30 2 *"], 1, "")]
fn next_refuses_with_a_reason(#[case] question: &[&str], #[case] code: i32, #[case] words: &str) {
    let answer = marmot_operator(question);
    assert_eq!(answer.status.code(), Some(code));
    assert!(stderr(&answer).contains(words), "{}", stderr(&answer));
}

#[test]
fn the_examples_are_valid() {
    let examples = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).expect("examples");
    let files: Vec<String> = examples.map(|entry| entry.expect("a file").path().display().to_string()).collect();
    let arguments: Vec<&str> = ["validate", "--strict"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let answer = marmot_operator(&arguments);
    assert_eq!((answer.status.code(), stdout(&answer)), (Some(0), String::new()));
}

const BAD: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: { name: passed-over }
---
apiVersion: runs.marmotdata.io/v1alpha1
kind: Run
metadata:
  name: orders
spec:
  shedule: "x"
  schedule: "0 24 * * *"
  backoffLimit: -1
  concurrencyPolicy: Never
  suspend: "yes"
  podLabels: { "_key": v }
  runs:
    - postgresql:
        password: hunter2
        dsn: "${1X}"
        user: "${DB_USER}"
    - postgresql: {}
---
apiVersion: v1
kind: List
items:
  - apiVersion: runs.marmotdata.io/v1alpha1
    kind: Run
    metadata: { name: orders, namespace: b }
    spec:
      schedule: "TZ=UTC 0 1 * * *"
      runs: [oops]
"#;

// R3, R11, R21, R36, R37, R41
#[test]
fn validate_points_at_every_mistake_and_shows_no_value() {
    let file = manifest("bad.yaml", BAD);
    let answer = marmot_operator(&["validate", &file]);
    assert_eq!(answer.status.code(), Some(1));
    let found = stdout(&answer);
    for expected in [
        "10: error: spec.shedule: there is no such field, the API server would drop it; did you mean schedule?",
        "11: error: spec.schedule: hour: 24 is above 23 (position 3)",
        "12: error: spec.backoffLimit: it must be 0 or more",
        "13: error: spec.concurrencyPolicy: \"Never\" is not one of Allow, Forbid, Replace",
        "14: error: spec.suspend: it must be true or false, and is a text",
        "15: error: spec.podLabels: has a key that Kubernetes does not accept",
        "18: warning: spec.runs[0].postgresql.password: a secret in clear text",
        "19: warning: spec.runs[0].postgresql.dsn: ${1X} is no reference",
        "21: error: spec.runs: spec.runs[1] names source \"postgresql\" again",
        "28: warning: metadata.name: Run orders is in namespace",
        "30: error: spec.schedule: cannot hold TZ=",
        "31: error: spec.runs[0]: it must be a map, and is a text",
    ] {
        assert!(found.contains(&format!("bad.yaml:{expected}")), "{expected}\n---\n{found}");
    }
    assert_eq!(found.lines().count(), 12, "{found}");
    assert!(!found.contains("hunter2"));
    assert!(stderr(&answer).contains("2 Runs, 9 errors, 3 warnings"), "{}", stderr(&answer));
}

// R3: what the API server would refuse is found here too, and what it takes is not.
#[rstest]
#[case(
    "apiVersion: runs.marmotdata.io/v1",
    "name: orders",
    "runs: [{ s3: {} }]",
    "1: error: apiVersion: there is no such version"
)]
#[case(
    "apiVersion: runs.marmotdata.io/v1alpha1",
    "name: My_Orders",
    "runs: [{ s3: {} }]",
    "3: error: metadata.name: use small letters"
)]
#[case("apiVersion: runs.marmotdata.io/v1alpha1", "name: orders", "runs:", "error: spec.runs: it is missing")]
#[case("apiVersion: runs.marmotdata.io/v1alpha1", "name: orders", "", "spec: it is missing")]
#[case(
    "apiVersion: runs.marmotdata.io/v1alpha1",
    "name: orders",
    "{ runs: [{ s3: {} }], backoffLimit: 3000000000 }",
    "spec.backoffLimit: it must be 2147483647 or less"
)]
#[case(
    "apiVersion: runs.marmotdata.io/v1alpha1",
    "name: orders",
    "{ runs: [{ s3: {} }], volumes: [{ name: k, secret: { secretName: s, defaultMode: 0400 } }] }",
    ""
)]
fn validate_judges_as_the_api_server_does(
    #[case] version: &str,
    #[case] name: &str,
    #[case] spec: &str,
    #[case] finding: &str,
) {
    let spec = if spec.starts_with('{') { format!("spec: {spec}") } else { format!("spec:\n  {spec}") };
    let text = format!("{version}\nkind: Run\nmetadata: {{ {name} }}\n{spec}\n");
    let sum: u32 = text.bytes().map(u32::from).sum();
    let file = manifest(&format!("judged-{}-{sum}.yaml", text.len()), &text);
    let answer = marmot_operator(&["validate", &file]);
    assert_eq!(answer.status.code(), Some(i32::from(!finding.is_empty())), "{}", stdout(&answer));
    assert!(stdout(&answer).contains(finding), "{}", stdout(&answer));
}

#[test]
fn validate_answers_programs() {
    let file = manifest(
        "warned.yaml",
        &BAD.lines().take(9).chain(["  runs: [{ s3: { secret: x } }]"]).collect::<Vec<_>>().join("\n"),
    );
    let answer = marmot_operator(&["validate", "-o", "json", &file]);
    assert_eq!(answer.status.code(), Some(0), "a warning is no error");
    let findings: Value = serde_json::from_str(&stdout(&answer)).expect("JSON");
    assert_eq!((findings[0]["level"].as_str(), findings[0]["line"].as_u64()), (Some("warning"), Some(10)));
    assert_eq!(marmot_operator(&["validate", "--strict", &file]).status.code(), Some(1));
    let broken = manifest("broken.yaml", "a: [");
    assert_eq!(marmot_operator(&["validate", &broken]).status.code(), Some(2));
}

// R2: without `timeZone` it is UTC, whatever zone the process lives in.
#[test]
fn the_zone_of_the_process_does_not_matter() {
    let run = "apiVersion: runs.marmotdata.io/v1alpha1\nkind: Run\nmetadata: {name: orders}\n\
               spec: {schedule: 0 6 * * *, runs: [{postgresql: {host: db}}]}\n";
    let file = manifest("zoneless.yaml", run);
    for zone in ["UTC", "Asia/Tokyo", "America/New_York"] {
        let answer = Command::new(env!("CARGO_BIN_EXE_marmot-operator"))
            .args(["next", "-f", &file, "--from", "2026-07-01T00:00:00Z", "-n", "1"])
            .env("TZ", zone)
            .output()
            .expect("it starts");
        assert!(stdout(&answer).contains("2026-07-01T06:00:00Z"), "{zone}: {}", stdout(&answer));
    }
}

/// Answers one request with that status, and says what was asked for.
fn answering(status: &'static str) -> (String, std::thread::JoinHandle<String>) {
    use std::io::{BufRead as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/livez", listener.local_addr().expect("bound"));
    let answer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a request");
        let request = std::io::BufReader::new(stream.try_clone().expect("cloned")).lines();
        // What is not read to its end would be answered by a reset.
        let mut lines = request.map(|line| line.expect("read")).take_while(|line| !line.is_empty());
        let asked = lines.next().expect("a line");
        lines.for_each(drop);
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").expect("written");
        asked
    });
    (url, answer)
}

#[test]
fn reach_tells_what_answers_and_what_does_not() {
    let ((well, asked), (badly, _)) = (answering("200 OK"), answering("503 Service Unavailable"));
    let answer = marmot_operator(&["reach", &well]);
    assert_eq!((stdout(&answer), answer.status.code()), (format!("{well} answers 200 OK\n"), Some(0)));
    assert_eq!(asked.join().expect("asked"), "GET /livez HTTP/1.1");
    // Each is asked, whatever the ones before have said.
    let answer = marmot_operator(&["reach", &badly, "http://127.0.0.1:1/metrics"]);
    assert_eq!(answer.status.code(), Some(1));
    let said = stdout(&answer);
    let (first, second) = said.trim_end().split_once('\n').expect("two lines");
    assert_eq!(first, format!("{badly} answers 503 Service Unavailable"));
    assert!(
        second.starts_with("http://127.0.0.1:1/metrics cannot be reached: ") && second.contains("refused"),
        "{second}"
    );
}
