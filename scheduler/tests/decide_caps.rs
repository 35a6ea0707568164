//! Caps across Runs, as one Run sees them: what waits keeps its claim, is told once, and is never lost.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use jiff::Timestamp;
use rstest::rstest;
use scheduler::decision::News;
use scheduler::observation::{RefusalCause, Spec};
use scheduler::policy::ConcurrencyPolicy::{self, Allow, Forbid, Replace};
use scheduler::report::ConditionKind;
use scheduler::state::{Outcome, SkipReason, Skipped};
use support::{Creates, World, at, every, one_shot, secs, tick, under};

/// The operator has caps, and other Runs have all places.
fn full(spec: Spec, now: Timestamp) -> World {
    let mut world = World::unseen(spec, now);
    (world.process.places, world.full) = (Some(BTreeMap::new()), true);
    world.look();
    world
}

fn reconciling(world: &World) -> &str {
    &world.report.condition(ConditionKind::Reconciling).unwrap().reason
}

// R32, R33: the claim made ahead is kept as it is; once there is a place it is renewed, for its window has closed.
#[rstest]
fn a_tick_without_a_place_waits_and_runs_when_there_is_one(
    #[values(Allow, Forbid, Replace)] policy: ConcurrencyPolicy,
) {
    let mut world = full(under(policy, "*/10 * * * *"), at("10:00:30"));
    world.advance_to(at("10:10:00"));
    let claimed = world.state.claims.clone();
    assert_eq!(world.asked_for, [(tick("10:10:00"), at("10:10:00"))]);
    world.advance_to(at("10:14:00"));
    assert!(world.created.is_empty());
    assert_eq!(world.state.claims, claimed);

    world.let_through(&tick("10:10:00"));
    let (when, order) = &world.created[0];
    assert_eq!((*when, order.tick), (at("10:14:00"), Some(at("10:10:00"))));
    assert_eq!(world.state.mark, Some(at("10:10:00")));
    assert!(world.state.ledger.is_empty());
}

// R7: what passes at once is not written; what lasts is told once, and ends with the start.
#[test]
fn a_wait_is_told_once_it_has_lasted() {
    let mut world = full(every("*/10 * * * *"), at("10:00:30"));
    world.advance_to(at("10:10:04"));
    let writes = world.writes;
    assert_eq!(reconciling(&world), "UpToDate");
    world.advance_to(at("10:10:06"));
    assert_eq!(reconciling(&world), "StartDelayed");
    let message = &world.report.condition(ConditionKind::Reconciling).unwrap().message;
    assert!(message.contains("--max-concurrent-runs") && message.contains("2025-03-03T10:10:00Z"), "{message}");
    world.advance_to(at("10:19:00"));
    world.look();
    // The claim for 10:20 is made a moment before it.
    assert_eq!(world.writes, writes + 1);
    let told = world.news.iter().filter(|news| matches!(news, News::StartDelayed { .. })).count();
    assert_eq!(told, 1);

    world.let_through(&tick("10:10:00"));
    assert_eq!(reconciling(&world), "UpToDate");
}

// R15, R16: of several ticks that wait the latest runs, the others are told, each once.
#[rstest]
fn a_newer_tick_takes_over_the_wait(#[values(Allow, Forbid, Replace)] policy: ConcurrencyPolicy) {
    let mut world = full(under(policy, "*/10 * * * *"), at("10:00:30"));
    world.advance_to(at("10:35:00"));
    let entry = Skipped { reason: SkipReason::CapReached, count: 2, from: at("10:10:00"), to: at("10:20:00") };
    assert_eq!(world.state.ledger, [entry]);
    // It is as long in line as the first of them.
    let asked: Vec<_> = world.asked_for.iter().map(|(_, due)| *due).collect();
    assert!(asked.len() == 3 && asked.iter().all(|due| *due < at("10:10:01")), "{asked:?}");
    world.let_through(&tick("10:30:00"));
    let ran: Vec<_> = world.created.iter().map(|(_, order)| order.name.clone()).collect();
    assert_eq!(ran, [tick("10:30:00")]);
}

// R15, R16: a tick behind a trigger that waits is kept from starting by the cap as well.
#[rstest]
fn a_tick_behind_a_trigger_that_waits_is_told_alike(#[values(Forbid, Replace)] policy: ConcurrencyPolicy) {
    let mut world = full(under(policy, "*/10 * * * *"), at("10:05:00"));
    world.trigger();
    world.advance_to(at("10:25:00"));
    assert_eq!(world.skipped(), [(SkipReason::CapReached, 1)]);
}

// R15, R16: and it is told when it is too late, not when there is a place.
#[test]
fn a_tick_that_waits_too_long_is_told_at_once() {
    let mut world = full(Spec { starting_deadline: Some(secs(60)), ..every("*/10 * * * *") }, at("10:00:30"));
    world.advance_to(at("10:11:02"));
    assert_eq!(world.skipped(), [(SkipReason::TooLate, 1)]);
}

// R15: a tick that waited longer than its starting deadline does not run.
#[test]
fn the_starting_deadline_goes_on_while_a_tick_waits() {
    let mut world = full(Spec { starting_deadline: Some(secs(60)), ..every("*/10 * * * *") }, at("10:00:30"));
    world.advance_to(at("10:10:30"));
    world.sleep_to(at("10:12:00"));
    world.let_through(&tick("10:10:00"));
    assert!(world.created.is_empty());
    assert_eq!(world.state.ledger[0].reason, SkipReason::TooLate);
}

