//! What an operator with many Runs and their history costs at rest: memory and CPU.
//!
//! Prints a Markdown table. Nothing is asserted.
//!
//! - `BENCH_N`: how many Runs; 10000 unless given. Each has `BENCH_JOBS` finished Jobs; 4 unless given
//! - `BENCH_IDLE_SECONDS`: how long it is left alone; 60 unless given

#[path = "../bed/mod.rs"]
mod bed;

use std::time::Duration;

use anyhow::Context as _;
use crds::Run;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use bed::control_plane::ControlPlane;
use bed::objects;
use bed::process::Process;
use bed::requests::{IN_FLIGHT, create_all, number, numbered};
use bed::writes::Writes;

const REST: Duration = Duration::from_secs(600);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (runs, jobs) = (number("BENCH_N", 10_000)?, number("BENCH_JOBS", 4)?);
    let idle = Duration::from_secs(u64::try_from(number("BENCH_IDLE_SECONDS", 60)?)?);
    let plane = ControlPlane::start_with(&["--no-controller-manager", "--no-kwok", "--restart"]).await?;
    let namespace = plane.namespace("memory").await;
    fill(&plane, &namespace, runs, jobs).await.context("making Runs and Jobs")?;
    {
        // The first operator writes every Run's status and ConfigMap; those that are measured find them.
        let _first = plane.operator(&namespace)?;
        Writes::rest(&plane.client, REST).await?;
    }
    println!("{runs} Runs, {jobs} finished Jobs each.\n");
    println!(
        "| RSS at rest MiB | peak of the first lists | CPU idle, % of a core | peak of lists after the API server restarted | RSS after |"
    );
    println!("|---:|---:|---:|---:|---:|");
    println!("{}", measure(&plane, &namespace, idle).await?);
    Ok(())
}

async fn measure(plane: &ControlPlane, namespace: &str, idle: Duration) -> anyhow::Result<String> {
    let operator = plane.operator(namespace)?;
    leads(&operator).await?;
    settle(&operator).await?;
    let first = operator.peak_memory()?;
    let (cpu, since) = (operator.cpu()?, std::time::Instant::now());
    tokio::time::sleep(idle).await;
    let busy = (operator.cpu()? - cpu) / since.elapsed().as_secs_f64() * 100.0;
    let rest = operator.memory()?;

    operator.reset_peak()?;
    plane.kill_api_server()?;
    // It is away for some seconds, and asked again after ten at most.
    tokio::time::sleep(Duration::from_secs(20)).await;
    settle(&operator).await?;
    let (again, after) = (operator.peak_memory()?, operator.memory()?);
    Ok(format!("| {rest:.0} | {first:.0} | {busy:.2} | {again:.0} | {after:.0} |"))
}

/// Waits until the operator leads: the lease of the one before, which was killed, runs out first.
async fn leads(operator: &Process) -> anyhow::Result<()> {
    for _ in 0..120 {
        if operator.has_said("leading") {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    anyhow::bail!("it does not lead: {}", operator.last_words())
}

/// Waits until the operator has nothing to do: it has used next to no CPU for five seconds.
async fn settle(operator: &Process) -> anyhow::Result<()> {
    let mut cpu = operator.cpu()?;
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let now = operator.cpu()?;
        if now - cpu < 0.15 {
            return Ok(());
        }
        cpu = now;
    }
    Ok(())
}

/// Runs with finished Jobs, as an operator and a Job controller would have left them.
async fn fill(plane: &ControlPlane, namespace: &str, runs: usize, jobs: usize) -> anyhow::Result<()> {
    let api: Api<Run> = Api::namespaced(plane.client.clone(), namespace);
    let objects: Result<Vec<Run>, anyhow::Error> = numbered(runs)
        .map(|name| {
            let mut run = objects::run(&name, "0 0 1 1 *")?;
            run.spec.successful_jobs_history_limit = Some(i32::try_from(jobs)?);
            Ok(run)
        })
        .collect();
    create_all(&api, objects?, IN_FLIGHT).await?;
    let stored = api.list(&ListParams::default()).await?.items;
    let history: Api<Job> = Api::namespaced(plane.client.clone(), namespace);
    let now = Timestamp::now();
    let mut bodies = Vec::new();
    for run in &stored {
        for number in 0..i64::try_from(jobs)? {
            bodies.push(finished_job(run, now - SignedDuration::from_hours(24 * (number + 1)))?);
        }
    }
    let finishes = stream::iter(bodies).map(|job| {
        let history = &history;
        async move {
            history.create(&PostParams::default(), &job).await?;
            let status = Patch::Merge(json!({ "status": job.status }));
            history.patch_status(&job.name_any(), &PatchParams::default(), &status).await
        }
    });
    finishes.buffer_unordered(IN_FLIGHT).try_for_each(|_| async { Ok(()) }).await?;
    Ok(())
}

fn finished_job(run: &Run, tick: Timestamp) -> anyhow::Result<Job> {
    let mut job = objects::job(&run.name_any(), tick)?;
    let uid = run.uid().unwrap_or_default();
    job.labels_mut().insert(crds::RUN_UID_LABEL.to_owned(), uid.clone());
    for owner in job.metadata.owner_references.iter_mut().flatten() {
        *owner = OwnerReference { uid: uid.clone(), ..owner.clone() };
    }
    let (started, ended) = (tick, tick + SignedDuration::from_secs(40));
    job.status = serde_json::from_value(objects::success(started, ended))?;
    Ok(job)
}
