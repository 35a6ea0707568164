use k8s_openapi::api::core::v1::{Container, PodSpec};
use scheduler::state::RunKind;
use serde_json::{Value, json};

use super::*;

fn made(spec: Value, kind: RunKind, runner: impl Into<Option<Runner>>) -> Job {
    let mut spec = spec;
    spec["runs"] = json!([{ "postgresql": {} }]);
    let run = json!({
        "apiVersion": "runs.marmotdata.io/v1alpha1", "kind": "Run",
        "metadata": { "name": "orders", "namespace": "data", "uid": "u-1" }, "spec": spec,
    });
    let run: Run = serde_json::from_value(run).unwrap();
    let defaults = Defaults {
        marmot: Address::given("http://marmot:8080"),
        image: "example.org/marmot:1".to_owned(),
        service_account: "marmot-ingest".to_owned(),
        runner: runner.into(),
        ..Defaults::default()
    };
    job(
        &run,
        &JobOrder { name: "orders-1".to_owned(), kind, tick: None, attempt: 1, closes_at: jiff::Timestamp::MAX },
        &defaults,
    )
}

fn runner() -> Runner {
    let (image, pull_policy) = ("example.org/operator:2".to_owned(), Some("Never".to_owned()));
    Runner { image, pull_policy, pull_secrets: vec!["registry".to_owned()] }
}

fn pod(job: &Job) -> &PodSpec {
    job.spec.as_ref().unwrap().template.spec.as_ref().unwrap()
}

fn command(job: &Job) -> Vec<&str> {
    pod(job).containers[0].command.as_ref().unwrap().iter().map(String::as_str).collect()
}

fn mounts(container: &Container) -> Vec<(&str, bool)> {
    let mounts = container.volume_mounts.as_ref().unwrap().iter();
    mounts.map(|mount| (mount.mount_path.as_str(), mount.read_only == Some(true))).collect()
}

// R36: switched off, nothing of it is there.
#[test]
fn without_the_runner_the_documented_command_runs() {
    let job = made(json!({}), RunKind::Scheduled, None);
    let wanted = ["marmot", "ingest", "-c", "/config/pipeline.yaml", "--host", "$(MARMOT_HOST)"];
    assert_eq!(command(&job), wanted);
    assert_eq!(pod(&job).init_containers, None);
    assert_eq!(pod(&job).image_pull_secrets, None);
    assert_eq!(pod(&job).termination_grace_period_seconds, None);
    assert_eq!(job.spec.as_ref().unwrap().pod_failure_policy, None);

    let teardown = made(json!({}), RunKind::Teardown, None);
    let [shell, option, script, name] = command(&teardown)[..] else { panic!("{:?}", command(&teardown)) };
    assert_eq!((shell, option, name), ("sh", "-c", "orders"));
    assert!(script.contains("echo y | marmot ingest -c"), "{script}");
}

// R36: an init container brings the runner, and the ingestion container starts through it.
#[test]
fn the_runner_is_the_entry_point() {
    let job = made(json!({ "imagePullSecrets": [{ "name": "own" }] }), RunKind::Scheduled, runner());
    let pod = pod(&job);
    assert_eq!(
        command(&job),
        [
            "/marmot-runner/marmot-operator",
            "runner",
            "ingest",
            "--config=/config/pipeline.yaml",
            "--work-dir=/marmot-work",
            "--grace-period=25s",
        ]
    );
    let container = &pod.containers[0];
    assert_eq!(container.name, "marmot-ingest");
    assert_eq!(container.termination_message_policy.as_deref(), Some("File"));
    assert_eq!(
        mounts(container),
        [("/tmp", false), ("/config", true), ("/marmot-runner", true), ("/marmot-work", false)]
    );
    assert_eq!(pod.termination_grace_period_seconds, Some(30));

    let init = &pod.init_containers.as_ref().unwrap()[0];
    assert_eq!(init.image.as_deref(), Some("example.org/operator:2"));
    assert_eq!((&init.command, init.image_pull_policy.as_deref()), (&None, Some("Never")));
    assert_eq!(init.args.as_ref().unwrap(), &["runner", "install", "/marmot-runner"]);
    assert_eq!(mounts(init), [("/marmot-runner", false)]);
    let resources = init.resources.as_ref().unwrap();
    for amounts in [resources.requests.as_ref().unwrap(), resources.limits.as_ref().unwrap()] {
        assert_eq!(amounts.keys().collect::<Vec<_>>(), ["cpu", "memory"], "quotas ask for all four");
    }
    assert_eq!(init.security_context, container.security_context, "restricted Pod Security holds for both");
    let secrets: Vec<&str> = pod.image_pull_secrets.iter().flatten().map(|secret| secret.name.as_str()).collect();
    assert_eq!(secrets, ["own", "registry"]);
}

