//! N objects due on one minute: Jobs as fast as the API server takes them, CronJobs, and Runs, on one control plane.
//!
//! Prints a Markdown table. Nothing is asserted about time; the exit code is 1 when the operator lost or doubled a tick.
//!
//! - `BENCH_N`: how many are due, separated by commas; 1,100,1000 unless given
//! - `BENCH_ONLY`: the contenders, separated by commas, of `raw`, `cronjob`, `cronjob-raised`, `steady`, `ours`, `ours-2`
//! - `BENCH_REPEAT`: how often each of them contends; 1 unless given. The median of each, by the last Job, is printed again.

#[path = "../bed/mod.rs"]
mod bed;
mod contenders;
mod table;

use anyhow::Context as _;

use bed::control_plane::ControlPlane;
use bed::requests::number;
use contenders::Bench;
use table::Row;

/// Above this, CronJobs at the default 20 requests per second are not waited for.
const MANY: usize = 1000;
/// Who contends for a minute, in this order.
const CONTENDERS: [&str; 5] = ["raw", "cronjob", "cronjob-raised", "ours", "ours-2"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let sizes = sizes(&std::env::var("BENCH_N").unwrap_or_else(|_| "1,100,1000".to_owned()))?;
    let repetitions = number("BENCH_REPEAT", 1)?;
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || only.split(',').any(|one| one.trim() == name);
    let plane = ControlPlane::start().await?;
    println!("{}", table::header(&plane.version().await?));

    let bench = Bench::new(plane);
    let mut unsound = false;
    if wanted("steady") {
        println!("{}", table::head());
        let mut rows = Vec::new();
        for _ in 0..repetitions {
            let row = bench.steady().await.context("one Run every 2 s")?;
            unsound |= row.is_unsound();
            println!("{}", row.line(None));
            rows.push(vec![row]);
        }
        summarize(vec![rows]);
    }
    let contenders: Vec<&str> = CONTENDERS.into_iter().filter(|name| wanted(name)).collect();
    for due in sizes.into_iter().filter(|_| !contenders.is_empty()) {
        println!("{}", table::head());
        let mut contests: Vec<Vec<Vec<Row>>> = vec![Vec::new(); contenders.len()];
        for _ in 0..repetitions {
            let mut raw: Option<Row> = None;
            for (name, contests) in contenders.iter().zip(&mut contests) {
                let one = |row| vec![row];
                let rows = match *name {
                    "raw" => bench.raw(due).await,
                    "cronjob" if due > MANY => continue,
                    "cronjob" => bench.cron_jobs(due, false).await.map(one),
                    "cronjob-raised" => bench.cron_jobs(due, true).await.map(one),
                    "ours" => bench.runs(due, 1).await.map(one),
                    _ => bench.runs(due, 2).await.map(one),
                };
                let rows = rows.with_context(|| format!("{name}, {due} due"))?;
                unsound |= name.starts_with("ours") && rows.iter().any(Row::is_unsound);
                if let Some(best) = table::best(&rows) {
                    println!("{}", best.line(raw.as_ref()));
                    raw = raw.or_else(|| (*name == "raw").then_some(best));
                }
                contests.push(rows);
            }
        }
        summarize(contests);
    }
    anyhow::ensure!(!unsound, "this operator lost or doubled a tick");
    Ok(())
}

/// Prints the median of each contender's repetitions. Raw creates are tried as often as everybody else at each concurrency,
/// and the best of these medians is what the others are compared with: the best single try would be luck.
fn summarize(contenders: Vec<Vec<Vec<Row>>>) {
    let mut raw: Option<Row> = None;
    for repetitions in contenders {
        let count = repetitions.len();
        if count < 2 {
            continue;
        }
        let tries = repetitions.iter().map(Vec::len).min().unwrap_or_default();
        let medians: Vec<Row> =
            (0..tries).filter_map(|one| table::median(repetitions.iter().filter_map(|rows| rows.get(one)))).collect();
        let Some(mut best) = table::best(&medians) else { continue };
        let is_raw = best.name.starts_with("raw");
        best.name = format!("**median of {count}**: {}", best.name);
        println!("{}", best.line(raw.as_ref()));
        raw = raw.or_else(|| is_raw.then_some(best));
    }
    println!();
}

fn sizes(text: &str) -> anyhow::Result<Vec<usize>> {
    let size = |one: &str| one.trim().parse().ok().filter(|size| (1..=50_000).contains(size));
    let sizes: Option<Vec<usize>> = text.split(',').map(size).collect();
    sizes.with_context(|| format!("BENCH_N: {text:?} is no list of numbers from 1 to 50000; try 1,100,1000"))
}
