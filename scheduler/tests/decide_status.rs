//! Phases, conditions and the other words for people (R4, R5, R7, R25).
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use rstest::rstest;
use scheduler::observation::{Problem, RefusalCause, Spec};
use scheduler::policy::ConcurrencyPolicy::Allow;
use scheduler::report::{ConditionKind, Phase};
use scheduler::state::Outcome;
use support::{Creates, World, at, every, one_shot, schedule_spec, secs, tick, under};

const TENTHS: &str = "*/10 * * * *";

fn ready(world: &World) -> (Option<bool>, &str) {
    let condition = world.condition(ConditionKind::Ready);
    (condition.status, condition.reason.as_str())
}

fn last(world: &World) -> (Option<bool>, &str) {
    let condition = world.condition(ConditionKind::LastRunSucceeded);
    (condition.status, condition.reason.as_str())
}

// R4
#[test]
fn phases_of_a_scheduled_run() {
    let mut world = World::new(every("0 * * * *"), at("10:30:00"));
    assert_eq!(world.report.phase, Phase::Scheduled);
    world.advance_to(at("11:00:00"));
    assert_eq!((world.report.phase, world.report.active), (Phase::Running, 1));
    world.suspend(true);
    assert_eq!((world.report.phase, world.report.active), (Phase::Suspended, 1));
    world.suspend(false);
    world.finish(&tick("11:00:00"), Outcome::Failed);
    assert_eq!((world.report.phase, world.report.active), (Phase::Failed, 0));
    world.advance_to(at("12:00:00"));
    assert_eq!(world.report.phase, Phase::Running);
    world.finish(&tick("12:00:00"), Outcome::Succeeded);
    assert_eq!(world.report.phase, Phase::Scheduled);
}

// R4
#[test]
fn phases_of_a_one_shot_run() {
    let mut world = World::new(one_shot(), at("10:30:00"));
    assert_eq!(world.report.phase, Phase::Running);
    world.suspend(true);
    assert_eq!(world.report.phase, Phase::Running, "suspend has no effect without a schedule");
    world.finish("orders-gen1", Outcome::Killed);
    assert_eq!(world.report.phase, Phase::Failed);
    world.repipeline("b");
    world.finish("orders-gen3", Outcome::Succeeded);
    assert_eq!(world.report.phase, Phase::Succeeded);
}

// R5
#[rstest]
#[case(every("0 * * * *"), Some(true), "Scheduled")]
#[case(Spec { suspend: true, ..every("0 * * * *") }, Some(true), "Suspended")]
#[case(one_shot(), Some(true), "Accepted")]
#[case(every("61 * * * *"), Some(false), "InvalidSchedule")]
#[case(Spec { schedule: Some(schedule_spec("0 * * * *", "Mars/Base")), ..one_shot() }, Some(false), "InvalidTimeZone")]
#[case(every("0 0 30 2 *"), Some(false), "NeverFires")]
fn readiness(#[case] spec: Spec, #[case] status: Option<bool>, #[case] reason: &str) {
    let world = World::new(spec, at("10:30:00"));
    assert_eq!(ready(&world), (status, reason));
    let stalled = world.condition(ConditionKind::Stalled);
    assert_eq!(stalled.status, Some(status == Some(false)));
    assert_eq!(world.report.observed_generation, 1);
    let kinds: Vec<_> = world.report.conditions.iter().map(|condition| condition.kind).collect();
    assert_eq!(kinds, ConditionKind::ALL);
}

// R25: sparse is not impossible.
#[test]
fn the_twenty_ninth_of_february_comes() {
    let mut world = World::new(every("0 0 29 2 *"), at("10:30:00"));
    assert_eq!((ready(&world), world.report.next), ((Some(true), "Scheduled"), Some(at("2028-02-29T00:00:00"))));
    world.advance_to(at("2028-02-29T00:00:00"));
    assert_eq!(world.started().len(), 1);
}

// R3: the message says where.
#[test]
fn a_wrong_schedule_is_told_once_with_its_place() {
    let mut world = World::new(every("61 * * * *"), at("10:30:00"));
    world.look_at(at("10:31:00"));
    assert_eq!(world.problems(), ["InvalidSchedule"]);
    assert!(world.condition(ConditionKind::Ready).message.contains("position 1"));
    world.reschedule("1 * * * *", "");
    assert_eq!(ready(&world), (Some(true), "Scheduled"));
}

