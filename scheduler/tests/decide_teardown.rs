//! The end of a Run (R10, R11, R30).
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use rstest::rstest;
use scheduler::decide;
use scheduler::decision::{DeletionReason, Effect, News};
use scheduler::names;
use scheduler::observation::{Finished, Problem, RefusalCause, Spec};
use scheduler::policy::ConcurrencyPolicy::Allow;
use scheduler::report::ConditionKind;
use scheduler::state::{Outcome, RunKind};
use support::{Creates, World, at, every, one_shot, tick, under};

const TENTHS: &str = "*/10 * * * *";

fn with_teardown(spec: Spec) -> Spec {
    Spec { teardown: true, ..spec }
}

fn teardown(number: i64) -> String {
    names::teardown("orders", "uid-run", number)
}

/// A Run that has run once, at 10:10.
fn after_a_run() -> World {
    let mut world = World::new(with_teardown(every(TENTHS)), at("10:01:00"));
    world.advance_to(at("10:10:05"));
    world.finish(&tick("10:10:00"), Outcome::Succeeded);
    world.advance_to(at("10:11:00"));
    world
}

fn reason(world: &World) -> &str {
    &world.condition(ConditionKind::Ready).reason
}

// R30: the finalizer stands before the first Job can be made.
#[rstest]
#[case(every(TENTHS))]
#[case(one_shot())]
fn the_finalizer_comes_before_the_first_claim(#[case] spec: Spec) {
    let mut world = World::unseen(with_teardown(spec), at("10:09:59"));
    let first = decide(&world.observation(), world.now).effects;
    let place = |wanted: fn(&Effect) -> bool| first.iter().position(wanted).unwrap();
    assert!(
        place(|effect| matches!(effect, Effect::AddFinalizer)) < place(|effect| matches!(effect, Effect::Record(_)))
    );
    world.look();
    assert!(world.run.finalizer);
}

// R30
#[test]
fn the_finalizer_follows_the_spec() {
    let mut world = World::new(with_teardown(every(TENTHS)), at("10:01:00"));
    world.edit(|spec| spec.teardown = false);
    assert!(!world.run.finalizer);
    world.edit(|spec| spec.teardown = true);
    assert!(world.run.finalizer);
}

// R30
#[test]
fn a_run_that_has_run_is_torn_down_and_let_go() {
    let mut world = after_a_run();
    world.delete();
    assert_eq!(world.started(), [tick("10:10:00"), teardown(1)]);
    let ready = world.condition(ConditionKind::Ready);
    assert_eq!((ready.reason.as_str(), world.report.active), ("TearingDown", 0));
    assert!(ready.message.contains("removes from Marmot"), "{}", ready.message);
    assert!(!world.is_gone());
    world.finish(&teardown(1), Outcome::Succeeded);
    assert!(world.is_gone());
    assert_eq!(world.state.last_result.as_ref().unwrap().kind, RunKind::Scheduled, "a teardown is no run");
    assert_eq!(world.state.last_run, Some(at("10:10:00")));
}

// R30
#[test]
fn a_run_that_never_ran_goes_at_once() {
    let mut world = World::new(with_teardown(every(TENTHS)), at("10:01:00"));
    world.delete();
    assert!(world.is_gone());
    assert_eq!(world.started(), Vec::<&str>::new());
}

// R30: a status that another operator wrote says that it ran.
#[test]
fn a_run_with_the_status_of_another_operator_is_torn_down() {
    let mut world = World::unseen(with_teardown(every(TENTHS)), at("10:01:00"));
    world.run.finalizer = true;
    world.report.observed_generation = 1;
    world.delete();
    assert_eq!(world.started(), [teardown(1)]);
    world.finish(&teardown(1), Outcome::Failed);
    assert!(!world.is_gone());
    world.advance_to(at("10:02:00"));
    assert_eq!(world.started(), [teardown(1), teardown(2)]);
}

// R30: no more ticks, no more triggers; what was claimed and may have a Job is looked up first.
#[test]
fn nothing_but_the_teardown_starts() {
    let mut world = after_a_run();
    world.advance_to(at("10:19:59"));
    world.restart();
    world.run.trigger = Some("true".to_owned());
    world.delete();
    assert_eq!(world.started().len(), 1, "the claim of 10:20 may have a Job: {:?}", world.started());
    world.advance_to(at("10:31:00"));
    assert_eq!(world.started(), [tick("10:10:00"), teardown(1)]);
    assert!(world.looked_up.contains(&tick("10:20:00")));
}

