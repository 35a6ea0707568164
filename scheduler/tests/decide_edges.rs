//! Cases of docs/edge-cases.md that the other tests of `decide` pass by.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use rstest::rstest;
use scheduler::decide;
use scheduler::observation::RefusalCause;
use scheduler::policy::ConcurrencyPolicy::{self, Allow, Forbid, Replace};
use scheduler::report::ConditionKind;
use scheduler::state::{Outcome, RunKind, SkipReason};
use support::{Creates, World, at, every, schedule_spec, secs, tick, under};

const TENTHS: &str = "*/10 * * * *";

// R12: woken early, it goes back to sleep until the tick itself.
#[test]
fn a_wake_a_millisecond_early_arms_the_tick_again() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.advance_to(at("10:09:58"));
    world.sleep_to(at("10:09:59.999"));
    world.look();
    assert_eq!((world.started(), world.wake), (vec![], Some(at("10:10:00"))));
    world.advance_to(at("10:10:00"));
    assert_eq!(world.created_at(&tick("10:10:00")), Some(at("10:10:00")));
}

// R33: somebody puts a Job of the same name in the place of one that runs.
#[test]
fn a_job_that_was_replaced_by_hand_has_ended() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    let job = tick("10:10:00");
    world.advance_to(at("10:12:00"));
    world.appear(&job, RunKind::Scheduled);
    world.look();
    assert_eq!(world.state.last_result.as_ref().map(|result| result.outcome), Some(Outcome::Killed));
    world.advance_to(at("10:13:00"));
    assert!(world.was_deleted(&job).is_some(), "nothing accounts for it");
}

// R13, R16: what ran before the status was lost is not told as missed, and does not run again.
#[test]
fn a_lost_status_is_no_new_run() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.advance_to(at("10:32:00"));
    world.finish(&tick("10:10:00"), Outcome::Succeeded);
    let started = world.started().len();
    (world.state, world.report, world.news) = Default::default();
    world.restart_at(at("10:35:00"));
    assert_eq!((world.started().len(), world.skips().count()), (started, 0));
    world.advance_to(at("10:40:00"));
    assert_eq!(world.started().len(), started + 1);
}

// R15: no number of missed ticks is special.
#[rstest]
#[case(5)]
#[case(100)]
#[case(101)]
#[case(100_000)]
fn any_number_of_missed_ticks_is_one_run_and_one_entry(#[case] missed: u64) {
    let mut world = World::new(every("* * * * *"), at("10:00:30"));
    world.restart_at(at("10:00:30") + secs(i64::try_from(missed).unwrap() * 60));
    assert_eq!(world.started().len(), 1);
    assert_eq!(world.skipped(), [(SkipReason::Missed, missed - 1)]);
}

// R15: the latest missed tick is that of the calendar, not of an average interval.
#[rstest]
#[case::over_a_weekend("30 6-16/4 * * 1-5", "2025-02-28T15:00:00", "2025-03-03T06:00:00", None, 0)]
#[case::after_a_weekend(
    "30 6-16/4 * * 1-5",
    "2025-02-28T12:00:00",
    "2025-03-03T06:00:00",
    Some("2025-02-28T14:30:00"),
    0
)]
#[case::weekly("0 9 * * 1", "2025-03-03T10:00:00", "2025-03-18T12:00:00", Some("2025-03-17T09:00:00"), 1)]
#[case::on_the_31st("0 0 31 * *", "2025-01-31T00:00:30", "2025-07-01T00:00:00", Some("2025-05-31T00:00:00"), 1)]
fn an_irregular_schedule_runs_its_true_latest_tick(
    #[case] expression: &str,
    #[case] from: &str,
    #[case] until: &str,
    #[case] latest: Option<&str>,
    #[case] missed: u64,
) {
    let mut world = World::new(every(expression), at(from));
    world.restart_at(at(until));
    assert_eq!(world.started(), latest.map(tick).into_iter().collect::<Vec<_>>());
    assert_eq!(world.skips().map(|skipped| skipped.count).sum::<u64>(), missed);
}

// R15, R16: a tick past the deadline is told once, and the next one stays armed.
#[test]
fn a_tick_too_late_is_told_once_and_the_next_stays_armed() {
    let mut spec = every("0 * * * *");
    spec.starting_deadline = Some(secs(30));
    let mut world = World::new(spec, at("10:30:00"));
    world.restart_at(at("11:05:00"));
    for minute in 6..50 {
        world.look_at(at(&format!("11:{minute:02}:00")));
    }
    assert_eq!((world.started(), world.skipped()), (vec![], vec![(SkipReason::TooLate, 1)]));
    assert_eq!(world.report.next, Some(at("12:00:00")));
    world.advance_to(at("12:00:00"));
    assert_eq!(world.created_at(&tick("12:00:00")), Some(at("12:00:00")));
}

