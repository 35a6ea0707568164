//! What happened, by the API server's own log of calls: what it stored of Jobs, Runs and the Lease, answer by answer.
//!
//! A line is missing if the API server was killed in the middle of the call. Whatever is still there at the end is listed;
//! and a Job whose create is missing is known by all that was stored of it later: its controller writes its status, and
//! its deletion is a call too.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use crds::{ConcurrencyPolicy, Run, SkippedTicks};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::ListParams;
use marmot_operator::light::LightJob;
use scheduler::schedule::{Schedule, Zone};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::crew::{Crew, process};

/// Everything that happened.
#[derive(Default)]
pub(crate) struct Record {
    /// Jobs by UID.
    pub(crate) jobs: BTreeMap<String, Job>,
    /// Runs by UID.
    pub(crate) runs: BTreeMap<String, History>,
    /// When the Lease was written, and the process it named then; in order of time.
    pub(crate) leaders: Vec<(Timestamp, String)>,
}

/// A Job that was stored. Versions order everything that was ever stored.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) run: String,
    pub(crate) kind: String,
    pub(crate) tick: Option<Timestamp>,
    /// To the second.
    pub(crate) created_at: Timestamp,
    /// Version of the first line about it, and whether that is its create.
    pub(crate) created: (u64, bool),
    /// Version and time (to the second) of the first line that says that it has ended.
    pub(crate) finished: Option<(u64, Timestamp)>,
    /// Version of the first Run that says so.
    pub(crate) recorded: Option<u64>,
}

/// A Run and what was ever stored of it, by version.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) name: String,
    pub(crate) policy: ConcurrencyPolicy,
    pub(crate) schedule: Option<Schedule>,
    /// Since when its schedule is in force: its first tick comes after this.
    pub(crate) since: Option<Timestamp>,
    pub(crate) generation: i64,
    pub(crate) states: BTreeMap<u64, State>,
    /// What the operators said of ticks that were not run.
    pub(crate) told: Vec<SkippedTicks>,
}

/// What one version of a Run says.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) mark: Option<Timestamp>,
    pub(crate) ledger: Vec<SkippedTicks>,
    pub(crate) trigger_set: bool,
    pub(crate) trigger_taken: i64,
    pub(crate) trigger_count: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    verb: &'a str,
    stage_timestamp: Timestamp,
    #[serde(borrow)]
    object_ref: Option<Reference<'a>>,
    response_status: Option<ResponseStatus>,
    #[serde(borrow)]
    response_object: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    resource: &'a str,
}

#[derive(Deserialize)]
struct ResponseStatus {
    code: Option<u16>,
}

impl Record {
    /// Reads the log, and lists what there is at the end.
    pub(crate) async fn read(crew: &Crew, log: &Path) -> Self {
        let mut record = Self::default();
        for line in BufReader::new(std::fs::File::open(log).unwrap()).lines() {
            record.note(&line.unwrap());
        }
        let runs = Api::<Run>::namespaced(crew.client.clone(), &crew.namespace);
        for run in runs.list(&ListParams::default()).await.unwrap() {
            record.note_run(run);
        }
        let jobs = Api::<LightJob>::namespaced(crew.client.clone(), &crew.namespace);
        for job in jobs.list(&ListParams::default()).await.unwrap() {
            record.note_job(job, false);
        }
        for line in crew.said("ticks not run") {
            record.note_told(&line);
        }
        record
    }

    fn note_told(&mut self, line: &str) {
        let field = |name: &str| {
            let (_, rest) = line.split_once(&format!(" {name}=")).expect("a line has all fields");
            rest.split(' ').next().unwrap().trim_matches('"').to_owned()
        };
        let time = |name: &str| Time(field(name).parse().expect("a time"));
        let (reason, count) = (field("reason"), field("count").parse().expect("a number"));
        let told = SkippedTicks { reason, count, from: time("from"), to: time("to") };
        let run = field("run");
        self.runs.values_mut().find(|history| history.name == run).expect("the Run is known").told.push(told);
    }

