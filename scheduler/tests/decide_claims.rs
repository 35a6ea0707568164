//! The start protocol as the core decides it (R10, R32–R34, R39).
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use rstest::rstest;
use scheduler::decide;
use scheduler::decision::Effect;
use scheduler::observation::{RefusalCause, Spec};
use scheduler::policy::ConcurrencyPolicy::{Allow, Forbid};
use scheduler::report::ConditionKind;
use scheduler::state::{Outcome, RunKind, SkipReason};
use support::{Creates, World, at, every, secs, tick, under};

const TENTHS: &str = "*/10 * * * *";

// R32: a lead ahead of the tick, so that at the tick one create is all that is left.
#[rstest]
#[case(2)]
#[case(30)]
fn a_tick_is_claimed_ahead(#[case] lead: i64) {
    let mut world = World::unseen(every(TENTHS), at("10:01:00"));
    world.lead = secs(lead);
    world.look();
    assert_eq!(world.wake, Some(at("10:10:00") - secs(lead)));
    world.advance_to(at("10:09:59"));
    let claim = &world.state.claims[&tick("10:10:00")];
    assert_eq!((claim.claimed_at, claim.tick), (at("10:10:00") - secs(lead), Some(at("10:10:00"))));
    assert_eq!((claim.holder.as_str(), claim.attempt), ("op-1", 1));
    world.now = at("10:10:00");
    let first = decide(&world.observation(), world.now);
    assert!(matches!(first.effects.as_slice(), [Effect::CreateJob(order)] if order.tick == Some(world.now)));
}

// R32: also while something is running.
#[test]
fn a_tick_is_claimed_whatever_is_running() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.advance_to(at("10:19:59"));
    assert!(world.state.claims.contains_key(&tick("10:20:00")));
}

// R32: claim, create, settle, and each is its own look.
#[test]
fn settling_moves_the_mark_and_drops_the_claim() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.advance_to(at("10:10:00"));
    assert!(world.state.claims.is_empty());
    let active = &world.state.active_jobs[0];
    assert_eq!((active.name.clone(), active.kind), (tick("10:10:00"), RunKind::Scheduled));
    assert_eq!((active.settled_at, active.uid.as_str()), (at("10:10:00"), "uid-1"));
    assert_eq!(world.state.last_run, Some(at("10:10:00")));
}

// R7: one claim, one settlement, one end.
#[test]
fn a_run_costs_three_status_writes() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    let before = world.writes;
    world.advance_to(at("10:15:00"));
    world.finish(&tick("10:10:00"), Outcome::Succeeded);
    assert_eq!(world.writes - before, 3);
    world.look_at(at("10:16:00"));
    assert_eq!(world.writes - before, 3);
}

// R33: looked at too late for the window, the claim is renewed first.
#[test]
fn a_create_is_sent_only_in_its_window() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.advance_to(at("10:09:59"));
    world.sleep_to(at("10:10:20"));
    let first = decide(&world.observation(), world.now);
    let Some(Effect::Record(record)) = first.effects.first() else { panic!("{first:?}") };
    assert_eq!(record.state.claims[&tick("10:10:00")].claimed_at, at("10:10:20"));
    world.look();
    assert_eq!(world.created_at(&tick("10:10:00")), Some(at("10:10:20")));
}

// R33: a claim of another holder, by compare-and-swap.
#[test]
fn another_holder_claims_again() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.advance_to(at("10:09:59"));
    world.restart();
    world.look();
    world.advance_to(at("10:10:00"));
    let (when, order) = &world.created[0];
    assert_eq!((*when, order.attempt), (at("10:10:00"), 2));
}

// R33: the create was heard by nobody; the claim is renewed with the next attempt.
#[test]
fn a_create_in_doubt_is_claimed_again() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.creates = Creates::Lost;
    world.advance_to(at("10:10:00"));
    assert_eq!(world.process.in_doubt.get(&tick("10:10:00")), Some(&1));
    world.creates = Creates::Work;
    world.advance_to(at("10:10:30"));
    assert_eq!(world.created[0].1.attempt, 2);
    assert_eq!(world.started(), [tick("10:10:00")]);
}

// R33: `AlreadyExists` with our UID is success.
#[test]
fn an_unanswered_create_is_settled_when_its_job_is_seen() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.creates = Creates::Unanswered;
    world.advance_to(at("10:10:00"));
    assert_eq!(world.state.claims.len(), 1);
    world.creates = Creates::Work;
    let mut seen = world.clone();
    world.advance_to(at("10:11:00"));
    seen.reveal();
    for world in [world, seen] {
        assert_eq!(world.started(), [tick("10:10:00")]);
        assert_eq!((world.state.claims.len(), world.state.mark), (0, Some(at("10:10:00"))));
    }
}

