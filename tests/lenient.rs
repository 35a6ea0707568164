//! Objects that cannot be read (R40).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crds::Run;
use marmot_operator::lenient::Lenient;
use serde_json::json;

// R40: in a list too the others come through, and the broken one says who it is and what is wrong.
#[test]
fn what_cannot_be_read_does_not_hide_the_others() {
    let run = |name: &str, schedule: serde_json::Value| {
        json!({
            "apiVersion": "runs.marmotdata.io/v1alpha1", "kind": "Run",
            "metadata": { "name": name, "namespace": "data", "resourceVersion": "1" },
            "spec": { "schedule": schedule, "runs": [{ "postgresql": {} }] },
        })
    };
    let list = json!({
        "apiVersion": "runs.marmotdata.io/v1alpha1", "kind": "RunList", "metadata": { "resourceVersion": "2" },
        "items": [run("good", json!("@daily")), run("bad", json!([1])), run("last", json!("@daily"))],
    });
    let list: kube::api::ObjectList<Lenient<Run>> = serde_json::from_str(&list.to_string()).unwrap();
    let mut read = list.items.into_iter().map(|item| item.0);
    let mut next = || read.next().unwrap();
    assert_eq!(next().unwrap().metadata.name.as_deref(), Some("good"));
    let broken = next().unwrap_err();
    assert_eq!(broken.metadata.name.as_deref(), Some("bad"));
    assert!(broken.error.contains("sequence"), "{}", broken.error);
    assert_eq!(next().unwrap().metadata.name.as_deref(), Some("last"));
}
