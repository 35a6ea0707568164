//! The engine against a brute-force oracle, its questions against each other, and its parser against anything.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "expressions/mod.rs"]
mod expressions;
#[path = "schedule_oracle/mod.rs"]
mod schedule_oracle;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::LazyLock;

use expressions::Expression;
use jiff::{SignedDuration, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use schedule_oracle::{Oracle, Place, UNUSUAL, places};
use scheduler::schedule::{Schedule, Zone};

/// Times `INSTANTS`: the number of (expression, zone, instant) triples shown to the oracle.
const CASES: u32 = 2_600;
const INSTANTS: usize = 20;

static PLACES: LazyLock<Vec<Place>> = LazyLock::new(places);

thread_local! {
    static ORACLES: RefCell<BTreeMap<Place, Rc<Oracle>>> = const { RefCell::new(BTreeMap::new()) };
}

fn oracle(place: &Place) -> Rc<Oracle> {
    ORACLES.with_borrow_mut(|oracles| {
        Rc::clone(oracles.entry(place.clone()).or_insert_with(|| Rc::new(Oracle::new(place))))
    })
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Seconds from a change of the offset: mostly on it, or within hours.
fn distance() -> impl Strategy<Value = i64> {
    prop_oneof![1 => -2..=2_i64, 3 => -7_300..=7_300_i64, 2 => -120_000..=120_000_i64]
}

fn place_and_expression() -> impl Strategy<Value = (Place, Expression)> {
    any::<Index>().prop_flat_map(|index| {
        let place = index.get(&PLACES).clone();
        let wall = Zone::parse(&place.zone).unwrap().time_zone().to_datetime(at(place.change));
        (Just(place), expressions::near(wall))
    })
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(CASES))]

    /// R23
    #[test]
    fn ticks_are_those_of_the_oracle(
        (place, expression) in place_and_expression(),
        instants in vec((distance(), prop_oneof![Just(0), 1..1_000_000_000_i64]), INSTANTS),
    ) {
        let schedule = Schedule::parse(&expression.to_string(), &Zone::parse(&place.zone).unwrap()).unwrap();
        let oracle = oracle(&place);
        let ticks: Vec<Timestamp> = oracle.ticks(&expression).into_iter().map(at).collect();
        let mut floor = at(oracle.start);
        for (distance, nanos) in instants {
            let instant = at(place.change + distance) + SignedDuration::from_nanos(nanos);
            let passed = ticks.partition_point(|tick| *tick <= instant);
            match ticks.get(passed) {
                Some(tick) => prop_assert_eq!(schedule.next_after(instant), Some(*tick), "next after {}", instant),
                None => prop_assert!(schedule.next_after(instant).is_none_or(|tick| tick >= at(oracle.end))),
            }
            match ticks[..passed].last() {
                Some(tick) => prop_assert_eq!(schedule.latest_at_or_before(instant), Some(*tick), "latest at {}", instant),
                None => prop_assert!(schedule.latest_at_or_before(instant).is_none_or(|tick| tick < at(oracle.start))),
            }
            let (from, until) = (floor.min(instant), floor.max(instant));
            let between = ticks.iter().filter(|tick| from < **tick && **tick <= until).count();
            prop_assert_eq!(schedule.count_between(from, until), between as u64, "count from {} until {}", from, until);
            floor = instant;
        }
    }
}

/// An instant from 1970 to 2100, and now and then one near a change.
fn instant() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        (0..4_102_444_800_i64).prop_map(at),
        (any::<Index>(), distance()).prop_map(|(index, distance)| at(index.get(&PLACES).change + distance)),
    ]
}

fn zone() -> impl Strategy<Value = Zone> {
    let anywhere = any::<Index>().prop_map(|index| index.get(&PLACES).zone.clone());
    prop_oneof![anywhere, select(&UNUSUAL[..]).prop_map(str::to_owned)].prop_map(|name| Zone::parse(&name).unwrap())
}

