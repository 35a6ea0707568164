//! The commands of pods without the runner, as the operator writes them (R36).

use std::process::{Command, Output};

use marmot_operator::marmot::Address;
use marmot_operator::objects::{self, Defaults};
use scheduler::decision::JobOrder;
use scheduler::state::RunKind;
use serde_json::json;

use crate::api::{Manners, Marmot};
use crate::pod::Pod;

/// Runs the container's command as the kubelet would, in the environment of a container.
fn plain(pod: &Pod, kind: RunKind, marmot: &Marmot) -> Output {
    let run = json!({
        "apiVersion": "runs.marmotdata.io/v1alpha1", "kind": "Run",
        "metadata": { "name": "books", "namespace": "data", "uid": "1" }, "spec": { "runs": [{ "shelf": {} }] },
    });
    let order =
        JobOrder { name: "books-1".to_owned(), kind, tick: None, attempt: 1, closes_at: jiff::Timestamp::UNIX_EPOCH };
    let defaults = Defaults { marmot: Address::given(&marmot.url), ..Defaults::default() };
    let job = objects::job(&serde_json::from_value(run).unwrap(), &order, &defaults);
    let container = job.spec.unwrap().template.spec.unwrap().containers.remove(0);
    let command = container.command.unwrap();
    let mounted = |argument: &String| {
        let config = pod.dir.join("pipeline.yaml");
        argument.replace("/config/pipeline.yaml", config.to_str().unwrap()).replace("$(MARMOT_HOST)", &marmot.url)
    };
    Command::new(&command[0])
        .args(command[1..].iter().map(mounted))
        .env_clear()
        .envs(&pod.env)
        .env("MARMOT_HOST", &marmot.url)
        .output()
        .unwrap()
}

// R30, R36: teardown through a shell answers the question and names the right pipeline; and errors end with 0.
#[test]
fn without_the_runner_the_commands_do_what_they_can() {
    let full = Marmot::start(Manners { holds: 4, ..Manners::default() });
    let pod = Pod::with_runs(&json!([{ "shelf": { "assets": 2, "password": "x" } }]));
    let ended = plain(&pod, RunKind::Scheduled, &full);
    assert!(ended.status.success() && full.bodies("/runs/complete").len() == 1, "{ended:?}");
    let ended = plain(&Pod::new(), RunKind::Teardown, &full);
    assert!(ended.status.success(), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stdout).contains("permanently deleted"), "{ended:?}");
    assert_eq!(full.calls().last().unwrap().0, "DELETE /api/v1/pipelines/books");

    let closed = Marmot::start(Manners::default()).refuse("/runs/start", &[401]);
    let ended = plain(&pod, RunKind::Scheduled, &closed);
    assert!(ended.status.success() && String::from_utf8_lossy(&ended.stderr).contains("status 401"), "{ended:?}");
}