    fn note(&mut self, line: &str) {
        // Where the API server was killed, a line may be cut.
        let Ok(line) = serde_json::from_str::<Line<'_>>(line) else { return };
        let (Some(about), Some(object)) = (line.object_ref, line.response_object) else { return };
        let is_stored = line.response_status.and_then(|status| status.code).is_some_and(|code| code < 300);
        match about.resource {
            _ if !is_stored => {}
            "jobs" => {
                // The answer to a deletion may be a mere status.
                if let Ok(job) = serde_json::from_str::<LightJob>(object.get())
                    && job.metadata.uid.is_some()
                {
                    self.note_job(job, line.verb == "create");
                }
            }
            "runs" => self.note_run(serde_json::from_str(object.get()).expect("a Run was stored")),
            "leases" => {
                let lease: Lease = serde_json::from_str(object.get()).expect("a Lease was stored");
                let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
                self.leaders.push((line.stage_timestamp, process(&holder).to_owned()));
            }
            _ => {}
        }
    }

    fn note_job(&mut self, job: LightJob, is_create: bool) {
        let labels = job.metadata.labels.unwrap_or_default();
        let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
        let annotations = job.metadata.annotations.unwrap_or_default();
        let tick = annotations.get(crds::SCHEDULED_TIMESTAMP_ANNOTATION);
        let version = version(job.metadata.resource_version.as_deref());
        let known = self.jobs.entry(job.metadata.uid.unwrap()).or_insert_with(|| Job {
            name: job.metadata.name.unwrap(),
            run: label(crds::RUN_UID_LABEL),
            kind: label(crds::KIND_LABEL),
            tick: tick.map(|tick| tick.parse().expect("a tick is a time")),
            created_at: job.metadata.creation_timestamp.unwrap().0,
            created: (version, is_create),
            finished: None,
            recorded: None,
        });
        // Lines are in the order of the answers, which is not always that of the versions.
        if is_create || version < known.created.0 {
            known.created = (version, is_create);
        }
        let ends = |kind: &str| kind == "Complete" || kind == "Failed";
        let conditions = job.status.conditions.unwrap_or_default();
        let end = conditions.into_iter().find(|condition| ends(&condition.type_) && condition.status == "True");
        if let Some(end) = end {
            let at = end.last_transition_time.unwrap().0;
            let first = known.finished.map_or(version, |(first, _)| first.min(version));
            known.finished = Some((first, at));
        }
    }

    fn note_run(&mut self, run: Run) {
        let history = self.runs.entry(run.metadata.uid.unwrap()).or_default();
        history.name = run.metadata.name.unwrap();
        history.policy = run.spec.concurrency_policy.unwrap_or_default();
        let parse = |expression: &str| Schedule::parse(expression, &Zone::utc()).expect("a schedule");
        history.schedule = run.spec.schedule.as_deref().map(parse);
        history.generation = history.generation.max(run.metadata.generation.unwrap());
        let annotations = run.metadata.annotations.unwrap_or_default();
        let status = run.status.unwrap_or_default();
        history.since = history.since.or(status.schedule_in_force.map(|in_force| in_force.since.0));
        let stored = version(run.metadata.resource_version.as_deref());
        // Its controller's line may be missing; its end was seen by then at the latest.
        for ended in status.active_jobs.iter().filter(|job| job.finished) {
            if let Some(job) = self.jobs.get_mut(&ended.uid) {
                job.recorded = Some(job.recorded.map_or(stored, |first| first.min(stored)));
            }
        }
        let state = State {
            mark: status.last_schedule_time.map(|mark| mark.0),
            ledger: status.skipped_ticks,
            trigger_set: annotations.contains_key(crds::TRIGGER_ANNOTATION),
            trigger_taken: annotations.get(crds::TRIGGER_TAKEN_ANNOTATION).map_or(0, |taken| taken.parse().unwrap()),
            trigger_count: status.trigger_count.unwrap_or_default(),
        };
        history.states.insert(stored, state);
    }
}

fn version(text: Option<&str>) -> u64 {
    text.unwrap().parse().expect("a version is a number")
}

impl History {
    /// The last state.
    pub(crate) fn last(&self) -> &State {
        self.states.values().next_back().expect("a Run was stored at least once")
    }
}
