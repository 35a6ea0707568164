//! What happened: every version of every Job, of every Run and of the Lease, as etcd has stored them one after the other.
//! The revision of a version is its `resourceVersion`, so it orders all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crds::{ConcurrencyPolicy, Run, SkippedTicks, TakenTrigger};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use marmot_operator::leader::LEASE_NAME;
use marmot_operator::light::LightJob;
use scheduler::schedule::{Schedule, Zone};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::crew::{Crew, process};
use crate::helm;

/// Everything that happened.
#[derive(Default)]
pub(crate) struct Record {
    /// How many versions were read.
    pub(crate) versions: usize,
    /// Jobs by UID.
    pub(crate) jobs: BTreeMap<String, Job>,
    /// Runs by UID.
    pub(crate) runs: BTreeMap<String, History>,
    /// When the Lease was written, and the process it named then.
    pub(crate) leaders: Vec<(Timestamp, String)>,
}

/// A Job that was stored.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) uid: String,
    pub(crate) name: String,
    pub(crate) run: String,
    pub(crate) kind: String,
    pub(crate) tick: Option<Timestamp>,
    /// The revision that made it.
    pub(crate) created: u64,
    /// The revision from which on it was finished or gone.
    pub(crate) ended: Option<u64>,
}

/// A Run and what was ever stored of it.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) name: String,
    pub(crate) policy: ConcurrencyPolicy,
    pub(crate) schedule: Option<Schedule>,
    /// Since when its schedule is in force: its first tick comes after this.
    pub(crate) since: Option<Timestamp>,
    pub(crate) generation: i64,
    /// By revision.
    pub(crate) versions: BTreeMap<u64, Version>,
    /// UIDs of the Jobs that were ever settled.
    pub(crate) settled: BTreeSet<String>,
}

/// What one version of a Run says.
#[derive(Clone, Default)]
pub(crate) struct Version {
    pub(crate) mark: Option<Timestamp>,
    pub(crate) ledger: Vec<SkippedTicks>,
    /// Ticks of the claims, by name of the Job.
    pub(crate) claims: BTreeMap<String, Option<Timestamp>>,
    pub(crate) trigger_set: bool,
    pub(crate) trigger_taken: i64,
    pub(crate) trigger_count: i64,
}

/// A line of `history`; without a value the key was deleted.
#[derive(Deserialize)]
struct Change<'a> {
    revision: u64,
    key: String,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
}

impl Record {
    /// Reads all that was stored up to now.
    pub(crate) fn read(crew: &Crew) -> Self {
        let etcd = std::fs::read_to_string(crew.cluster.kubeconfig.with_file_name("etcd.url")).unwrap();
        let mut history = helm::program("history")
            .args(["--endpoint", &etcd])
            .arg(format!("/registry/jobs/{}/", crew.namespace))
            .arg(format!("/registry/runs.marmotdata.io/runs/{}/", crew.namespace))
            .arg(format!("/registry/leases/{}/{LEASE_NAME}", helm::NAMESPACE))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut record = Self::default();
        for line in BufReader::new(history.stdout.take().unwrap()).lines() {
            record.note(&serde_json::from_str(&line.unwrap()).expect("a line is a change"));
        }
        assert!(history.wait().unwrap().success(), "the history is whole");
        record
    }

    fn note(&mut self, change: &Change<'_>) {
        self.versions += 1;
        let (kind, name) = (change.key.split('/').nth(2), change.key.rsplit('/').next().unwrap());
        match (kind, change.value.map(RawValue::get)) {
            (Some("jobs"), Some(job)) => self.note_job(change.revision, serde_json::from_str(job).expect("a Job")),
            (Some("jobs"), None) => {
                let of_that_name = self.jobs.values_mut().filter(|job| job.name == name);
                of_that_name.for_each(|job| _ = job.ended.get_or_insert(change.revision));
            }
            (Some("leases"), Some(lease)) => self.note_lease(serde_json::from_str(lease).expect("a Lease")),
            (Some("leases"), None) => {}
            (_, run) => {
                let run = serde_json::from_str(run.expect("nobody deletes Runs")).expect("a Run");
                self.note_run(change.revision, run);
            }
        }
    }

