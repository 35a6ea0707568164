//! Manual triggers (R27, R28).
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use rstest::rstest;
use scheduler::claim::Claim;
use scheduler::decide;
use scheduler::decision::{DeletionReason, Effect, News};
use scheduler::observation::RefusalCause;
use scheduler::policy::ConcurrencyPolicy::{Allow, Forbid, Replace};
use scheduler::report::ConditionKind;
use scheduler::state::{Outcome, RunKind, SkipReason};
use support::{Creates, World, at, every, one_shot, tick, under};

const HOURLY: &str = "0 * * * *";

fn queued(world: &World) -> usize {
    world.news.iter().filter(|news| matches!(news, News::TriggerQueued)).count()
}

// R27
#[test]
fn a_trigger_runs_at_once_and_its_annotation_goes_first() {
    let mut world = World::new(every(HOURLY), at("10:30:00"));
    world.advance_to(at("10:31:00"));
    world.trigger();
    assert_eq!(world.created_at("orders-trigger-1"), Some(at("10:31:00")));
    assert_eq!((world.run.trigger.as_deref(), world.taken.as_slice()), (None, [1].as_slice()));
    assert_eq!(world.state.trigger_count, 1);
}

// R27
#[test]
fn a_trigger_does_not_move_the_mark() {
    let mut world = World::new(every(HOURLY), at("10:30:00"));
    let mark = world.state.mark;
    world.trigger();
    world.finish("orders-trigger-1", Outcome::Succeeded);
    assert_eq!((world.state.mark, world.report.next), (mark, Some(at("11:00:00"))));
    world.advance_to(at("11:00:00"));
    assert_eq!(world.started().last().copied(), Some(tick("11:00:00").as_str()));
}

// R19, R27
#[test]
fn a_trigger_runs_while_suspended() {
    let mut world = World::new(every(HOURLY), at("10:30:00"));
    world.suspend(true);
    world.trigger();
    assert_eq!(world.started(), ["orders-trigger-1"]);
    world.finish("orders-trigger-1", Outcome::Succeeded);
    world.advance_to(at("11:30:00"));
    assert!(world.jobs.is_empty(), "history is pruned while suspended");
}

// R27
#[test]
fn a_trigger_runs_on_a_one_shot_run() {
    let mut world = World::new(one_shot(), at("10:30:00"));
    world.finish("orders-gen1", Outcome::Succeeded);
    world.trigger();
    assert_eq!(world.started(), ["orders-gen1", "orders-trigger-1"]);
}

// R27: Forbid makes it wait, and it starts the moment the active run ends.
#[test]
fn a_forbidden_trigger_waits() {
    let mut world = World::new(under(Forbid, HOURLY), at("10:30:00"));
    world.advance_to(at("11:01:00"));
    world.trigger();
    assert_eq!(world.run.trigger.as_deref(), Some("true"), "the annotation is kept");
    assert_eq!(world.condition(ConditionKind::Reconciling).reason, "TriggerQueued");
    world.look_at(at("11:02:00"));
    assert_eq!(queued(&world), 1);
    world.advance_to(at("11:05:00"));
    world.finish(&tick("11:00:00"), Outcome::Failed);
    assert_eq!(world.created_at("orders-trigger-1"), Some(at("11:05:00")));
    assert_eq!(world.condition(ConditionKind::Reconciling).reason, "UpToDate");
}

// R27
#[test]
fn a_waiting_trigger_is_cancelled_by_removing_the_annotation() {
    let mut world = World::new(under(Forbid, HOURLY), at("10:30:00"));
    world.advance_to(at("11:01:00"));
    world.trigger();
    world.annotate(None);
    world.finish(&tick("11:00:00"), Outcome::Succeeded);
    assert_eq!(world.started(), [tick("11:00:00")]);
    assert_eq!(world.condition(ConditionKind::Reconciling).reason, "UpToDate");
}

