//! Taking over from the operator that makes each Run a `CronJob` (R31).
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use rstest::rstest;
use scheduler::decision::News;
use scheduler::legacy_kind;
use scheduler::observation::{ForeignJob, ObservedCronJob, Spec};
use scheduler::report::{ConditionKind, Phase};
use scheduler::state::{Outcome, RunKind};
use support::{World, at, every, one_shot, tick};

const TENTHS: &str = "*/10 * * * *";

/// A Run as the other operator leaves it at 10:21: its CronJob ran 10:10 and 10:20.
fn legacy(jobs: &[&str]) -> World {
    let mut world = World::unseen(every(TENTHS), at("09:00:00"));
    world.now = at("10:21:00");
    world.report.observed_generation = 1;
    world.cron_jobs = vec![ObservedCronJob {
        name: "orders".to_owned(),
        uid: "uid-cronjob".to_owned(),
        suspended: false,
        deleting: false,
        last_schedule: Some(at("10:20:00")),
        jobs: jobs
            .iter()
            .map(|time| ForeignJob { name: tick(time), uid: format!("uid-{time}"), created_at: at(time) })
            .collect(),
    }];
    world
}

fn reconciling(world: &World) -> &str {
    &world.condition(ConditionKind::Reconciling).reason
}

// R31: suspended first, quiet for 10 s, Jobs adopted, mark moved, and only then deleted (the world checks the order).
#[test]
fn a_cron_job_is_taken_over() {
    let mut world = legacy(&["10:10:00", "10:20:00"]);
    world.look();
    assert!(world.cron_jobs[0].suspended);
    assert_eq!(reconciling(&world), "TakingOver");
    world.advance_to(at("10:21:11"));
    assert!(world.cron_jobs.is_empty());
    assert_eq!(world.state.mark, Some(at("10:20:00")));
    assert_eq!(world.jobs.len(), 2);
    assert!(world.news.contains(&News::TookOver { cron_job: "orders".to_owned() }));
    world.advance_to(at("10:30:00"));
    assert_eq!(world.started(), Vec::<&str>::new(), "10:20 still runs, so Forbid has its way");
    for name in [tick("10:10:00"), tick("10:20:00")] {
        world.finish(&name, Outcome::Succeeded);
    }
    world.advance_to(at("10:40:00"));
    assert_eq!(world.started(), [tick("10:40:00")]);
    assert_eq!(world.skips().count(), 1);
}

// R31: the mark is the CronJob's own, also where its last Job was pruned already.
#[test]
fn a_tick_without_a_job_left_does_not_run_again() {
    let mut world = legacy(&[]);
    world.look();
    world.advance_to(at("10:29:00"));
    assert_eq!((world.started().len(), world.state.mark), (0, Some(at("10:20:00"))));
    world.advance_to(at("10:30:00"));
    assert_eq!(world.started(), [tick("10:30:00")]);
}

// R31: a tick that comes due while the CronJob is being put to rest is owed.
#[test]
fn a_tick_during_the_take_over_is_not_lost() {
    let mut world = legacy(&[]);
    world.now = at("10:29:55");
    world.look();
    world.advance_to(at("10:30:04"));
    assert_eq!(world.started().len(), 0);
    world.advance_to(at("10:30:06"));
    assert_eq!(world.started(), [tick("10:30:00")]);
}

// R31: a Job that came after the suspension is waited for, and its tick is not run again.
#[test]
fn a_job_that_comes_late_counts() {
    let mut world = legacy(&[]);
    world.now = at("10:29:55");
    world.look();
    let late = ForeignJob { name: tick("10:30:00"), uid: "uid-late".to_owned(), created_at: at("10:30:01") };
    world.cron_jobs[0].jobs.push(late);
    world.look_at(at("10:30:01"));
    world.advance_to(at("10:30:10"));
    assert_eq!(world.cron_jobs.len(), 1, "not quiet yet");
    world.advance_to(at("10:31:00"));
    assert_eq!((world.started().len(), world.state.mark), (0, Some(at("10:30:00"))));
}

// R31: the order survives a restart at every step.
#[test]
fn a_take_over_survives_restarts() {
    let mut world = legacy(&["10:20:00"]);
    for second in 0..15 {
        world.restart_at(at(&format!("10:21:{second:02}")));
    }
    world.advance_to(at("10:22:00"));
    assert!(world.cron_jobs.is_empty());
    assert_eq!(world.state.mark, Some(at("10:20:00")));
}

