//! Which finished Jobs go, and which Jobs are strays (R28, R29, R33).
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use rstest::rstest;
use scheduler::decision::DeletionReason;
use scheduler::policy::ConcurrencyPolicy::Allow;
use scheduler::state::{Outcome, RunKind};
use support::{Creates, World, at, every, secs, under};

/// Runs one tick a minute, each ended after ten seconds.
fn run_minutes(world: &mut World, outcomes: &[Outcome]) {
    for outcome in outcomes {
        let next = world.report.next.unwrap();
        world.advance_to(next + secs(10));
        let job = scheduler::names::scheduled("orders", next);
        world.finish(&job, *outcome);
    }
}

fn kept(world: &World) -> (usize, usize) {
    let of = |good: bool| {
        let good = move |outcome: Outcome| (outcome == Outcome::Succeeded) == good;
        world.jobs.values().filter_map(|job| job.finished.as_ref()).filter(move |end| good(end.outcome)).count()
    };
    (of(true), of(false))
}

// R29
#[rstest]
#[case(3, 1)]
#[case(0, 0)]
#[case(1, 0)]
#[case(0, 2)]
fn limits_hold_apart(#[case] good: usize, #[case] bad: usize) {
    let mut spec = every("* * * * *");
    (spec.successful_history, spec.failed_history) = (good, bad);
    let mut world = World::new(spec, at("10:00:30"));
    let (s, f) = (Outcome::Succeeded, Outcome::Failed);
    run_minutes(&mut world, &[s, f, s, Outcome::Partial, s, Outcome::Killed, s, s]);
    world.edit(|spec| spec.suspend = true);
    world.advance_to(at("10:30:00"));
    assert_eq!(kept(&world), (good, bad));
    let names: Vec<&String> = world.jobs.keys().collect();
    let newest: Vec<String> = world.created.iter().rev().map(|(_, order)| order.name.clone()).collect();
    if good > 0 {
        assert!(names.contains(&&newest[0]), "the newest are kept");
    }
}

// R29: newest by finish time, then by name.
#[test]
fn order_is_by_finish_time_then_name() {
    let mut spec = under(Allow, "* * * * *");
    spec.successful_history = 2;
    let mut world = World::new(spec, at("10:00:30"));
    world.advance_to(at("10:04:30"));
    world.suspend(true);
    let names: Vec<String> = world.started().iter().map(|name| (*name).to_owned()).collect();
    world.advance_to(at("10:10:00"));
    world.finish_unseen(&names[0], Outcome::Succeeded);
    world.finish_unseen(&names[1], Outcome::Succeeded);
    world.finish_unseen(&names[2], Outcome::Succeeded);
    world.sleep_to(at("10:09:00"));
    world.finish_unseen(&names[3], Outcome::Succeeded);
    world.look_at(at("10:11:00"));
    let left: Vec<&String> = world.jobs.keys().collect();
    assert_eq!(left, [&names[1], &names[2]]);
}

// R33: not before 60 s after the claim was settled, however short the run was.
#[test]
fn the_prune_floor_outranks_the_limits() {
    let mut spec = every("0 * * * *");
    spec.successful_history = 0;
    let mut world = World::new(spec, at("10:30:00"));
    world.advance_to(at("11:00:01"));
    let job = world.started()[0].to_owned();
    world.finish(&job, Outcome::Succeeded);
    assert!(world.deleted.is_empty());
    world.advance_to(at("11:10:00"));
    assert_eq!(world.was_deleted(&job), Some((at("11:01:00"), DeletionReason::Pruned)));
    assert_eq!(world.state.last_result.as_ref().map(|result| result.job.clone()), Some(job));
}

// R29: one-shot Jobs count with the scheduled ones, trigger Jobs do not.
#[test]
fn trigger_jobs_do_not_count() {
    let mut spec = every("0 * * * *");
    spec.successful_history = 1;
    let mut world = World::new(spec, at("10:30:00"));
    world.advance_to(at("11:00:10"));
    let job = world.started()[0].to_owned();
    world.finish(&job, Outcome::Succeeded);
    for number in 1..4 {
        world.advance_to(at("11:01:00") + secs(number * 20));
        world.trigger();
        world.finish(&format!("orders-trigger-{number}"), Outcome::Succeeded);
    }
    world.advance_to(at("11:30:00"));
    assert_eq!(world.jobs.keys().collect::<Vec<_>>(), [&job]);
}

// R29: settled, and its outcome in status, before it goes: also for one that ended while nobody looked.
#[test]
fn what_ended_unseen_is_recorded_before_it_goes() {
    let mut spec = every("0 * * * *");
    spec.failed_history = 0;
    let mut world = World::new(spec, at("10:30:00"));
    world.creates = Creates::Unanswered;
    world.advance_to(at("11:00:00"));
    let job = world.started()[0].to_owned();
    world.finish_unseen(&job, Outcome::Failed);
    world.creates = Creates::Work;
    world.restart_at(at("11:30:00"));
    assert_eq!(world.state.last_result.as_ref().map(|result| result.job.clone()), Some(job.clone()));
    assert!(world.deleted.is_empty());
    world.advance_to(at("11:40:00"));
    assert_eq!(world.was_deleted(&job), Some((at("11:31:00"), DeletionReason::Pruned)));
}

// R29: one that is already going is not deleted again, and an unfinished one never.
#[test]
fn going_and_running_jobs_are_left_alone() {
    let mut spec = every("* * * * *");
    spec.successful_history = 0;
    let mut world = World::new(spec, at("10:00:30"));
    world.advance_to(at("10:02:30"));
    let job = world.started()[0].to_owned();
    world.jobs.get_mut(&job).unwrap().deleting_since = Some(at("10:02:00"));
    world.finish(&job, Outcome::Succeeded);
    world.advance_to(at("10:10:00"));
    assert!(world.deleted.is_empty(), "{:?}", world.deleted);
}

// R33: made by nobody we know.
#[test]
fn a_stray_is_deleted() {
    let mut world = World::new(every("0 * * * *"), at("10:30:00"));
    world.advance_to(at("10:40:00"));
    world.appear("orders-29016600", RunKind::Scheduled);
    world.look();
    assert!(world.deleted.is_empty(), "its claim may be younger than our view of the Run");
    world.advance_to(at("10:45:00"));
    let (when, reason) = world.was_deleted("orders-29016600").unwrap();
    assert_eq!(reason, DeletionReason::Stray);
    assert!(when <= at("10:41:00"), "{when}");
    assert_eq!(world.report.active, 0);
}

// R33: a create that arrives after its claim was given up.
#[test]
fn a_create_that_comes_too_late_is_a_stray() {
    let mut world = World::new(every("*/10 * * * *"), at("10:01:00"));
    world.creates = Creates::Lost;
    world.advance_to(at("10:10:00"));
    let job = scheduler::names::scheduled("orders", at("10:10:00"));
    world.suspend(true);
    world.advance_to(at("10:12:00"));
    assert!(world.state.claims.is_empty());
    world.appear(&job, RunKind::Scheduled);
    world.look();
    world.advance_to(at("10:13:00"));
    assert_eq!(world.was_deleted(&job).map(|(_, reason)| reason), Some(DeletionReason::Stray));
}

// R33: a finished Job of unknown making is history.
#[test]
fn a_finished_job_of_unknown_making_is_history() {
    let mut world = World::new(every("0 * * * *"), at("10:30:00"));
    world.appear("orders-29016600", RunKind::Scheduled);
    world.finish("orders-29016600", Outcome::Succeeded);
    world.advance_to(at("10:45:00"));
    assert!(world.deleted.is_empty());
}
