//! The schema of Run on the real API server: what it sets, shows, keeps and refuses (R1–R6).
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::runtime::{conditions, wait};
use kube::{Api, Client};
use rstest::rstest;
use serde_json::{Value, json};
use support::operator::{PATIENCE, World};

/// Group of the kind whose CRD a test may change while the others use that of Run.
const OLD_GROUP: &str = "runs.upgrade.test";

fn resource(group: &str) -> ApiResource {
    ApiResource {
        group: group.to_owned(),
        version: crds::VERSION.to_owned(),
        api_version: format!("{group}/{}", crds::VERSION),
        kind: crds::KIND.to_owned(),
        plural: "runs".to_owned(),
    }
}

/// Runs as the server has them, not as our types read them.
fn runs(client: &Client, namespace: &str, group: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &resource(group))
}

fn object(group: &str, name: &str, spec: &Value) -> DynamicObject {
    DynamicObject::new(name, &resource(group)).data(json!({ "spec": spec }))
}

/// The smallest spec, with further fields.
fn spec(more: &Value) -> Value {
    let mut spec = json!({ "runs": [{ "postgresql": { "host": "db" } }] });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

/// What the server makes of a spec, without storing it: the spec it would store, or its message.
async fn offer(spec: &Value) -> Result<Value, String> {
    let world = World::new("crd").await;
    let api = runs(&world.client, &world.namespace, crds::GROUP);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    match api.create(&params, &object(crds::GROUP, "offered", spec)).await {
        Ok(stored) => Ok(stored.data["spec"].clone()),
        Err(kube::Error::Api(status)) => Err(status.message.clone()),
        Err(error) => panic!("{error}"),
    }
}

// R1
#[tokio::test]
async fn the_server_sets_the_documented_defaults_and_no_others() {
    let expected = spec(&json!({
        "suspend": false,
        "concurrencyPolicy": "Forbid",
        "backoffLimit": 3,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
        "teardownOnDelete": true,
    }));
    assert_eq!(offer(&spec(&json!({}))).await.unwrap(), expected);
}

// What a template leaves empty: `schedule:` is null in YAML.
#[tokio::test]
async fn null_is_the_same_as_leaving_a_field_out() {
    let nulls = json!({ "schedule": null, "timeZone": null, "suspend": null, "backoffLimit": null, "podLabels": null });
    assert_eq!(offer(&spec(&nulls)).await.unwrap(), offer(&spec(&json!({}))).await.unwrap());
}

// R1
#[tokio::test]
async fn pipelines_are_kept_as_they_are() {
    let runs = json!([
        {
            "postgresql": {
                "host": "db",
                "port": 5432,
                "ssl": null,
                "nested": { "list": [[], {}, "", null, -1.5, 9_007_199_254_740_993_i64] },
                "$ref": "#/x",
                "apiVersion": "v1",
            },
            "dotted.key/with~signs": true,
        },
        { "kafka": null },
        { "text": "${PASSWORD}" },
    ]);
    assert_eq!(offer(&json!({ "runs": runs })).await.unwrap()["runs"], runs);
}

// R3
#[rstest]
#[case::no_runs(json!({"runs": null}), "spec.runs: Required value")]
#[case::runs_empty(json!({"runs": []}), "spec.runs in body should have at least 1 items")]
#[case::runs_of_text(json!({"runs": [{"a": {}}, "text"]}), "spec.runs[1] in body must be of type object")]
#[case::runs_of_nothing(json!({"runs": [{}]}), "spec.runs[0] in body should have at least 1 properties")]
#[case::runs_a_map(json!({"runs": {"a": {}}}), "spec.runs in body must be of type array")]
#[case::zone_in_schedule(
    json!({"schedule": "TZ=Europe/Berlin 0 6 * * *"}),
    "spec.schedule cannot hold TZ= or CRON_TZ=: name the zone in spec.timeZone"
)]
#[case::cron_zone_in_schedule(
    json!({"schedule": "CRON_TZ=UTC 0 6 * * *"}),
    "spec.schedule cannot hold TZ= or CRON_TZ=: name the zone in spec.timeZone"
)]
#[case::schedule_long(json!({"schedule": "*".repeat(1025)}), "spec.schedule: Too long: may not be more than 1024 bytes")]
#[case::zone_empty(json!({"timeZone": ""}), "spec.timeZone cannot be empty or Local: name a zone such as Europe/Berlin")]
#[case::zone_local(json!({"timeZone": "Local"}), "spec.timeZone cannot be empty or Local")]
#[case::zone_local_in_lower_case(json!({"timeZone": "local"}), "spec.timeZone cannot be empty or Local")]
#[case::zone_long(json!({"timeZone": "z".repeat(65)}), "spec.timeZone: Too long: may not be more than 64 bytes")]
#[case::suspend(json!({"suspend": "yes"}), "spec.suspend in body must be of type boolean")]
#[case::policy(
    json!({"concurrencyPolicy": "forbid"}),
    r#"spec.concurrencyPolicy: Unsupported value: "forbid": supported values: "Allow", "Forbid", "Replace""#
)]
#[case::backoff(json!({"backoffLimit": -1}), "spec.backoffLimit in body should be greater than or equal to 0")]
#[case::backoff_large(
    json!({"backoffLimit": 3_000_000_000_i64}),
    "Checked value must be of type integer with format int32 in spec.backoffLimit"
)]
#[case::active_deadline(
    json!({"activeDeadlineSeconds": 0}),
    "spec.activeDeadlineSeconds in body should be greater than or equal to 1"
)]
#[case::starting_deadline(
    json!({"startingDeadlineSeconds": -1}),
    "spec.startingDeadlineSeconds in body should be greater than or equal to 0"
)]
#[case::successful_history(
    json!({"successfulJobsHistoryLimit": -1}),
    "spec.successfulJobsHistoryLimit in body should be greater than or equal to 0"
)]
#[case::failed_history(
    json!({"failedJobsHistoryLimit": -1}),
    "spec.failedJobsHistoryLimit in body should be greater than or equal to 0"
)]
#[case::teardown(json!({"teardownOnDelete": 1}), "spec.teardownOnDelete in body must be of type boolean")]
#[case::quantity(json!({"resources": {"limits": {"memory": "1 GB"}}}), "spec.resources.limits.memory in body should match")]
#[case::label_value(json!({"podLabels": {"team": "data engineering"}}), "[team]: Invalid value: \"data engineering\": spec.podLabels has a value that no label may have: use letters")]
#[case::label_long(json!({"podLabels": {"team": "t".repeat(64)}}), "spec.podLabels.team: Too long: may not be more than 63 bytes")]
#[case::label_key(json!({"podLabels": {"my team": "a"}}), "spec.podLabels has a key that Kubernetes does not accept: use")]
#[case::label_prefix(json!({"podLabels": {"Example.com/team": "a"}}), "spec.podLabels has a key")]
#[case::labels_many(json!({"podLabels": many(65)}), "spec.podLabels: Too many: 65: must have at most 64 items")]
#[case::annotation_key(json!({"podAnnotations": {"/x": "a"}}), "spec.podAnnotations has a key")]
#[case::node_selector(json!({"nodeSelector": {"a b": "c"}}), "spec.nodeSelector has a key")]
#[case::node_selector_value(json!({"nodeSelector": {"a": "-"}}), "spec.nodeSelector has a value")]
#[case::image(json!({"image": ""}), "spec.image cannot be empty or hold blanks: name an image, or leave it out")]
#[case::image_with_blank(json!({"image": " marmot"}), "spec.image cannot be empty or hold blanks")]
#[case::image_long(json!({"image": "i".repeat(1025)}), "spec.image: Too long: may not be more than 1024 bytes")]
#[case::pull_policy(json!({"imagePullPolicy": "always"}), "spec.imagePullPolicy: Unsupported value: \"always\"")]
#[case::service_account(
    json!({"serviceAccountName": "My_Account"}),
    "spec.serviceAccountName is not the name of a service account: use small letters"
)]
#[case::service_account_empty(json!({"serviceAccountName": ""}), "spec.serviceAccountName is not the name")]
#[case::priority_class(json!({"priorityClassName": "a..b"}), "spec.priorityClassName is not the name of a priority class")]
#[case::priority_class_long(json!({"priorityClassName": "a".repeat(254)}), "spec.priorityClassName: Too long")]
#[case::env_nameless(json!({"env": [{"value": "a"}]}), "spec.env[0].name: Required value")]
#[case::volume_twice(json!({"volumes": [{"name": "a"}, {"name": "a"}]}), "spec.volumes[1]: Duplicate value")]
#[case::mount_twice(
    json!({"volumeMounts": [{"name": "a", "mountPath": "/m"}, {"name": "b", "mountPath": "/m"}]}),
    "spec.volumeMounts[1]: Duplicate value"
)]
#[tokio::test]
async fn refusals_name_the_field_and_what_it_takes(#[case] wrong: Value, #[case] message: &str) {
    let refusal = offer(&spec(&wrong)).await.unwrap_err();
    assert!(refusal.contains(message), "{refusal}");
}

