//! Which ticks run, and which are written down as not run (R12–R16, R20, R24).
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use rstest::rstest;
use scheduler::state::{Outcome, SkipReason};
use support::{World, at, every, schedule_spec, secs, tick};

// R14
#[test]
fn a_new_run_does_not_run_the_past() {
    let mut world = World::new(every("0 * * * *"), at("10:30:00"));
    assert_eq!(world.report.next, Some(at("11:00:00")));
    world.advance_to(at("10:59:59"));
    assert_eq!(world.started(), Vec::<&str>::new());
    assert_eq!(world.skipped(), []);
}

// R13: a tick at the moment of creation is none.
#[test]
fn the_tick_of_the_second_of_creation_is_past() {
    let mut world = World::new(every("0 * * * *"), at("10:00:00.4"));
    world.advance_to(at("10:59:00"));
    assert_eq!(world.started(), Vec::<&str>::new());
}

// R12, R32: at the instant, one create.
#[test]
fn a_tick_starts_exactly_at_its_instant() {
    let mut world = World::new(every("* * * * *"), at("10:00:30"));
    world.advance_to(at("10:01:00"));
    assert_eq!(world.started(), [tick("10:01:00")]);
    assert_eq!(world.created_at(&tick("10:01:00")), Some(at("10:01:00")));
    assert_eq!(world.state.mark, Some(at("10:01:00")));
    world.finish(&tick("10:01:00"), Outcome::Succeeded);
    world.advance_to(at("10:02:00"));
    assert_eq!(world.created_at(&tick("10:02:00")), Some(at("10:02:00")));
    assert_eq!(world.skipped(), []);
}

// R15
#[test]
fn after_downtime_the_latest_missed_tick_runs_and_the_others_are_one_entry() {
    let mut world = World::new(every("*/10 * * * *"), at("10:01:00"));
    world.restart_at(at("10:55:00"));
    assert_eq!(world.started(), [tick("10:50:00")]);
    let skips: Vec<_> = world.skips().cloned().collect();
    assert_eq!(skips.len(), 1);
    assert_eq!((skips[0].reason, skips[0].count), (SkipReason::Missed, 4));
    assert_eq!((skips[0].from, skips[0].to), (at("10:10:00"), at("10:40:00")));
    assert_eq!(world.state.ledger, skips);
    assert_eq!(world.state.mark, Some(at("10:50:00")));
}

// R15: also of a Run nobody has seen since it was made.
#[test]
fn downtime_counts_from_creation() {
    let mut world = World::unseen(every("*/10 * * * *"), at("10:01:00"));
    world.look_at(at("10:35:00"));
    assert_eq!(world.started(), [tick("10:30:00")]);
    assert_eq!(world.skipped(), [(SkipReason::Missed, 2)]);
}

// R13, R14: nobody knows which of its schedules an unseen Run had when.
#[test]
fn an_unseen_run_that_was_edited_starts_now() {
    let mut world = World::unseen(every("*/10 * * * *"), at("10:01:00"));
    world.run.generation = 2;
    world.look_at(at("10:35:00"));
    assert_eq!(world.started(), Vec::<&str>::new());
    world.advance_to(at("10:40:00"));
    assert_eq!(world.started(), [tick("10:40:00")]);
}

// R15: the claim was made, and then the operator was away.
#[test]
fn a_claimed_tick_is_run_after_downtime_if_it_is_the_latest() {
    let mut world = World::new(every("*/10 * * * *"), at("10:01:00"));
    world.advance_to(at("10:09:59"));
    assert!(world.state.claims.contains_key(&tick("10:10:00")));
    world.restart_at(at("10:15:00"));
    assert_eq!(world.started(), [tick("10:10:00")]);
    assert_eq!(world.skipped(), []);
}

