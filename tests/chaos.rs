//! Whole operator processes with the chart's own rights, while they and what they stand on are killed and stopped; then
//! the audit: every tick one Job or one ledger entry (R32–R35, R38).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "chaos/audit.rs"]
mod audit;
#[path = "chaos/crew.rs"]
mod crew;
#[path = "chaos/faults.rs"]
mod faults;
#[path = "chart/helm.rs"]
#[allow(dead_code, reason = "the chart's own tests use the rest")]
mod helm;
#[path = "chaos/load.rs"]
mod load;
#[path = "chaos/record.rs"]
mod record;
mod support;
#[path = "chaos/ticks.rs"]
mod ticks;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use faults::Fault;

/// The chart's folder.
fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/marmot-operator")
}

/// Runs the load under the faults, then audits. `faults` gets what was drawn and how much time has passed.
async fn play(name: &str, seed: u64, runs: usize, every: Duration, next: impl Fn(&mut fastrand::Rng) -> Option<Fault>) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    println!("seed {seed}; logs in {}", folder.display());
    let mut random = fastrand::Rng::with_seed(seed);
    let mut crew = crew::Crew::install(&folder).await;
    crew.fill(3);
    crew.led().await;
    let load = load::Load::start(&crew, runs, random.fork()).await;

    let (began, mut inflicted) = (Instant::now(), Vec::new());
    for turn in 1.. {
        let due = began + every * turn;
        if due < Instant::now() {
            // The fault before it took too long.
            continue;
        }
        tokio::time::sleep_until(due.into()).await;
        let Some(fault) = next(&mut random) else { break };
        inflicted.push(crew.inflict(fault, &mut random).await);
        crew.fill(random.usize(2..=3));
    }
    let given = load.stop().await;
    let record = record::Record::read(&crew);
    let audit = audit::Audit::of(&record, &given, &inflicted);
    println!("{audit}");
    assert!(audit.is_clean(), "the audit is not clean; logs in {}", folder.display());
    drop(crew);
    std::fs::remove_dir_all(folder).unwrap();
}

// R32–R35, R38
#[tokio::test(flavor = "multi_thread")]
async fn each_tick_has_one_job_whoever_is_killed() {
    let faults = std::cell::RefCell::new(Fault::ALL.into_iter());
    play("chaos", 23, 12, Duration::from_secs(4), |_| faults.borrow_mut().next()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "as long as you like; `make chaos`"]
async fn each_tick_has_one_job_for_as_long_as_you_like() {
    let number = |name: &str, default: u64| {
        let text = std::env::var(name).ok().filter(|text| !text.is_empty());
        text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
    };
    let seed = number("SEED", fastrand::u64(..=u64::from(u32::MAX)));
    let end = Instant::now() + Duration::from_secs(number("CHAOS_SECONDS", 600));
    let every = Duration::from_secs(number("CHAOS_EVERY", 20));
    play("chaos-long", seed, 24, every, |random| (Instant::now() < end).then(|| Fault::draw(random))).await;
}