// R33, R34: the first status read after a restart is from before the settlement.
#[rstest]
#[case::seen(false)]
#[case::unseen(true)]
fn a_stale_status_after_a_restart_runs_nothing_twice(#[case] hidden: bool) {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.advance_to(at("10:09:59"));
    let stale = (world.state.clone(), world.report.clone());
    world.advance_to(at("10:10:00"));
    (world.state, world.report) = stale;
    world.sleep_to(at("10:10:01"));
    world.restart();
    if hidden {
        world.hidden.insert(tick("10:10:00"));
    }
    world.look();
    world.advance_to(at("10:15:00"));
    assert_eq!(world.started(), [tick("10:10:00")]);
    assert_eq!((world.state.mark, world.state.active_jobs.len()), (Some(at("10:10:00")), 1));
    assert_eq!((world.skipped(), world.deleted.len()), (vec![], 0));
}

// R3, R22: a zone that is no longer known is a condition and an event; an edit mends it.
#[test]
fn a_zone_that_goes_is_told_and_mended_by_an_edit() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.reschedule(TENTHS, "Mars/Base");
    world.advance_to(at("10:35:00"));
    assert_eq!(world.condition(ConditionKind::Ready).reason, "InvalidTimeZone");
    assert_eq!((world.started().len(), world.problems()), (0, vec!["InvalidTimeZone"]));
    world.reschedule(TENTHS, "Europe/Berlin");
    world.advance_to(at("10:40:00"));
    assert_eq!(world.started(), [tick("10:40:00")]);
}

// R22
#[rstest]
#[case("../../etc/localtime")]
#[case("/usr/share/zoneinfo/UTC")]
#[case("Europe/../UTC")]
#[case("Europe/")]
fn a_zone_that_is_a_path_is_refused(#[case] zone: &str) {
    let mut spec = every(TENTHS);
    spec.schedule = Some(schedule_spec(TENTHS, zone));
    let mut world = World::new(spec, at("10:01:00"));
    world.advance_to(at("10:30:00"));
    assert_eq!((world.started().len(), world.condition(ConditionKind::Ready).reason.as_str()), (0, "InvalidTimeZone"));
}

// R13, R14: the zone alone is edited.
#[test]
fn an_edit_of_the_zone_alone_moves_the_next_tick() {
    let mut world = World::new(every("0 12 * * *"), at("10:01:00"));
    assert_eq!(world.report.next, Some(at("12:00:00")));
    world.reschedule("0 12 * * *", "Europe/Berlin");
    assert_eq!(world.report.next, Some(at("11:00:00")));
    world.advance_to(at("12:30:00"));
    assert_eq!(world.started(), [tick("11:00:00")]);
}

// R15: what was missed is found in the zone of the schedule, also across a change of its clocks.
#[test]
fn missed_ticks_are_those_of_the_zone() {
    let mut spec = every("0 9 * * *");
    spec.schedule = Some(schedule_spec("0 9 * * *", "Europe/Berlin"));
    let mut world = World::new(spec, at("2025-03-28T12:00:00"));
    world.restart_at(at("2025-03-31T07:30:00"));
    assert_eq!(world.started(), [tick("2025-03-31T07:00:00")]);
    let skips: Vec<_> = world.skips().map(|skipped| (skipped.count, skipped.from, skipped.to)).collect();
    assert_eq!(skips, [(2, at("2025-03-29T08:00:00"), at("2025-03-30T07:00:00"))]);
}

// R14, R33: the claim and the timer of the old schedule are void.
#[test]
fn an_edit_voids_what_was_armed_before() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.advance_to(at("10:09:59"));
    assert!(world.state.claims.contains_key(&tick("10:10:00")));
    world.reschedule("45 * * * *", "");
    world.advance_to(at("10:44:59"));
    assert_eq!((world.started(), world.skipped()), (vec![], vec![]));
    world.advance_to(at("10:45:00"));
    assert_eq!(world.started(), [tick("10:45:00")]);
}

// R13, R33: old and new schedule share the tick; it runs once, on whichever side of it the edit is seen.
#[rstest]
#[case("10:09:59")]
#[case("10:09:59.999")]
#[case("10:10:00")]
#[case("10:10:00.001")]
fn an_edit_in_the_second_of_a_tick_leaves_one_run(#[case] seen: &str) {
    let mut world = World::new(under(Allow, TENTHS), at("10:01:00"));
    world.advance_to(at("10:09:58.500"));
    world.sleep_to(at(seen));
    world.reschedule("*/5 * * * *", "");
    world.advance_to(at("10:14:00"));
    assert_eq!((world.started(), world.skipped()), (vec![tick("10:10:00").as_str()], vec![]));
}

