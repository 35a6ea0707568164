//! N objects due on one minute: Jobs as fast as the API server takes them, CronJobs, and Runs, on one control plane.
//!
//! Prints a Markdown table. Nothing is asserted about time; the exit code is 1 when the operator lost or doubled a tick.
//!
//! - `BENCH_N`: how many are due, separated by commas; 1,100,1000 unless given
//! - `BENCH_ONLY`: the contenders, separated by commas, of `raw`, `cronjob`, `cronjob-raised`, `steady`, `ours`, `ours-2`

mod arrivals;
#[path = "../../tests/support/cluster.rs"]
#[allow(dead_code, unreachable_pub, clippy::expect_used, clippy::panic, reason = "shared with the tests")]
mod cluster;
mod contenders;
mod control_plane;
mod objects;
mod process;
mod table;
mod writes;

use anyhow::Context as _;

use contenders::Bench;
use control_plane::ControlPlane;
use table::Row;

/// From this many on, CronJobs at the default 20 requests per second are not waited for.
const MANY: usize = 1000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let sizes = sizes(&std::env::var("BENCH_N").unwrap_or_else(|_| "1,100,1000".to_owned()))?;
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || only.split(',').any(|one| one.trim() == name);
    let plane = ControlPlane::start().await?;
    println!("{}", table::header(&plane.version().await?));

    let bench = Bench::new(plane);
    let mut unsound = false;
    if wanted("steady") {
        let row = bench.steady().await.context("one Run every 2 s")?;
        unsound |= row.is_unsound();
        println!("{}\n\n{}\n", table::head(), row.line(None));
    }
    let contend = ["raw", "cronjob", "cronjob-raised", "ours", "ours-2"].into_iter().any(wanted);
    for due in sizes.into_iter().filter(|_| contend) {
        println!("{}", table::head());
        let mut raw: Option<Row> = None;
        if wanted("raw") {
            let row = bench.raw(due).await.context("raw creates")?;
            println!("{}", row.line(None));
            raw = Some(row);
        }
        if wanted("cronjob") && due <= MANY {
            println!("{}", bench.cron_jobs(due, false).await.context("CronJob, default flags")?.line(raw.as_ref()));
        }
        if wanted("cronjob-raised") {
            println!("{}", bench.cron_jobs(due, true).await.context("CronJob, raised flags")?.line(raw.as_ref()));
        }
        for (name, replicas) in [("ours", 1), ("ours-2", 2)] {
            if wanted(name) {
                let row = bench.runs(due, replicas).await.context("this operator")?;
                unsound |= row.is_unsound();
                println!("{}", row.line(raw.as_ref()));
            }
        }
        println!();
    }
    anyhow::ensure!(!unsound, "this operator lost or doubled a tick");
    Ok(())
}

fn sizes(text: &str) -> anyhow::Result<Vec<usize>> {
    let size = |one: &str| one.trim().parse().ok().filter(|size| (1..=50_000).contains(size));
    let sizes: Option<Vec<usize>> = text.split(',').map(size).collect();
    sizes.with_context(|| format!("BENCH_N: {text:?} is no list of numbers from 1 to 50000; try 1,100,1000"))
}
