//! Every row of the vector files, made with the Go original and by a walk over civil time (R21, R23).
//!
//! `CRON_VECTORS` may name one more file of the same form.
//!
//! The vectors were made with release 2025b of the time zone database. Where the rules of a zone have been changed
//! since, `goldens/zones` holds its 2025b data, and a row may hold with either.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use scheduler::schedule::{Schedule, Zone};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    expr: String,
    #[serde(default = "utc")]
    zone: String,
    #[serde(default)]
    from: i64,
    ok: bool,
    #[serde(default)]
    next: Vec<i64>,
    /// The row lies near an offset change.
    #[serde(default, rename = "dst")]
    _dst: bool,
    /// What the Go original says where R23 holds instead.
    #[serde(default, rename = "robfig")]
    _robfig: Vec<i64>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What is wrong with a row, if anything.
fn judge(row: &Row) -> Result<(), String> {
    let now = Zone::parse(&row.zone).map_err(|error| error.to_string())?;
    judge_in(row, &now).or_else(|reason| {
        let path = goldens().join("zones").join(row.zone.replace('/', "-") + ".tzif");
        let Ok(data) = fs::read(path) else { return Err(reason) };
        judge_in(row, &Zone::from_tzif(&row.zone, &data).unwrap())
    })
}

fn judge_in(row: &Row, zone: &Zone) -> Result<(), String> {
    let schedule = match (Schedule::parse(&row.expr, zone), row.ok) {
        (Ok(schedule), true) => schedule,
        (Err(_), false) => return Ok(()),
        (Ok(schedule), false) => return Err(format!("must be refused, was read as {schedule}")),
        (Err(error), true) => return Err(format!("must be accepted: {error}")),
    };
    let from = Timestamp::from_second(row.from).unwrap();
    let mut floor = from;
    for (n, &tick) in (1..).zip(&row.next) {
        let expected = Timestamp::from_second(tick).unwrap();
        same("next", &schedule.next_after(floor), &Some(expected))?;
        // The other questions agree with next.
        let before = expected - SignedDuration::from_secs(1);
        same("latest at the tick", &schedule.latest_at_or_before(expected), &Some(expected))?;
        same("latest between", &schedule.latest_between(from, expected), &Some(expected))?;
        same("latest before the tick", &schedule.latest_between(from, before), &(n > 1).then_some(floor))?;
        same("count up to the tick", &schedule.count_between(from, expected), &n)?;
        same("count before the tick", &schedule.count_between(from, before), &(n - 1))?;
        floor = expected;
    }
    if schedule.never_fires() {
        same("next of a schedule that never fires", &schedule.next_after(from), &None)?;
    }
    let again = Schedule::parse(&schedule.to_string(), zone).map_err(|error| format!("{schedule}: {error}"))?;
    same("parsed display", &again, &schedule)
}

fn same<T: PartialEq + fmt::Debug>(what: &str, is: &T, should: &T) -> Result<(), String> {
    if is == should { Ok(()) } else { Err(format!("{what}: {is:?} instead of {should:?}")) }
}

fn check(path: &Path) -> usize {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut report = String::new();
    let (mut rows, mut wrong) = (0, 0);
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let row: Row = serde_json::from_str(text).unwrap_or_else(|error| panic!("line {line}: {error}"));
        rows += 1;
        if let Err(reason) = judge(&row) {
            wrong += 1;
            if wrong <= 20 {
                writeln!(report, "line {line}: {:?} in {} from {}: {reason}", row.expr, row.zone, row.from).unwrap();
            }
        }
    }
    assert!(wrong == 0, "{wrong} of {rows} rows of {} differ\n{report}", path.display());
    rows
}

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

/// R21
#[test]
fn the_go_original() {
    assert!(check(&goldens().join("cron.jsonl")) >= 5000);
}

/// R23
#[test]
fn a_walk_over_civil_time() {
    assert!(check(&goldens().join("dst.jsonl")) >= 1500);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "this names an input of the test, not of the crate")]
fn a_file_from_outside() {
    if let Ok(path) = std::env::var("CRON_VECTORS") {
        check(Path::new(&path));
    }
}
