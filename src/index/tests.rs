use serde_json::{Value, json};

use super::*;

fn object<K: serde::de::DeserializeOwned>(kind: &str, owner: &str, version: u64, rest: &Value) -> K {
    let owners = json!([{ "apiVersion": "runs.marmotdata.io/v1alpha1", "kind": "Run", "name": "orders", "uid": owner,
                          "controller": true }]);
    let mut object = json!({ "apiVersion": "batch/v1", "kind": kind, "spec": {}, "metadata": {
        "name": "orders", "namespace": "data", "uid": "uid", "resourceVersion": version.to_string(),
        "ownerReferences": owners, "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": { crds::RUN_LABEL: "orders", crds::KIND_LABEL: "OneShot" },
    } });
    object["metadata"].as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    serde_json::from_value(object).unwrap()
}

// R31: else the CronJob would hold the Run's ticks until the operator is started again.
#[test]
fn a_cron_job_that_the_watch_has_seen_go_is_not_brought_back_by_the_answer_to_its_deletion() {
    let index = Index::default();
    let known: LightCronJob = object("CronJob", "run", 1, &json!({}));
    let going: LightCronJob = object("CronJob", "run", 2, &json!({ "deletionTimestamp": "2026-01-01T00:00:01Z" }));
    index.apply_cron_job(known);
    index.apply_answered_cron_job(going.clone());
    assert!(index.cron_jobs("run")[0].metadata.deletion_timestamp.is_some(), "the answer counts while it is there");
    index.remove_cron_job(&going.metadata);
    index.apply_answered_cron_job(going);
    assert!(index.cron_jobs("run").is_empty());
}

// R17, R18: else the Job would count as unfinished for ever.
#[test]
fn a_job_that_the_watch_has_seen_go_is_not_brought_back_by_an_answer() {
    let index = Index::default();
    let known: LightJob = object("Job", "run", 1, &json!({}));
    let going: LightJob = object("Job", "run", 2, &json!({ "deletionTimestamp": "2026-01-01T00:00:01Z" }));
    index.apply_job(&known);
    index.apply_answered_job(&going);
    assert!(index.jobs("run")[0].observed().unwrap().deleting_since.is_some(), "the answer counts while it is there");
    index.remove_job(&going.metadata);
    index.apply_answered_job(&going);
    index.apply_answered_job(&known);
    assert!(index.jobs("run").is_empty(), "neither its deletion's nor its create's");
    // One that had only lost the label by which it is watched.
    index.apply_job(&known);
    index.apply_answered_job(&going);
    assert_eq!(index.jobs("run").len(), 1);
}

// The create of a Job is answered before the watch shows it, as a rule.
#[test]
fn the_answer_to_a_create_counts_at_once() {
    let index = Index::default();
    index.apply_answered_job(&object("Job", "run", 1, &json!({})));
    assert_eq!(index.jobs("run").len(), 1);
}

// R31: whose answer was lost, or who was a stand-by, learns by the watch that the Job is the Run's now.
#[test]
fn a_job_that_the_run_was_given_is_its_cron_jobs_no_more() {
    let owner = |kind: &str, group: &str, uid: &str| json!([{ "apiVersion": group, "kind": kind, "name": "orders", "uid": uid, "controller": true }]);
    let job =
        |version, owners: Value| -> LightJob { object("Job", "", version, &json!({ "ownerReferences": owners })) };
    let unfinished = Arc::new(Unfinished::default());
    let index = Index::counting(Arc::clone(&unfinished));
    let foreign = job(1, owner("CronJob", "batch/v1", "cron job"));
    index.apply_job(&foreign);
    assert!(index.foreign_job("uid").is_some());
    index.apply_job(&job(2, owner("Run", "runs.marmotdata.io/v1alpha1", "run")));
    assert!(index.foreign_job("uid").is_none() && index.jobs("cron job").is_empty());
    assert_eq!((index.jobs("run").len(), unfinished.count()), (1, 1));
    // The watch may show afterwards how it was before our own call: until it goes on, no longer.
    index.apply_job(&foreign);
    index.apply_job(&job(2, owner("Run", "runs.marmotdata.io/v1alpha1", "run")));
    assert!(index.foreign_job("uid").is_none() && index.jobs("cron job").is_empty());
    index.apply_job(&foreign);
    index.remove_job(&foreign.metadata);
    assert!(index.foreign_job("uid").is_none());
}
