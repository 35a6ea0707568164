//! Runs without a schedule (R26).
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use rstest::rstest;
use scheduler::observation::RefusalCause;
use scheduler::policy::ConcurrencyPolicy::{self, Allow, Forbid, Replace};
use scheduler::report::Phase;
use scheduler::state::Outcome;
use support::{Creates, World, at, every, one_shot};

// R26
#[test]
fn a_one_shot_run_runs_once() {
    let mut world = World::new(one_shot(), at("10:00:00"));
    assert_eq!(world.started(), ["orders-gen1"]);
    assert_eq!(world.report.phase, Phase::Running);
    world.finish("orders-gen1", Outcome::Succeeded);
    assert_eq!(world.report.phase, Phase::Succeeded);
    world.look_at(at("10:10:00"));
    world.restart_at(at("10:20:00"));
    assert_eq!(world.started(), ["orders-gen1"]);
}

// R26: the hash decides, not the generation.
#[test]
fn only_what_shapes_the_pipeline_runs_again() {
    let mut world = World::new(one_shot(), at("10:00:00"));
    world.finish("orders-gen1", Outcome::Succeeded);
    world.edit(|spec| spec.successful_history = 9);
    world.suspend(true);
    assert_eq!(world.started(), ["orders-gen1"]);
    world.repipeline("b");
    assert_eq!(world.started(), ["orders-gen1", "orders-gen4"]);
    world.finish("orders-gen4", Outcome::Failed);
    world.repipeline("a");
    assert_eq!(world.started().last().copied(), Some("orders-gen5"), "back to the first one is a change too");
}

// R26
#[rstest]
#[case(Outcome::Succeeded)]
#[case(Outcome::Failed)]
fn a_deleted_job_does_not_run_again(#[case] outcome: Outcome) {
    let mut world = World::new(one_shot(), at("10:00:00"));
    let mut running = world.clone();
    running.vanish("orders-gen1");
    running.advance_to(at("11:00:00"));
    assert_eq!(running.started(), ["orders-gen1"]);
    world.finish("orders-gen1", outcome);
    world.vanish("orders-gen1");
    world.restart_at(at("10:20:00"));
    assert_eq!(world.started(), ["orders-gen1"]);
}

// R26
#[test]
fn removing_the_schedule_runs_once() {
    let mut world = World::new(every("0 * * * *"), at("10:30:00"));
    world.edit(|spec| spec.schedule = None);
    assert_eq!(world.started(), ["orders-gen2"]);
    assert_eq!(world.report.next, None);
    world.finish("orders-gen2", Outcome::Succeeded);
    world.look_at(at("12:00:00"));
    assert_eq!(world.started(), ["orders-gen2"]);
}

// R26: the policy is that of a trigger, and only the newest spec runs.
#[rstest]
#[case(Forbid, 1)]
#[case(Allow, 3)]
#[case(Replace, 3)]
fn a_change_during_a_run_obeys_the_policy(#[case] policy: ConcurrencyPolicy, #[case] at_once: usize) {
    let mut spec = one_shot();
    spec.policy = policy;
    let mut world = World::new(spec, at("10:00:00"));
    world.repipeline("b");
    world.repipeline("c");
    assert_eq!(world.started().len(), at_once);
    if policy == Forbid {
        assert!(world.state.claims.is_empty(), "what waits claims nothing (R7)");
        world.finish("orders-gen1", Outcome::Succeeded);
        assert_eq!(world.started(), ["orders-gen1", "orders-gen3"]);
    }
    assert_eq!(world.unfinished(), if policy == Allow { 3 } else { 1 });
}

// R26, R18: while it waits for the old one to go, a newer spec takes over.
#[test]
fn replace_runs_only_the_newest_spec() {
    let mut spec = one_shot();
    spec.policy = Replace;
    let mut world = World::new(spec, at("10:00:00"));
    world.slow_deletes = true;
    world.repipeline("b");
    world.repipeline("c");
    world.advance_to(at("10:00:20"));
    world.vanish("orders-gen1");
    world.advance_to(at("10:05:00"));
    assert_eq!(world.started(), ["orders-gen1", "orders-gen3"]);
}

// R26, R41
#[test]
fn a_run_that_cannot_start_runs_when_it_can() {
    let mut spec = one_shot();
    spec.problem = Some(scheduler::observation::Problem { reason: "NoMarmot".to_owned(), message: String::new() });
    let mut world = World::new(spec, at("10:00:00"));
    world.look_at(at("10:10:00"));
    assert_eq!((world.started().len(), world.report.phase), (0, Phase::Idle));
    world.set_problem(None);
    assert_eq!(world.started(), ["orders-gen2"]);
}

// R10: it goes on trying.
#[rstest]
#[case(RefusalCause::NameConflict)]
#[case(RefusalCause::NameBusy)]
#[case(RefusalCause::Rejected)]
fn a_refused_one_shot_goes_on_trying(#[case] cause: RefusalCause) {
    let mut world = World::unseen(one_shot(), at("10:00:00"));
    world.creates = Creates::Refused(cause);
    world.look();
    world.advance_to(at("12:00:00"));
    assert!(world.started().is_empty());
    world.creates = Creates::Work;
    world.advance_to(at("12:00:11"));
    assert_eq!(world.started(), ["orders-gen1"]);
}

// R26, R34: nothing runs twice over a crash.
#[test]
fn a_lost_create_is_made_again_and_an_unanswered_one_is_found() {
    for fault in [Creates::Lost, Creates::Unanswered] {
        let mut world = World::unseen(one_shot(), at("10:00:00"));
        world.creates = fault;
        world.look();
        world.creates = Creates::Work;
        let mut other = world.clone();
        world.advance_to(at("10:01:00"));
        other.restart_at(at("10:00:02"));
        assert_eq!((world.started(), other.started()), (vec!["orders-gen1"], vec!["orders-gen1"]));
        assert_eq!((world.state.claims.len(), other.state.claims.len()), (0, 0));
    }
}

// R33: a schedule is added before the create.
#[test]
fn a_schedule_added_in_time_drops_the_claim() {
    let mut world = World::unseen(one_shot(), at("10:00:00"));
    world.creates = Creates::Refused(RefusalCause::Rejected);
    world.look();
    world.reschedule("0 * * * *", "");
    world.creates = Creates::Work;
    world.advance_to(at("10:30:00"));
    assert_eq!((world.started().len(), world.state.claims.len()), (0, 0));
}

// R26: removing the schedule makes it one-shot, also where it was one before with the same pipeline.
#[test]
fn removing_the_schedule_runs_once_more() {
    let mut world = World::new(one_shot(), at("10:00:00"));
    world.finish("orders-gen1", Outcome::Succeeded);
    world.reschedule("0 0 * * *", "");
    world.edit(|spec| spec.schedule = None);
    assert_eq!(world.started(), ["orders-gen1", "orders-gen3"]);
}

// R26: under Forbid too a claim without a Job is no active run; the newest spec takes its place.
#[test]
fn a_refused_one_shot_gives_way_to_the_edit_that_mends_it() {
    let mut world = World::unseen(one_shot(), at("10:00:00"));
    world.creates = Creates::Refused(RefusalCause::Rejected);
    world.look();
    world.advance_to(at("10:01:00"));
    world.repipeline("b");
    world.creates = Creates::Work;
    world.advance_to(at("10:02:00"));
    let first = world.started().first().map(|name| (*name).to_owned());
    assert_eq!(first.as_deref(), Some("orders-gen2"));
    world.finish("orders-gen2", Outcome::Succeeded);
    assert_eq!(world.started(), ["orders-gen2"], "the newest spec runs once");
}
