use rstest::rstest;
use serde_json::json;

use super::*;
use crate::objects::{self, Defaults};

const FULL: &str = r#"
resources: {requests: {cpu: 1, memory: 256Mi}, limits: {cpu: "2"}}
backoffLimit: 5
activeDeadlineSeconds: 3600
env:
  - {name: MARMOT_API_KEY, valueFrom: {secretKeyRef: {name: marmot-api-key, key: api-key}}}
  - {name: MARMOT_PLUGINS_AUTOINSTALL, value: "false"}
envFrom: [{configMapRef: {name: proxies}}]
volumes: [{name: plugin-cache, persistentVolumeClaim: {claimName: plugins}}]
volumeMounts: [{name: plugin-cache, mountPath: /var/cache/marmot-plugins}]
imagePullSecrets: [{name: registry}]
nodeSelector: {pool: ingest}
priorityClassName: low
podSecurityContext: {fsGroup: 10001, runAsUser: 10001}
tolerations: []
affinity:
"#;

fn run(spec: Value) -> Run {
    let mut spec = spec;
    spec["runs"] = json!([{ "postgresql": {} }]);
    let metadata = json!({ "name": "orders", "namespace": "data", "uid": "1" });
    serde_json::from_value(json!({
        "apiVersion": "runs.marmotdata.io/v1alpha1", "kind": "Run", "metadata": metadata, "spec": spec,
    }))
    .unwrap()
}

fn job(spec: Value) -> Value {
    let order = scheduler::decision::JobOrder {
        name: "orders-1".to_owned(),
        kind: scheduler::state::RunKind::Trigger,
        tick: None,
        attempt: 1,
        closes_at: jiff::Timestamp::UNIX_EPOCH,
    };
    let defaults = Defaults { job: JobDefaults::parse(FULL).unwrap(), ..Defaults::default() };
    serde_json::to_value(objects::job(&run(spec), &order, &defaults)).unwrap()
}

// R8
#[test]
fn a_run_that_says_nothing_gets_the_defaults() {
    let job = job(json!({}));
    assert_eq!(job["spec"]["backoffLimit"], 5);
    assert_eq!(job["spec"]["activeDeadlineSeconds"], 3600);
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["nodeSelector"], json!({ "pool": "ingest" }));
    assert_eq!(pod["priorityClassName"], "low");
    assert_eq!(pod["imagePullSecrets"], json!([{ "name": "registry" }]));
    assert_eq!(pod["securityContext"]["fsGroup"], 10001);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let container = &pod["containers"][0];
    assert_eq!(
        container["resources"],
        json!({ "requests": { "cpu": "1", "memory": "256Mi" }, "limits": { "cpu": "2" } })
    );
    let env = container["env"].as_array().unwrap();
    let key = env.iter().find(|variable| variable["name"] == "MARMOT_API_KEY").unwrap();
    assert_eq!(key["valueFrom"]["secretKeyRef"], json!({ "name": "marmot-api-key", "key": "api-key" }));
    assert_eq!(container["envFrom"], json!([{ "configMapRef": { "name": "proxies" } }]));
    let mounts = container["volumeMounts"].as_array().unwrap();
    assert!(mounts.iter().any(|mount| mount["mountPath"] == "/var/cache/marmot-plugins"));
    assert!(mounts.iter().any(|mount| mount["mountPath"] == "/config"));
    assert!(pod["volumes"].as_array().unwrap().iter().any(|volume| volume["name"] == "plugin-cache"));
}

