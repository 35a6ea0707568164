//! What must be the same with and without a fault, whatever the times and UIDs.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::ListParams;
use serde::Serialize;

use crate::stage::Stage;
use crate::support::operator::{finished, status};

/// The end of a play.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ending {
    /// How many Jobs of each name there have ever been.
    pub made: BTreeMap<String, usize>,
    /// The Jobs that are there, and whether they have finished.
    pub jobs: BTreeMap<String, bool>,
    run: Option<Rest>,
    config: Option<BTreeMap<String, String>>,
    cron_jobs: usize,
}

/// A Run at rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Rest {
    finalizers: Vec<String>,
    annotations: BTreeMap<String, String>,
    phase: String,
    observed_generation: Option<i64>,
    active: i32,
    mark: Option<String>,
    has_next: bool,
    skipped: Vec<(String, i64)>,
    last_result: Option<(String, String, Option<String>)>,
    failures: i32,
    conditions: BTreeSet<(String, String, String)>,
    unfinished: BTreeSet<String>,
    claims: Vec<String>,
    triggers: Option<i64>,
    one_shot: Option<i64>,
    taken_over: Option<bool>,
}

impl Ending {
    /// Of the play as it stands now.
    pub async fn of(stage: &Stage) -> Self {
        let list = ListParams::default();
        let run = stage.world.runs().get_opt("orders").await.expect("the API server answers");
        let jobs = stage.world.jobs().list(&list).await.expect("the API server answers");
        let configs = stage.world.api::<ConfigMap>().get_opt("orders-config").await.expect("the API server answers");
        let cron_jobs = stage.world.api::<CronJob>().list(&list).await.expect("the API server answers");
        let made = stage.seen.record.borrow().made.clone();
        // That of the Run is not known any more once it is gone; ticks have no part in such a play.
        let created = run.as_ref().and_then(ResourceExt::creation_timestamp).map_or(0, |time| time.0.as_second());
        let named = |name: &String| normal(name, created);
        Self {
            made: made.iter().map(|(name, uids)| (named(name), uids.len())).collect(),
            jobs: jobs.iter().map(|job| (named(&job.name_any()), finished(job))).collect(),
            run: run.map(|run| Rest::of(&run, created)),
            config: configs.map(|config| config.data.unwrap_or_default()),
            cron_jobs: cron_jobs.items.len(),
        }
    }

    /// Where the two differ, line by line.
    pub fn difference(&self, golden: &Self) -> String {
        let lines = |ending: &Self| {
            let text = serde_json::to_string_pretty(ending).expect("it can be written");
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let (is, should) = (lines(self), lines(golden));
        let only = |sign: &str, these: &[String], those: &[String]| {
            let lines = these.iter().filter(|line| !those.contains(line));
            lines.map(|line| format!("  {sign} {line}\n")).collect::<String>()
        };
        only("-", &should, &is) + &only("+", &is, &should)
    }
}

impl Rest {
    fn of(run: &crds::Run, created: i64) -> Self {
        let status = status(run);
        // The only tick there is, or one of long ago.
        let named = |mark: i64| if mark > created { "tick".to_owned() } else { format!("{} s", mark - created) };
        let mut annotations = run.annotations().clone();
        // Who took a trigger, and when, differs from play to play.
        if let Some(number) = marmot_operator::status::taken(run).and_then(|taken| taken.number) {
            annotations.insert(crds::TRIGGER_TAKEN_ANNOTATION.to_owned(), number.to_string());
        }
        Self {
            finalizers: run.finalizers().to_vec(),
            annotations,
            phase: format!("{:?}", status.phase),
            observed_generation: status.observed_generation,
            active: status.active.unwrap_or_default(),
            mark: status.last_schedule_time.map(|mark| named(mark.0.as_second())),
            has_next: status.next_schedule_time.is_some(),
            skipped: status.skipped_ticks.iter().map(|skipped| (skipped.reason.clone(), skipped.count)).collect(),
            last_result: status
                .last_result
                .map(|result| (normal(&result.job, created), format!("{:?}", result.outcome), result.reason)),
            failures: status.consecutive_failures.unwrap_or_default(),
            conditions: status
                .conditions
                .iter()
                .map(|condition| (condition.type_.clone(), condition.status.clone(), condition.reason.clone()))
                .collect(),
            unfinished: status
                .active_jobs
                .iter()
                .filter(|job| !job.finished)
                .map(|job| normal(&job.name, created))
                .collect(),
            claims: marmot_operator::status::record(run).claims.keys().map(|job| normal(job, created)).collect(),
            triggers: status.trigger_count,
            one_shot: status.one_shot.map(|shot| shot.generation),
            taken_over: status.take_over.map(|step| step.done),
        }
    }
}

/// The name of a Job without what differs from play to play: a scenario has one tick at most, and the hash of a UID says
/// nothing.
fn normal(name: &str, created: i64) -> String {
    let suffix = name.strip_prefix("orders-").unwrap_or(name);
    match (suffix.parse::<i64>(), suffix.strip_prefix("teardown-")) {
        (Ok(minutes), _) if minutes * 60 > created => "tick".to_owned(),
        (_, Some(teardown)) => format!("teardown {}", teardown.rsplit('-').next().unwrap_or_default()),
        _ => suffix.to_owned(),
    }
}
