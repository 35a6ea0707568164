//! A leader goes, and many ticks are due before the next one leads; and how long a trigger takes, see `triggers`.
//!
//! Prints Markdown tables. Nothing is asserted about time; the exit code is 1 when a tick was lost or doubled.
//!
//! - `BENCH_N`: how many Runs are due in the gap; 1000 unless given
//! - `BENCH_TRIGGERS`: how many triggers; 100 unless given
//! - `BENCH_REPEAT`: how often all of that; 1 unless given

#[path = "../bed/mod.rs"]
mod bed;
mod triggers;

use std::time::Duration;

use anyhow::Context as _;
use crds::Run;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use kube::runtime::wait::await_condition;

use bed::arrivals::{Arrivals, Lateness};
use bed::control_plane::ControlPlane;
use bed::objects;
use bed::requests::{IN_FLIGHT, clear, create_all, minute_after, number, numbered, schedule_of};
use bed::writes::Writes;

/// Longest wait for the last Job, from the tick on.
const PATIENCE: SignedDuration = SignedDuration::from_secs(180);
pub(crate) const REST: Duration = Duration::from_secs(300);

/// How a leader goes.
#[derive(Clone, Copy, Debug)]
enum End {
    /// SIGTERM, this long before the tick.
    Term(SignedDuration),
    /// `kill -9`, this long before the tick.
    Kill(SignedDuration),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let due = number("BENCH_N", 1000)?;
    let triggers = number("BENCH_TRIGGERS", 100)?;
    let repetitions = number("BENCH_REPEAT", 1)?;
    let plane = ControlPlane::start().await?;
    println!(
        "Two replicas with the default flags of the election (lease 15 s). {due} Runs are due while nobody leads.\n"
    );
    println!(
        "| leader goes by | before the tick | goes → first Job | goes → last Job | tick → first | tick → last | missing | doubled |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    let mut unsound = false;
    for _ in 0..repetitions {
        for end in [End::Term(SignedDuration::from_millis(100)), End::Kill(SignedDuration::from_secs(2))] {
            unsound |= fail_over(&plane, due, end).await.with_context(|| format!("{end:?}"))?;
        }
    }
    println!();
    for _ in 0..repetitions {
        unsound |= triggers::measure(&plane, triggers).await.context("triggers")?;
    }
    anyhow::ensure!(!unsound, "a tick or a trigger was lost or doubled");
    Ok(())
}

/// Whether a tick was lost or doubled.
async fn fail_over(plane: &ControlPlane, due: usize, end: End) -> anyhow::Result<bool> {
    let namespace = plane.namespace("failover").await;
    let runs: Api<Run> = Api::namespaced(plane.client.clone(), &namespace);
    let mut leader = plane.operator(&namespace)?;
    let leases: Api<Lease> = Api::namespaced(plane.client.clone(), &namespace);
    let held = |lease: Option<&Lease>| lease.and_then(|lease| lease.spec.as_ref()?.holder_identity.as_ref()).is_some();
    let led = await_condition(leases, marmot_operator::leader::LEASE_NAME, held);
    tokio::time::timeout(Duration::from_secs(60), led).await.context("nobody leads")??;
    let standby = plane.operator(&namespace)?;

    let tick = minute_after(20 + i64::try_from(due)? / 60);
    let schedule = schedule_of(tick);
    let objects: Result<Vec<Run>, _> = numbered(due).map(|name| objects::run(&name, &schedule)).collect();
    create_all(&runs, objects?, IN_FLIGHT).await?;
    let mut arrivals = Arrivals::watch(&plane.client, &namespace).await?;
    let (name, before) = match end {
        End::Term(before) => ("SIGTERM", before),
        End::Kill(before) => ("kill -9", before),
    };
    let left = tick.duration_since(Timestamp::now()) - before;
    anyhow::ensure!(left.is_positive(), "the objects were not all created by the minute");
    tokio::time::sleep(left.unsigned_abs()).await;
    let gone = Timestamp::now();
    match end {
        End::Term(_) => leader.terminate()?,
        End::Kill(_) => leader.kill(),
    }
    arrivals.wait(due, tick + PATIENCE).await;
    Writes::rest(&plane.client, REST).await?;

    let arrived = arrivals.so_far();
    let lateness = Lateness::new(&arrived, due, tick);
    let millis = |from: Timestamp, at: Option<Timestamp>| {
        at.map_or_else(|| "–".to_owned(), |at| format!("{:.0} ms", at.duration_since(from).as_secs_f64() * 1000.0))
    };
    let (first, last) = (arrived.iter().map(|one| one.at).min(), arrived.iter().map(|one| one.at).max());
    println!(
        "| {name} | {:.2} s | {} | {} | {} | {} | {} | {} |",
        tick.duration_since(gone).as_secs_f64(),
        millis(gone, first),
        millis(gone, last),
        millis(tick, first),
        millis(tick, last),
        lateness.missing,
        lateness.doubled
    );
    drop(standby);
    clear(&runs).await?;
    clear(&Api::<Job>::namespaced(plane.client.clone(), &namespace)).await?;
    clear(&Api::<ConfigMap>::namespaced(plane.client.clone(), &namespace)).await?;
    Ok(lateness.missing + lateness.doubled > 0)
}