// R31: a living operator lets its CronJob run again; both would run every tick.
#[test]
fn another_operator_is_noticed() {
    let mut world = legacy(&[]);
    world.look();
    world.cron_jobs[0].suspended = false;
    world.look_at(at("10:21:01"));
    let ready = world.condition(ConditionKind::Ready);
    assert_eq!((ready.status, ready.reason.as_str()), (Some(false), "OtherOperator"));
    assert_eq!(world.problems(), ["OtherOperator"]);
    assert!(!world.cron_jobs[0].suspended, "no tug of war");
    let writes = world.writes;
    world.advance_to(at("10:21:59"));
    assert_eq!(world.writes, writes);
    assert_eq!(world.started(), Vec::<&str>::new());
    // It was stopped: the next attempt gets through.
    world.advance_to(at("10:23:00"));
    assert!(world.cron_jobs.is_empty());
    world.advance_to(at("10:30:00"));
    assert_eq!(world.started(), [tick("10:30:00")]);
}

// R31: also after the take-over.
#[test]
fn a_cron_job_that_comes_back_holds_the_ticks() {
    let mut world = legacy(&[]);
    let again = ObservedCronJob { uid: "uid-again".to_owned(), ..world.cron_jobs[0].clone() };
    world.look();
    world.advance_to(at("10:25:00"));
    assert!(world.cron_jobs.is_empty());
    world.advance_to(at("10:29:59"));
    world.cron_jobs = vec![ObservedCronJob { suspended: false, ..again }];
    world.look();
    assert_eq!(world.condition(ConditionKind::Ready).reason, "OtherOperator");
    world.advance_to(at("10:30:30"));
    assert_eq!(world.started(), Vec::<&str>::new(), "10:30 is the CronJob's");
}

// R31: what somebody deleted by hand is no record of what it ran.
#[test]
fn a_cron_job_that_vanishes_leaves_now_as_mark() {
    let mut world = legacy(&[]);
    world.look();
    world.cron_jobs.clear();
    world.look_at(at("10:21:05"));
    assert_eq!(world.state.mark, Some(at("10:21:05")));
    world.advance_to(at("10:30:00"));
    assert_eq!(world.started(), [tick("10:30:00")]);
}

// R31: a status that another operator wrote is no invitation to run the past.
#[test]
fn a_run_whose_cron_job_is_gone_counts_from_now() {
    let mut world = legacy(&[]);
    world.cron_jobs.clear();
    world.look();
    world.advance_to(at("10:29:00"));
    assert_eq!((world.started().len(), world.skips().count()), (0, 0));
}

// R26, R31: a one-shot Run that was dealt with does not run again; one edited since does, whether its old Job is left or not.
#[rstest]
#[case(1, 1, false, 0)]
#[case(1, 1, true, 0)]
#[case(1, 2, false, 1)]
#[case(1, 2, true, 1)]
#[case(0, 1, true, 0)]
fn a_one_shot_run_is_done(#[case] told: i64, #[case] generation: i64, #[case] made: bool, #[case] runs: usize) {
    let mut world = World::unseen(one_shot(), at("10:00:00"));
    world.report.observed_generation = told;
    world.run.generation = generation;
    if made {
        world.appear("orders", RunKind::OneShot);
        world.jobs.get_mut("orders").unwrap().legacy = true;
        world.finish_unseen("orders", Outcome::Succeeded);
    }
    world.look();
    assert_eq!(world.started().len(), runs);
}

// R4, R31: how the newest run ended stays how the Run stands, and is not told again.
#[rstest]
#[case(Outcome::Succeeded, Phase::Succeeded, 0)]
#[case(Outcome::Failed, Phase::Failed, 1)]
fn a_run_keeps_how_it_ended(#[case] outcome: Outcome, #[case] phase: Phase, #[case] failures: i32) {
    let mut world = World::unseen(one_shot(), at("10:00:00"));
    world.report.observed_generation = 1;
    world.appear("orders", RunKind::OneShot);
    world.jobs.get_mut("orders").unwrap().legacy = true;
    world.finish_unseen("orders", outcome);
    world.look();
    assert_eq!((world.report.phase, world.state.consecutive_failures), (phase, failures));
    assert_eq!(world.state.last_result.as_ref().unwrap().outcome, outcome);
    assert!(!world.news.iter().any(|news| matches!(news, News::Finished(_))), "{:?}", world.news);
}