// R27
#[rstest]
#[case(Allow, 2, 0)]
#[case(Replace, 1, 1)]
fn a_trigger_obeys_the_policy(
    #[case] policy: scheduler::policy::ConcurrencyPolicy,
    #[case] left: usize,
    #[case] replaced: usize,
) {
    let mut world = World::new(under(policy, HOURLY), at("10:30:00"));
    world.advance_to(at("11:01:00"));
    world.trigger();
    assert_eq!((world.unfinished(), world.deleted.len()), (left, replaced));
    assert_eq!(world.started().last().copied(), Some("orders-trigger-1"));
    assert_eq!(queued(&world), 0);
}

// R27: each one set after a removal gives another run.
#[test]
fn a_trigger_after_a_taken_one_is_another_run() {
    let mut world = World::new(under(Allow, HOURLY), at("10:30:00"));
    world.trigger();
    world.trigger();
    assert_eq!(world.started(), ["orders-trigger-1", "orders-trigger-2"]);
    assert_eq!(world.taken, [1, 2]);
}

// R27: set again before the removal, they merge.
#[test]
fn triggers_that_wait_merge() {
    let mut world = World::new(under(Forbid, HOURLY), at("10:30:00"));
    world.trigger();
    world.trigger();
    world.trigger();
    world.finish("orders-trigger-1", Outcome::Succeeded);
    assert_eq!(world.started(), ["orders-trigger-1", "orders-trigger-2"]);
    world.finish("orders-trigger-2", Outcome::Succeeded);
    assert_eq!(world.started().len(), 2);
}

// R27, R7: what waits for the active run claims nothing, so it costs one write, which says so.
#[test]
fn a_trigger_that_waits_claims_nothing() {
    let mut world = World::new(under(Forbid, HOURLY), at("10:30:00"));
    world.trigger();
    let writes = world.writes;
    world.trigger();
    assert!(world.state.claims.is_empty(), "{:?}", world.state.claims);
    world.look_at(at("10:45:00"));
    assert_eq!(world.writes, writes + 1);
}

// R27: set while the taken one has no Job yet.
#[test]
fn a_trigger_set_while_the_taken_one_is_refused_is_another_run() {
    let mut world = World::new(under(Allow, HOURLY), at("10:30:00"));
    world.creates = Creates::Refused(scheduler::observation::RefusalCause::Rejected);
    world.trigger();
    assert_eq!(world.taken, [1]);
    world.trigger();
    world.creates = Creates::Work;
    world.advance_to(at("10:31:00"));
    assert_eq!(world.started(), ["orders-trigger-1", "orders-trigger-2"]);
}

// R27
#[test]
fn any_other_value_is_one_warning_and_left_alone() {
    let mut world = World::new(every(HOURLY), at("10:30:00"));
    world.annotate(Some("yes"));
    world.look_at(at("10:31:00"));
    let warnings =
        world.news.iter().filter(|news| matches!(news, News::InvalidTrigger { value } if value == "yes")).count();
    assert_eq!((warnings, world.started().len(), world.run.trigger.as_deref()), (1, 0, Some("yes")));
    world.trigger();
    assert_eq!(world.started(), ["orders-trigger-1"]);
}

// R27, R32: the write that takes the annotation off is the claim; the status tells of it when its Job is there.
#[test]
fn a_trigger_is_claimed_by_the_removal_of_its_annotation() {
    let mut world = World::new(every(HOURLY), at("10:30:00"));
    world.run.trigger = Some("true".to_owned());
    let effects = decide(&world.observation(), world.now).effects;
    assert!(matches!(&effects[..], [Effect::TakeTrigger(claim)] if claim.number == Some(1)), "{effects:?}");
    let (calls, writes) = (world.calls, world.writes);
    world.look();
    assert_eq!((world.calls - calls, world.writes - writes), (3, 1), "taken, created, settled");
    assert_eq!((world.state.trigger_count, world.state.claims.len()), (1, 0));
}