proptest! {
    #![proptest_config(config(4_000))]

    /// Nothing lies between an instant and its next tick, nor between its latest tick and it.
    #[test]
    fn next_latest_and_count_agree(expression in expressions::any(), zone in zone(), instant in instant()) {
        let schedule = Schedule::parse(&expression.to_string(), &zone).unwrap();
        let second = SignedDuration::from_secs(1);
        let (next, latest) = (schedule.next_after(instant), schedule.latest_at_or_before(instant));
        if schedule.never_fires() {
            prop_assert_eq!((next, latest), (None, None));
            return Ok(());
        }
        let (next, latest) = (next.unwrap(), latest.unwrap());
        prop_assert!(latest <= instant && instant < next);
        prop_assert_eq!(schedule.latest_at_or_before(next), Some(next));
        prop_assert_eq!(schedule.latest_at_or_before(next - second), Some(latest));
        prop_assert_eq!(schedule.next_after(latest), Some(next));
        prop_assert_eq!(schedule.next_after(latest - second), Some(latest));
        prop_assert_eq!(schedule.count_between(latest - second, next), 2);
        prop_assert_eq!(schedule.count_between(latest, next - second), 0);
    }

    /// Counting jumps; stepping does not.
    #[test]
    fn counting_is_stepping(expression in expressions::any(), zone in zone(), floor in instant(), steps in 1..40_u64) {
        let schedule = Schedule::parse(&expression.to_string(), &zone).unwrap();
        let mut until = floor;
        for _ in 0..steps {
            until = schedule.next_after(until).unwrap_or(until);
        }
        let steps = if schedule.never_fires() { 0 } else { steps };
        prop_assert_eq!(schedule.count_between(floor, until), steps);
    }

    /// However far apart.
    #[test]
    fn counts_add_up(expression in expressions::any(), zone in zone(), mut cuts in vec(instant(), 3)) {
        let schedule = Schedule::parse(&expression.to_string(), &zone).unwrap();
        cuts.sort();
        let count = |from: usize, until: usize| schedule.count_between(cuts[from], cuts[until]);
        prop_assert_eq!(count(0, 1) + count(1, 2), count(0, 2));
    }

    /// R24
    #[test]
    fn every_counts_from_the_floor(period in 1..200_000_i64, floor in instant(), passed in 0..10_000_000_i64) {
        let schedule = Schedule::parse(&format!("@every {period}s"), &Zone::utc()).unwrap();
        let until = floor + SignedDuration::from_secs(passed);
        let ticks = passed / period;
        let tick = |n: i64| Some(floor + SignedDuration::from_secs(n * period));
        prop_assert_eq!(schedule.next_in(floor, until), tick(ticks + 1));
        prop_assert_eq!(schedule.latest_between(floor, until), if ticks > 0 { tick(ticks) } else { None });
        prop_assert_eq!(schedule.count_between(floor, until), u64::try_from(ticks).unwrap());
    }

    #[test]
    fn the_normal_form_means_the_same(expression in expressions::any()) {
        let schedule = Schedule::parse(&expression.to_string(), &Zone::utc()).unwrap();
        prop_assert_eq!(&Schedule::parse(&schedule.to_string(), &Zone::utc()).unwrap(), &schedule, "{}", schedule);
    }
}

/// Text made of the pieces that expressions are made of.
fn almost_an_expression() -> impl Strategy<Value = String> {
    const PIECES: [&str; 44] = [
        "*",
        "*",
        "*",
        "?",
        "0",
        "5",
        "12",
        "23",
        "59",
        "60",
        "70000",
        "99999999999999999999",
        "-",
        "-",
        "/",
        "/",
        ",",
        "+",
        " ",
        " ",
        " ",
        " ",
        " ",
        "\t",
        "\u{a0}",
        "MON",
        "jan",
        "FR\u{130}",
        "L",
        "W",
        "#",
        "H",
        "@",
        "@daily",
        "@every ",
        "1h",
        "1.5",
        "s",
        "m",
        "\u{3bc}s",
        "TZ=UTC ",
        ".",
        "\u{663}",
        "\0",
    ];
    vec(select(&PIECES[..]), 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(config(20_000))]

    /// No text makes the parser panic or hang, and what it accepts can be asked anything.
    #[test]
    fn any_text_is_read_or_refused(text in prop_oneof![3 => almost_an_expression(), 1 => any::<String>()]) {
        match Schedule::parse(&text, &Zone::utc()) {
            Ok(schedule) => {
                let again = Schedule::parse(&schedule.to_string(), &Zone::utc());
                prop_assert_eq!(again.as_ref(), Ok(&schedule));
                let next = schedule.next_after(at(1_700_000_000));
                prop_assert!(next.is_none() || !schedule.never_fires());
            }
            Err(error) => {
                let message = error.to_string();
                prop_assert!(message.len() < 400 && !message.chars().any(char::is_control), "{}", message);
                prop_assert!((1..=text.chars().count() + 1).contains(&error.position()), "{}", message);
            }
        }
    }
}