// R33: given up only after the doubt has ended and a live GET found nothing.
#[test]
fn a_claim_in_doubt_is_given_up_late_and_after_a_look() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.creates = Creates::Lost;
    world.advance_to(at("10:10:00"));
    world.suspend(true);
    assert_eq!((world.state.claims.len(), world.looked_up.len()), (1, 0));
    assert_eq!(world.wake, Some(at("10:10:25")));
    world.advance_to(at("10:10:24"));
    assert_eq!(world.state.claims.len(), 1);
    world.advance_to(at("10:10:25"));
    assert_eq!((world.looked_up.clone(), world.state.claims.len()), (vec![tick("10:10:00")], 0));
    assert_eq!(world.skipped(), [(SkipReason::Suspended, 1)]);
}

// R33: and if the live GET finds it, it was run.
#[test]
fn a_claim_in_doubt_whose_job_is_found_is_settled() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.creates = Creates::Unanswered;
    world.advance_to(at("10:10:00"));
    world.suspend(true);
    world.advance_to(at("10:10:25"));
    assert_eq!((world.state.active_jobs.len(), world.skipped()), (1, vec![]));
}

// R39: retried within the tick's life, then written down.
#[test]
fn a_refused_tick_is_retried_and_rejected_when_the_next_is_due() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.creates = Creates::Refused(RefusalCause::Rejected);
    world.advance_to(at("10:19:59"));
    assert_eq!((world.skipped(), world.problems()), (vec![], vec!["FailedCreate"]));
    world.advance_to(at("10:20:00"));
    assert_eq!(world.skipped(), [(SkipReason::Rejected, 1)]);
    world.creates = Creates::Work;
    world.advance_to(at("10:20:11"));
    assert_eq!(world.started(), [tick("10:20:00")]);
}

// R15, R39: what kept it from running is told, not that it is late by now.
#[test]
fn a_refused_tick_that_is_too_late_was_rejected() {
    let mut world = World::new(Spec { starting_deadline: Some(secs(60)), ..every(TENTHS) }, at("10:01:00"));
    world.creates = Creates::Refused(RefusalCause::Rejected);
    world.advance_to(at("10:15:00"));
    assert_eq!(world.skipped(), [(SkipReason::Rejected, 1)]);
}

// R39: a refusal that ends in time costs nothing.
#[test]
fn a_refused_tick_runs_once_it_is_taken() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.creates = Creates::Refused(RefusalCause::Rejected);
    world.advance_to(at("10:14:00"));
    world.creates = Creates::Work;
    world.advance_to(at("10:14:11"));
    assert_eq!((world.started(), world.skipped()), (vec![tick("10:10:00").as_str()], vec![]));
    assert_eq!(world.created[0].1.attempt, 1, "no create is in doubt");
}

// R10
#[test]
fn a_foreign_job_of_the_name_costs_the_tick_at_once() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.creates = Creates::Refused(RefusalCause::NameConflict);
    world.advance_to(at("10:10:00"));
    assert_eq!(world.skipped(), [(SkipReason::NameConflict, 1)]);
    assert!(world.state.claims.is_empty());
    world.creates = Creates::Work;
    world.advance_to(at("10:20:00"));
    assert_eq!(world.started(), [tick("10:20:00")]);
}

// R10: one that is going is waited for.
#[test]
fn a_terminating_job_of_the_name_is_waited_for() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.creates = Creates::Refused(RefusalCause::NameBusy);
    world.advance_to(at("10:11:00"));
    assert_eq!(world.skipped(), []);
    world.creates = Creates::Work;
    world.advance_to(at("10:11:11"));
    assert_eq!(world.started(), [tick("10:10:00")]);
}

// R8: no create before the ConfigMap of the generation is there.
#[test]
fn the_config_comes_first_and_is_repaired() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    assert_eq!(world.config_hash.as_deref(), Some("a"));
    world.advance_to(at("10:09:59"));
    world.config_refused = Some(RefusalCause::NameConflict);
    world.config_hash = None;
    world.advance_to(at("10:10:30"));
    assert!(world.started().is_empty());
    assert_eq!(world.condition(scheduler::report::ConditionKind::Ready).reason, "NameConflict");
    world.config_refused = None;
    world.advance_to(at("10:10:41"));
    assert_eq!(world.started(), [tick("10:10:00")]);
}

// R33: the schedule was edited; what was due before the edit was seen still runs.
#[test]
fn a_tick_due_before_the_edit_runs() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.creates = Creates::Refused(RefusalCause::Rejected);
    world.advance_to(at("10:10:00"));
    world.reschedule("0 0 * * *", "");
    world.creates = Creates::Work;
    world.advance_to(at("10:12:00"));
    assert_eq!((world.started(), world.skipped()), (vec![tick("10:10:00").as_str()], vec![]));
}

