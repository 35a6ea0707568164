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
    let lines: Vec<_> = expressions.iter().map(|text| format!("{text:<20} {}\n", refused(text))).collect();
    lines.concat()
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
    ]), @"
    0 24 * * *           hour: 24 is above 23 (position 3)
    60 * * * *           minute: 60 is above 59 (position 1)
    0 0 0 * *            day of month: 0 is below 1 (position 5)
    0 0 32 * *           day of month: 32 is above 31 (position 5)
    0 0 1 0 *            month: 0 is below 1 (position 7)
    0 0 1 13 *           month: 13 is above 12 (position 7)
    0 0 * * 7            day of week: 7 is above 6, use 0 or SUN for Sunday (position 9)
    0 0 * * 5-7          day of week: 7 is above 6, use 0 or SUN for Sunday (position 11)
    0 0 * * FRI-SUN      day of week: FRI-SUN runs backwards, write FRI-SAT,SUN (position 9)
    0 22-2 * * *         hour: 22-2 runs backwards, write 22-23,0-2 (position 3)
    */0 * * * *          minute: a step of 0 leads nowhere, expected 1 or more (position 3)
    70/5 * * * *         minute: 70 is above 59 (position 1)
    ");
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
    ]), @r#"
    0 JAN 1 * *          hour: "JAN" is not a number, expected 0 to 23 (position 3)
    0 0 1 january *      month: "january" is not a number, expected 1 to 12 or JAN to DEC (position 7)
    x * * * *            minute: "x" is not a number, expected 0 to 59 (position 1)
    1.5 * * * *          minute: "1.5" is not a number, expected 0 to 59 (position 1)
    1-5-7 * * * *        minute: "1-5-7" has more than one hyphen (position 4)
    1/2/3 * * * *        minute: "1/2/3" has more than one slash (position 4)
    -5 * * * *           minute: a number is missing, expected 0 to 59 (position 1)
    5- * * * *           minute: a number is missing, expected 0 to 59 (position 3)
    */ * * * *           minute: a step is missing after the slash (position 2)
    */x * * * *          minute: step "x" is not a number, expected 1 or more (position 3)
    */-5 * * * *         minute: step "-5" is not a number, expected 1 or more (position 3)
    99999999999999999999 * * * * minute: "99999999999999999999" is above 59 (position 1)
    0 0 "
     * *           day of month: "\"" is not a number, expected 1 to 31 (position 5)
    "#);
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
    ]), @r#"
    0 0 L * *            day of month: "L": this dialect has no L, expected 1 to 31 (position 5)
    0 0 15W * *          day of month: "15W": this dialect has no W, expected 1 to 31 (position 5)
    0 0 LW * *           day of month: "LW": this dialect has no L, expected 1 to 31 (position 5)
    0 0 * * 5L           day of week: "5L": this dialect has no L, expected 0 to 6 or SUN to SAT (position 9)
    0 0 * * 5#2          day of week: "5#2": this dialect has no #, expected 0 to 6 or SUN to SAT (position 9)
    H * * * *            minute: "H": this dialect has no H, expected 0 to 59 (position 1)
    0 0 0 1 1 *          found 6 fields, expected 5: this dialect has no field for seconds or years (position 11)
    0 0 1 1 * 2030       found 6 fields, expected 5: this dialect has no field for seconds or years (position 11)
    0 0 0 1 1 * 2030     found 7 fields, expected 5: this dialect has no field for seconds or years (position 11)
    * * * *              found 4 of 5 fields: minute, hour, day of month, month, day of week (position 8)
                         the schedule is empty, expected five fields or a word such as @daily (position 1)
                         the schedule is empty, expected five fields or a word such as @daily (position 4)
    TZ=UTC 0 0 * * *     no time zone is allowed in a schedule, use timeZone for it (position 1)
    CRON_TZ=UTC 0 0 * * * no time zone is allowed in a schedule, use timeZone for it (position 6)
    "#);
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
    ]), @r#"
    @Daily               "@Daily" is not known, write exactly @daily (position 1)
    @daily               "@daily " is not known, write exactly @daily (position 1)
    @reboot              "@reboot" is not known, expected @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly or @every <duration> (position 1)
    @every               "@every" is not known, expected @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly or @every <duration> (position 1)
    @every               @every: a duration such as 90s or 1h30m is missing (position 8)
    @every 5             @every: a unit is missing: h, m, s or ms (position 9)
    @every 1d            @every: this unit is unknown, use h, m, s or ms (position 9)
    @every 1h 5m         @every: this unit is unknown, use h, m, s or ms (position 9)
    @every h             @every: a number is expected (position 8)
    @every 9223372036.9s @every: the duration is too long (position 8)
    "#);
}

/// R22
#[test]
fn zones() {
    let names = ["", "Local", "europe/berlin", "utc", "Europe/Atlantis", "Etc/Unknown", "+02:00", "CET-1CEST"];
    let said = |name: &str| match Zone::parse(name) {
        Ok(zone) => format!("{name}: accepted as {zone}\n"),
        Err(error) => format!("{name}: {error}\n"),
    };
    assert_snapshot!(names.map(said).concat(), @r#"
    : the time zone is empty, expected an IANA name such as Europe/Berlin
    Local: Local is no time zone, expected an IANA name such as Europe/Berlin
    europe/berlin: time zone "europe/berlin" is not known, did you mean Europe/Berlin?
    utc: time zone "utc" is not known, did you mean UTC?
    Europe/Atlantis: time zone "Europe/Atlantis" is not known, expected an IANA name such as Europe/Berlin
    Etc/Unknown: time zone "Etc/Unknown" is not known, expected an IANA name such as Europe/Berlin
    +02:00: time zone "+02:00" is not known, expected an IANA name such as Europe/Berlin
    CET-1CEST: time zone "CET-1CEST" is not known, expected an IANA name such as Europe/Berlin
    "#);
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
    assert_snapshot!(read.concat(), @"
    * * * * *            every minute
    */5 * * * *          every 5 minutes
    0 * * * *            at minute 0 of every hour
    5,35 * * * *         at minutes 5 and 35 of every hour
    0 0 * * *            every day at 00:00
    30 2,14 * * 1-5      at 02:30 and 14:30, on weekdays
    0 9-17 * * MON,WED   at minute 0 of hours 9 to 17, on Mondays and Wednesdays
    */10 9-17 * * *      every 10 minutes of hours 9 to 17
    0 */2 * * *          at minute 0 of every 2nd hour from midnight
    5 */3 * * *          at minute 5 of every 3rd hour from midnight
    7-59/13 4 * * *      every day at 04:07, 04:20, 04:33, 04:46 and 04:59
    0 0 1,15 * *         at 00:00, on days 1 and 15 of the month
    0 0 13 * 5           at 00:00, on day 13 of the month or on Fridays
    0 0 1-31 * 5         every day at 00:00
    0 6 * 1-3,12 0,6     at 06:00, on Saturdays and Sundays, in January to March and December
    0 0 29 2 *           at 00:00, on day 29 of the month, in February
    0 0 30 2 *           never, as no date and time match
    @every 90m           every 1h30m, counted from when the schedule took effect
    ");
}