// R27, R34: the process dies before the removal, or between it and the create.
#[test]
fn a_trigger_survives_a_crash_at_every_step() {
    for removed in [false, true] {
        let mut world = World::new(every(HOURLY), at("10:30:00"));
        if removed {
            world.creates = Creates::Lost;
            world.trigger();
            assert_eq!(world.run.trigger, None);
        }
        world.run.trigger = Some("true".to_owned()).filter(|_| !removed);
        world.creates = Creates::Work;
        world.restart_at(at("10:30:03"));
        world.advance_to(at("10:31:00"));
        assert_eq!(world.started(), ["orders-trigger-1"], "removed: {removed}");
        assert_eq!(world.run.trigger, None);
    }
}

/// A trigger that is claimed in the status, and waits for a run that `Replace` has asked to go.
fn waits_to_replace() -> World {
    let mut world = World::new(under(Replace, HOURLY), at("10:30:00"));
    world.advance_to(at("11:00:30"));
    world.slow_deletes = true;
    world.trigger();
    assert_eq!(world.state.claims.keys().collect::<Vec<_>>(), ["orders-trigger-1"]);
    world
}

// R27: the user changes his mind before the annotation is off, whoever claimed it.
#[rstest]
fn a_claimed_trigger_is_cancelled_by_removing_the_annotation(
    #[values(None, Some("false"))] annotation: Option<&str>,
    #[values(false, true)] restarted: bool,
) {
    let mut world = waits_to_replace();
    if restarted {
        world.restart();
    }
    world.annotate(annotation);
    world.advance_to(at("11:05:00"));
    assert_eq!(
        (world.started(), world.state.claims.contains_key("orders-trigger-1")),
        (vec![&*tick("11:00:00")], false)
    );
    assert_eq!(world.run.trigger.as_deref(), annotation);
}

// R28: to the second.
#[rstest]
#[case(Outcome::Succeeded)]
#[case(Outcome::Failed)]
fn a_trigger_job_goes_sixty_seconds_after_its_end(#[case] outcome: Outcome) {
    let mut world = World::new(every(HOURLY), at("10:00:00"));
    world.trigger();
    world.advance_to(at("10:10:00"));
    world.finish("orders-trigger-1", outcome);
    assert_eq!(world.wake, Some(at("10:11:00")));
    world.advance_to(at("10:20:00"));
    assert_eq!(world.was_deleted("orders-trigger-1"), Some((at("10:11:00"), DeletionReason::Pruned)));
    assert_eq!(world.state.last_result.as_ref().map(|result| result.outcome), Some(outcome));
}

// R28: at once after a restart if overdue; a run longer than 60 s is never cut.
#[test]
fn overdue_trigger_jobs_go_at_once_and_running_ones_stay() {
    let mut world = World::new(under(Allow, HOURLY), at("10:00:00"));
    world.trigger();
    world.trigger();
    world.sleep_to(at("10:10:00"));
    world.finish_unseen("orders-trigger-1", Outcome::Succeeded);
    world.restart_at(at("10:30:00"));
    assert_eq!(world.was_deleted("orders-trigger-1").map(|(at, _)| at), Some(at("10:30:00")));
    assert!(world.was_deleted("orders-trigger-2").is_none());
}

// R17, R27: a tick that comes due while a trigger waits finds the same active run.
#[test]
fn a_waiting_trigger_does_not_keep_ticks_from_being_consumed() {
    let mut world = World::new(under(Forbid, HOURLY), at("10:30:00"));
    world.advance_to(at("11:01:00"));
    world.trigger();
    world.advance_to(at("12:01:00"));
    assert_eq!(world.skipped(), [(SkipReason::ConcurrencyForbidden, 1)]);
    world.finish(&tick("11:00:00"), Outcome::Succeeded);
    assert_eq!(world.started(), [tick("11:00:00").as_str(), "orders-trigger-1"]);
}

