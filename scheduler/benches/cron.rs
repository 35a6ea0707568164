//! What a schedule costs, beside croner: `cargo bench -p scheduler --bench cron`.
//!
//! croner reads another dialect (docs/schedules.md), so only expressions that both read alike are compared. It cannot
//! count, so it walks.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "a bench may panic; its groups share one set of names"
)]

use std::str::FromStr as _;

use chrono_tz::Tz;
use croner::Cron;
use divan::{AllocProfiler, Bencher, black_box};
use jiff::Timestamp;
use scheduler::schedule::{Schedule, Zone};

/// Shows that questions allocate nothing.
#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const ZONE: &str = "Europe/Berlin";
/// A Tuesday in summer.
const NOW: i64 = 1_782_216_000;
const YEAR: i64 = 365 * 86_400;

const EXPRESSIONS: [&str; 5] = ["* * * * *", "*/15 9-17 * * 1-5", "30 2 * * *", "0 0 1 1 *", "0 0 29 2 *"];
/// Those that croner walks through within a year's worth of ticks in bearable time.
const WALKED: [&str; 2] = ["*/15 9-17 * * 1-5", "30 2 * * *"];

fn schedule(expression: &str) -> Schedule {
    Schedule::parse(expression, &Zone::parse(ZONE).unwrap()).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn croner(expression: &str) -> Cron {
    Cron::from_str(expression).unwrap()
}

fn croner_at(second: i64) -> chrono::DateTime<Tz> {
    chrono::DateTime::from_timestamp(second, 0).unwrap().with_timezone(&Tz::from_str(ZONE).unwrap())
}

#[divan::bench_group(name = "parse")]
mod parse {
    use super::*;

    #[divan::bench(args = EXPRESSIONS)]
    fn ours(bencher: Bencher, expression: &str) {
        let zone = Zone::parse(ZONE).unwrap();
        bencher.bench(|| Schedule::parse(black_box(expression), &zone));
    }

    #[divan::bench(args = EXPRESSIONS)]
    fn croner(bencher: Bencher, expression: &str) {
        bencher.bench(|| Cron::from_str(black_box(expression)));
    }
}

#[divan::bench_group(name = "next")]
mod next {
    use super::*;

    #[divan::bench(args = EXPRESSIONS)]
    fn ours(bencher: Bencher, expression: &str) {
        let schedule = schedule(expression);
        bencher.bench(|| schedule.next_after(black_box(at(NOW))));
    }

    #[divan::bench(args = EXPRESSIONS)]
    fn croner(bencher: Bencher, expression: &str) {
        let (cron, now) = (super::croner(expression), croner_at(NOW));
        bencher.bench(|| cron.find_next_occurrence(black_box(&now), false));
    }

    /// 30 February (R25).
    #[divan::bench]
    fn ours_impossible(bencher: Bencher) {
        let schedule = schedule("0 0 30 2 *");
        bencher.bench(|| schedule.next_after(black_box(at(NOW))));
    }

    /// 30 February.
    #[divan::bench(sample_count = 10, sample_size = 1)]
    fn croner_impossible(bencher: Bencher) {
        let (cron, now) = (super::croner("0 0 30 2 *"), croner_at(NOW));
        bencher.bench(|| cron.find_next_occurrence(black_box(&now), false));
    }
}

#[divan::bench_group(name = "latest")]
mod latest {
    use super::*;

    #[divan::bench(args = EXPRESSIONS)]
    fn ours(bencher: Bencher, expression: &str) {
        let schedule = schedule(expression);
        bencher.bench(|| schedule.latest_at_or_before(black_box(at(NOW))));
    }

    #[divan::bench(args = EXPRESSIONS)]
    fn croner(bencher: Bencher, expression: &str) {
        let (cron, now) = (super::croner(expression), croner_at(NOW));
        bencher.bench(|| cron.find_previous_occurrence(black_box(&now), true));
    }
}

/// A year of missed ticks.
#[divan::bench_group(name = "count")]
mod count {
    use super::*;

    #[divan::bench(args = EXPRESSIONS)]
    fn ours(bencher: Bencher, expression: &str) {
        let schedule = schedule(expression);
        bencher.bench(|| schedule.count_between(black_box(at(NOW - YEAR)), black_box(at(NOW))));
    }

    #[divan::bench(args = WALKED, sample_count = 10, sample_size = 1)]
    fn croner(bencher: Bencher, expression: &str) {
        let (cron, now) = (super::croner(expression), croner_at(NOW));
        bencher.bench(|| cron.iter_after(croner_at(NOW - YEAR)).take_while(|tick| *tick <= now).count());
    }
}