// R8
#[test]
fn what_a_run_says_itself_counts_more() {
    let job = job(json!({
        "backoffLimit": 0,
        "activeDeadlineSeconds": 60,
        "resources": { "limits": { "memory": "4Gi" } },
        "env": [{ "name": "MARMOT_API_KEY", "value": "own" }, { "name": "MORE", "value": "$(MARMOT_PLUGINS_AUTOINSTALL)" }],
        "envFrom": [{ "secretRef": { "name": "own" } }],
        "volumes": [{ "name": "plugin-cache", "emptyDir": {} }],
        "nodeSelector": { "pool": "big" },
        "podSecurityContext": { "fsGroup": 1 },
    }));
    assert_eq!(job["spec"]["backoffLimit"], 0);
    assert_eq!(job["spec"]["activeDeadlineSeconds"], 60);
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["nodeSelector"], json!({ "pool": "big" }));
    assert_eq!(pod["securityContext"]["fsGroup"], 1);
    assert_eq!(pod["securityContext"]["runAsUser"], 10001, "field by field: the image's user has no number");
    let container = &pod["containers"][0];
    assert_eq!(container["resources"], json!({ "limits": { "memory": "4Gi" } }));
    let env = container["env"].as_array().unwrap();
    let named = |name: &str| env.iter().filter(|variable| variable["name"] == name).collect::<Vec<_>>();
    assert_eq!(named("MARMOT_API_KEY"), [&json!({ "name": "MARMOT_API_KEY", "value": "own" })]);
    assert_eq!(named("MARMOT_PLUGINS_AUTOINSTALL").len(), 1);
    // The later source wins, and a reference needs its variable before it.
    assert_eq!(container["envFrom"][1]["secretRef"]["name"], "own");
    assert_eq!(env.last().unwrap()["name"], "MORE");
    let volumes = pod["volumes"].as_array().unwrap();
    let caches: Vec<_> = volumes.iter().filter(|volume| volume["name"] == "plugin-cache").collect();
    assert_eq!(caches, [&json!({ "name": "plugin-cache", "emptyDir": {} })]);
}

#[rstest]
#[case("")]
#[case("# nothing\n")]
#[case("{}")]
#[case("backoffLimit:\n")]
fn nothing_sets_nothing(#[case] text: &str) {
    assert_eq!(JobDefaults::parse(text).unwrap(), JobDefaults::default());
    let user = json!({ "runAsUser": 10001, "runAsGroup": 10001 });
    assert_eq!(
        JobDefaults::default().fill(&run(json!({ "env": [] }))),
        run(json!({ "env": [], "podSecurityContext": user }))
    );
}

// R8: Marmot's image names its user, and the kubelet does not start it under `runAsNonRoot` without a number.
#[rstest]
#[case("", json!({}), (Some(10001), Some(10001)))]
#[case("backoffLimit: 1", json!({}), (Some(10001), Some(10001)))]
#[case("", json!({ "podSecurityContext": { "runAsUser": 4711 } }), (Some(4711), Some(10001)))]
#[case("podSecurityContext: {runAsUser: 1000}", json!({}), (Some(1000), None))]
#[case("podSecurityContext: {}", json!({}), (None, None))]
#[case("podSecurityContext:", json!({}), (None, None))]
fn the_user_is_that_of_marmots_image_unless_told(
    #[case] text: &str,
    #[case] spec: Value,
    #[case] expected: (Option<i64>, Option<i64>),
) {
    let context = JobDefaults::parse(text).unwrap().fill(&run(spec)).spec.pod_security_context.unwrap_or_default();
    assert_eq!((context.run_as_user, context.run_as_group), expected);
}

#[rstest]
#[case("ressources: {}", "unknown field `ressources`, expected one of `resources`")]
#[case("backoffLimit: many", "backoffLimit: ")]
#[case("backoffLimit: -1", "backoffLimit: a number of retries")]
#[case("activeDeadlineSeconds: 0", "activeDeadlineSeconds: seconds, 1 or more")]
#[case("env: {A: b}", "env: ")]
#[case("env: [{value: b}]", "env[0].name is empty")]
#[case("env: [{name: A, valuefrom: {}}, {name: B, valuefrom: {x: y}}]", "env[1].valuefrom is no field")]
#[case("resources: {limit: {cpu: 1}}", "resources.limit is no field")]
#[case("volumes: [{name: marmot-config, emptyDir: {}}]", "volumes[0].name: names that begin with marmot-")]
#[case("- a", "map")]
fn a_mistake_is_told_with_its_field(#[case] text: &str, #[case] expected: &str) {
    let error = JobDefaults::parse(text).unwrap_err();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn the_file_is_named() {
    let error = JobDefaults::load(Path::new("/nowhere/job-defaults.yaml")).unwrap_err().to_string();
    assert!(error.starts_with("--job-defaults /nowhere/job-defaults.yaml: "), "{error}");
}
