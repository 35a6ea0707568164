//! What the operator that makes CronJobs of Runs leaves behind (R31).

use crds::Run;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::operator::World;

/// What the other operator puts on everything.
pub fn labels() -> Value {
    json!({ "app.kubernetes.io/managed-by": "marmot-operator", "runs.marmotdata.io/run": "orders" })
}

/// A reference to the controller.
pub fn owner(api: &str, kind: &str, name: &str, uid: &str) -> Value {
    json!([{ "apiVersion": api, "kind": kind, "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true }])
}

/// The template of a pod that ends so.
pub fn template(outcome: &str) -> Value {
    json!({
        "metadata": { "labels": labels(), "annotations": { "test.marmotdata.io/outcome": outcome } },
        "spec": {
            "restartPolicy": "Never",
            "containers": [{ "name": "marmot-ingest", "image": "example.org/marmot:old" }],
        },
    })
}

/// The Run as that operator left it: finalizer, status of its own, the CronJob that ran at `last`.
pub async fn run(world: &World, schedule: &str, last: Timestamp) -> (Run, CronJob) {
    let run = world.create("orders", json!({ "schedule": schedule, "teardownOnDelete": false })).await;
    let old = json!({ "status": { "observedGeneration": 1, "phase": "Scheduled", "conditions": [{
        "type": "Ready", "status": "True", "reason": "CronJobCreated", "message": "CronJob orders is active",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }] } });
    world.runs().patch_status("orders", &PatchParams::default(), &Patch::Merge(&old)).await.unwrap();
    let cron_job = cron_job(world, &run).await;
    let ran = json!({ "status": { "lastScheduleTime": last } });
    let api = world.api::<CronJob>();
    (run, api.patch_status(&cron_job.name_any(), &PatchParams::default(), &Patch::Merge(&ran)).await.unwrap())
}

/// Its schedule is far off, so that kube-controller-manager makes no Job of it during the test.
async fn cron_job(world: &World, run: &Run) -> CronJob {
    let cron_job = json!({
        "metadata": {
            "name": "orders", "labels": labels(),
            "ownerReferences": owner("runs.marmotdata.io/v1alpha1", "Run", "orders", &run.uid().unwrap()),
        },
        "spec": { "schedule": "0 0 1 1 *", "jobTemplate": { "spec": { "template": template("never") } } },
    });
    world.api::<CronJob>().create(&PostParams::default(), &serde_json::from_value(cron_job).unwrap()).await.unwrap()
}

/// A Job that the CronJob made.
pub async fn job(world: &World, cron_job: &CronJob, name: &str, tick: Timestamp, outcome: &str) -> Job {
    let job = json!({
        "metadata": {
            "name": name, "labels": labels(),
            "annotations": { "batch.kubernetes.io/cronjob-scheduled-timestamp": tick },
            "ownerReferences": owner("batch/v1", "CronJob", "orders", &cron_job.uid().unwrap()),
        },
        "spec": { "backoffLimit": 0, "template": template(outcome) },
    });
    world.jobs().create(&PostParams::default(), &serde_json::from_value(job).unwrap()).await.unwrap()
}
