//! The schema as a document: what can be said of it without an API server.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::{ConcurrencyPolicy, RunSpec};

/// What the annotation of `kubectl apply` holds.
const LIMIT: usize = 256 * 1024;

fn root() -> Value {
    serde_json::to_value(crd()).unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].take()
}

/// Calls `look` with every schema in `schema` and its path.
fn walk(path: &str, schema: &Value, look: &mut dyn FnMut(&str, &Value)) {
    look(path, schema);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), field, look);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[key].is_object() {
            walk(&format!("{path}{mark}"), &schema[key], look);
        }
    }
}

/// Paths in the whole schema for which `wanted` holds.
fn paths(wanted: impl Fn(&Value) -> bool) -> Vec<String> {
    let mut paths = Vec::new();
    walk("", &root(), &mut |path, schema| {
        if wanted(schema) {
            paths.push(path.to_owned());
        }
    });
    paths
}

#[test]
fn committed_yaml_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/runs.yaml");
    let committed = std::fs::read_to_string(path).unwrap();
    let same = committed == crd_yaml().unwrap();
    assert!(same, "crds/runs.yaml is out of date: cargo run -p crds --bin crdgen > crds/runs.yaml");
}

#[test]
fn yaml_says_what_the_type_says() {
    let read: CustomResourceDefinition = serde_saphyr::from_str(&crd_yaml().unwrap()).unwrap();
    assert_eq!(read, crd());
}

#[test]
fn fits_into_the_annotation_of_kubectl_apply() {
    let size = serde_json::to_string(&crd()).unwrap().len();
    assert!(size < LIMIT, "{size} bytes");
}

#[test]
fn formats_are_those_of_kubernetes() {
    let known = ["int32", "int64", "date-time"];
    let foreign = paths(|schema| schema["format"].as_str().is_some_and(|format| !known.contains(&format)));
    assert_eq!(foreign, Vec::<String>::new());
}

#[test]
fn null_is_never_a_value() {
    assert_eq!(paths(|schema| schema.get("nullable").is_some()), Vec::<String>::new());
}

#[test]
fn every_schema_has_a_type() {
    let untyped = paths(|schema| schema["type"].is_null() && schema["x-kubernetes-int-or-string"] != true);
    assert_eq!(untyped, Vec::<String>::new());
}

#[test]
fn own_fields_are_described_and_embedded_ones_are_not() {
    let root = root();
    for part in ["spec", "status"] {
        assert!(root["properties"][part]["description"].is_string(), "{part}");
        for (name, field) in root["properties"][part]["properties"].as_object().unwrap() {
            assert!(field["description"].is_string(), "{part}.{name}");
            let own = part == "status" && name != "conditions";
            walk(name, field, &mut |path, schema| {
                let is_field = path.rsplit_once('.').is_some();
                let described = schema["description"].is_string();
                assert!(path == name || described == own || (own && !is_field), "{part}.{path}");
            });
        }
    }
}

// R3: a rule on the root would hold a broken Run's annotations and status hostage.
#[test]
fn rules_stand_on_fields_and_their_messages_name_them() {
    let mut rules = 0;
    walk("", &root(), &mut |path, schema| {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            rules += 1;
            let field = path.strip_prefix('.').unwrap().trim_end_matches("{}");
            assert!(field.starts_with("spec"), "{field}");
            assert!(rule["message"].as_str().unwrap().starts_with(&format!("{field} ")), "{field}: {rule}");
        }
    });
    assert_eq!(rules, 10);
}

#[test]
fn lists_with_keys_are_maps() {
    let maps = paths(|schema| schema["x-kubernetes-list-type"] == "map");
    assert_eq!(maps, [".spec.volumeMounts", ".spec.volumes", ".status.conditions"]);
    assert_eq!(
        root()["properties"]["status"]["properties"]["conditions"]["x-kubernetes-list-map-keys"],
        json!(["type"])
    );
}

#[test]
fn only_runs_is_required() {
    assert_eq!(root()["properties"]["spec"]["required"], json!(["runs"]));
    assert!(root()["properties"]["status"]["required"].is_null());
}

// R1: what the server sets is what the accessors say of a Run that it never saw.
#[rstest]
#[case("suspend", json!(RunSpec::default().suspended()))]
#[case("concurrencyPolicy", json!(RunSpec::default().concurrency_policy()))]
#[case("backoffLimit", json!(RunSpec::default().backoff_limit()))]
#[case("successfulJobsHistoryLimit", json!(RunSpec::default().successful_jobs_history_limit()))]
#[case("failedJobsHistoryLimit", json!(RunSpec::default().failed_jobs_history_limit()))]
#[case("teardownOnDelete", json!(RunSpec::default().teardown_on_delete()))]
fn defaults_agree(#[case] field: &str, #[case] default: Value) {
    assert_eq!(root()["properties"]["spec"]["properties"][field]["default"], default);
}

#[test]
fn there_are_no_other_defaults_on_own_fields() {
    let own = paths(|schema| schema.get("default").is_some());
    let own = own.iter().filter(|path| path.matches('.').count() == 2).count();
    assert_eq!(own, 6);
}

#[test]
fn a_run_of_the_go_operator_can_be_read() {
    let run: Run = serde_json::from_value(json!({
        "apiVersion": "runs.marmotdata.io/v1alpha1",
        "kind": "Run",
        "metadata": {"name": "old"},
        "spec": {
            "runs": ["no object"],
            "schedule": "",
            "backoffLimit": -1,
            "resources": {"limits": {"cpu": 1, "memory": "1Gi"}},
        },
        "status": {"phase": "Idle", "active": 0, "conditions": []},
    }))
    .unwrap();
    assert_eq!(run.spec.runs.get(), r#"["no object"]"#);
    assert_eq!(run.spec.schedule(), None);
    assert_eq!(run.spec.backoff_limit(), 0);
    assert_eq!(run.spec.resources.unwrap().limits.unwrap()["cpu"].0, "1");
    assert_eq!(run.spec.concurrency_policy, None::<ConcurrencyPolicy>);
}

#[test]
fn a_run_keeps_its_text_through_reading_and_writing() {
    let text = r#"{"apiVersion":"runs.marmotdata.io/v1alpha1","kind":"Run","metadata":{"name":"a"},"spec":{"runs":[{"z":1.50,"a":{}}]}}"#;
    let run: Run = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&run).unwrap(), text);
}

#[test]
fn an_empty_status_is_written_as_nothing() {
    assert_eq!(serde_json::to_string(&crate::RunStatus::default()).unwrap(), "{}");
}