fn many(count: usize) -> Value {
    (0..count).map(|n| (format!("label-{n}"), json!("value"))).collect::<serde_json::Map<_, _>>().into()
}

// R1, R2: what must not be refused, because a condition says more, the Go operator took it, or Kubernetes does.
#[rstest]
#[case::no_schedule(json!({"schedule": ""}))]
#[case::wrong_schedule(json!({"schedule": "61 * * * *"}))]
#[case::every(json!({"schedule": "@every 90m"}))]
#[case::unknown_zone(json!({"schedule": "@daily", "timeZone": "Mars/Olympus"}))]
#[case::zeros(json!({
    "backoffLimit": 0, "startingDeadlineSeconds": 0, "successfulJobsHistoryLimit": 0, "failedJobsHistoryLimit": 0,
}))]
#[case::quantities(json!({"resources": {"limits": {"cpu": 1, "memory": "1.5Gi"}, "requests": {"cpu": "100m", "memory": "1e9"}}}))]
#[case::owned_labels(json!({"podLabels": {"app.kubernetes.io/managed-by": "me", "runs.marmotdata.io/run": "other", "empty": ""}}))]
#[case::labels_full(json!({"podLabels": many(64)}))]
#[case::role(json!({"podAnnotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/marmot-s3-reader"}}))]
#[case::capital_prefix(json!({"podAnnotations": {"Example.com/note": "any text: even this"}}))]
#[case::core_types(json!({
    "image": "example.org:5000/marmot@sha256:0123",
    "imagePullPolicy": "IfNotPresent",
    "imagePullSecrets": [{"name": "registry"}],
    "serviceAccountName": "ingest.marmot",
    "priorityClassName": "low",
    "env": [
        {"name": "A", "value": "a"},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": true}}},
        {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": 1}}},
    ],
    "envFrom": [{"secretRef": {"name": "s"}, "prefix": "S_"}],
    "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi", "medium": "Memory"}}, {"name": "w", "secret": {"secretName": "s"}}],
    "volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "w", "mountPath": "/w", "readOnly": true, "subPath": "x"}],
    "nodeSelector": {"kubernetes.io/arch": "arm64"},
    "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 5}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]},
    ]}}},
    "podSecurityContext": {"runAsNonRoot": true, "fsGroup": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
    "securityContext": {"readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
}))]
#[tokio::test]
async fn what_is_right_is_kept_whole(#[case] right: Value) {
    let stored = offer(&spec(&right)).await.unwrap();
    for (field, value) in right.as_object().unwrap() {
        assert_eq!(&stored[field], value, "{field}");
    }
    serde_json::from_value::<crds::RunSpec>(stored).unwrap();
}