// R5
#[rstest]
#[case(Outcome::Succeeded, Some(true), "Succeeded")]
#[case(Outcome::Partial, Some(false), "Partial")]
#[case(Outcome::Failed, Some(false), "Failed")]
#[case(Outcome::Killed, Some(false), "Killed")]
fn the_last_run(#[case] outcome: Outcome, #[case] status: Option<bool>, #[case] reason: &str) {
    let mut world = World::new(every("0 * * * *"), at("10:30:00"));
    assert_eq!(last(&world), (None, "NoRunYet"));
    world.advance_to(at("11:00:00"));
    assert_eq!(last(&world), (None, "NoRunYet"), "a Job that has not finished is no failure");
    world.finish(&tick("11:00:00"), outcome);
    assert_eq!(last(&world), (status, reason));
}

// R4
#[test]
fn times_and_failures_are_counted() {
    let mut world = World::new(under(Allow, "* * * * *"), at("10:00:30"));
    for (minute, outcome) in [Outcome::Failed, Outcome::Partial, Outcome::Succeeded, Outcome::Killed].iter().enumerate()
    {
        let next = world.report.next.unwrap();
        world.advance_to(next + secs(20));
        world.finish(&scheduler::names::scheduled("orders", next), *outcome);
        assert_eq!(world.state.consecutive_failures, [1, 2, 0, 1][minute]);
    }
    assert_eq!(world.state.last_run, Some(at("10:04:00")));
    assert_eq!(world.state.last_success, Some(at("10:03:20")));
    assert_eq!(world.state.last_failure, Some(at("10:04:20")));
    let result = world.state.last_result.unwrap();
    assert_eq!((result.started_at, result.finished_at), (Some(at("10:04:00")), at("10:04:20")));
    assert_eq!(result.job, tick("10:04:00"));
}

// R4: of two that ended unseen the later one is the last.
#[test]
fn the_last_result_is_the_newest() {
    let mut world = World::new(under(Allow, "* * * * *"), at("10:00:30"));
    world.advance_to(at("10:02:10"));
    world.finish_unseen(&tick("10:02:00"), Outcome::Failed);
    world.sleep_to(at("10:02:20"));
    world.finish_unseen(&tick("10:01:00"), Outcome::Succeeded);
    world.look();
    assert_eq!((last(&world), world.state.consecutive_failures), ((Some(true), "Succeeded"), 0));
}

// R7
#[test]
fn rest_writes_nothing() {
    let mut world = World::new(every("0 0 * * *"), at("10:00:00"));
    let writes = world.writes;
    for minute in 0..120 {
        world.look_at(at("10:00:00") + secs(minute * 60));
    }
    world.restart_at(at("12:30:00"));
    assert_eq!(world.writes, writes);
    assert_eq!(world.writes, 1);
}

// R4: the generation is acknowledged.
#[test]
fn an_edit_is_acknowledged() {
    let mut world = World::new(every("0 0 * * *"), at("10:00:00"));
    world.edit(|spec| spec.failed_history = 4);
    assert_eq!(world.report.observed_generation, 2);
}

// R33: a Run being deleted says so.
#[test]
fn deletion_is_told() {
    let mut world = World::new(every("0 0 * * *"), at("10:00:00"));
    world.run.deleting_since = Some(world.now);
    world.look();
    assert_eq!(ready(&world), (Some(false), "Deleting"));
}

// R10: the condition is called by its name.
#[test]
fn a_taken_name_is_a_name_conflict() {
    let mut world = World::unseen(one_shot(), at("10:00:00"));
    world.creates = Creates::Refused(RefusalCause::NameConflict);
    world.look();
    assert_eq!(world.condition(ConditionKind::Ready).reason, "NameConflict");
    assert!(world.condition(ConditionKind::Ready).message.contains("orders-gen1"));
}

// R4: a refused Job does not disarm the schedule.
#[test]
fn a_refused_job_leaves_the_next_tick_shown() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.creates = Creates::Refused(RefusalCause::Rejected);
    world.advance_to(at("10:11:00"));
    assert_eq!(world.condition(ConditionKind::Ready).reason, "FailedCreate");
    assert_eq!(world.report.next, Some(at("10:20:00")));
}

