//! What docs/edge-cases.md says of its proofs is true, and what docs/metrics.md says of metrics.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "docs/metrics.rs"]
mod metrics;
mod support;

use std::path::Path;

const CASES: usize = 92;

fn read(path: &str) -> Result<String, String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(file).map_err(|error| format!("{path}: {error}"))
}

/// What is wrong with the rows `| number | case | proof |` of a table.
fn mistakes(table: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut numbers = Vec::new();
    for line in table.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, number, case, proof, _] = cells[..] else { continue };
        let Ok(number) = number.parse::<usize>() else { continue };
        numbers.push(number);
        if case.is_empty() || proof.is_empty() {
            wrong.push(format!("{number}: has no case or no proof"));
        }
        // Every other piece stands between backticks.
        for quoted in proof.split('`').skip(1).step_by(2) {
            if let Some((path, test)) = quoted.split_once(": ")
                && let Err(error) = exists(path, test)
            {
                wrong.push(format!("{number}: {error}"));
            }
        }
    }
    if !numbers.iter().copied().eq(1..=CASES) {
        wrong.push(format!("the rows are not numbered from 1 to {CASES}: {numbers:?}"));
    }
    wrong
}

/// The function is in the file, and it is a test.
fn exists(path: &str, test: &str) -> Result<(), String> {
    let source = read(path)?;
    let (before, _) = source.split_once(&format!("fn {test}(")).ok_or(format!("{path} has no test {test}"))?;
    // Nothing but attributes and comments lies between the end of the item before and a function.
    let attributes = before.rsplit_once("\n\n").map_or(before, |(_, last)| last);
    let marks = ["#[test]", "#[rstest]", "#[tokio::test"];
    if marks.iter().any(|mark| attributes.contains(mark)) { Ok(()) } else { Err(format!("{path}: {test} is no test")) }
}

#[test]
fn every_edge_case_is_there_and_its_tests_too() {
    let wrong = mistakes(&read("docs/edge-cases.md").expect("the table is there"));
    assert!(wrong.is_empty(), "docs/edge-cases.md:\n{}", wrong.join("\n"));
}

#[test]
fn a_wrong_row_is_found() {
    let row = |number: usize| match number {
        3 => "| 3 | a case | `tests/docs.rs: no_such_test` |\n".to_owned(),
        4 => "| 4 | a case | `tests/no_such_file.rs: any` |\n".to_owned(),
        5 => "| 5 | a case | `tests/docs.rs: mistakes` |\n".to_owned(),
        6 => "| 6 | a case | |\n".to_owned(),
        7 => String::new(),
        _ => format!("| {number} | a case | `tests/docs.rs: a_wrong_row_is_found`, `code` |\n"),
    };
    let wrong = mistakes(&(1..=CASES).map(row).collect::<Vec<_>>().concat());
    let starts =
        ["3: tests/docs.rs has no", "4: tests/no_such_file.rs:", "5: tests/docs.rs: mistakes", "6: ", "the rows"];
    assert_eq!(wrong.len(), starts.len(), "{wrong:#?}");
    for (found, start) in wrong.iter().zip(starts) {
        assert!(found.starts_with(start), "{found}");
    }
}
