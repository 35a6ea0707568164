//! Whatever users do to a Run, and however often its operator dies: the Jobs are those that a plain reading of the rules
//! gives, and after quiet time the Run stands as if its last spec had been the only one (R14, R19, R26, R27, R34).

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crds::{Phase, Run};
use futures::TryStreamExt;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use support::operator::{Operator, World, status};

const OPERATIONS: usize = 18;

/// What the rules say, without a record of anything but the generation, the number of triggers and the ends of runs.
#[derive(Default)]
struct Oracle {
    generation: i64,
    triggers: i64,
    scheduled: bool,
    suspended: bool,
    /// Runs fail from now on.
    fails: bool,
    jobs: BTreeSet<String>,
    newest: String,
    failures: i32,
    spec: Value,
}

impl Oracle {
    /// A run starts, and ends before anything else happens.
    fn makes(&mut self, job: String) {
        self.newest.clone_from(&job);
        self.jobs.insert(job);
        self.failures = if self.fails { self.failures + 1 } else { 0 };
    }

    fn phase(&self) -> Phase {
        match (self.scheduled, self.failures) {
            (true, _) if self.suspended => Phase::Suspended,
            (_, 1..) => Phase::Failed,
            (true, _) => Phase::Scheduled,
            (false, _) => Phase::Succeeded,
        }
    }
}

struct Trial {
    world: World,
    operator: Option<Operator>,
    oracle: Oracle,
    seed: u64,
    random: u64,
}

impl Trial {
    /// xorshift64
    fn pick(&mut self, of: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % of
    }

    fn start(&mut self) {
        self.operator = Some(self.world.operator(&["--leader-elect=false"]));
    }

    async fn trigger(&mut self) {
        self.world.trigger("orders").await;
        self.oracle.triggers += 1;
        self.oracle.makes(format!("orders-trigger-{}", self.oracle.triggers));
    }

    async fn edit(&mut self, change: Value) {
        let run = self.world.patch("orders", json!({ "spec": change })).await;
        let edited = run.metadata.generation != Some(self.oracle.generation);
        self.oracle.generation = run.metadata.generation.expect("a generation");
        self.oracle.spec = serde_json::to_value(&run.spec).expect("a spec");
        let shapes =
            change.as_object().into_iter().flatten().any(|(field, _)| field == "podAnnotations" || field == "schedule");
        self.oracle.scheduled = run.spec.schedule.is_some();
        self.oracle.suspended = run.spec.suspended();
        if edited && shapes && !self.oracle.scheduled {
            self.oracle.makes(format!("orders-gen{}", self.oracle.generation));
        }
    }

    async fn operate(&mut self, number: usize) -> String {
        let what = self.pick(8);
        // Some things happen while nobody looks.
        let down = self.pick(3) == 0;
        if down && let Some(mut operator) = self.operator.take() {
            if self.pick(2) == 0 { operator.kill() } else { operator.terminate() }
        }
        let done = match what {
            0 | 1 => {
                self.trigger().await;
                "trigger"
            }
            2 => {
                self.oracle.fails = self.pick(2) == 0;
                let outcome = if self.oracle.fails { "failure" } else { "fast" };
                let pod = json!({ "test.marmotdata.io/outcome": outcome, "number": number.to_string() });
                self.edit(json!({ "podAnnotations": pod })).await;
                if self.oracle.fails { "an edit: runs fail" } else { "an edit: runs succeed" }
            }
            3 => {
                self.edit(json!({ "successfulJobsHistoryLimit": 20 + number })).await;
                "an edit of something else"
            }
            4 => {
                let suspend = self.pick(2) == 0;
                self.edit(json!({ "suspend": suspend })).await;
                "suspend"
            }
            5 => {
                let policies = ["Allow", "Forbid", "Replace"];
                let policy = policies[usize::try_from(self.pick(3)).expect("small")];
                self.edit(json!({ "concurrencyPolicy": policy })).await;
                "policy"
            }
            _ if self.oracle.scheduled => {
                self.edit(json!({ "schedule": null })).await;
                "no schedule any more"
            }
            _ => {
                self.edit(json!({ "schedule": "0 0 1 1 *" })).await;
                "a schedule"
            }
        };
        if self.operator.is_none() {
            self.start();
        }
        format!("{done}, nobody looked: {down}")
    }

