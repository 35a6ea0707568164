//! `concurrencyPolicy` (R17, R18).
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use rstest::rstest;
use scheduler::decision::DeletionReason;
use scheduler::policy::ConcurrencyPolicy::{Allow, Forbid, Replace};
use scheduler::state::{Outcome, RunKind, SkipReason};
use support::{Creates, World, at, every, secs, tick, under};

const MINUTES: &str = "*/10 * * * *";

// R17: consumed, not owed.
#[test]
fn forbid_consumes_the_tick() {
    let mut world = World::new(under(Forbid, MINUTES), at("10:01:00"));
    world.advance_to(at("10:20:00"));
    assert_eq!(world.started(), [tick("10:10:00")]);
    assert_eq!(world.skipped(), [(SkipReason::ConcurrencyForbidden, 1)]);
    assert_eq!(world.state.mark, Some(at("10:20:00")));
    world.advance_to(at("10:20:01"));
    world.finish(&tick("10:10:00"), Outcome::Succeeded);
    world.advance_to(at("10:29:59"));
    assert_eq!(world.started(), [tick("10:10:00")], "it does not start late");
    world.advance_to(at("10:30:00"));
    assert_eq!(world.started().len(), 2);
}

// R17: judged at the moment the operator deals with it.
#[test]
fn forbid_is_judged_when_the_tick_is_dealt_with() {
    let mut world = World::new(under(Forbid, MINUTES), at("10:01:00"));
    world.advance_to(at("10:15:00"));
    world.sleep_to(at("10:20:01"));
    world.finish_unseen(&tick("10:10:00"), Outcome::Succeeded);
    world.look();
    assert_eq!(world.started(), [tick("10:10:00"), tick("10:20:00")]);
}

// R17
#[test]
fn forbid_sees_a_trigger() {
    let mut world = World::new(under(Forbid, MINUTES), at("10:01:00"));
    world.trigger();
    world.advance_to(at("10:11:00"));
    assert_eq!(world.started(), ["orders-trigger-1"]);
    assert_eq!(world.skipped(), [(SkipReason::ConcurrencyForbidden, 1)]);
}

// R17
#[test]
fn forbid_sees_a_one_shot_run() {
    let mut world = World::new(support::one_shot(), at("10:01:00"));
    world.reschedule(MINUTES, "");
    world.advance_to(at("10:11:00"));
    assert_eq!(world.started(), ["orders-gen1"]);
    assert_eq!(world.skipped(), [(SkipReason::ConcurrencyForbidden, 1)]);
}

// R17, R33: a Job missing from the cache counts until the API server itself says that it is gone.
#[test]
fn forbid_sees_a_job_the_cache_does_not_show() {
    let mut world = World::new(under(Forbid, MINUTES), at("10:01:00"));
    world.advance_to(at("10:15:00"));
    world.hidden.insert(tick("10:10:00"));
    world.sleep_to(at("10:20:00"));
    world.look();
    assert_eq!(world.looked_up, [tick("10:10:00")]);
    assert_eq!(world.started(), [tick("10:10:00")]);
    assert_eq!(world.skipped(), [(SkipReason::ConcurrencyForbidden, 1)]);
}

// R17, R33
#[test]
fn a_job_deleted_by_hand_no_longer_forbids() {
    let mut world = World::new(under(Forbid, MINUTES), at("10:01:00"));
    world.advance_to(at("10:15:00"));
    world.vanish(&tick("10:10:00"));
    assert_eq!(world.state.last_result.as_ref().map(|result| result.outcome), Some(Outcome::Killed));
    world.advance_to(at("10:20:00"));
    assert_eq!(world.started(), [tick("10:10:00"), tick("10:20:00")]);
}

// R17: one that is being deleted is not gone.
#[test]
fn a_job_being_deleted_still_forbids() {
    let mut world = World::new(under(Forbid, MINUTES), at("10:01:00"));
    world.advance_to(at("10:15:00"));
    world.jobs.get_mut(&tick("10:10:00")).unwrap().deleting_since = Some(at("10:15:00"));
    world.advance_to(at("10:20:00"));
    assert_eq!(world.skipped(), [(SkipReason::ConcurrencyForbidden, 1)]);
}