// R30: an active run may end by itself.
#[test]
fn an_active_run_is_waited_for() {
    let mut world = World::new(with_teardown(every(TENTHS)), at("10:01:00"));
    world.advance_to(at("10:10:05"));
    world.delete();
    world.advance_to(at("10:15:00"));
    assert_eq!(world.was_deleted(&tick("10:10:00")), None);
    assert_eq!(reason(&world), "TearingDown");
    world.finish(&tick("10:10:00"), Outcome::Succeeded);
    assert_eq!(world.started(), [tick("10:10:00"), teardown(1)]);
}

// R30: what kept another run of it from starting, or its pod, is no failure of the teardown.
#[test]
fn the_trouble_of_runs_is_not_told_as_that_of_the_teardown() {
    let mut world = World::new(with_teardown(under(Allow, TENTHS)), at("10:01:00"));
    world.pods_wait = Some(Problem { reason: "ImagePull".to_owned(), message: "it cannot be pulled".to_owned() });
    world.advance_to(at("10:11:00"));
    world.creates = Creates::Refused(RefusalCause::Rejected);
    world.advance_to(at("10:20:05"));
    world.delete();
    assert_eq!(reason(&world), "TearingDown");
    world.advance_to(at("10:20:15"));
    assert_eq!(reason(&world), "TearingDown");
}

// R30: but not for ever.
#[test]
fn an_active_run_is_stopped_after_ten_minutes() {
    let mut world = World::new(with_teardown(every(TENTHS)), at("10:01:00"));
    world.slow_deletes = true;
    world.advance_to(at("10:10:05"));
    world.delete();
    world.advance_to(at("10:25:00"));
    assert_eq!(world.was_deleted(&tick("10:10:00")), Some((at("10:20:05"), DeletionReason::Stopped)));
    assert_eq!(world.started().len(), 1, "it is not gone yet");
    world.vanish(&tick("10:10:00"));
    assert_eq!(world.started(), [tick("10:10:00"), teardown(1)]);
    assert_eq!(world.state.last_result.as_ref().unwrap().outcome, Outcome::Killed);
}

// R30: foreground deletion takes the Jobs away at once.
#[test]
fn a_run_whose_jobs_the_garbage_collector_took_is_torn_down() {
    let mut world = World::new(with_teardown(every(TENTHS)), at("10:01:00"));
    world.advance_to(at("10:10:05"));
    world.delete();
    world.vanish(&tick("10:10:00"));
    assert_eq!(world.started(), [tick("10:10:00"), teardown(1)]);
}

// R30: tried again, with growing pauses, until one succeeds; the failure and the way out are shown.
#[test]
fn a_failed_teardown_is_tried_again() {
    let mut world = after_a_run();
    world.delete();
    for number in 1..=3 {
        let made = world.created_at(&teardown(number)).unwrap();
        world.advance_to(made);
        world.finish(&teardown(number), Outcome::Failed);
        assert_eq!(reason(&world), "TeardownFailed");
        assert!(world.condition(ConditionKind::Ready).message.contains("teardownOnDelete"));
        world.advance_to(world.now + support::secs(3600));
    }
    let times: Vec<_> = (1..=4).map(|number| world.created_at(&teardown(number)).unwrap()).collect();
    let pauses: Vec<i64> = times.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs()).collect();
    assert_eq!(pauses, [10, 20, 40]);
    let ended = |news: &&News| matches!(news, News::Finished(result) if result.kind == RunKind::Teardown);
    assert_eq!(world.news.iter().filter(ended).count(), 3);
    world.finish(&teardown(4), Outcome::Succeeded);
    assert!(world.is_gone());
}

// R30: across a restart, whatever the step.
#[test]
fn a_teardown_survives_restarts() {
    let mut world = after_a_run();
    world.creates = Creates::Unanswered;
    world.delete();
    world.restart_at(at("10:12:00"));
    world.creates = Creates::Work;
    world.advance_to(at("10:13:00"));
    assert_eq!(world.started(), [tick("10:10:00"), teardown(1)]);
    world.finish_unseen(&teardown(1), Outcome::Failed);
    world.restart_at(at("10:14:00"));
    world.advance_to(at("10:15:00"));
    assert_eq!(world.started(), [tick("10:10:00"), teardown(1), teardown(2)]);
}

