//! What the contenders are given: the same Job in three forms.

use crds::Run;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, Job, JobTemplateSpec};
use kube::api::ObjectMeta;
use marmot_operator::objects::{self, Defaults};
use scheduler::decision::JobOrder;
use scheduler::state::RunKind;
use serde_json::{Value, json};

/// Image of the ingestion pods, none of which ever runs.
pub(crate) const IMAGE: &str = "example.org/marmot:bench";

/// A Run with a pipeline of one source.
pub(crate) fn run(name: &str, schedule: &str) -> anyhow::Result<Run> {
    let spec = json!({
        "schedule": schedule,
        "timeZone": "Etc/UTC",
        // No pod runs, so no Job ever ends.
        "concurrencyPolicy": "Allow",
        "teardownOnDelete": false,
        "runs": [{ "postgresql": { "host": "orders.db", "port": 5432, "user": "marmot", "password": "${DB_PASSWORD}" } }],
    });
    Ok(serde_json::from_value(json!({
        "apiVersion": format!("{}/{}", crds::GROUP, crds::VERSION), "kind": crds::KIND,
        "metadata": { "name": name }, "spec": spec,
    }))?)
}

/// The Job that the operator makes of such a Run.
pub(crate) fn job(name: &str, tick: Timestamp) -> anyhow::Result<Job> {
    let mut run = run(name, "@daily")?;
    // As long as a real one.
    run.metadata.uid = Some("6f1d2c3b-0a59-4e87-9c1d-2b3a4f5e6d70".to_owned());
    let order = JobOrder {
        name: scheduler::names::scheduled(name, tick),
        kind: RunKind::Scheduled,
        tick: Some(tick),
        attempt: 1,
        closes_at: tick + SignedDuration::from_secs(5),
    };
    let defaults =
        Defaults { image: IMAGE.to_owned(), service_account: "marmot-ingest".to_owned(), ..Defaults::default() };
    Ok(objects::job(&run, &order, &defaults))
}

/// A CronJob with the template of that Job.
pub(crate) fn cron_job(name: &str, schedule: &str) -> anyhow::Result<CronJob> {
    let job = job(name, Timestamp::UNIX_EPOCH)?;
    let template = JobTemplateSpec {
        metadata: Some(ObjectMeta { labels: job.metadata.labels, ..ObjectMeta::default() }),
        spec: job.spec,
    };
    Ok(CronJob {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        spec: Some(CronJobSpec {
            schedule: schedule.to_owned(),
            time_zone: Some("Etc/UTC".to_owned()),
            job_template: template,
            ..CronJobSpec::default()
        }),
        ..CronJob::default()
    })
}

/// The status of a Job that has succeeded, as the Job controller writes it.
pub(crate) fn success(started: Timestamp, ended: Timestamp) -> Value {
    let condition = |kind: &str| {
        json!({ "type": kind, "status": "True", "reason": "CompletionsReached", "lastProbeTime": ended,
            "message": "Reached expected number of succeeded pods", "lastTransitionTime": ended })
    };
    json!({
        "startTime": started, "completionTime": ended, "succeeded": 1, "ready": 0, "terminating": 0,
        "uncountedTerminatedPods": {}, "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
    })
}

/// A merge patch that stops a Run or a CronJob.
pub(crate) fn suspension() -> Value {
    json!({ "spec": { "suspend": true } })
}
