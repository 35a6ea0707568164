//! The dialect by example: what is accepted, what it means, and what is said when it is not.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use insta::assert_snapshot;
use jiff::Timestamp;
use rstest::rstest;
use scheduler::schedule::{Schedule, Zone, ZoneError};

fn parse(expression: &str) -> Schedule {
    Schedule::parse(expression, &Zone::utc()).unwrap_or_else(|error| panic!("{expression}: {error}"))
}

fn refused(expression: &str) -> String {
    Schedule::parse(expression, &Zone::utc()).unwrap_err().to_string()
}

/// What each expression is refused with.
fn refusals(expressions: &[&str]) -> String {
    expressions.iter().map(|expression| format!("{expression:<20} {}\n", refused(expression))).collect()
}

/// R21: robfig's oddities, each with a plain spelling of the same schedule.
#[rstest]
#[case("? ? ? ? ?", "* * * * *")]
#[case("5/15 * * * *", "5-59/15 * * * *")]
#[case("0/10 * * * *", "*/10 * * * *")]
#[case("*-5 * * * *", "* * * * *")]
#[case("*-nonsense-6/20 * * * *", "*/20 * * * *")]
#[case("+5 0 * * +1", "5 0 * * 1")]
#[case("*/70000 0 * * *", "0 0 * * *")]
#[case("*/60 */24 * * *", "0 0 * * *")]
#[case("1,,2 ,3 4, * *", "1,2 3 4 * *")]
#[case("007 0 * * *", "7 0 * * *")]
#[case("0 0 * jan,FEB,Mar mOn-Fri", "0 0 * 1-3 1-5")]
#[case("0 0 * * FR\u{130}", "0 0 * * 5")]
#[case("  0\t0 \u{a0} * * *  ", "0 0 * * *")]
#[case("@yearly", "0 0 1 1 *")]
#[case("@annually", "0 0 1 1 *")]
#[case("@monthly", "0 0 1 * *")]
#[case("@weekly", "0 0 * * SUN")]
#[case("@daily", "0 0 * * *")]
#[case("@midnight", "0 0 * * *")]
#[case("@hourly", "0 * * * *")]
fn oddities(#[case] odd: &str, #[case] plain: &str) {
    assert_eq!(parse(odd), parse(plain));
}

/// R21: a day of the month and a day of the week: either will do, unless one is a star.
#[rstest]
#[case("0 0 13 * 5", "2026-11-23", "2026-11-27 2026-12-04 2026-12-11 2026-12-13")]
#[case("0 0 */2 * 1", "2026-11-23", "2026-11-25 2026-11-27 2026-11-29 2026-11-30")]
#[case("0 0 */1 * 1", "2026-11-23", "2026-11-30 2026-12-07 2026-12-14 2026-12-21")]
#[case("0 0 *,15 * 1", "2026-11-23", "2026-11-30 2026-12-07 2026-12-14 2026-12-21")]
#[case("0 0 ?/1 * 1", "2026-11-23", "2026-11-30 2026-12-07 2026-12-14 2026-12-21")]
#[case("0 0 1-31 * 1", "2026-11-23", "2026-11-24 2026-11-25 2026-11-26 2026-11-27")]
#[case("0 0 1 * 0-6", "2026-11-23", "2026-11-24 2026-11-25 2026-11-26 2026-11-27")]
#[case("0 0 1 * */1", "2026-11-23", "2026-12-01 2027-01-01 2027-02-01 2027-03-01")]
fn days(#[case] expression: &str, #[case] from: &str, #[case] expected: &str) {
    let mut at: Timestamp = format!("{from}T00:00:00Z").parse().unwrap();
    for date in expected.split(' ') {
        at = parse(expression).next_after(at).unwrap();
        assert_eq!(at.to_string(), format!("{date}T00:00:00Z"));
    }
}

/// R24
#[rstest]
#[case("@every 1h30m", 5400)]
#[case("@every 1.5h", 5400)]
#[case("@every 90s", 90)]
#[case("@every 1500ms", 1)]
#[case("@every 1999999999ns", 1)]
#[case("@every 1000000us", 1)]
#[case("@every 3000000\u{b5}s", 3)]
#[case("@every 3000000\u{3bc}s", 3)]
#[case("@every .5m", 30)]
#[case("@every 1.m", 60)]
#[case("@every +5s", 5)]
#[case("@every 0", 1)]
#[case("@every -1h", 1)]
#[case("@every 500ms", 1)]
#[case("@every 0.3333333333333333333h", 1200)]
#[case("@every 2562047h47m16.854775807s", 9_223_372_036)]
#[case("@every -2562047h47m16.854775808s", 1)]
fn every(#[case] expression: &str, #[case] seconds: u64) {
    assert_eq!(parse(expression).every(), Some(seconds));
}

