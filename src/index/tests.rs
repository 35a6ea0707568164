use std::collections::BTreeSet;

use crds::Run;
use serde_json::{Value, json};

use super::*;
use crate::lenient::Lenient;
use crate::light::LightConfigMap;

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

// R40: whoever may write CronJobs may write this too.
#[test]
fn a_cron_job_that_owns_itself_is_nobodys() {
    let index = Index::default();
    assert!(index.apply_cron_job(object("CronJob", "uid", 1, &json!({}))).is_none());
    let job: LightJob = object("Job", "uid", 1, &json!({ "uid": "job" }));
    assert!(index.apply_job(&job).is_none());
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

// R33: what is created while a list is on its way is not in it, and is there all the same.
#[test]
fn a_list_does_not_forget_what_is_younger() {
    let job = |uid: &str| -> LightJob { object("Job", "run", 1, &json!({ "name": uid, "uid": uid })) };
    let index = Index::default();
    index.apply_answered_job(&job("old"));
    index.begin_job_list();
    index.apply_answered_job(&job("young"));
    index.apply_job(&job("listed"));
    let listed = HashSet::from(["listed".to_owned()]);
    index.forget_unlisted_jobs(&listed);
    let left = |index: &Index| index.jobs("run").iter().map(|job| job.uid().to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(left(&index), ["listed", "young"].map(str::to_owned).into());
    index.begin_job_list();
    index.forget_unlisted_jobs(&listed);
    assert_eq!(left(&index), ["listed".to_owned()].into());
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

fn run(version: u64, rest: &Value) -> Lenient<Run> {
    let mut run = json!({ "metadata": { "name": "orders", "namespace": "data", "uid": "run", "generation": 1,
        "resourceVersion": version.to_string(), "creationTimestamp": "2026-01-01T00:00:00Z" } });
    run.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    serde_json::from_value(run).unwrap()
}

// It is kept as text, so that ten thousand need little memory.
#[test]
fn a_run_comes_out_as_it_went_in() {
    let text = r#"{"metadata": {"name": "orders", "namespace": "data", "uid": "run", "resourceVersion": "7", "generation": 2,
        "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z", "finalizers": ["a/b"],
        "labels": {"team": "sales"}, "annotations": {"note": "stays", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
        "managedFields": [{"manager": "kubectl", "operation": "Update"}]},
        "spec": {"runs": [{"x": {"n": 1.10, "big": 123456789012345678901234567890}}], "schedule": "@daily", "suspend": false},
        "status": {"phase": "Running", "claims": {"orders-1": {"kind": "Scheduled", "attempt": 1, "holder": "me",
            "claimedAt": "2026-01-01T00:00:00Z"}}, "nextScheduleTime": "2026-01-03T00:00:00Z"}}"#;
    let index = Index::default();
    let key = index.apply_run(serde_json::from_str(text).unwrap()).unwrap().unwrap();
    let mut wanted: Run = serde_json::from_str(text).unwrap();
    wanted.metadata.managed_fields = None;
    wanted.metadata.annotations.as_mut().unwrap().remove("kubectl.kubernetes.io/last-applied-configuration");
    assert_eq!(*index.run(&key).unwrap().run, wanted, "but for what nobody reads");
    assert_eq!(index.status(&key), wanted.status);
    assert_eq!(index.oldest_deletion().unwrap().to_string(), "2026-01-02T00:00:00Z");
    assert!(index.is_due(&key, "2026-01-01T00:00:00Z".parse().unwrap()), "it has a claim");
    assert!(!index.is_triggered(&key));
    let metadata = json!({ "name": "orders", "namespace": "data", "uid": "run", "resourceVersion": "8",
        "annotations": { crds::TRIGGER_ANNOTATION: "true" } });
    index.apply_run(run(8, &json!({ "metadata": metadata, "spec": { "runs": [{ "x": {} }] } }))).unwrap();
    assert!(index.is_triggered(&key) && index.is_due(&key, jiff::Timestamp::UNIX_EPOCH));
    // Taken, and no Job of it is recorded yet.
    let taken = |count: u32| {
        let taken = r#"{"runUid":"run","number":2,"holder":"me","claimedAt":"2026-01-01T00:00:00Z"}"#;
        let metadata = json!({ "name": "orders", "namespace": "data", "uid": "run", "resourceVersion": (8 + count).to_string(),
            "annotations": { crds::TRIGGER_TAKEN_ANNOTATION: taken } });
        json!({ "metadata": metadata, "spec": { "runs": [{ "x": {} }] },
            "status": { "triggerCount": count, "scheduleInForce": { "suspend": false, "since": "2026-01-01T00:00:00Z" } } })
    };
    for (count, waits) in [(1, true), (2, false)] {
        index.apply_run(run(8 + u64::from(count), &taken(count))).unwrap();
        assert_eq!(index.is_triggered(&key), waits, "{count}");
        let claims = index.status(&key).unwrap().claims;
        assert_eq!(claims.contains_key("orders-trigger-2"), waits, "it is shown as claimed: {claims:?}");
    }
}

// R30: what a Run has left behind is put away, also where the watch has missed that it went and came back.
#[test]
fn a_run_that_was_made_anew_is_not_the_old_one() {
    let index = Index::default();
    index.apply_run(run(5, &json!({ "spec": { "runs": [{ "x": {} }] } }))).unwrap();
    let uid = |uid: &str| {
        json!({ "name": "orders-teardown", "uid": uid, "ownerReferences": null,
        "labels": { crds::RUN_LABEL: "orders", crds::KIND_LABEL: "Teardown", crds::RUN_UID_LABEL: "run" } })
    };
    index.apply_job(&object("Job", "", 6, &uid("job")));
    assert!(index.leftovers().is_empty());
    let anew = json!({ "name": "orders", "namespace": "data", "uid": "anew", "resourceVersion": "7" });
    index.apply_run(run(7, &json!({ "metadata": anew, "spec": { "runs": [{ "x": {} }] } }))).unwrap();
    assert_eq!(index.leftovers().len(), 1);
}

#[test]
fn the_newest_view_of_a_run_counts_and_one_that_is_gone_stays_gone() {
    let index = Index::default();
    let phase = |phase: &str| json!({ "spec": { "runs": [{ "x": {} }] }, "status": { "phase": phase } });
    let key = index.apply_run(run(5, &phase("Running"))).unwrap().unwrap();
    index.apply_written_run(&run(7, &phase("Failed")).0.unwrap());
    assert_eq!(index.apply_run(run(6, &phase("Idle"))).unwrap(), None, "the watch is behind");
    assert_eq!(index.status(&key).unwrap().phase, Some(crds::Phase::Failed));
    let gone = run(7, &phase("Failed")).0.unwrap();
    index.remove_run(&gone.metadata);
    index.apply_written_run(&run(8, &phase("Idle")).0.unwrap());
    assert!(index.run(&key).is_none() && index.status(&key).is_none());
}

#[test]
fn what_a_new_list_does_not_show_is_gone() {
    let index = Index::default();
    let key = index.apply_run(run(1, &json!({ "spec": { "runs": [{ "x": {} }] } }))).unwrap().unwrap();
    index.apply_job(&object("Job", "run", 2, &json!({ "uid": "job" })));
    index.apply_config(&object::<LightConfigMap>("ConfigMap", "run", 3, &json!({ "uid": "config" })));
    index.apply_cron_job(object("CronJob", "run", 4, &json!({ "uid": "cron job" })));
    index.begin_job_list();
    let listed = ["run", "job", "config", "cron job"].map(str::to_owned).into_iter().collect();
    assert!(index.forget_unlisted_jobs(&listed).is_empty() && index.forget_unlisted_configs(&listed).is_empty());
    assert!(index.forget_unlisted_cron_jobs(&listed).is_empty() && index.forget_unlisted_runs(&listed).is_empty());

    let none = HashSet::new();
    let expected = vec![key.clone()];
    assert_eq!(index.forget_unlisted_jobs(&none), expected);
    assert_eq!(index.forget_unlisted_configs(&none), expected);
    assert_eq!(index.forget_unlisted_cron_jobs(&none), expected);
    assert_eq!(index.forget_unlisted_runs(&none), expected);
    assert!(index.jobs("run").is_empty() && index.config("run").is_none() && index.cron_jobs("run").is_empty());
    assert!(index.run(&key).is_none() && index.namesakes(&Key { namespace: "other".into(), ..key }).is_empty());
}

// R30: what is left of a Run that is gone is deleted where it is, whatever namespace its label points at.
#[test]
fn a_job_keeps_its_own_namespace() {
    let index = Index::default();
    index.apply_run(run(1, &json!({ "spec": { "runs": [{ "x": {} }] } }))).unwrap();
    let labels = json!({ crds::RUN_UID_LABEL: "run", crds::KIND_LABEL: "Teardown" });
    for (uid, namespace) in [("here", "data"), ("there", "other")] {
        let metadata =
            json!({ "name": uid, "uid": uid, "namespace": namespace, "ownerReferences": [], "labels": labels });
        index.apply_job(&object("Job", "", 2, &metadata));
    }
    let namespaces: Vec<_> = index.jobs("run").iter().map(|job| job.namespace.to_string()).collect();
    assert_eq!(namespaces, ["data", "other"]);
}

// An API server that gives no numbers is believed as it speaks.
#[test]
fn versions_that_cannot_be_compared_are_taken_as_they_come() {
    let index = Index::default();
    for version in ["b", "a", ""] {
        let metadata = json!({ "name": "orders", "namespace": "data", "uid": "run", "resourceVersion": version });
        let news =
            index.apply_run(run(1, &json!({ "metadata": metadata, "spec": { "runs": [{ "x": {} }] } }))).unwrap();
        assert!(news.is_some(), "{version}");
    }
    assert_eq!(index.stale(), 0);
}

// R11
#[test]
fn namesakes_are_those_of_the_very_name() {
    let index = Index::default();
    for (namespace, name) in [("b", "orders"), ("a", "orders"), ("a", "order"), ("c", "orders2")] {
        let metadata = json!({ "name": name, "namespace": namespace, "uid": format!("{namespace}/{name}") });
        index.apply_run(run(1, &json!({ "metadata": metadata, "spec": { "runs": [{ "x": {} }] } }))).unwrap();
    }
    let namesakes = |namespace: &str| index.namesakes(&Key { namespace: namespace.into(), name: "orders".into() });
    assert_eq!(namesakes("b"), ["a".into()]);
    assert_eq!(namesakes("c"), ["a".into(), "b".into()]);
}
