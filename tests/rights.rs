//! The chart lets the operator do what it was seen doing in all tests, neither more nor less (R42). `make test` runs this
//! last: it reads the audit logs that the other tests have left.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "the tests of the chart use all of it")]
#[path = "chart/helm.rs"]
mod helm;
mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use marmot_operator::preflight::AGENT;
use serde_json::Value;

/// Needed, but only where a CronJob changes between the watch and our patch of it, which no test can time:
/// `src/execute/takeover.rs` reads it anew then.
const UNTIMELY: [&str; 1] = ["get cronjobs.batch"];

/// The chart's folder.
fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/marmot-operator")
}

/// `verb resource.group`, with the subresource behind a slash.
fn right(verb: &str, resource: &str, group: &str) -> String {
    let dot = if group.is_empty() { "" } else { "." };
    format!("{verb} {resource}{dot}{group}")
}

/// What the operator asked for and was allowed to do, by one line of an audit log.
fn used(line: &str) -> Option<String> {
    let event: Value = serde_json::from_str(line).ok()?;
    let allowed = event["annotations"]["authorization.k8s.io/decision"] == "allow";
    let object = &event["objectRef"];
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    if event["userAgent"] != AGENT || !allowed || text("resource").is_empty() {
        return None;
    }
    let resource = match text("subresource") {
        "" => text("resource").to_owned(),
        subresource => format!("{}/{subresource}", text("resource")),
    };
    Some(right(event["verb"].as_str()?, &resource, text("apiGroup")))
}

/// What the roles allow that the chart binds to the operator.
fn granted() -> BTreeSet<String> {
    let objects = helm::render(&["operator.enabled=true"]);
    let is_ours = |subject: &Value| subject["name"] == helm::RELEASE && subject["kind"] == "ServiceAccount";
    let bindings =
        objects.iter().filter(|object| object["kind"].as_str().is_some_and(|kind| kind.ends_with("Binding")));
    let bound = bindings.filter(|binding| binding["subjects"].as_array().unwrap().iter().any(is_ours));
    let bound: Vec<&Value> = bound.map(|binding| &binding["roleRef"]).collect();
    let is_bound = |role: &&Value| {
        bound.iter().any(|reference| role["kind"] == reference["kind"] && role["metadata"]["name"] == reference["name"])
    };
    let words = |list: &Value| list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect();
    let mut granted = BTreeSet::new();
    for rule in objects.iter().filter(is_bound).flat_map(|role| role["rules"].as_array().unwrap()) {
        let [groups, resources, verbs]: [Vec<String>; 3] =
            ["apiGroups", "resources", "verbs"].map(|field| words(&rule[field]));
        for group in &groups {
            for resource in &resources {
                granted.extend(verbs.iter().map(|verb| right(verb, resource, group)));
            }
        }
    }
    granted
}

#[test]
#[ignore = "reads what all other tests have left: make test runs it last"]
fn the_chart_grants_what_was_used() {
    let folder = std::env::var_os("MARMOT_AUDIT_LOGS").expect("MARMOT_AUDIT_LOGS names the folder, as in the Makefile");
    let logs = std::fs::read_dir(&folder).expect("the folder is there").map(|entry| entry.unwrap().path());
    let mut seen = BTreeSet::new();
    for log in logs {
        let lines = BufReader::new(std::fs::File::open(log).unwrap()).lines();
        seen.extend(lines.filter_map(|line| used(&line.unwrap())));
    }
    assert!(!seen.is_empty(), "no log in {} shows the operator", folder.display());
    let granted = granted();
    let unused: Vec<_> = granted.difference(&seen).filter(|right| !UNTIMELY.contains(&right.as_str())).collect();
    let missing: Vec<_> = seen.difference(&granted).collect();
    assert!(
        unused.is_empty() && missing.is_empty(),
        "granted by the chart, but used in no test: {unused:?}\nused, but not granted by the chart: {missing:?}"
    );
}

#[test]
fn what_others_do_and_what_is_refused_does_not_count() {
    let line = |agent: &str, decision: &str| {
        serde_json::json!({
            "userAgent": agent, "verb": "patch", "annotations": { "authorization.k8s.io/decision": decision },
            "objectRef": { "apiGroup": "runs.marmotdata.io", "resource": "runs", "subresource": "status" },
        })
    };
    assert_eq!(used(&line(AGENT, "allow").to_string()), Some("patch runs/status.runs.marmotdata.io".to_owned()));
    assert!(granted().contains("patch runs/status.runs.marmotdata.io") && granted().contains("list pods"));
    for other in [line("kubectl/v1", "allow"), line(AGENT, "forbid"), Value::Null] {
        assert_eq!(used(&other.to_string()), None);
    }
}