// R4, R31: so it is with a schedule, once its Jobs are the Run's.
#[test]
fn a_scheduled_run_keeps_how_it_ended() {
    let mut world = legacy(&[]);
    for (time, outcome) in [("10:10:00", Outcome::Succeeded), ("10:20:00", Outcome::Failed)] {
        world.appear(&tick(time), RunKind::Scheduled);
        world.jobs.get_mut(&tick(time)).unwrap().legacy = true;
        world.finish_unseen(&tick(time), outcome);
        world.now = world.now.max(at("10:21:00")).checked_add(jiff::SignedDuration::from_secs(1)).unwrap();
    }
    world.look();
    world.advance_to(at("10:22:00"));
    assert!(world.cron_jobs.is_empty());
    let result = world.state.last_result.as_ref().unwrap();
    assert_eq!((result.job.as_str(), result.outcome), (tick("10:20:00").as_str(), Outcome::Failed));
    assert_eq!(world.state.consecutive_failures, 1);
    assert!(!world.news.iter().any(|news| matches!(news, News::Finished(_))), "{:?}", world.news);
}

// R31: its unfinished Jobs are active runs.
#[test]
fn a_running_job_of_the_other_operator_is_active_and_no_stray() {
    let mut world = World::unseen(one_shot(), at("10:00:00"));
    world.appear("orders", RunKind::OneShot);
    world.jobs.get_mut("orders").unwrap().legacy = true;
    world.look();
    world.advance_to(at("10:05:00"));
    assert_eq!((world.started().len(), world.report.active), (0, 1));
    assert_eq!(world.was_deleted("orders"), None);
    world.finish("orders", Outcome::Succeeded);
    assert_eq!(world.state.last_result.as_ref().unwrap().job, "orders");
}

// R30, R31: a Run deleted before it was taken over is still run by its CronJob, which goes first.
#[test]
fn a_deleted_run_loses_its_cron_job_before_its_teardown() {
    let mut world = legacy(&["10:20:00"]);
    world.spec.teardown = true;
    world.run.finalizer = true;
    world.delete();
    assert!(world.cron_jobs[0].suspended);
    assert_eq!(world.started(), Vec::<&str>::new());
    world.advance_to(at("10:22:00"));
    world.finish(&tick("10:20:00"), Outcome::Succeeded);
    assert_eq!(world.started(), [scheduler::names::teardown("orders", "uid-run", 1)]);
}

// R30, R31: what the other operator brought in is removed, though no Job and no time of a run tells of it any more.
#[test]
fn a_run_that_was_taken_over_is_torn_down() {
    let mut world = World::unseen(Spec { teardown: true, ..one_shot() }, at("10:00:00"));
    world.report.observed_generation = 1;
    world.look();
    assert_eq!(world.started(), Vec::<&str>::new());
    world.advance_to(at("10:05:00"));
    world.delete();
    assert_eq!(world.started(), [scheduler::names::teardown("orders", "uid-run", 1)]);
}

// R30, R31: who asks why the Run does not go is told what to do.
#[test]
fn a_cron_job_that_is_kept_alive_does_not_keep_a_deleted_run_in_silence() {
    let mut world = legacy(&[]);
    world.spec.teardown = true;
    world.run.finalizer = true;
    world.look();
    world.cron_jobs[0].suspended = false;
    world.delete();
    let message = &world.condition(ConditionKind::Ready).message;
    assert!(message.contains("another operator") && message.contains("teardownOnDelete"), "{message}");
}

// R31
#[rstest]
#[case("orders", Some(RunKind::OneShot))]
#[case("orders-29012345", Some(RunKind::Scheduled))]
#[case("orders-trigger-1763930000", Some(RunKind::Trigger))]
#[case("orders-teardown", None)]
#[case("orders-eu-29012345", None)]
#[case("others", None)]
fn kinds_are_read_from_names(#[case] job: &str, #[case] kind: Option<RunKind>) {
    assert_eq!(legacy_kind("orders", job), kind);
}
