//! The chart: what it renders, refuses, documents and alerts on; and that the API server and the operator take it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "chart/dry_run.rs"]
mod dry_run;
#[path = "chart/helm.rs"]
mod helm;
#[path = "chart/lifecycle.rs"]
mod lifecycle;
#[path = "chart/queries.rs"]
mod queries;
#[path = "chart/readme.rs"]
mod readme;
#[path = "chart/rights.rs"]
mod rights;
mod support;
#[path = "chart/walkthrough.rs"]
mod walkthrough;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The chart's folder.
fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/marmot-operator")
}

/// A file of the chart.
fn file(name: &str) -> String {
    let path = chart().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn helm_finds_nothing_to_complain_about() {
    for set in [&[][..], &["operator.enabled=true"], helm::EVERYTHING] {
        let output = helm::run(["lint", "--strict"].map(str::to_owned).into_iter().chain(helm::sets(set)));
        assert!(output.status.success(), "{}", helm::text(&output.stdout));
    }
}

#[test]
fn the_unit_tests_of_the_templates_pass() {
    let mut command = helm::program("helm-unittest");
    let output =
        command.args(["--strict", "--color=false"]).arg(chart()).output().expect("helm-unittest can be started");
    assert!(output.status.success(), "{}", helm::text(&output.stdout));
}

#[test]
fn every_template_has_unit_tests() {
    let suites: String = std::fs::read_dir(chart().join("tests"))
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok())
        .collect();
    for folder in ["templates", "templates/tests"] {
        for entry in std::fs::read_dir(chart().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let has_objects = Path::new(&name).extension().is_some_and(|extension| extension == "yaml");
            assert!(!has_objects || suites.contains(&name), "no suite of tests/ names {folder}/{name}");
        }
    }
}

// R1: the chart installs the API that the operator speaks, and names as its own nothing but labels and the keep policy.
#[test]
fn the_crd_is_that_of_the_operator() {
    let crate_file = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds/runs.yaml");
    assert_eq!(file("files/runs.yaml"), std::fs::read_to_string(crate_file).unwrap(), "copy crds/runs.yaml there");
    let mut rendered = helm::render(&["operator.enabled=true"]);
    rendered.retain(|object| object["kind"] == "CustomResourceDefinition");
    let metadata = rendered[0]["metadata"].as_object_mut().unwrap();
    assert!(metadata.remove("labels").is_some() && metadata.remove("annotations").is_some());
    let ours: Value = serde_saphyr::from_str(&crds::crd_yaml().unwrap()).unwrap();
    assert_eq!(rendered, [ours]);
}

#[test]
fn without_operator_enabled_nothing_is_rendered() {
    let more = helm::EVERYTHING.iter().copied().filter(|set| *set != "operator.enabled=true").collect::<Vec<_>>();
    assert_eq!(helm::render(&more), Vec::<Value>::new());
}

/// Arguments of the operator's container.
fn arguments(objects: &[Value]) -> Vec<String> {
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").expect("there is a Deployment");
    let arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
    arguments.iter().map(|argument| argument.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_operator_knows_every_argument_it_is_given() {
    let operator = || std::process::Command::new(env!("CARGO_BIN_EXE_marmot-operator"));
    for set in [&["operator.enabled=true"][..], helm::EVERYTHING] {
        let arguments = arguments(&helm::render(set));
        // clap reads in order: what stands before --help has been accepted.
        let output = operator().args(&arguments).arg("--help").output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", helm::text(&output.stderr));
    }
}

// The chart names the parts of the operator by the operator's own words.
#[test]
fn names_shared_with_the_operator_are_the_same() {
    let objects = helm::render(&["operator.enabled=true"]);
    let role = objects.iter().find(|object| object["metadata"]["name"] == "marmot-operator-leader-election").unwrap();
    assert_eq!(role["rules"][1]["resourceNames"], json!([marmot_operator::leader::LEASE_NAME]));
    let cluster_role =
        objects.iter().find(|object| object["kind"] == "ClusterRole" && object["rules"][1] != Value::Null);
    assert_eq!(cluster_role.unwrap()["rules"][0]["apiGroups"], json!([crds::GROUP]));
}

#[test]
fn the_schema_and_the_values_have_the_same_keys() {
    let schema: Value = serde_json::from_str(&file("values.schema.json")).unwrap();
    let values: Value = serde_saphyr::from_str(&file("values.yaml")).unwrap();
    let mut wrong = Vec::new();
    compare_keys("", &schema, &schema, &values, &mut wrong);
    assert_eq!(wrong, Vec::<String>::new());
}

/// Walks down where the schema names its keys.
fn compare_keys(path: &str, root: &Value, schema: &Value, values: &Value, wrong: &mut Vec<String>) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).expect("a $ref leads somewhere"),
        None => schema,
    };
    let Some(properties) = schema["properties"].as_object() else { return };
    assert_eq!(schema["additionalProperties"], false, "{path}: unknown keys must be refused");
    let values = values.as_object().cloned().unwrap_or_default();
    // Kubernetes' own type, of which the values need not set every field; and what helm adds to subcharts.
    let optional = |name: &str| matches!(name, "claims" | "global");
    for (name, schema) in properties {
        match values.get(name) {
            Some(values) => compare_keys(&format!("{path}.{name}"), root, schema, values, wrong),
            None if optional(name) => {}
            None => wrong.push(format!("{path}.{name} is in values.schema.json only")),
        }
    }
    wrong.extend(
        values.keys().filter(|name| !properties.contains_key(*name)).map(|name| format!("{path}.{name}: no schema")),
    );
}