// R6
#[tokio::test]
async fn kubectl_shows_the_columns() {
    let world = World::new("crd-columns").await;
    let schedule = json!({ "schedule": "0 6 * * *", "timeZone": "Europe/Berlin" });
    let api = runs(&world.client, &world.namespace, crds::GROUP);
    api.create(&PostParams::default(), &object(crds::GROUP, "orders", &spec(&schedule))).await.unwrap();
    let status = json!({ "status": {
        "phase": "Failed",
        "active": 2,
        "lastRunTime": "2020-01-01T05:00:00Z",
        "nextScheduleTime": "2020-01-02T05:00:00Z",
        "consecutiveFailures": 4,
        "lastResult": { "job": "orders-1", "kind": "Scheduled", "outcome": "Partial" },
        "conditions": [
            condition("LastRunSucceeded", "not this one"),
            condition("Ready", "armed"),
        ],
    } });
    api.patch_status("orders", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();

    let table = |wide: &[&str]| {
        let args = ["get", "runs.runs.marmotdata.io", "--namespace", &world.namespace].into_iter();
        let output = world.cluster.kubectl(args.chain(wide.iter().copied()));
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let cells =
            |line: &str| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect();
        text.lines().map(cells).collect::<Vec<Vec<String>>>()
    };
    let [header, row] = &table(&[])[..] else { panic!("one Run makes two lines") };
    assert_eq!(*header, ["NAME", "SCHEDULE", "PHASE", "LAST RUN", "TEARDOWN", "AGE", "NEXT RUN", "LAST RESULT"]);
    assert_eq!(row[..3], ["orders", "0 6 * * *", "Failed"]);
    assert_eq!((&row[4][..], &row[6..]), ("true", &["2020-01-02T05:00:00Z".to_owned(), "Partial".to_owned()][..]));
    let [header, row] = &table(&["-o", "wide"])[..] else { panic!("one Run makes two lines") };
    assert_eq!(header[8..], ["ACTIVE", "TIME ZONE", "FAILURES", "MESSAGE"]);
    assert_eq!(row[8..], ["2", "Europe/Berlin", "4", "armed"]);
}

fn condition(kind: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": "True", "reason": "Test", "message": message,
        "lastTransitionTime": "2020-01-01T00:00:00Z",
    })
}