// R15
#[rstest]
#[case(61, true)]
#[case(60, true)]
#[case(59, false)]
fn a_missed_tick_runs_if_it_is_younger_than_the_deadline(#[case] deadline: i64, #[case] runs: bool) {
    let mut spec = every("0 * * * *");
    spec.starting_deadline = Some(secs(deadline));
    let mut world = World::new(spec, at("10:30:00"));
    world.restart_at(at("12:01:00"));
    let expected = if runs { vec![tick("12:00:00")] } else { Vec::new() };
    assert_eq!(world.started(), expected);
    let mut skipped = vec![(SkipReason::Missed, 1)];
    if !runs {
        skipped.push((SkipReason::TooLate, 1));
    }
    assert_eq!(world.skipped(), skipped);
    assert_eq!(world.state.mark, Some(at("12:00:00")));
}

// R15: what it costs is a bench's business; walking half a million ticks would be felt here too.
#[test]
fn a_year_of_minutes_is_one_run_and_one_entry() {
    let mut world = World::new(every("* * * * *"), at("2024-03-03T10:00:30"));
    world.sleep_to(at("2025-03-03T10:00:30"));
    world.restart();
    world.look();
    assert_eq!(world.started(), [tick("10:00:00")]);
    assert_eq!(world.skipped(), [(SkipReason::Missed, 365 * 24 * 60 - 1)]);
}

// R16, R19
#[test]
fn suspended_ticks_are_counted_once_at_resume() {
    let mut world = World::new(every("*/10 * * * *"), at("10:01:00"));
    world.suspend(true);
    let writes = world.writes;
    assert_eq!(world.report.next, None);
    world.advance_to(at("10:45:00"));
    world.look();
    world.restart_at(at("11:05:00"));
    assert_eq!((world.writes, world.skipped()), (writes, vec![]));
    world.suspend(false);
    assert_eq!(world.skipped(), [(SkipReason::Suspended, 6)]);
    let entry = world.state.ledger.last().unwrap();
    assert_eq!((entry.from, entry.to), (at("10:10:00"), at("11:00:00")));
    world.restart_at(at("11:06:00"));
    world.advance_to(at("11:10:00"));
    assert_eq!(world.started(), [tick("11:10:00")]);
    assert_eq!(world.skipped(), [(SkipReason::Suspended, 6)]);
}

// R13: a change found at the start counts as seen now.
#[test]
fn a_suspension_found_after_downtime_leaves_one_entry_of_missed_ticks() {
    let mut world = World::new(every("*/10 * * * *"), at("10:01:00"));
    world.edit_unseen(|spec| spec.suspend = true);
    world.restart_at(at("10:35:00"));
    assert_eq!(world.started(), Vec::<&str>::new());
    assert_eq!(world.skipped(), [(SkipReason::Missed, 3)]);
    world.advance_to(at("10:55:00"));
    world.suspend(false);
    assert_eq!(world.skipped(), [(SkipReason::Missed, 3), (SkipReason::Suspended, 2)]);
}

// R19, R33
#[test]
fn suspension_voids_claims_ahead() {
    let mut world = World::new(every("0 * * * *"), at("10:30:00"));
    world.advance_to(at("10:59:59"));
    assert_eq!(world.state.claims.len(), 1);
    world.suspend(true);
    assert_eq!(world.state.claims.len(), 0);
    world.advance_to(at("11:30:00"));
    world.suspend(false);
    world.advance_to(at("11:59:00"));
    assert_eq!(world.started(), Vec::<&str>::new());
    assert_eq!(world.skipped(), [(SkipReason::Suspended, 1)]);
}

// R14
#[rstest]
#[case::earlier("0 9 * * *", "")]
#[case::every_minute("* * * * *", "")]
#[case::zone("30 10 * * *", "Europe/Berlin")]
#[case::other_zone("0 5 * * *", "America/New_York")]
fn an_edit_of_the_schedule_or_zone_does_not_run_the_past(#[case] expression: &str, #[case] zone: &str) {
    let mut world = World::new(every("0 12 * * *"), at("10:00:30"));
    world.advance_to(at("10:59:30"));
    world.reschedule(expression, zone);
    assert_eq!((world.started(), world.skipped()), (vec![], vec![]));
    assert!(world.report.next.unwrap() > world.now);
}