    /// The run that is expected has ended, and everything is recorded.
    async fn rests(&self, what: &str) -> Run {
        let (generation, newest) = (self.oracle.generation, self.oracle.newest.clone());
        let newest_job = newest.clone();
        let at_rest = move |run: &Run| {
            let status = status(run);
            status.observed_generation == Some(generation)
                && status.last_result.is_some_and(|result| result.job == newest)
                && marmot_operator::status::record(run).claims.is_empty()
                && status.active == Some(0)
                && !run.annotations().contains_key(crds::TRIGGER_ANNOTATION)
        };
        let run = self.world.run_when("orders", &format!("at rest with {newest_job} after {what}"), at_rest).await;
        let (told, oracle) = (status(&run), &self.oracle);
        assert_eq!(told.phase, Some(oracle.phase()), "SEED={}: {what}", self.seed);
        assert_eq!(told.consecutive_failures.unwrap_or_default(), oracle.failures, "SEED={}: {what}", self.seed);
        run
    }
}

fn seed() -> u64 {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| u64::try_from(jiff::Timestamp::now().as_nanosecond() >> 10).unwrap_or(1)) | 1
}

#[tokio::test]
async fn a_run_is_what_its_spec_says_whatever_has_happened() {
    let seed = seed();
    println!("SEED={seed}");
    let world = World::new("differential").await;
    // Every Job there ever is.
    let ever = Arc::new(Mutex::new(BTreeSet::new()));
    let watch = {
        let (jobs, ever) = (world.jobs(), Arc::clone(&ever));
        let config = watcher::Config::default().labels(&format!("{}=orders", crds::RUN_LABEL));
        tokio::spawn(async move {
            let stream = watcher(jobs, config).default_backoff().applied_objects();
            let note = |job: Job| {
                ever.lock().unwrap().insert(job.name_any());
                futures::future::ready(Ok(()))
            };
            stream.try_for_each(note).await
        })
    };
    let mut trial = Trial { world, operator: None, oracle: Oracle::default(), seed, random: seed };
    trial.start();
    let run = trial.world.create("orders", json!({ "teardownOnDelete": false, "backoffLimit": 0 })).await;
    trial.oracle.generation = 1;
    trial.oracle.spec = serde_json::to_value(&run.spec).expect("a spec");
    trial.oracle.makes("orders-gen1".to_owned());
    trial.rests("its creation").await;
    for number in 0..OPERATIONS {
        let what = trial.operate(number).await;
        println!("{number}: {what}");
        trial.rests(&what).await;
    }
    // A success at the end: how earlier runs ended is no matter of the spec.
    trial.oracle.fails = false;
    trial.edit(json!({ "podAnnotations": { "test.marmotdata.io/outcome": "fast", "number": null } })).await;
    trial.rests("the last edit").await;
    trial.trigger().await;
    let run = trial.rests("all").await;
    assert_eq!(*ever.lock().unwrap(), trial.oracle.jobs, "SEED={seed}");

    // A Run that has never known anything but the last spec.
    trial.world.create("fresh", trial.oracle.spec.clone()).await;
    let settled = |run: &Run| status(run).observed_generation == Some(1) && status(run).claims.is_empty();
    let once = !trial.oracle.scheduled;
    let fresh = trial
        .world
        .run_when("fresh", "at rest", |run| {
            settled(run) && status(run).active == Some(0) && (!once || status(run).last_result.is_some())
        })
        .await;
    let (run, fresh) = (status(&run), status(&fresh));
    assert_eq!(run.next_schedule_time, fresh.next_schedule_time, "SEED={seed}");
    assert_eq!(run.phase, fresh.phase, "SEED={seed}");
    let ready = |status: &crds::RunStatus| {
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").expect("Ready");
        (ready.status.clone(), ready.reason.clone(), ready.message.clone())
    };
    assert_eq!(ready(&run), ready(&fresh), "SEED={seed}");
    watch.abort();
}