// R33: a Run on its way out starts nothing.
#[test]
fn a_run_being_deleted_starts_nothing() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.advance_to(at("10:09:59"));
    world.run.deleting_since = Some(world.now);
    world.run.trigger = Some("true".to_owned());
    world.look();
    world.advance_to(at("11:00:00"));
    assert_eq!((world.started().len(), world.state.claims.len()), (0, 0));
}

// R32: several at once under Allow, each with its own claim.
#[test]
fn several_claims_at_one_instant() {
    let mut world = World::new(under(Allow, TENTHS), at("10:01:00"));
    world.advance_to(at("10:09:59"));
    world.sleep_to(at("10:10:00"));
    world.trigger();
    let mut started = world.started();
    started.sort_unstable();
    assert_eq!(started, [tick("10:10:00").as_str(), "orders-trigger-1"]);
}

// R15, R33: a claim of a tick that is no longer the latest is given up; it neither runs nor stands in the way.
#[test]
fn a_claim_from_before_the_downtime_does_not_displace_the_latest_tick() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.advance_to(at("10:09:59"));
    world.restart_at(at("10:35:00"));
    world.advance_to(at("10:36:00"));
    assert_eq!(world.started(), [tick("10:30:00")]);
    assert_eq!(world.skips().map(|skipped| skipped.count).sum::<u64>(), 2);
}

// R12, R33: a claim at or before the mark never starts.
#[test]
fn a_claim_older_than_the_mark_does_not_start() {
    let mut world = World::new(under(Allow, "* * * * *"), at("10:00:30"));
    world.creates = Creates::Lost;
    world.advance_to(at("10:01:59"));
    world.creates = Creates::Work;
    world.advance_to(at("10:02:59"));
    assert_eq!(world.started(), [tick("10:02:00")]);
    assert_eq!(world.skipped(), [(SkipReason::Missed, 1)]);
}

// R5, R39: a quota on ConfigMaps is no taken name, and mends without an edit.
#[test]
fn a_refused_config_is_not_a_name_conflict() {
    let mut world = World::unseen(every(TENTHS), at("10:01:00"));
    world.config_refused = Some(RefusalCause::Rejected);
    world.look();
    let reason = world.condition(ConditionKind::Ready).reason.clone();
    assert_eq!((reason.as_str(), world.condition(ConditionKind::Stalled).status), ("FailedCreate", Some(false)));
}

// R8, R10: the ConfigMap is tried again by the clock, not at the next tick, which may be a year away.
#[test]
fn a_refused_config_is_tried_again() {
    let mut world = World::unseen(every("0 0 1 1 *"), at("10:01:00"));
    world.config_refused = Some(RefusalCause::NameConflict);
    world.look();
    world.config_refused = None;
    world.advance_to(at("10:01:11"));
    assert_eq!(world.condition(ConditionKind::Ready).reason, "Scheduled");
}

// R20, R33: the clock jumps back over the tick of a create in doubt, and the Run is suspended.
#[test]
fn a_claim_in_doubt_is_not_dropped_because_the_clock_jumped_back() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.creates = Creates::Unanswered;
    world.advance_to(at("10:10:00"));
    world.creates = Creates::Work;
    world.sleep_to(at("10:09:30"));
    world.suspend(true);
    world.reveal();
    world.advance_to(at("10:15:00"));
    assert_eq!(world.was_deleted(&tick("10:10:00")), None, "its run is no stray");
}

// R17, R33: a process died with two claims open, and nobody knows which of them has a Job.
#[rstest]
#[case::the_trigger(Some("orders-trigger-1"))]
#[case::neither(None)]
fn of_several_claims_that_may_have_a_job_none_is_created_before_that_is_known(#[case] made: Option<&str>) {
    let mut world = World::new(under(Forbid, "*/10 * * * *"), at("10:01:00"));
    world.advance_to(at("10:09:59"));
    // Both claims stand when the tick comes, and the process ends in the middle of a create.
    world.creates = Creates::Lost;
    world.trigger();
    world.sleep_to(at("10:10:01"));
    assert_eq!(world.observation().state.claims.len(), 2);
    world.restart();
    world.creates = Creates::Work;
    world.look();
    if let Some(made) = made {
        world.appear(made, RunKind::Trigger);
        world.hidden.insert(made.to_owned());
    }
    world.advance_to(at("10:10:30"));
    // One run, and the tick is told.
    assert_eq!(world.unfinished(), 1, "{:?}", world.created);
    assert!(world.jobs.contains_key("orders-trigger-1") || world.started() == [tick("10:10:00")]);
    assert!(made.is_none() || world.skipped() == [(SkipReason::ConcurrencyForbidden, 1)]);
}
