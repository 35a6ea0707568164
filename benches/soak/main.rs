//! Many Runs every minute for an hour, with pods that end: does memory stay flat, and the lag?
//!
//! Prints a line every five minutes. Nothing is asserted about time; the exit code is 1 when a tick was lost or doubled.
//!
//! - `SOAK_RUNS`: how many Runs; 2000 unless given
//! - `SOAK_MINUTES`: how long; 60 unless given
//! - `SOAK_WINDOW`: minutes from one line to the next; 5 unless given

#[path = "../bed/mod.rs"]
mod bed;

use std::collections::BTreeMap;

use crds::Run;
use jiff::{SignedDuration, Timestamp};
use kube::api::Api;

use bed::arrivals::{Arrival, Arrivals, Lateness};
use bed::control_plane::ControlPlane;
use bed::objects;
use bed::requests::{IN_FLIGHT, create_all, minute_after, number, numbered};
use bed::writes::Writes;

/// Job controller and garbage collector with their own limits out of the way, else Jobs pile up there.
const CONTROLLERS: &str = "job-controller,garbage-collector-controller";
const FLAGS: [&str; 2] = ["--concurrent-job-syncs=50", "--concurrent-gc-syncs=50"];
/// Longest wait for a minute's last Job.
const PATIENCE: SignedDuration = SignedDuration::from_secs(50);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (runs, minutes) = (number("SOAK_RUNS", 2000)?, number("SOAK_MINUTES", 60)?);
    let window = number("SOAK_WINDOW", 5)?;
    let plane = ControlPlane::start_with(&["--no-controller-manager"]).await?;
    let controllers = plane.controller_manager(CONTROLLERS, &FLAGS, true)?;
    let namespace = plane.namespace("soak").await;
    let operator = plane.operator(&namespace)?;
    let objects: Result<Vec<Run>, _> = numbered(runs).map(|name| objects::run(&name, "* * * * *")).collect();
    create_all(&Api::<Run>::namespaced(plane.client.clone(), &namespace), objects?, IN_FLIGHT).await?;
    // Runs that were made in time for it have run once by the end of the next minute.
    let first = minute_after(1) + SignedDuration::from_mins(1);
    let mut arrivals = Arrivals::watch(&plane.client, &namespace).await?;
    sleep_until(first - SignedDuration::from_secs(5)).await;

    println!("{runs} Runs every minute for {minutes} minutes, pods that end after a second.\n");
    println!(
        "| minutes | ticks | p50 ms | p99 ms | last ms | missing | doubled | RSS MiB | CPU s per minute | writes per tick | RSS of kube-controller-manager |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---|---:|");
    let minute = |number: usize| first + SignedDuration::from_mins(i64::try_from(number).unwrap_or(i64::MAX));
    let mut begun = 0;
    let (mut missing, mut doubled) = (0, 0);
    while begun < minutes {
        let until = (begun + window).min(minutes);
        let (cpu, writes) = (operator.cpu()?, Writes::count(&plane.client).await?);
        let last = minute(until - 1);
        sleep_until(last).await;
        arrivals.wait(usize::MAX, last + PATIENCE).await;
        let ticks = (until - begun) * runs;
        let lateness = lateness(&arrivals.so_far(), minute(begun), last, ticks);
        let [median, high, longest] = [50, 99, 100].map(|percent| lateness.percentile(percent).unwrap_or_default());
        #[allow(clippy::cast_precision_loss, reason = "minutes of an hour")]
        let each = (operator.cpu()? - cpu) / (until - begun) as f64;
        let writes = Writes::count(&plane.client).await?.per_tick(&writes, ticks).join(", ");
        println!(
            "| {begun} to {until} | {ticks} | {median:.0} | {high:.0} | {longest:.0} | {} | {} | {:.0} | {each:.1} | {writes} | {:.0} |",
            lateness.missing,
            lateness.doubled,
            operator.memory()?,
            controllers.memory()?,
        );
        (missing, doubled) = (missing + lateness.missing, doubled + lateness.doubled);
        begun = until;
    }
    anyhow::ensure!(missing + doubled == 0, "{missing} ticks were lost, {doubled} doubled");
    Ok(())
}

/// Of the ticks from one minute to another.
fn lateness(arrivals: &[Arrival], from: Timestamp, to: Timestamp, expected: usize) -> Lateness {
    let mut own: BTreeMap<(&str, Timestamp), Vec<&Arrival>> = BTreeMap::new();
    for arrival in arrivals {
        if let Some(tick) = arrival.tick.filter(|tick| (from..=to).contains(tick)) {
            own.entry((&arrival.owner, tick)).or_default().push(arrival);
        }
    }
    let own: Vec<Arrival> = own.into_values().flatten().cloned().collect();
    Lateness::new(&own, expected, from)
}

async fn sleep_until(at: Timestamp) {
    let left = std::time::Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
    tokio::time::sleep(left).await;
}