// R15, R17
#[test]
fn after_downtime_forbid_consumes_the_latest_tick() {
    let mut world = World::new(under(Forbid, MINUTES), at("10:01:00"));
    world.advance_to(at("10:15:00"));
    world.restart_at(at("10:45:00"));
    assert_eq!(world.started(), [tick("10:10:00")]);
    assert_eq!(world.skipped(), [(SkipReason::Missed, 2), (SkipReason::ConcurrencyForbidden, 1)]);
}

// R18
#[test]
fn allow_starts_at_once() {
    let mut world = World::new(under(Allow, MINUTES), at("10:01:00"));
    world.trigger();
    world.advance_to(at("10:30:00"));
    assert_eq!(world.unfinished(), 4);
    assert_eq!((world.skipped(), world.report.active), (vec![], 4));
}

// R18
#[test]
fn replace_waits_until_the_running_one_is_gone() {
    let mut world = World::new(under(Replace, MINUTES), at("10:01:00"));
    world.slow_deletes = true;
    world.advance_to(at("10:20:10"));
    assert_eq!(world.was_deleted(&tick("10:10:00")), Some((at("10:20:00"), DeletionReason::Replaced)));
    assert_eq!(world.started(), [tick("10:10:00")]);
    world.vanish(&tick("10:10:00"));
    assert_eq!(world.created_at(&tick("10:20:00")), Some(at("10:20:10")));
    assert_eq!(world.deleted.len(), 1, "never the run of the same tick");
    assert_eq!(world.skipped(), []);
}

// R18
#[test]
fn replace_starts_sixty_seconds_after_asking() {
    let mut world = World::new(under(Replace, MINUTES), at("10:01:00"));
    world.slow_deletes = true;
    world.advance_to(at("10:25:00"));
    assert_eq!(world.created_at(&tick("10:20:00")), Some(at("10:21:00")));
    assert_eq!(world.deleted.len(), 1);
}

// R18: a node that is gone does not hold up the next tick either.
#[test]
fn replace_counts_from_the_first_asking() {
    let mut world = World::new(under(Replace, MINUTES), at("10:01:00"));
    world.slow_deletes = true;
    world.advance_to(at("10:25:00"));
    world.slow_deletes = false;
    world.advance_to(at("10:30:00"));
    assert_eq!(world.created_at(&tick("10:30:00")), Some(at("10:30:00")));
}

// R18
#[test]
fn replace_at_once_if_the_job_goes_at_once() {
    let mut world = World::new(under(Replace, MINUTES), at("10:01:00"));
    world.advance_to(at("10:20:00"));
    assert_eq!(world.created_at(&tick("10:20:00")), Some(at("10:20:00")));
}

// R18
#[test]
fn a_newer_tick_takes_over_the_wait() {
    let mut world = World::new(under(Replace, "* * * * *"), at("10:00:30"));
    world.slow_deletes = true;
    world.advance_to(at("10:02:00"));
    assert_eq!(world.deleted.len(), 1);
    // Somebody's finalizer keeps asking anew.
    world.advance_to(at("10:02:30"));
    world.jobs.get_mut(&tick("10:01:00")).unwrap().deleting_since = Some(at("10:02:30"));
    world.look();
    world.advance_to(at("10:03:10"));
    assert_eq!(world.skipped(), [(SkipReason::Superseded, 1)]);
    assert_eq!(world.state.ledger[0].to, at("10:02:00"));
    world.vanish(&tick("10:01:00"));
    assert_eq!(world.started(), [tick("10:01:00"), tick("10:03:00")]);
}

