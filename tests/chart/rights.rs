//! The operator at work with the chart's arguments, defaults and rights, and no others.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};

use crate::support::operator::{PATIENCE, World, finished, is_ready_for, status};
use crate::{arguments, dry_run, helm};

/// A kubeconfig for the chart's ServiceAccount.
fn kubeconfig(world: &World, release: &str) -> PathBuf {
    let output = world.cluster.kubectl(["create", "token", helm::RELEASE, "--namespace", release]);
    let token = helm::text(&output.stdout);
    assert!(output.status.success(), "{}", helm::text(&output.stderr));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{release}.kubeconfig"));
    std::fs::copy(&world.cluster.kubeconfig, &path).unwrap();
    for args in [
        &["set-credentials", "operator", &format!("--token={}", token.trim())][..],
        &["set-context", "--current", "--user=operator"],
    ] {
        // The later --kubeconfig counts.
        let path = ["--kubeconfig", path.to_str().unwrap(), "config"];
        assert!(world.cluster.kubectl(path.iter().chain(args)).status.success());
    }
    path
}

/// The process that the Deployment would start; killed when dropped.
struct Operator(Child);

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(objects: &[Value], kubeconfig: &Path, release: &str) -> Operator {
    let defaults = kubeconfig.with_extension("job-defaults.yaml");
    std::fs::write(&defaults, dry_run::job_defaults(objects)).unwrap();
    let mut arguments = arguments(objects);
    arguments.retain(|argument| {
        !["--metrics", "--health", "--job-defaults", "--runner"].iter().any(|own| argument.starts_with(own))
    });
    let child = Command::new(env!("CARGO_BIN_EXE_marmot-operator"))
        .args(arguments)
        .args(["--metrics-bind-address=0", "--health-probe-bind-address=0", "--job-defaults"])
        .arg(defaults)
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .env("POD_NAMESPACE", release)
        .stdin(Stdio::null())
        .spawn();
    Operator(child.expect("the operator starts"))
}

/// Waits for the event of a Job's creation.
async fn event(world: &World, run: &str) {
    let events = watcher(world.api::<Event>(), watcher::Config::default()).applied_objects();
    let is_about = |event: &Event| event.regarding.as_ref().is_some_and(|about| about.name.as_deref() == Some(run));
    let mut found = events.try_filter(|event| std::future::ready(is_about(event))).boxed();
    let found = tokio::time::timeout(PATIENCE, found.next()).await;
    assert!(found.is_ok_and(|found| found.is_some_and(|event| event.is_ok())), "there was no event about {run}");
}

// R42
#[tokio::test]
async fn a_role_in_one_namespace_is_enough() {
    let world = World::new("rights").await;
    let release = world.cluster.namespace("release").await;
    let watched = format!("operator.watchNamespace={}", world.namespace);
    let set =
        ["operator.enabled=true", &watched, "crd.install=false", "operator.jobDefaults.activeDeadlineSeconds=1234"];
    let objects = helm::render_in(&release, &set);
    for object in &objects {
        let kind = object["kind"].as_str().unwrap();
        assert!(kind != "ClusterRoleBinding", "{object}");
        if ["ServiceAccount", "Role", "RoleBinding"].contains(&kind) {
            dry_run::apply(&world.client, object).await.unwrap_or_else(|error| panic!("{error}"));
        }
    }
    let _operator = start(&objects, &kubeconfig(&world, &release), &release);

    // Marmot is not there yet, and found as soon as it is.
    world.create("orders", json!({})).await;
    world.run_when("orders", "without Marmot", |run| is_ready_for(run, "NoMarmot")).await;
    let marmot = json!({
        "metadata": { "name": "catalog", "labels": { "app.kubernetes.io/name": "marmot" } },
        "spec": { "ports": [{ "name": "http", "port": 8080 }] },
    });
    let services: Api<Service> = Api::namespaced(world.client.clone(), &release);
    services.create(&PostParams::default(), &serde_json::from_value(marmot).unwrap()).await.unwrap();
    let job = world.job_when("orders-gen1", "finished", finished).await;
    let container = &job.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0];
    let host = container.env.as_ref().unwrap().iter().find(|variable| variable.name == "MARMOT_HOST").unwrap();
    assert_eq!(host.value, Some(format!("http://catalog.{release}.svc:8080")));
    assert_eq!(job.spec.unwrap().active_deadline_seconds, Some(1234));
    world.run_when("orders", "reported", |run| status(run).last_result.is_some()).await;
    event(&world, "orders").await;
    world.trigger("orders").await;
    world.job_when("orders-trigger-1", "there", |_| true).await;

    for (verb, resource, namespace) in
        [("get", "secrets", &world.namespace), ("create", "pods", &world.namespace), ("get", "jobs", &release)]
    {
        let user = format!("--as=system:serviceaccount:{release}:{}", helm::RELEASE);
        let answer = world.cluster.kubectl(["auth", "can-i", verb, resource, "--namespace", namespace, &user]);
        assert_eq!(helm::text(&answer.stdout).trim(), "no", "{verb} {resource} in {namespace}");
    }
}

/// `verb resource` of every call that the sources make. Calls name both for the metrics, so they can be read off.
fn calls() -> BTreeSet<String> {
    let mut calls = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.file_name().is_some_and(|name| name != "metrics.rs") {
                calls.extend(calls_in(&std::fs::read_to_string(entry).unwrap()));
            }
        }
    }
    // Watches, and the events that kube's recorder writes, are not counted call by call.
    for (resource, verbs) in
        [("runs", "list watch"), ("jobs", "list watch"), ("configmaps", "list watch"), ("cronjobs", "list watch")]
    {
        calls.extend(verbs.split(' ').map(|verb| format!("{verb} {resource}")));
    }
    calls.extend(["create events", "patch events"].map(str::to_owned));
    calls
}

fn calls_in(source: &str) -> Vec<String> {
    let source: String = source.split_whitespace().collect();
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric()).collect::<String>();
    source
        .split("Verb::")
        .skip(1)
        .filter_map(|call| {
            let verb = word(call);
            let resource = word(call.strip_prefix(&verb)?.strip_prefix(",Resource::")?);
            let resource = if resource == "RunStatus" { "runs/status".to_owned() } else { resource.to_lowercase() };
            Some(format!("{} {resource}", verb.to_lowercase()))
        })
        .collect()
}

// R42: neither more nor less.
#[test]
fn the_role_grants_what_the_sources_call() {
    let objects = helm::render(&["operator.enabled=true"]);
    let name = |object: &&Value| object["kind"] == "ClusterRole" && object["metadata"]["name"] == helm::RELEASE;
    let role = objects.iter().find(name).expect("there is a ClusterRole");
    let words = |list: &Value| list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect();
    let mut granted = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let (verbs, resources): (Vec<String>, Vec<String>) = (words(&rule["verbs"]), words(&rule["resources"]));
        granted
            .extend(resources.iter().flat_map(|resource| verbs.iter().map(move |verb| format!("{verb} {resource}"))));
    }
    assert_eq!(granted, calls(), "granted by templates/_helpers.tpl, and called by src/");
}
