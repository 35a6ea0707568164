//! A crash before and after every single call of the golden scenarios: another process takes over, and the world ends as
//! if nothing had happened (R34).
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;

use jiff::Timestamp;
use rstest::rstest;
use scheduler::observation::{ForeignJob, ObservedCronJob, Spec};
use scheduler::policy::ConcurrencyPolicy::{self, Allow, Forbid, Replace};
use scheduler::report::Phase;
use scheduler::state::{Outcome, SkipReason};
use support::{Crash, World, at, every, one_shot, tick, under};

const TENTHS: &str = "*/10 * * * *";

/// What must be the same with and without the crash.
#[derive(Debug, PartialEq, Eq)]
struct Ending {
    started: BTreeSet<String>,
    kept: BTreeSet<String>,
    deleted: BTreeSet<String>,
    skipped: Vec<(SkipReason, u64)>,
    mark: Option<Timestamp>,
    claims: usize,
    active: i32,
    phase: Phase,
    trigger: Option<String>,
    last_outcome: Option<Outcome>,
    gone: bool,
    cron_jobs: usize,
}

impl Ending {
    fn of(world: &World) -> Self {
        Self {
            started: world.created.iter().map(|(_, order)| order.name.clone()).collect(),
            kept: world.jobs.keys().cloned().collect(),
            deleted: world.deleted.iter().map(|(_, deletion)| deletion.name.clone()).collect(),
            skipped: world.state.ledger.iter().map(|entry| (entry.reason, entry.count)).collect(),
            mark: world.state.mark,
            claims: world.state.claims.len(),
            active: world.report.active,
            phase: world.report.phase,
            trigger: world.run.trigger.clone(),
            last_outcome: world.state.last_result.as_ref().map(|result| result.outcome),
            gone: world.is_gone(),
            cron_jobs: world.cron_jobs.len(),
        }
    }
}

/// Plays the scenario without a crash, and then with one at each call and on each side of it.
fn survives(new: impl Fn() -> World, play: impl Fn(&mut World)) {
    let mut golden = new();
    play(&mut golden);
    let (ending, calls) = (Ending::of(&golden), golden.calls);
    assert!(calls > 3, "{calls} calls are no scenario");
    for call in 1..=calls {
        for committed in [false, true] {
            let mut world = new();
            world.crash = Some(Crash { call, committed });
            play(&mut world);
            assert_eq!(Ending::of(&world), ending, "after a crash at call {call} of {calls}, committed: {committed}");
        }
    }
    println!("{} crash points", 2 * calls);
}

fn unseen(spec: Spec) -> World {
    World::unseen(spec, at("10:01:00"))
}

fn end_all(world: &mut World, outcome: Outcome) {
    let running: Vec<String> =
        world.jobs.values().filter(|job| job.finished.is_none()).map(|job| job.name.clone()).collect();
    for job in running {
        world.finish(&job, outcome);
    }
}

/// Time passes; a process that died is replaced as soon as somebody would have looked.
fn until(world: &mut World, time: &str) {
    world.advance_to(at(time));
}

// R17, R18, R32, R33
#[rstest]
fn ticks(#[values(Allow, Forbid, Replace)] policy: ConcurrencyPolicy) {
    survives(
        || unseen(under(policy, TENTHS)),
        |world| {
            world.look();
            until(world, "10:21:30");
            end_all(world, Outcome::Succeeded);
            until(world, "10:35:00");
            end_all(world, Outcome::Failed);
            until(world, "10:39:00");
        },
    );
}

// R27, R28
#[rstest]
fn triggers(#[values(Allow, Forbid, Replace)] policy: ConcurrencyPolicy) {
    survives(
        || unseen(under(policy, TENTHS)),
        |world| {
            world.look();
            until(world, "10:11:30");
            world.trigger();
            until(world, "10:12:30");
            end_all(world, Outcome::Succeeded);
            until(world, "10:13:30");
            end_all(world, Outcome::Succeeded);
            until(world, "10:19:00");
        },
    );
}

// R26
#[test]
fn a_one_shot_run_with_an_edit() {
    survives(
        || unseen(one_shot()),
        |world| {
            world.look();
            until(world, "10:02:00");
            world.repipeline("b");
            until(world, "10:03:00");
            end_all(world, Outcome::Failed);
            until(world, "10:04:00");
            end_all(world, Outcome::Succeeded);
            until(world, "10:09:00");
        },
    );
}

// R19, R14
#[test]
fn a_suspension_and_an_edit() {
    survives(
        || unseen(every(TENTHS)),
        |world| {
            world.look();
            until(world, "10:05:00");
            world.suspend(true);
            until(world, "10:25:00");
            world.suspend(false);
            until(world, "10:31:00");
            end_all(world, Outcome::Succeeded);
            until(world, "10:32:00");
            world.reschedule("*/15 * * * *", "");
            until(world, "10:47:00");
        },
    );
}

// R29
#[test]
fn history() {
    let spec = || Spec { successful_history: 1, failed_history: 0, ..every(TENTHS) };
    survives(
        || unseen(spec()),
        |world| {
            world.look();
            for (minute, outcome) in
                [("10:12:00", Outcome::Succeeded), ("10:22:00", Outcome::Failed), ("10:32:00", Outcome::Succeeded)]
            {
                until(world, minute);
                end_all(world, outcome);
            }
            until(world, "10:39:00");
        },
    );
}

// R30
#[test]
fn a_teardown_that_fails_once() {
    survives(
        || unseen(Spec { teardown: true, ..every(TENTHS) }),
        |world| {
            world.look();
            until(world, "10:12:00");
            end_all(world, Outcome::Succeeded);
            until(world, "10:13:00");
            world.delete();
            until(world, "10:14:00");
            end_all(world, Outcome::Failed);
            until(world, "10:16:00");
            end_all(world, Outcome::Succeeded);
            until(world, "10:18:00");
        },
    );
}

// R31
#[test]
fn a_take_over() {
    let legacy = || {
        let mut world = World::unseen(every(TENTHS), at("09:00:00"));
        world.now = at("10:21:00");
        world.report.observed_generation = 1;
        world.cron_jobs = vec![ObservedCronJob {
            name: "orders".to_owned(),
            uid: "uid-cronjob".to_owned(),
            suspended: false,
            deleting: false,
            last_schedule: Some(at("10:20:00")),
            jobs: vec![ForeignJob { name: tick("10:20:00"), uid: "uid-a".to_owned(), created_at: at("10:20:00") }],
        }];
        world
    };
    survives(legacy, |world| {
        world.look();
        until(world, "10:29:00");
        end_all(world, Outcome::Succeeded);
        until(world, "10:31:00");
        end_all(world, Outcome::Succeeded);
        until(world, "10:35:00");
    });
}