// R13: ticks since the mark are one ledger entry, of the old schedule or the new one.
#[rstest]
#[case("*/10 * * * *", "0 0 1 1 *", vec![(SkipReason::Missed, 5)])]
#[case("0 0 1 1 *", "*/10 * * * *", vec![(SkipReason::Missed, 5)])]
#[case("0 0 1 1 *", "0 0 2 1 *", vec![])]
fn an_edit_found_after_downtime_does_not_run_the_past(
    #[case] old: &str,
    #[case] new: &str,
    #[case] skipped: Vec<(SkipReason, u64)>,
) {
    let mut world = World::new(every(old), at("10:01:00"));
    let schedule = schedule_spec(new, "");
    world.edit_unseen(|spec| spec.schedule = Some(schedule));
    world.restart_at(at("10:55:00"));
    assert_eq!(world.started(), Vec::<&str>::new());
    assert_eq!(world.skipped(), skipped);
}

// R14
#[test]
fn edits_of_other_fields_neither_cause_nor_lose_a_tick() {
    let mut world = World::new(every("*/10 * * * *"), at("10:01:00"));
    for (minute, hash) in (0..60).zip(["b", "c"].into_iter().cycle()) {
        world.advance_to(at("10:01:00") + secs(minute * 60 + 59));
        world.edit(|spec| {
            spec.successful_history = usize::try_from(minute).unwrap();
            spec.starting_deadline = Some(secs(100 + minute));
        });
        world.repipeline(hash);
        let running: Vec<String> =
            world.jobs.values().filter(|job| job.finished.is_none()).map(|job| job.name.clone()).collect();
        for job in running {
            world.finish(&job, Outcome::Succeeded);
        }
    }
    let expected: Vec<String> =
        (1..7).map(|tenth| scheduler::names::scheduled("orders", at("10:00:00") + secs(tenth * 600))).collect();
    assert_eq!(world.started(), expected);
    assert_eq!(world.skipped(), []);
}

// R14: also while the operator is away.
#[test]
fn an_edit_of_other_fields_in_downtime_does_not_lose_the_missed_tick() {
    let mut world = World::new(every("*/10 * * * *"), at("10:01:00"));
    world.edit_unseen(|spec| spec.pipeline_hash = "v1:b".to_owned());
    world.restart_at(at("10:15:00"));
    assert_eq!(world.started(), [tick("10:10:00")]);
}

// R20
#[test]
fn a_clock_that_jumps_back_runs_nothing_twice() {
    let mut world = World::new(every("*/10 * * * *"), at("10:01:00"));
    world.advance_to(at("10:20:30"));
    let before = world.started().len();
    assert_eq!(before, 1, "the second one is forbidden by the first");
    world.finish(&tick("10:10:00"), Outcome::Succeeded);
    world.sleep_to(at("10:05:00"));
    world.look();
    world.advance_to(at("10:29:00"));
    assert_eq!(world.started().len(), before);
    world.advance_to(at("10:30:00"));
    assert_eq!(world.started(), [tick("10:10:00"), tick("10:30:00")]);
    assert_eq!(world.skipped(), [(SkipReason::ConcurrencyForbidden, 1)]);
}

// R20: the clock jumps back while a tick is claimed, or its create in flight.
#[test]
fn a_clock_that_jumps_back_before_the_create_waits_for_the_tick() {
    let mut world = World::new(every("*/10 * * * *"), at("10:01:00"));
    world.advance_to(at("10:09:59"));
    world.sleep_to(at("10:02:00"));
    world.look();
    assert_eq!(world.started(), Vec::<&str>::new());
    world.advance_to(at("10:10:00"));
    assert_eq!(world.created_at(&tick("10:10:00")), Some(at("10:10:00")));
}