// R12: a clock that was once wrong: after five minutes the mark becomes now.
#[test]
fn a_mark_far_ahead_of_now_is_clock_skew() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.state.mark = Some(at("2026-01-01T00:00:00"));
    world.look();
    let told = world.report.conditions.iter().any(|condition| condition.reason == "ClockSkew");
    assert!(told, "{:?}", world.report.conditions);
    world.advance_to(at("10:06:30"));
    assert!(world.state.mark <= Some(at("10:06:30")));
    world.advance_to(at("10:10:00"));
    assert_eq!(world.started(), [tick("10:10:00")]);
}

// R4: the newest finished run is the last result, in whatever order the ends are seen.
#[test]
fn an_end_seen_late_is_not_the_last_result() {
    let mut world = World::new(under(Allow, "* * * * *"), at("10:00:30"));
    world.advance_to(at("10:02:10"));
    world.finish_unseen(&tick("10:01:00"), Outcome::Failed);
    world.hidden.insert(tick("10:01:00"));
    world.sleep_to(at("10:02:20"));
    let newest = tick("10:02:00");
    world.finish_unseen(&newest, Outcome::Succeeded);
    world.look();
    assert_eq!(world.state.last_result.as_ref().map(|result| result.job.clone()), Some(newest));
}

// R41: after 30 s its pod is looked at, at most once a minute, and the reason is told once.
#[test]
fn a_run_whose_pod_does_not_start_says_why() {
    let mut world = World::new(every("0 * * * *"), at("10:59:00"));
    let image = Problem { reason: "ImagePull".to_owned(), message: "no such image".to_owned() };
    world.pods_wait = Some(image);
    world.advance_to(at("11:00:29"));
    assert_eq!((world.asked, ready(&world)), (0, (Some(true), "Scheduled")));
    world.advance_to(at("11:00:31"));
    assert_eq!((world.asked, ready(&world)), (1, (Some(false), "PodPending")));
    assert!(world.condition(ConditionKind::Ready).message.contains("no such image"));
    assert_eq!(world.condition(ConditionKind::Stalled).status, Some(false));
    assert_eq!(world.report.next, Some(at("12:00:00")), "the schedule is armed all the same");
    let writes = world.writes;
    world.advance_to(at("11:10:00"));
    assert_eq!((world.asked, world.writes, world.problems().len()), (10, writes, 1));
    world.jobs.get_mut(&tick("11:00:00")).unwrap().running = true;
    world.look();
    assert_eq!(ready(&world), (Some(true), "Scheduled"));
    world.advance_to(at("11:30:00"));
    assert_eq!(world.asked, 10);
}

// R37: a warning is told once and stops nothing.
#[test]
fn a_warning_is_told_once() {
    let mut world = World::new(every("0 * * * *"), at("10:59:00"));
    let words = Problem { reason: "ClearTextCredentials".to_owned(), message: "a password".to_owned() };
    world.edit(|spec| spec.warning = Some(words));
    assert_eq!(ready(&world), (Some(true), "ClearTextCredentials"));
    world.advance_to(at("11:30:00"));
    assert_eq!((world.started().len(), world.problems()), (1, vec!["ClearTextCredentials"]));
}

// R6, R37: `kubectl get run -o wide` shows the message of Ready, which says why the last run failed; a warning beside it is
// still told once.
#[test]
fn ready_says_why_the_last_run_failed() {
    let mut world = World::new(every("0 * * * *"), at("10:59:00"));
    let words = Problem { reason: "ClearTextCredentials".to_owned(), message: "a password".to_owned() };
    world.edit(|spec| spec.warning = Some(words));
    world.advance_to(at("11:00:10"));
    world.finish(&tick("11:00:00"), Outcome::Failed);
    let message = |world: &World| world.condition(ConditionKind::Ready).message.clone();
    assert!(message(&world).starts_with("a password; last run Failed"), "{}", message(&world));
    assert_eq!(ready(&world), (Some(true), "ClearTextCredentials"));
    world.edit(|spec| spec.warning = None);
    assert!(message(&world).starts_with("the schedule is armed; last run Failed"), "{}", message(&world));
    world.advance_to(at("12:00:10"));
    world.finish(&tick("12:00:00"), Outcome::Succeeded);
    assert_eq!(message(&world), "the schedule is armed");
    assert_eq!(world.problems(), ["ClearTextCredentials"]);
}