// R37: secrets are written to memory, and what is secret in the environment is named.
#[test]
fn secrets_stay_in_memory_and_are_named() {
    let spec = json!({
        "env": [
            { "name": "PGPASSWORD", "valueFrom": { "secretKeyRef": { "name": "pg", "key": "password" } } },
            { "name": "REGION", "value": "eu" },
        ],
        "envFrom": [
            { "prefix": "DB_", "secretRef": { "name": "db" } },
            { "secretRef": { "name": "all" } },
            { "configMapRef": { "name": "plain" } },
        ],
    });
    let job = made(spec, RunKind::OneShot, runner());
    let flags = command(&job)[6..].to_vec();
    assert_eq!(flags, ["--secret-env=PGPASSWORD", "--secret-env-from=DB_", "--secret-env-from="]);
    let volumes = pod(&job).volumes.as_ref().unwrap();
    let work = volumes.iter().find(|volume| volume.name == "marmot-work").unwrap();
    assert_eq!(work.empty_dir.as_ref().unwrap().medium.as_deref(), Some("Memory"));
}

// R30: a teardown needs only the name; its ConfigMap may be gone.
#[test]
fn a_teardown_mounts_no_config() {
    let job = made(json!({}), RunKind::Teardown, runner());
    assert_eq!(command(&job)[1..4], ["runner", "destroy", "--pipeline=orders"]);
    assert!(pod(&job).volumes.as_ref().unwrap().iter().all(|volume| volume.config_map.is_none()));
    assert!(mounts(&pod(&job).containers[0]).iter().all(|(path, _)| *path != "/config"));
}

// R30: the Secrets of a Run often go with it; only without the API key there is nothing to be done.
#[test]
fn a_teardown_does_without_what_may_be_gone() {
    let key = |name: &str| json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": "db", "key": "x" } } });
    let spec = json!({
        "env": [key("PGPASSWORD"), key("MARMOT_API_KEY")],
        "envFrom": [{ "secretRef": { "name": "all" } }, { "configMapRef": { "name": "plain" } }],
        "volumes": [{ "name": "ca", "configMap": { "name": "ca" } }, { "name": "key", "secret": { "secretName": "key" } },
                    { "name": "both", "projected": { "sources": [{ "secret": { "name": "key" } }] } }],
    });
    for (kind, wanted) in [(RunKind::Scheduled, None), (RunKind::Teardown, Some(true))] {
        let job = made(spec.clone(), kind, runner());
        let pod = serde_json::to_value(pod(&job)).unwrap();
        let container = &pod["containers"][0];
        let variable = |name: &str| {
            let all = container["env"].as_array().unwrap();
            all.iter().find(|one| one["name"] == name).unwrap()["valueFrom"]["secretKeyRef"]["optional"].as_bool()
        };
        assert_eq!((variable("PGPASSWORD"), variable("MARMOT_API_KEY")), (wanted, None));
        assert_eq!(container["envFrom"][0]["secretRef"]["optional"].as_bool(), wanted);
        assert_eq!(container["envFrom"][1]["configMapRef"]["optional"].as_bool(), wanted);
        let volumes = pod["volumes"].as_array().unwrap();
        let volume = |name: &str| volumes.iter().find(|volume| volume["name"] == name).unwrap();
        assert_eq!(volume("ca")["configMap"]["optional"].as_bool(), wanted);
        assert_eq!(volume("key")["secret"]["optional"].as_bool(), wanted);
        assert_eq!(volume("both")["projected"]["sources"][0]["secret"]["optional"].as_bool(), wanted);
    }
}

// R2: the API server takes no two mounts of one path.
#[test]
fn a_mount_of_the_users_takes_the_place_of_ours() {
    for path in ["/tmp", "/tmp/"] {
        let mount = json!({ "volumes": [{ "name": "wide", "emptyDir": {} }],
                            "volumeMounts": [{ "name": "wide", "mountPath": path }] });
        let job = made(mount, RunKind::Scheduled, runner());
        let mounts = mounts(&pod(&job).containers[0]);
        let there: Vec<_> = mounts.iter().filter(|(at, _)| at.trim_end_matches('/') == "/tmp").collect();
        assert_eq!(there, [&(path, false)]);
    }
}