// R17, R19: a suspension leaves the running Job alone, and its end finds it running.
#[test]
fn suspension_and_its_end_leave_a_running_job_alone() {
    let mut world = World::new(under(Forbid, TENTHS), at("10:01:00"));
    world.advance_to(at("10:11:00"));
    world.suspend(true);
    world.advance_to(at("10:15:00"));
    world.suspend(false);
    world.advance_to(at("10:20:00"));
    assert_eq!((world.started().len(), world.deleted.len()), (1, 0));
    assert_eq!(world.skipped(), [(SkipReason::ConcurrencyForbidden, 1)]);
}

// R38, R39: whatever refused the create, it is not sent again before its pause is over.
#[rstest]
#[case(RefusalCause::NamespaceTerminating)]
#[case(RefusalCause::Rejected)]
fn a_refused_create_is_not_retried_hot(#[case] cause: RefusalCause) {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.creates = Creates::Refused(cause);
    world.advance_to(at("10:10:00"));
    let retry = world.process.refused[&tick("10:10:00")].retry_at;
    assert!(retry > world.now);
    let before = retry - secs(1).min(retry.duration_since(world.now));
    assert_eq!(decide(&world.observation(), before).effects, []);
}

// R17, R33: its end and its deletion were both missed by the watch.
#[rstest]
#[case::finished(true)]
#[case::gone(false)]
fn a_run_that_ended_unseen_does_not_forbid(#[case] there: bool) {
    let mut world = World::new(under(Forbid, TENTHS), at("10:01:00"));
    world.advance_to(at("10:15:00"));
    if there {
        world.finish_unseen(&tick("10:10:00"), Outcome::Succeeded);
        world.hidden.insert(tick("10:10:00"));
    } else {
        world.jobs.clear();
    }
    world.advance_to(at("10:20:00"));
    assert_eq!(world.started(), [tick("10:10:00"), tick("10:20:00")]);
}

// R40: an entry of `activeJobs` that somebody spoilt holds nothing up.
#[test]
fn an_active_job_without_uid_or_name_is_tolerated() {
    let mut world = World::new(under(Forbid, TENTHS), at("10:01:00"));
    world.advance_to(at("10:15:00"));
    world.jobs.clear();
    let mut nameless = world.state.active_jobs[0].clone();
    world.state.active_jobs[0].uid.clear();
    nameless.name.clear();
    nameless.uid.clear();
    world.state.active_jobs.push(nameless);
    world.look();
    world.advance_to(at("10:20:00"));
    assert_eq!(world.started(), [tick("10:10:00"), tick("10:20:00")]);
    assert_eq!(world.state.active_jobs.len(), 1);
}

// R18: nothing is left to be replaced.
#[rstest]
#[case::finished(true)]
#[case::gone(false)]
fn replace_starts_where_nothing_is_left_to_replace(#[case] there: bool) {
    let mut world = World::new(under(Replace, TENTHS), at("10:01:00"));
    world.advance_to(at("10:15:00"));
    if there {
        world.finish(&tick("10:10:00"), Outcome::Failed);
    } else {
        world.vanish(&tick("10:10:00"));
    }
    world.advance_to(at("10:20:00"));
    assert_eq!(world.created_at(&tick("10:20:00")), Some(at("10:20:00")));
    assert_eq!(world.deleted.len(), 0);
}

// R17, R18: a Job whose pods a queueing system holds back is a run all the same.
#[rstest]
#[case(Forbid, 1)]
#[case(Allow, 2)]
#[case(Replace, 1)]
fn a_job_held_back_is_active(#[case] policy: ConcurrencyPolicy, #[case] left: usize) {
    let mut world = World::new(under(policy, TENTHS), at("10:01:00"));
    world.advance_to(at("10:10:00"));
    world.jobs.get_mut(&tick("10:10:00")).unwrap().running = false;
    world.look();
    assert_eq!(world.report.active, 1);
    world.advance_to(at("10:20:00"));
    assert_eq!((world.unfinished(), world.skipped().len()), (left, usize::from(policy == Forbid)));
}

// R29
#[test]
fn a_lowered_limit_prunes_what_is_there() {
    let mut spec = under(Allow, "* * * * *");
    spec.successful_history = 10;
    let mut world = World::new(spec, at("10:00:30"));
    world.advance_to(at("10:10:30"));
    world.suspend(true);
    let jobs: Vec<String> = world.started().iter().map(|job| (*job).to_owned()).collect();
    for job in &jobs {
        world.finish(job, Outcome::Succeeded);
    }
    world.advance_to(at("10:20:00"));
    assert_eq!(world.jobs.len(), 10);
    world.edit(|spec| spec.successful_history = 1);
    assert_eq!(world.jobs.keys().collect::<Vec<_>>(), [&tick("10:10:00")]);
}