// R5
#[tokio::test]
async fn there_is_one_condition_of_a_type() {
    let world = World::new("crd-conditions").await;
    let api = runs(&world.client, &world.namespace, crds::GROUP);
    api.create(&PostParams::default(), &object(crds::GROUP, "a", &spec(&json!({})))).await.unwrap();
    let twice = json!({ "status": { "conditions": [condition("Ready", "a"), condition("Ready", "b")] } });
    let refused = api.patch_status("a", &PatchParams::default(), &Patch::Merge(&twice)).await.unwrap_err().to_string();
    assert!(refused.contains("status.conditions[1]: Duplicate value"), "{refused}");
}

// The committed file goes through kubectl's client side too, which keeps it whole in an annotation.
#[tokio::test]
async fn kubectl_applies_the_committed_file() {
    let world = World::new("crd-apply").await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/runs.yaml");
    let output = world.cluster.kubectl(["apply", "--dry-run=server", "-f", file]);
    assert!(output.status.success(), "{output:?}");
}

/// The CRD that Marmot's chart installs, as far as it matters: no rule but the type of the list.
fn old_crd() -> CustomResourceDefinition {
    let mut schema = json!({
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "required": ["runs"],
                "properties": {
                    "runs": { "type": "array", "items": { "x-kubernetes-preserve-unknown-fields": true } },
                    "concurrencyPolicy": { "type": "string", "enum": ["Allow", "Forbid", "Replace"], "default": "Forbid" },
                    "podLabels": { "type": "object", "additionalProperties": { "type": "string" } },
                    "teardownOnDelete": { "type": "boolean", "default": true },
                },
            },
            "status": {
                "type": "object",
                "properties": {
                    "phase": { "type": "string" },
                    "conditions": { "type": "array", "items": {
                        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    } },
                },
            },
        },
    });
    for number in ["backoffLimit", "successfulJobsHistoryLimit", "failedJobsHistoryLimit", "activeDeadlineSeconds"] {
        schema["properties"]["spec"]["properties"][number] = json!({ "type": "integer" });
    }
    schema["properties"]["spec"]["properties"]["schedule"] = json!({ "type": "string" });
    let mut crd = of_old_group(crds::crd());
    crd.spec.versions[0].schema = serde_json::from_value(json!({ "openAPIV3Schema": schema })).unwrap();
    crd
}