// R20: forward is downtime (R15).
#[test]
fn a_clock_that_jumps_forward_is_downtime() {
    let mut world = World::new(every("*/10 * * * *"), at("10:01:00"));
    world.sleep_to(at("10:35:00"));
    world.look();
    assert_eq!(world.started(), [tick("10:30:00")]);
    assert_eq!(world.skipped(), [(SkipReason::Missed, 2)]);
}

// R24
#[test]
fn every_counts_from_its_floor() {
    let mut world = World::new(every("@every 90s"), at("10:00:10"));
    assert_eq!(world.report.next, Some(at("10:01:40")));
    world.advance_to(at("10:01:40"));
    assert_eq!(world.started(), [scheduler::names::scheduled("orders", at("10:01:40"))]);
    let first = world.started()[0].to_owned();
    world.finish(&first, Outcome::Succeeded);
    assert_eq!(world.report.next, Some(at("10:03:10")));
    world.edit(|spec| spec.successful_history = 7);
    assert_eq!(world.report.next, Some(at("10:03:10")));
    world.advance_to(at("10:02:00"));
    world.reschedule("@every 1h", "");
    assert_eq!(world.report.next, Some(at("11:02:00")));
}

// R16
#[test]
fn entries_of_one_reason_merge_only_if_nothing_lies_between() {
    let mut world = World::new(every("*/10 * * * *"), at("10:01:00"));
    world.advance_to(at("10:45:00"));
    assert_eq!(world.state.ledger.len(), 1, "{:?}", world.state.ledger);
    assert_eq!(world.state.ledger[0].count, 3);
    assert_eq!(world.skipped(), vec![(SkipReason::ConcurrencyForbidden, 1); 3], "one event each");
    world.finish(&tick("10:10:00"), Outcome::Succeeded);
    world.advance_to(at("11:05:00"));
    assert_eq!(world.started().last().copied(), Some(tick("10:50:00").as_str()));
    let counts: Vec<_> = world.state.ledger.iter().map(|entry| entry.count).collect();
    assert_eq!(counts, [3, 1]);
}

// R4
#[test]
fn the_ledger_keeps_the_ten_told_last() {
    let mut world = World::new(every("*/10 * * * *"), at("10:01:00"));
    for _ in 0..24 {
        let next = world.report.next.unwrap();
        world.advance_to(next + secs(605));
        let running: Vec<String> =
            world.jobs.values().filter(|job| job.finished.is_none()).map(|job| job.name.clone()).collect();
        for job in running {
            world.finish(&job, Outcome::Succeeded);
        }
    }
    assert_eq!(world.state.ledger.len(), 10);
    assert_eq!(world.skipped().len(), 24);
    assert_eq!(world.state.ledger.last(), world.skips().last());
}

// R16, R41
#[rstest]
#[case("NoMarmot", SkipReason::NoMarmot)]
#[case("DuplicateSource", SkipReason::Invalid)]
fn ticks_of_a_run_that_cannot_start_are_recorded(#[case] problem: &str, #[case] reason: SkipReason) {
    let mut world = World::new(every("*/10 * * * *"), at("10:01:00"));
    world.set_problem(Some(problem));
    world.advance_to(at("10:25:00"));
    assert_eq!((world.started(), world.skipped()), (vec![], vec![(reason, 1), (reason, 1)]));
    world.set_problem(None);
    assert_eq!(world.started(), Vec::<&str>::new());
    world.advance_to(at("10:30:00"));
    assert_eq!(world.started(), [tick("10:30:00")]);
}

// R3, R13: a schedule that cannot be read has no ticks, and mending it is an edit.
#[test]
fn a_broken_schedule_arms_nothing() {
    let mut world = World::new(every("*/10 * * * *"), at("10:01:00"));
    world.advance_to(at("10:09:59"));
    world.reschedule("61 * * * *", "");
    assert_eq!((world.wake, world.report.next), (None, None));
    world.advance_to(at("10:35:00"));
    world.reschedule("*/10 * * * *", "");
    assert_eq!((world.started(), world.skipped()), (vec![], vec![]));
    world.advance_to(at("10:40:00"));
    assert_eq!(world.started(), [tick("10:40:00")]);
}