// R8: what the API server would refuse beside it is left out, and what `restricted` asks for is there.
#[test]
fn security_contexts_are_filled_in_with_care() {
    let context = |context: Value| {
        let job = made(json!({ "securityContext": context }), RunKind::Scheduled, None);
        serde_json::to_value(pod(&job).containers[0].security_context.clone()).unwrap()
    };
    assert_eq!(context(json!({ "privileged": true })).get("allowPrivilegeEscalation"), None);
    let bound = context(json!({ "capabilities": { "add": ["NET_BIND_SERVICE"] } }));
    assert_eq!(bound["capabilities"], json!({ "add": ["NET_BIND_SERVICE"], "drop": ["ALL"] }));
    assert_eq!(bound["allowPrivilegeEscalation"], false);
}

// R36: `Partial` is not retried.
#[test]
fn exit_code_3_fails_the_job() {
    let job = made(json!({ "backoffLimit": 5 }), RunKind::Scheduled, runner());
    let policy = serde_json::to_value(job.spec.unwrap().pod_failure_policy).unwrap();
    let wanted = json!({ "rules": [{ "action": "FailJob", "onExitCodes": {
        "containerName": "marmot-ingest", "operator": "In", "values": [3],
    } }] });
    assert_eq!(policy, wanted);
}

// R2, R36: what users set stands beside it.
#[test]
fn users_settings_stand() {
    let spec = json!({
        "env": [{ "name": "TMPDIR", "value": "/data" }, { "name": "MARMOT_PLUGINS_DIR", "value": "/plugins" }],
        "volumes": [{ "name": "data", "emptyDir": {} }],
        "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
        "podSecurityContext": { "runAsUser": 4711 },
        "securityContext": { "readOnlyRootFilesystem": false, "runAsUser": 4712 },
    });
    let job = made(spec, RunKind::Scheduled, runner());
    let pod = pod(&job);
    let env = pod.containers[0].env.as_ref().unwrap();
    let value = |name: &str| {
        let mut found = env.iter().filter(|variable| variable.name == name);
        (found.next().and_then(|variable| variable.value.clone()), found.count())
    };
    assert_eq!(value("TMPDIR"), (Some("/data".to_owned()), 0));
    assert_eq!(value("MARMOT_PLUGINS_DIR"), (Some("/plugins".to_owned()), 0));
    assert_eq!(value("HOME"), (Some("/tmp".to_owned()), 0));
    assert_eq!(pod.security_context.as_ref().unwrap().run_as_user, Some(4711));
    assert_eq!(pod.containers[0].security_context.as_ref().unwrap().read_only_root_filesystem, Some(false));
    let init = pod.init_containers.as_ref().unwrap()[0].security_context.clone().unwrap();
    assert_eq!((init.read_only_root_filesystem, init.run_as_user), (Some(true), None));
    assert!(mounts(&pod.containers[0]).contains(&("/data", false)));
}

// R8: the role of the document's example, also where EKS adds its own mount because the ServiceAccount has a role too.
#[test]
fn a_role_in_pod_annotations_brings_its_token() {
    let role = "arn:aws:iam::123456789012:role/marmot-s3-reader";
    let job = made(json!({ "podAnnotations": { "eks.amazonaws.com/role-arn": role } }), RunKind::Scheduled, runner());
    let pod = serde_json::to_value(pod(&job)).unwrap();
    let env = pod["containers"][0]["env"].as_array().unwrap();
    let value = |name: &str| env.iter().find(|variable| variable["name"] == name).unwrap()["value"].as_str().unwrap();
    assert_eq!(value("AWS_ROLE_ARN"), role);
    let volumes = pod["volumes"].as_array().unwrap();
    let token = volumes.iter().find(|volume| volume["name"] == "marmot-aws-token").unwrap();
    assert_eq!(token["projected"]["sources"][0]["serviceAccountToken"]["audience"], "sts.amazonaws.com");
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|mount| mount["name"] == "marmot-aws-token").unwrap()["mountPath"].as_str().unwrap();
    assert_eq!(value("AWS_WEB_IDENTITY_TOKEN_FILE"), format!("{mount}/token"));
    assert_ne!(mount, "/var/run/secrets/eks.amazonaws.com/serviceaccount");
}