fn of_old_group(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    crd.metadata.name = Some(format!("runs.{OLD_GROUP}"));
    OLD_GROUP.clone_into(&mut crd.spec.group);
    crd
}

async fn apply(client: &Client, crd: &CustomResourceDefinition) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = crd.metadata.name.as_deref().unwrap();
    api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(crd)).await.unwrap();
    let established = wait::await_condition(api, name, conditions::is_crd_established());
    tokio::time::timeout(PATIENCE, established).await.expect("the CRD is established").unwrap();
}

// R3
#[tokio::test]
async fn runs_stored_before_the_rules_can_still_be_annotated_reported_on_and_released() {
    let world = World::new("crd-upgrade").await;
    apply(&world.client, &old_crd()).await;
    let api = runs(&world.client, &world.namespace, OLD_GROUP);
    let broken = [
        ("empty", json!({ "runs": [] })),
        ("text", json!({ "runs": ["text", 1, null] })),
        ("negative", spec(&json!({ "backoffLimit": -1, "failedJobsHistoryLimit": -2, "activeDeadlineSeconds": 0 }))),
        ("zone", spec(&json!({ "schedule": "TZ=UTC 0 6 * * *" }))),
        ("long", spec(&json!({ "schedule": "*".repeat(2000) }))),
        ("labels", spec(&json!({ "podLabels": { "a b": "c d" } }))),
    ];
    for (name, spec) in &broken {
        api.create(&PostParams::default(), &object(OLD_GROUP, name, spec)).await.unwrap();
    }
    apply(&world.client, &of_old_group(crds::crd())).await;
    // The new rules are in force once a broken Run is refused.
    let refused = async {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        while api.create(&dry, &object(OLD_GROUP, "new", &json!({ "runs": [] }))).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("the new CRD is served");

    for (name, spec) in &broken {
        let params = PatchParams::default();
        let request = json!({ "metadata": {
            "annotations": { crds::TRIGGER_ANNOTATION: "true" },
            "finalizers": [crds::FINALIZER],
        } });
        let held = api.patch(name, &params, &Patch::Merge(&request)).await;
        held.unwrap_or_else(|error| panic!("{name} is annotated and held: {error}"));
        let report = json!({ "status": {
            "phase": "Failed", "observedGeneration": 1, "conditions": [condition("Stalled", "wrong")],
        } });
        let reported = api.patch_status(name, &params, &Patch::Merge(&report)).await;
        let reported = reported.unwrap_or_else(|error| panic!("{name} is reported on: {error}"));
        assert_eq!(reported.data["status"]["phase"], "Failed", "{name}");
        assert_eq!(reported.data["spec"]["runs"], spec["runs"], "{name}");
        let keep = json!({ "spec": { "teardownOnDelete": false } });
        let kept = api.patch(name, &params, &Patch::Merge(&keep)).await;
        kept.unwrap_or_else(|error| panic!("{name} is told to keep its assets: {error}"));
        api.delete(name, &DeleteParams::default()).await.unwrap();
        let release = json!({ "metadata": { "finalizers": null } });
        let released = api.patch(name, &params, &Patch::Merge(&release)).await;
        released.unwrap_or_else(|error| panic!("{name} is released: {error}"));
        assert!(api.get_opt(name).await.unwrap().is_none(), "{name}");
    }
    // Where the cluster is the user's own, `kubectl get runs` shall mean one kind again.
    let crds: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    crds.delete(&format!("runs.{OLD_GROUP}"), &DeleteParams::default()).await.unwrap();
}