// R18, R27
#[test]
fn replace_replaces_a_trigger_run_and_a_trigger_replaces() {
    let mut world = World::new(under(Replace, MINUTES), at("10:01:00"));
    world.trigger();
    world.advance_to(at("10:10:00"));
    assert_eq!(world.started(), ["orders-trigger-1", &tick("10:10:00")]);
    world.advance_to(at("10:12:00"));
    world.trigger();
    assert_eq!(world.started().last().copied(), Some("orders-trigger-2"));
    assert_eq!(world.unfinished(), 1);
}

// R15, R18
#[test]
fn after_downtime_replace_runs_the_latest_tick_only() {
    let mut world = World::new(under(Replace, MINUTES), at("10:01:00"));
    world.advance_to(at("10:15:00"));
    world.restart_at(at("10:45:00"));
    assert_eq!(world.started(), [tick("10:10:00"), tick("10:40:00")]);
    assert_eq!(world.skipped(), [(SkipReason::Missed, 2)]);
}

// R18, R33: what Replace waits for is asked for where the cache is blind.
#[test]
fn replace_looks_up_a_job_the_cache_does_not_show() {
    let mut world = World::new(under(Replace, MINUTES), at("10:01:00"));
    world.advance_to(at("10:15:00"));
    world.hidden.insert(tick("10:10:00"));
    world.advance_to(at("10:20:00"));
    assert_eq!(world.looked_up.first(), Some(&tick("10:10:00")));
    assert!(world.was_deleted(&tick("10:10:00")).is_some());
    assert_eq!(world.started().len(), 2);
}

// R17, R18: the policy is judged at the tick, whatever it was at the claim.
#[rstest]
#[case(Allow, 2)]
#[case(Replace, 1)]
#[case(Forbid, 1)]
fn the_policy_in_the_spec_at_the_tick_counts(
    #[case] policy: scheduler::policy::ConcurrencyPolicy,
    #[case] left: usize,
) {
    for before in [Allow, Forbid, Replace] {
        let mut world = World::new(under(before, MINUTES), at("10:01:00"));
        world.advance_to(at("10:19:59"));
        world.edit(|spec| spec.policy = policy);
        world.advance_to(at("10:20:00"));
        assert_eq!(world.unfinished(), left);
        assert_eq!(world.skipped().len(), usize::from(policy == Forbid));
    }
}

// R15, R18: too late while it waits.
#[test]
fn a_wait_past_the_deadline_is_too_late() {
    let mut spec = under(Replace, MINUTES);
    spec.starting_deadline = Some(secs(30));
    let mut world = World::new(spec, at("10:01:00"));
    world.slow_deletes = true;
    world.advance_to(at("10:25:00"));
    assert_eq!((world.started(), world.skipped()), (vec![tick("10:10:00").as_str()], vec![(SkipReason::TooLate, 1)]));
}

// R17: finished runs forbid nothing, of whatever kind.
#[test]
fn finished_runs_do_not_count() {
    let mut world = World::new(every(MINUTES), at("10:01:00"));
    world.trigger();
    world.finish("orders-trigger-1", Outcome::Failed);
    world.appear("orders-1", RunKind::Scheduled);
    world.finish("orders-1", Outcome::Succeeded);
    world.advance_to(at("10:10:00"));
    assert_eq!(world.started().last().copied(), Some(tick("10:10:00").as_str()));
}

// R18, R34: where two creates of its name were sent, the other may still be on its way. It would start the run again.
#[test]
fn replace_stops_a_run_made_in_doubt_only_after_the_prune_floor() {
    let mut world = World::new(under(Replace, MINUTES), at("10:01:00"));
    world.creates = Creates::Lost;
    world.advance_to(at("10:10:00"));
    world.creates = Creates::Work;
    world.advance_to(at("10:10:05"));
    assert_eq!(world.started(), [tick("10:10:00")]);
    world.trigger();
    world.advance_to(at("10:11:30"));
    let settled = world.state.active_jobs.iter().find(|job| job.name == "orders-trigger-1").unwrap().settled_at;
    let (stopped, _) = world.was_deleted(&tick("10:10:00")).unwrap();
    assert!(stopped >= at("10:11:00") && stopped <= settled, "{stopped}");
    assert_eq!(world.started().len(), 2);
}
