//! R23 by example, and the notes that tell a user about it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use insta::assert_snapshot;
use jiff::{SignedDuration, Timestamp};
use scheduler::schedule::{Schedule, Zone};

/// The next ticks from a wall-clock time on, each with its note.
fn ticks(expression: &str, zone: &str, from: &str, number: usize) -> String {
    let zone = Zone::parse(zone).unwrap();
    let schedule = Schedule::parse(expression, &zone).unwrap();
    let from = from.parse::<jiff::civil::DateTime>().unwrap();
    let mut tick = zone.time_zone().to_timestamp(from).unwrap() - SignedDuration::from_secs(1);
    let mut lines = String::new();
    for _ in 0..number {
        tick = schedule.next_after(tick).unwrap();
        lines += &tick.to_zoned(zone.time_zone().clone()).strftime("%F %H:%M %:z").to_string();
        if let Some(note) = schedule.note(tick) {
            lines += "  ";
            lines += &note.to_string();
        }
        lines.push('\n');
    }
    lines
}

#[test]
fn a_skipped_time_runs_when_the_gap_ends() {
    assert_snapshot!(ticks("30 2 * * *", "Europe/Berlin", "2025-03-29T00:00", 3), @"
    2025-03-29 02:30 +01:00
    2025-03-30 03:00 +02:00  30 Mar 2025: 02:30 does not exist, runs at 03:00
    2025-03-31 02:30 +02:00
    ");
    // Midnight itself does not exist.
    assert_snapshot!(ticks("0 0 * * *", "America/Sao_Paulo", "2018-11-03T00:00", 3), @"
    2018-11-03 00:00 -03:00
    2018-11-04 01:00 -02:00  4 Nov 2018: 00:00 does not exist, runs at 01:00
    2018-11-05 00:00 -02:00
    ");
}

#[test]
fn skipped_times_collapse_into_one() {
    assert_snapshot!(ticks("*/15 2 * * *", "America/New_York", "2026-03-08T00:00", 3), @"
    2026-03-08 03:00 -04:00  8 Mar 2026: 02:00 to 02:45 do not exist, run once at 03:00 (4 ticks in one)
    2026-03-09 02:00 -04:00
    2026-03-09 02:15 -04:00
    ");
    assert_snapshot!(ticks("30 2,3 * * *", "America/New_York", "2026-03-08T00:00", 3), @"
    2026-03-08 03:00 -04:00  8 Mar 2026: 02:30 does not exist, runs at 03:00
    2026-03-08 03:30 -04:00
    2026-03-09 02:30 -04:00
    ");
    assert_snapshot!(ticks("0 2-4 * * *", "America/New_York", "2026-03-08T00:00", 3), @"
    2026-03-08 03:00 -04:00  8 Mar 2026: 02:00 does not exist, runs at 03:00 (2 ticks in one)
    2026-03-08 04:00 -04:00
    2026-03-09 02:00 -04:00
    ");
}

#[test]
fn a_repeated_time_runs_at_its_first_occurrence() {
    assert_snapshot!(ticks("30 2 * * *", "Europe/Berlin", "2025-10-25T00:00", 3), @"
    2025-10-25 02:30 +02:00
    2025-10-26 02:30 +02:00  26 Oct 2025: 02:30 happens twice, runs at the first
    2025-10-27 02:30 +01:00
    ");
    assert_snapshot!(ticks("0,30 1-3 * * *", "Europe/Berlin", "2025-10-26T00:00", 7), @"
    2025-10-26 01:00 +02:00
    2025-10-26 01:30 +02:00
    2025-10-26 02:00 +02:00  26 Oct 2025: 02:00 happens twice, runs at the first
    2025-10-26 02:30 +02:00  26 Oct 2025: 02:30 happens twice, runs at the first
    2025-10-26 03:00 +01:00
    2025-10-26 03:30 +01:00
    2025-10-27 01:00 +01:00
    ");
    // Half an hour is repeated.
    assert_snapshot!(ticks("*/15 1,2 * * *", "Australia/Lord_Howe", "2026-04-05T00:00", 9), @"
    2026-04-05 01:00 +11:00
    2026-04-05 01:15 +11:00
    2026-04-05 01:30 +11:00  5 Apr 2026: 01:30 happens twice, runs at the first
    2026-04-05 01:45 +11:00  5 Apr 2026: 01:45 happens twice, runs at the first
    2026-04-05 02:00 +10:30
    2026-04-05 02:15 +10:30
    2026-04-05 02:30 +10:30
    2026-04-05 02:45 +10:30
    2026-04-06 01:00 +10:30
    ");
}

#[test]
fn an_hourly_schedule_follows_elapsed_time() {
    assert_snapshot!(ticks("30 * * * *", "Europe/Berlin", "2025-03-30T01:00", 2), @"
    2025-03-30 01:30 +01:00
    2025-03-30 03:30 +02:00
    ");
    assert_snapshot!(ticks("30 * * * *", "Europe/Berlin", "2025-10-26T01:00", 4), @"
    2025-10-26 01:30 +02:00
    2025-10-26 02:30 +02:00
    2025-10-26 02:30 +01:00
    2025-10-26 03:30 +01:00
    ");
    assert_snapshot!(ticks("30 0-23 * * *", "Europe/Berlin", "2025-10-26T01:00", 4), @"
    2025-10-26 01:30 +02:00
    2025-10-26 02:30 +02:00
    2025-10-26 02:30 +01:00
    2025-10-26 03:30 +01:00
    ");
}

/// Samoa had no 30 December 2011; the Go original does not return from this.
#[test]
fn a_day_that_never_was() {
    assert_snapshot!(ticks("0 0 30 12 *", "Pacific/Apia", "2011-01-01T00:00", 2), @"
    2011-12-31 00:00 +14:00  30 Dec 2011: 00:00 does not exist, runs at 31 Dec 2011 00:00
    2012-12-30 00:00 +14:00
    ");
    assert_snapshot!(ticks("0 */6 30,31 12 *", "Pacific/Apia", "2011-12-29T00:00", 5), @"
    2011-12-31 00:00 +14:00  30 Dec 2011: 00:00 to 18:00 do not exist, run once at 31 Dec 2011 00:00 (5 ticks in one)
    2011-12-31 06:00 +14:00
    2011-12-31 12:00 +14:00
    2011-12-31 18:00 +14:00
    2012-12-30 00:00 +14:00
    ");
    assert_snapshot!(ticks("0 * 30 12 *", "Pacific/Apia", "2011-12-29T00:00", 1), @"
    2012-12-30 00:00 +14:00
    ");
}

/// Every question has an answer within a bounded time, at any instant, in any zone.
#[test]
fn nothing_hangs() {
    let expressions =
        ["* * * * *", "0 0 29 2 *", "* * 29 2 *", "0 0 30 2 *", "0 0 30 12 *", "0 * 30 12 *", "59 23 31 12 0"];
    let database = jiff::tz::TimeZoneDatabase::bundled();
    for name in database.available() {
        let zone = Zone::parse(name.as_str()).unwrap_or_else(|error| panic!("{name}: {error}"));
        for expression in expressions {
            let schedule = Schedule::parse(expression, &zone).unwrap();
            for year in (1970..=2100).step_by(26) {
                let instant: Timestamp = format!("{year}-03-01T00:00:00Z").parse().unwrap();
                assert_eq!(schedule.next_after(instant).is_none(), schedule.never_fires());
                assert_eq!(schedule.latest_at_or_before(instant).is_none(), schedule.never_fires());
                let _ = schedule.count_between(Timestamp::UNIX_EPOCH, instant);
            }
        }
    }
}

/// The ends of jiff's time are no trap either.
#[test]
fn the_ends_of_time() {
    for zone in ["UTC", "Europe/Berlin", "Pacific/Apia"] {
        for expression in ["* * * * *", "30 2 * * *", "0 0 29 2 *", "@every 1h"] {
            let schedule = Schedule::parse(expression, &Zone::parse(zone).unwrap()).unwrap();
            for instant in [Timestamp::MIN, Timestamp::MAX] {
                assert!(schedule.next_after(instant).is_none_or(|tick| tick > instant));
                assert!(schedule.latest_at_or_before(instant).is_none_or(|tick| tick <= instant));
                assert_eq!(schedule.count_between(instant, instant), 0);
            }
            let _ = schedule.count_between(Timestamp::MIN, Timestamp::MAX);
        }
    }
}
