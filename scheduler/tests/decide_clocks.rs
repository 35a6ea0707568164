//! What a clock that was wrong has left behind holds nobody up for long (R12, R20).
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use jiff::Timestamp;
use rstest::rstest;
use scheduler::claim::Claim;
use scheduler::names;
use scheduler::observation::{RefusalCause, Spec};
use scheduler::state::{Outcome, RunKind};
use support::{Creates, World, at, every, secs, tick};

const TENTHS: &str = "*/10 * * * *";
const A_YEAR_AHEAD: &str = "2026-03-03T10:00:00";

fn with_teardown() -> Spec {
    Spec { teardown: true, ..every(TENTHS) }
}

fn teardown(number: i64) -> String {
    names::teardown("orders", "uid-run", number)
}

/// Claims of a process that is gone, and whose clock was ahead: for a tick, and for a trigger.
fn claims_from_ahead() -> [(String, Claim); 2] {
    let ahead = at(A_YEAR_AHEAD);
    let scheduled = Claim { tick: Some(ahead + secs(60)), ..Claim::new(RunKind::Scheduled, "op-0", ahead) };
    let trigger = Claim { number: Some(1), taken: true, ..Claim::new(RunKind::Trigger, "op-0", ahead) };
    [(tick("2026-03-03T10:01:00"), scheduled), ("orders-trigger-1".to_owned(), trigger)]
}

// R30, R33: whether they have made a Job is known as soon as their windows have closed by any clock.
#[rstest]
#[case(0)]
#[case(1)]
fn a_claim_from_ahead_does_not_keep_a_deleted_run(#[case] which: usize) {
    let mut world = World::new(with_teardown(), at("10:01:00"));
    let (job, claim) = claims_from_ahead()[which].clone();
    world.state.trigger_count = 1;
    world.state.claims.insert(job.clone(), claim);
    world.delete();
    assert!(!world.is_gone());
    world.advance_to(at("10:04:00"));
    assert!(world.looked_up.contains(&job));
    assert!(world.is_gone());
}

// R4: later runs are the news, whatever a wrong clock has noted of an earlier one.
#[test]
fn a_result_from_ahead_does_not_hide_later_ones() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.advance_to(at("10:10:05"));
    world.finish(&tick("10:10:00"), Outcome::Failed);
    world.state.last_result.as_mut().unwrap().finished_at = at(A_YEAR_AHEAD);
    world.advance_to(at("10:20:05"));
    world.finish(&tick("10:20:00"), Outcome::Succeeded);
    let last = world.state.last_result.as_ref().unwrap();
    assert_eq!((last.job.as_str(), last.outcome), (tick("10:20:00").as_str(), Outcome::Succeeded));
    assert_eq!(world.state.consecutive_failures, 0);
}

// R4: also where the end is seen by the very look that finds the wrong record.
#[test]
fn an_end_seen_beside_a_result_from_ahead_is_the_newest() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.advance_to(at("10:10:05"));
    world.finish(&tick("10:10:00"), Outcome::Failed);
    world.advance_to(at("10:20:05"));
    world.state.last_result.as_mut().unwrap().finished_at = at(A_YEAR_AHEAD);
    world.finish(&tick("10:20:00"), Outcome::Succeeded);
    assert_eq!(world.state.last_result.as_ref().unwrap().job, tick("10:20:00"));
}

// R29: the floor counts from when it was seen to be wrong.
#[test]
fn what_was_settled_ahead_is_put_away() {
    let mut world = World::new(Spec { successful_history: 0, ..every(TENTHS) }, at("10:01:00"));
    world.advance_to(at("10:10:05"));
    world.state.active_jobs[0].settled_at = at(A_YEAR_AHEAD);
    world.finish(&tick("10:10:00"), Outcome::Succeeded);
    world.advance_to(at("10:11:06"));
    assert_eq!(world.was_deleted(&tick("10:10:00")).map(|(when, _)| when), Some(at("10:11:05")));
}

// R30: no pause is longer than ten minutes.
#[test]
fn a_pause_from_ahead_ends_after_ten_minutes() {
    let mut world = World::new(with_teardown(), at("10:01:00"));
    world.advance_to(at("10:10:05"));
    world.finish(&tick("10:10:00"), Outcome::Succeeded);
    world.delete();
    world.finish(&teardown(1), Outcome::Failed);
    world.state.teardown.as_mut().unwrap().retry_at = Some(at(A_YEAR_AHEAD));
    world.look();
    world.advance_to(at("10:20:06"));
    assert_eq!(world.created_at(&teardown(2)), Some(at("10:20:05")));
}

// R20, R38: a clock that is set back does not stretch a pause of seconds.
#[test]
fn a_refusal_is_asked_again_after_the_clock_was_set_back() {
    let mut world = World::new(every("0 * * * *"), at("10:00:30"));
    world.advance_to(at("10:50:00"));
    world.creates = Creates::Refused(RefusalCause::Rejected);
    world.trigger();
    let back: Timestamp = at("10:20:00");
    world.sleep_to(back);
    world.creates = Creates::Work;
    world.look();
    world.advance_to(back + secs(15));
    assert_eq!(world.started(), ["orders-trigger-1"]);
}