#[rstest]
#[case("@every 1h30m")]
#[case("@every 1h5s")]
#[case("@every 1s")]
#[case("0 0 1-31 * 1")]
#[case("0 0 * * *")]
#[case("*/15 9-17 1,15 */3 1-5")]
#[case("5/10 0 * * *")]
#[case("1-9/4 0 * * *")]
#[case("1,2,4-6 0 * * *")]
#[case(", * * * *")]
fn normal_forms(#[case] expression: &str) {
    assert_eq!(parse(expression).to_string(), expression);
}

/// R25
#[rstest]
#[case("0 0 30 2 *", true)]
#[case("0 0 31 2,4,6,9,11 *", true)]
#[case(", * * * *", true)]
#[case("* * * , *", true)]
#[case("0 0 , * *", true)]
#[case("0 0 , * 1", false)]
#[case("0 0 30 2 1", false)]
#[case("0 0 29 2 *", false)]
#[case("0 0 31 2,3 *", false)]
fn impossible_dates(#[case] expression: &str, #[case] never: bool) {
    let schedule = parse(expression);
    assert_eq!(schedule.never_fires(), never);
    let from: Timestamp = "2096-03-01T00:00:00Z".parse().unwrap();
    assert_eq!(schedule.next_after(from).is_none(), never);
    assert_eq!(schedule.latest_at_or_before(from).is_none(), never);
    assert_eq!(schedule.count_between(Timestamp::UNIX_EPOCH, from) == 0, never);
}

/// R22
#[test]
fn numbers_out_of_range() {
    assert_snapshot!(refusals(&[
        "0 24 * * *",
        "60 * * * *",
        "0 0 0 * *",
        "0 0 32 * *",
        "0 0 1 0 *",
        "0 0 1 13 *",
        "0 0 * * 7",
        "0 0 * * 5-7",
        "0 0 * * FRI-SUN",
        "0 22-2 * * *",
        "*/0 * * * *",
        "70/5 * * * *",
    ]), @"");
}

#[test]
fn not_numbers() {
    assert_snapshot!(refusals(&[
        "0 JAN 1 * *",
        "0 0 1 january *",
        "x * * * *",
        "1.5 * * * *",
        "1-5-7 * * * *",
        "1/2/3 * * * *",
        "-5 * * * *",
        "5- * * * *",
        "*/ * * * *",
        "*/x * * * *",
        "*/-5 * * * *",
        "99999999999999999999 * * * *",
        "0 0 \"\n * *",
    ]), @"");
}

#[test]
fn other_dialects() {
    assert_snapshot!(refusals(&[
        "0 0 L * *",
        "0 0 15W * *",
        "0 0 LW * *",
        "0 0 * * 5L",
        "0 0 * * 5#2",
        "H * * * *",
        "0 0 0 1 1 *",
        "0 0 1 1 * 2030",
        "0 0 0 1 1 * 2030",
        "* * * *",
        "",
        "   ",
        "TZ=UTC 0 0 * * *",
        "CRON_TZ=UTC 0 0 * * *",
    ]), @"");
}

#[test]
fn descriptors() {
    assert_snapshot!(refusals(&[
        "@Daily",
        "@daily ",
        "@reboot",
        "@every",
        "@every ",
        "@every 5",
        "@every 1d",
        "@every 1h 5m",
        "@every h",
        "@every 9223372036.9s",
    ]), @"");
}

/// R22
#[test]
fn zones() {
    let names = ["", "Local", "europe/berlin", "utc", "Europe/Atlantis", "Etc/Unknown", "+02:00", "CET-1CEST"];
    let said = |name: &str| match Zone::parse(name) {
        Ok(zone) => format!("{name}: accepted as {zone}\n"),
        Err(error) => format!("{name}: {error}\n"),
    };
    assert_snapshot!(names.map(said).concat(), @"");
    assert_eq!(Zone::parse("UTC"), Ok(Zone::utc()));
    assert_eq!(Zone::parse("Europe/Berlin").unwrap().name(), "Europe/Berlin");
    assert!(matches!(Zone::from_tzif("Europe/Atlantis", b"no"), Err(ZoneError::Data(_))));
}

#[test]
fn in_plain_english() {
    let expressions = [
        "* * * * *",
        "*/5 * * * *",
        "0 * * * *",
        "5,35 * * * *",
        "0 0 * * *",
        "30 2,14 * * 1-5",
        "0 9-17 * * MON,WED",
        "*/10 9-17 * * *",
        "0 */2 * * *",
        "5 */3 * * *",
        "7-59/13 4 * * *",
        "0 0 1,15 * *",
        "0 0 13 * 5",
        "0 0 1-31 * 5",
        "0 6 * 1-3,12 0,6",
        "0 0 29 2 *",
        "0 0 30 2 *",
        "@every 90m",
    ];
    let read = expressions.map(|expression| format!("{expression:<20} {}\n", parse(expression).describe()));
    assert_snapshot!(read.concat(), @"");
}