// R27: the annotation stays while the start waits, so that it can be cancelled.
#[test]
fn a_trigger_waits_with_its_annotation() {
    let mut world = full(every("0 0 1 1 *"), at("10:00:00"));
    world.trigger();
    world.advance_to(at("10:01:00"));
    assert_eq!((world.taken.len(), reconciling(&world)), (0, "StartDelayed"));
    world.annotate(None);
    assert!(world.state.claims.is_empty());
    assert_eq!(reconciling(&world), "UpToDate");

    world.trigger();
    world.let_through("orders-trigger-2");
    assert_eq!(world.created[0].1.name, "orders-trigger-2");
    assert_eq!(world.asked_for.len(), 2);
}

// R38, R39: what is refused goes to the back of the line each time.
#[test]
fn a_refused_start_keeps_no_others_waiting() {
    let mut world = World::unseen(every("0 * * * *"), at("10:59:00"));
    (world.process.places, world.creates) = (Some(BTreeMap::new()), Creates::Refused(RefusalCause::Rejected));
    world.look();
    world.advance_to(at("11:05:00"));
    let (first, again) = world.asked_for.split_first().unwrap();
    assert_eq!(first.1, at("11:00:00"));
    assert!(!again.is_empty() && again.iter().all(|(_, due)| *due > at("11:00:00")), "{again:?}");
    assert!(again.is_sorted_by_key(|(_, due)| *due));
}

// R33, R38: nor does one whose create is not answered, once a live GET has shown that it made no Job.
#[test]
fn a_start_without_an_answer_goes_to_the_back_of_the_line() {
    let mut world = full(every("0 * * * *"), at("10:59:00"));
    world.advance_to(at("11:00:00"));
    world.creates = Creates::Lost;
    world.let_through(&tick("11:00:00"));
    assert_eq!((world.asked_for.len(), world.looked_up.len()), (1, 0));
    world.advance_to(at("11:00:30"));
    assert_eq!(world.looked_up, [tick("11:00:00")]);
    assert_eq!(world.asked_for.len(), 2);
    assert!(world.asked_for[1].1 > at("11:00:00"), "{:?}", world.asked_for);

    world.creates = Creates::Work;
    world.let_through(&tick("11:00:00"));
    assert_eq!(world.created.len(), 1);
}

// R38: whatever its Run waits for meanwhile.
#[test]
fn a_place_in_doubt_is_resolved_although_the_run_cannot_go_on() {
    let mut world = full(one_shot(), at("10:00:00"));
    world.creates = Creates::Lost;
    world.let_through("orders-gen1");
    world.set_problem(Some("InvalidSpec"));
    world.advance_to(at("10:00:30"));
    assert_eq!(world.looked_up, ["orders-gen1"]);
    assert_eq!(world.process.places, Some(BTreeMap::new()));
}

// R33, R34: and where it has made the Job, that is found and no place is asked for.
#[test]
fn a_start_without_an_answer_that_made_its_job_is_found() {
    let mut world = full(every("0 * * * *"), at("10:59:00"));
    world.advance_to(at("11:00:00"));
    world.creates = Creates::Unanswered;
    world.let_through(&tick("11:00:00"));
    world.advance_to(at("11:00:30"));
    assert_eq!((world.created.len(), world.asked_for.len()), (1, 1));
    assert!(world.state.claims.is_empty());
}

// R8, R27: nor does what has no ConfigMap yet take a place, or a trigger its annotation; and no cap is passed by.
#[test]
fn the_config_map_comes_before_the_place() {
    let mut world = World::unseen(every("0 0 1 1 *"), at("10:00:00"));
    (world.process.places, world.config_refused) = (Some(BTreeMap::new()), Some(RefusalCause::Rejected));
    world.look();
    world.trigger();
    world.advance_to(at("10:01:00"));
    assert_eq!((world.asked_for.len(), world.taken.len()), (0, 0));
    (world.full, world.config_hash) = (true, Some(world.spec.config_hash.clone()));
    world.look();
    world.advance_to(at("10:01:08"));
    assert_eq!((world.asked_for.len(), world.taken.len(), world.created.len()), (1, 0, 0));
    world.let_through("orders-trigger-1");
    assert_eq!(world.created.len(), 1);
}

// R26
#[test]
fn a_one_shot_waits_too() {
    let mut world = full(one_shot(), at("10:00:00"));
    world.advance_to(at("10:01:00"));
    assert_eq!(world.asked_for, [("orders-gen1".to_owned(), at("10:00:00"))]);
    world.let_through("orders-gen1");
    assert_eq!(world.created.len(), 1);
}

// R33: another process finds the claim and asks for its place before it writes anything, in the old order.
#[test]
fn after_a_restart_it_asks_again_with_the_instant_it_was_due() {
    let mut world = full(every("*/10 * * * *"), at("10:00:30"));
    world.advance_to(at("10:12:00"));
    let claimed = world.state.claims.clone();
    world.restart();
    world.process.places = Some(BTreeMap::new());
    world.look();
    assert_eq!(world.asked_for[1], (tick("10:10:00"), at("10:10:00")));
    assert_eq!(world.state.claims, claimed);
    world.let_through(&tick("10:10:00"));
    assert_eq!(world.created.len(), 1);
}

// R30: teardowns are not counted.
#[test]
fn a_teardown_asks_nobody() {
    let mut world = full(Spec { teardown: true, ..every("*/10 * * * *") }, at("10:00:30"));
    world.advance_to(at("10:10:00"));
    world.let_through(&tick("10:10:00"));
    world.finish(&tick("10:10:00"), Outcome::Succeeded);
    world.delete();
    world.advance_to(at("10:12:00"));
    assert_eq!(world.asked_for.len(), 1);
    assert!(world.created[1].1.name.contains("teardown"));
}