    fn note_job(&mut self, revision: u64, job: LightJob) {
        let labels = job.metadata.labels.unwrap_or_default();
        let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
        let annotations = job.metadata.annotations.unwrap_or_default();
        let tick = annotations.get(crds::SCHEDULED_TIMESTAMP_ANNOTATION);
        let uid = job.metadata.uid.unwrap();
        let known = self.jobs.entry(uid.clone()).or_insert_with(|| Job {
            uid,
            name: job.metadata.name.unwrap(),
            run: label(crds::RUN_UID_LABEL),
            kind: label(crds::KIND_LABEL),
            tick: tick.map(|tick| tick.parse().expect("a tick is a time")),
            created: revision,
            ended: None,
        });
        let ends = |kind: &str| kind == "Complete" || kind == "Failed";
        let conditions = job.status.conditions.unwrap_or_default();
        if conditions.iter().any(|condition| ends(&condition.type_) && condition.status == "True") {
            known.ended.get_or_insert(revision);
        }
    }

    fn note_lease(&mut self, lease: Lease) {
        let spec = lease.spec.unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        let written = spec.renew_time.or(spec.acquire_time);
        self.leaders.extend(written.map(|at| (at.0, process(&holder).to_owned())));
    }

    fn note_run(&mut self, revision: u64, run: Run) {
        let history = self.runs.entry(run.metadata.uid.unwrap()).or_default();
        history.name = run.metadata.name.unwrap();
        history.policy = run.spec.concurrency_policy.unwrap_or_default();
        let parse = |expression: &str| Schedule::parse(expression, &Zone::utc()).expect("a schedule");
        history.schedule = run.spec.schedule.as_deref().map(parse);
        history.generation = run.metadata.generation.unwrap();
        let annotations = run.metadata.annotations.unwrap_or_default();
        let status = run.status.unwrap_or_default();
        history.since = history.since.or(status.schedule_in_force.map(|in_force| in_force.since.0));
        history.settled.extend(status.active_jobs.into_iter().map(|job| job.uid));
        let taken = annotations.get(crds::TRIGGER_TAKEN_ANNOTATION);
        let taken: Option<TakenTrigger> = taken.map(|taken| serde_json::from_str(taken).expect("a taken trigger"));
        let (taken, counted) = (taken.map_or(0, |taken| taken.number), status.trigger_count.unwrap_or_default());
        let mut claims: BTreeMap<_, _> =
            status.claims.into_iter().map(|(job, claim)| (job, claim.tick.map(|tick| tick.0))).collect();
        // The removal of the annotation is a claim until the status tells of it.
        claims.extend((counted < taken).then(|| (format!("{}-trigger-{taken}", history.name), None)));
        let version = Version {
            mark: status.last_schedule_time.map(|mark| mark.0),
            ledger: status.skipped_ticks,
            claims,
            trigger_set: annotations.contains_key(crds::TRIGGER_ANNOTATION),
            trigger_taken: taken,
            trigger_count: counted,
        };
        history.versions.insert(revision, version);
    }
}

impl History {
    /// The last version.
    pub(crate) fn last(&self) -> &Version {
        self.versions.values().next_back().expect("a Run was stored at least once")
    }

    /// At that revision a Job of this name may be made.
    pub(crate) fn had_claimed(&self, job: &str, revision: u64) -> bool {
        self.versions.range(..revision).next_back().is_some_and(|(_, version)| version.claims.contains_key(job))
    }
}

impl Version {
    /// There is a claim for this tick.
    pub(crate) fn has_claimed(&self, tick: Timestamp) -> bool {
        self.claims.values().any(|claimed| *claimed == Some(tick))
    }
}