// R17, R27: at one instant the tick goes first, and the trigger waits for it.
#[test]
fn a_trigger_at_the_instant_of_a_tick() {
    let mut world = World::new(under(Forbid, HOURLY), at("10:30:00"));
    world.advance_to(at("10:59:59"));
    world.sleep_to(at("11:00:00"));
    world.trigger();
    assert_eq!(world.started(), [tick("11:00:00")]);
    assert_eq!((queued(&world), world.skipped()), (1, vec![]));
}

// R27: the status was lost, the annotations were not. What ran before does not run again.
#[test]
fn one_trigger_is_one_run_though_the_count_was_lost() {
    let mut world = World::unseen(under(Allow, HOURLY), at("10:30:00"));
    world.beside = Some(claim(3));
    world.look();
    assert_eq!((world.started().len(), world.state.claims.len(), world.state.trigger_count), (0, 0, 3));
    world.trigger();
    assert_eq!((world.started(), world.taken.as_slice()), (vec!["orders-trigger-4"], [4].as_slice()));
}

// R27: a trigger that was claimed and then has to wait says so, whether its annotation is off or not.
#[rstest]
fn a_claimed_trigger_that_waits_is_shown_as_queued(#[values(false, true)] taken: bool) {
    let mut world = World::new(every(HOURLY), at("10:58:00"));
    world.advance_to(at("11:00:00"));
    world.run.trigger = (!taken).then(|| "true".to_owned());
    // What waited for a place among those of all Runs, or was refused, when the tick came due.
    world.state.trigger_count = 1;
    world.state.claims.insert("orders-trigger-1".to_owned(), Claim { taken, ..claim(1) });
    world.restart_at(at("11:00:10"));
    assert_eq!(world.condition(ConditionKind::Reconciling).reason, "TriggerQueued");
}

// R27, R32: whoever writes the Run anew from an older manifest (`kubectl replace`) takes off the operator's record of it,
// or puts an older one back.
#[rstest]
fn a_taken_trigger_is_not_lost_with_its_annotation(#[values(None, Some(1))] older: Option<i64>) {
    let mut world = World::new(under(Allow, HOURLY), at("10:30:00"));
    world.trigger();
    world.creates = Creates::Refused(RefusalCause::Rejected);
    world.trigger();
    assert_eq!(world.taken, [1, 2]);
    world.beside = older.map(claim);
    world.look();
    world.creates = Creates::Work;
    world.advance_to(at("10:31:00"));
    world.trigger();
    assert_eq!(world.started(), ["orders-trigger-1", "orders-trigger-2", "orders-trigger-3"]);
}

// R27: nothing else that the API server refuses holds it up.
#[test]
fn a_trigger_goes_before_what_is_to_be_put_away() {
    let mut world = World::new(under(Allow, HOURLY), at("10:30:00"));
    world.appear("orders-29012345", RunKind::Scheduled);
    world.sleep_to(at("10:31:00"));
    world.run.trigger = Some("true".to_owned());
    let effects = decide(&world.observation(), world.now).effects;
    let place = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted).unwrap();
    let taken = place(|effect| matches!(effect, Effect::TakeTrigger(_)));
    assert!(taken < place(|effect| matches!(effect, Effect::DeleteJob(_))), "{effects:#?}");
}

/// The claim of a process that is gone.
fn claim(number: i64) -> Claim {
    Claim { number: Some(number), ..Claim::new(RunKind::Trigger, "op-0", at("10:20:00")) }
}

// R27: the annotation goes first, also where `Replace` has waited for 60 s; else one trigger is a run a minute.
#[test]
fn a_trigger_that_waited_for_replace_takes_its_annotation() {
    let mut world = World::new(under(Replace, "0 * * * *"), at("10:00:30"));
    world.slow_deletes = true;
    world.trigger();
    world.trigger();
    world.advance_to(at("10:02:00"));
    assert_eq!(world.started(), ["orders-trigger-1", "orders-trigger-2"]);
    assert_eq!((world.taken.as_slice(), world.run.trigger.as_deref()), ([1, 2].as_slice(), None));
}
