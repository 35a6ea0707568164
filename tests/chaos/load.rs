//! Runs of every policy and every way to end, and somebody who sets triggers and edits all the time.

use std::time::Duration;

use crds::Run;
use jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::crew::Crew;
use crate::support::operator::{PATIENCE, status};

const POLICIES: [&str; 3] = ["Forbid", "Allow", "Replace"];
const ENDS: [&str; 4] = ["success", "fast", "slow", "failure"];
/// Pause between two things that users do.
const PAUSE: Duration = Duration::from_millis(700);

/// Users at work.
pub(crate) struct Load {
    runs: Api<Run>,
    names: Vec<String>,
    stop: CancellationToken,
    users: JoinHandle<Triggers>,
}

/// How often the trigger annotation was set.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Triggers {
    /// The API server said so.
    pub(crate) set: usize,
    /// The answer was lost.
    pub(crate) in_doubt: usize,
}

/// What was asked of the operators.
pub(crate) struct Given {
    pub(crate) triggers: Triggers,
    /// Ticks before this are to be accounted for.
    pub(crate) until: Timestamp,
}

impl Load {
    /// Creates the Runs: most with a tick every five seconds, some each minute, some without a schedule.
    pub(crate) async fn start(crew: &Crew, count: usize, random: fastrand::Rng) -> Self {
        let runs: Api<Run> = Api::namespaced(crew.client.clone(), &crew.namespace);
        let mut names = Vec::new();
        for n in 0..count {
            let (policy, end) = (POLICIES[n % 3], ENDS[n / 3 % 4]);
            let schedule = match n % 8 {
                6 => json!("* * * * *"),
                7 => Value::Null,
                _ => json!("@every 5s"),
            };
            let name = format!("{}-{end}-{n}", policy.to_lowercase());
            let run = json!({
                "apiVersion": "runs.marmotdata.io/v1alpha1", "kind": "Run", "metadata": { "name": name },
                "spec": {
                    "runs": [{ "postgresql": { "host": "db" } }],
                    "schedule": schedule,
                    "concurrencyPolicy": policy,
                    "backoffLimit": 0,
                    "podAnnotations": { "test.marmotdata.io/outcome": end },
                },
            });
            let run: Run = serde_json::from_value(run).unwrap();
            runs.create(&PostParams::default(), &run).await.expect("the Run is created");
            names.push(name);
        }
        let stop = CancellationToken::new();
        let users = tokio::spawn(use_them(runs.clone(), names.clone(), random, stop.clone()));
        Self { runs, names, stop, users }
    }

    /// Sends the users home, ends the ticks and waits until every Run is at rest.
    pub(crate) async fn stop(self) -> Given {
        self.stop.cancel();
        let triggers = self.users.await.unwrap();
        let until = Timestamp::now();
        for name in &self.names {
            while patch(&self.runs, name, json!({ "spec": { "suspend": true } })).await != Some(true) {
                tokio::time::sleep(PAUSE).await;
            }
        }
        for name in &self.names {
            let rest = kube::runtime::wait::await_condition(self.runs.clone(), name, at_rest);
            let waited = tokio::time::timeout(PATIENCE, rest).await;
            assert!(waited.is_ok(), "{name} does not come to rest: {:#?}", self.runs.get_opt(name).await);
        }
        Given { triggers, until }
    }
}

/// Nothing runs, nothing is claimed, nothing is asked for.
fn at_rest(run: Option<&Run>) -> bool {
    run.is_some_and(|run| {
        let status = status(run);
        let annotations = run.metadata.annotations.clone().unwrap_or_default();
        status.observed_generation == run.metadata.generation
            && marmot_operator::status::record(run).claims.is_empty()
            && status.active == Some(0)
            && !annotations.contains_key(crds::TRIGGER_ANNOTATION)
    })
}

async fn use_them(runs: Api<Run>, names: Vec<String>, mut random: fastrand::Rng, stop: CancellationToken) -> Triggers {
    let mut triggers = Triggers::default();
    for step in 0_u64.. {
        if stop.is_cancelled() {
            break;
        }
        let name = &names[random.usize(..names.len())];
        let trigger = json!({ "metadata": { "annotations": { crds::TRIGGER_ANNOTATION: "true" } } });
        match patch(&runs, name, trigger).await {
            Some(true) => triggers.set += 1,
            Some(false) => {}
            None => triggers.in_doubt += 1,
        }
        if step % 5 == 4 {
            // Runs without a schedule run anew, the others go on as before.
            let name = &names[random.usize(..names.len())];
            let edit = json!({ "spec": { "runs": [{ "postgresql": { "host": format!("db-{step}") } }] } });
            let _ = patch(&runs, name, edit).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
    triggers
}

/// Whether the patch was stored; `None` if nobody knows.
async fn patch(runs: &Api<Run>, name: &str, patch: Value) -> Option<bool> {
    let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
    match tokio::time::timeout(Duration::from_secs(5), runs.patch(name, &params, &patch)).await {
        Ok(Ok(_)) => Some(true),
        Ok(Err(kube::Error::Api(_))) => Some(false),
        Ok(Err(_)) | Err(_) => None,
    }
}