// R30: the way out.
#[test]
fn teardown_can_be_called_off() {
    let mut world = after_a_run();
    world.slow_deletes = true;
    world.delete();
    world.edit(|spec| spec.teardown = false);
    assert_eq!(world.was_deleted(&teardown(1)).unwrap().1, DeletionReason::Stopped);
    assert!(!world.is_gone(), "it still runs");
    world.vanish(&teardown(1));
    assert!(world.is_gone());
}

// R30
#[test]
fn teardown_called_off_between_attempts_lets_go_at_once() {
    let mut world = after_a_run();
    world.delete();
    world.finish(&teardown(1), Outcome::Failed);
    world.edit(|spec| spec.teardown = false);
    assert!(world.is_gone());
}

// R11, R30: the assets belong to the other Run too.
#[test]
fn a_living_namesake_keeps_its_assets() {
    let mut world = after_a_run();
    world.run.namesakes = vec!["elsewhere".to_owned()];
    world.delete();
    assert!(world.is_gone());
    assert_eq!(world.started(), [tick("10:10:00")]);
    assert!(world.news.iter().any(|news| matches!(news, News::TeardownSkipped { .. })));
}

// R11
#[test]
fn namesakes_are_warned_of() {
    let mut world = after_a_run();
    world.run.namesakes = vec!["elsewhere".to_owned()];
    world.look();
    assert_eq!(reason(&world), "PipelineShared");
    assert_eq!(world.condition(ConditionKind::Ready).status, Some(true), "it runs all the same");
    assert_eq!(world.problems(), ["PipelineShared"]);
    world.run.namesakes.clear();
    world.look();
    assert_eq!(reason(&world), "Scheduled");
}

// R30
#[test]
fn a_terminating_namespace_is_let_go() {
    let mut world = after_a_run();
    world.creates = Creates::Refused(RefusalCause::NamespaceTerminating);
    world.delete();
    assert!(world.is_gone());
    assert!(world.news.iter().any(|news| matches!(news, News::TeardownSkipped { .. })));
}

// R30, R39
#[test]
fn a_refused_teardown_goes_on_trying() {
    let mut world = after_a_run();
    world.creates = Creates::Refused(RefusalCause::Rejected);
    world.delete();
    assert_eq!(reason(&world), "TeardownFailed");
    world.advance_to(at("11:00:00"));
    world.creates = Creates::Work;
    world.advance_to(at("11:00:11"));
    assert_eq!(world.started(), [tick("10:10:00"), teardown(1)]);
}

// R30: without Marmot's address there is nothing to tear down with; other problems of the spec do not matter.
#[test]
fn a_teardown_needs_marmot_and_no_more() {
    let mut world = after_a_run();
    world.set_problem(Some("InvalidRuns"));
    let unknown = Problem { reason: "NoMarmot".to_owned(), message: "where is Marmot?".to_owned() };
    world.edit_unseen(|spec| spec.teardown_problem = Some(unknown));
    world.delete();
    assert_eq!((world.started().len(), reason(&world)), (1, "TeardownFailed"));
    world.edit(|spec| spec.teardown_problem = None);
    assert_eq!(world.started(), [tick("10:10:00"), teardown(1)]);
}

// R30: said, because something may remain in Marmot.
#[test]
fn a_teardown_that_finds_nothing_is_told() {
    let mut world = after_a_run();
    world.delete();
    let end = Finished {
        outcome: Outcome::Succeeded,
        at: at("10:11:30"),
        reason: Some("NothingFound".into()),
        message: None,
    };
    world.jobs.get_mut(&teardown(1)).unwrap().finished = Some(end);
    world.look();
    assert!(world.is_gone());
    assert!(world.news.contains(&News::NothingTornDown));
}

// R10: without our finalizer nothing holds the Run, and nothing new is made for it.
#[test]
fn a_run_without_our_finalizer_is_left_to_others() {
    let mut world = after_a_run();
    world.run.finalizer = false;
    world.delete();
    assert_eq!(world.started(), [tick("10:10:00")]);
}
