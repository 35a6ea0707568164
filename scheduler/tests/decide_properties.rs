//! What holds of every history of a Run (R12–R20, R26–R34), and of every observation (R40).
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;

use jiff::Timestamp;
use proptest::prelude::*;
use scheduler::decide;
use scheduler::decision::News;
use scheduler::observation::RefusalCause;
use scheduler::policy::ConcurrencyPolicy::{self, Allow, Forbid, Replace};
use scheduler::state::{Outcome, RunKind};
use support::{Creates, World, at, every, schedule_spec, secs, under};

const TENTHS: &str = "*/10 * * * *";

/// Fields of the minute to the year, of both families of R23, with zones whose clocks change near the start.
const SCHEDULES: [(&str, &str); 7] = [
    ("* * * * *", ""),
    ("*/7 * * * *", ""),
    ("0 * * * *", "Europe/Berlin"),
    ("30 1-3 * * *", "America/New_York"),
    ("0 0 30 2 *", ""),
    ("15,45 10-12 * * 1", "Asia/Kolkata"),
    ("0 0 1 1 *", ""),
];

#[derive(Clone, Debug)]
enum Op {
    Advance(i64),
    /// Nobody looks for so long, and then another process does.
    Down(i64),
    Reschedule(usize),
    Suspend(bool),
    Policy(ConcurrencyPolicy),
    Deadline(Option<i64>),
    Trigger,
    Cancel,
    Finish(usize, bool),
    DeleteByHand(usize),
    Restart,
    Creates(Creates),
    Reveal,
    Hide(usize),
    SlowDeletes(bool),
    Edit,
    Problem(bool),
}

fn any_policy() -> impl Strategy<Value = ConcurrencyPolicy> {
    prop_oneof![Just(Allow), Just(Forbid), Just(Replace)]
}

fn any_time() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 1_i64..200, 2 => 200_i64..2000]
}

fn any_downtime() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 1_i64..200, 2 => 200_i64..4000, 1 => 4000_i64..200_000]
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => any_time().prop_map(Op::Advance),
        2 => any_downtime().prop_map(Op::Down),
        1 => (0..SCHEDULES.len()).prop_map(Op::Reschedule),
        1 => any::<bool>().prop_map(Op::Suspend),
        1 => any_policy().prop_map(Op::Policy),
        1 => proptest::option::of(10_i64..600).prop_map(Op::Deadline),
        2 => Just(Op::Trigger),
        1 => Just(Op::Cancel),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(which, good)| Op::Finish(which, good)),
        1 => any::<usize>().prop_map(Op::DeleteByHand),
        1 => Just(Op::Restart),
        2 => prop_oneof![
            3 => Just(Creates::Work),
            1 => Just(Creates::Refused(RefusalCause::Rejected)),
            1 => Just(Creates::Refused(RefusalCause::NameBusy)),
            1 => Just(Creates::Refused(RefusalCause::NameConflict)),
            1 => Just(Creates::Lost),
            1 => Just(Creates::Unanswered),
        ].prop_map(Op::Creates),
        1 => Just(Op::Reveal),
        1 => any::<usize>().prop_map(Op::Hide),
        1 => any::<bool>().prop_map(Op::SlowDeletes),
        1 => Just(Op::Edit),
        1 => any::<bool>().prop_map(Op::Problem),
    ]
}

fn pick(world: &World, which: usize, unfinished: bool) -> Option<String> {
    let fits = |job: &&scheduler::observation::ObservedJob| !unfinished || job.finished.is_none();
    let names: Vec<&String> = world.jobs.values().filter(fits).map(|job| &job.name).collect();
    (!names.is_empty()).then(|| names[which % names.len()].clone())
}

/// The world, and what the schedule alone says.
struct Trial {
    world: World,
    /// Ticks of the schedules in force so far, and since when the present one is.
    expected: u64,
    since: Timestamp,
}

impl Trial {
    /// Counts the ticks up to now one by one.
    fn count(&mut self) {
        let schedule = self.world.spec.schedule.clone().unwrap().parsed.unwrap();
        let mut from = self.since;
        while let Some(tick) = schedule.next_in(from, from).filter(|tick| *tick <= self.world.now) {
            self.expected += 1;
            from = tick;
        }
        self.since = self.since.max(self.world.now);
    }

    fn apply(&mut self, op: &Op) {
        let world = &mut self.world;
        let now = world.now;
        match op {
            Op::Advance(seconds) => world.look_at(now + secs(*seconds)),
            Op::Down(seconds) => world.restart_at(now + secs(*seconds)),
            Op::Reschedule(which) => {
                world.look();
                if world.process.first_look || matches!(world.creates, Creates::Lost | Creates::Unanswered) {
                    // An edit seen before the first look has come to rest may be older than that (R13); and a create
                    // without an answer keeps the look that sees the edit from coming to rest.
                    return;
                }
                self.count();
                let (expression, zone) = SCHEDULES[*which];
                self.world.reschedule(expression, zone);
            }
            Op::Suspend(suspend) => world.suspend(*suspend),
            Op::Policy(policy) => world.edit(|spec| spec.policy = *policy),
            Op::Deadline(deadline) => world.edit(|spec| spec.starting_deadline = deadline.map(secs)),
            Op::Trigger => world.trigger(),
            Op::Cancel => world.annotate(None),
            Op::Finish(which, good) => {
                if let Some(job) = pick(world, *which, true) {
                    world.finish(&job, if *good { Outcome::Succeeded } else { Outcome::Failed });
                }
            }
            Op::DeleteByHand(which) => {
                // Nobody can tell an unsettled Job that was deleted from one that was never made.
                let job = pick(world, *which, false).filter(|job| !world.observation().state.claims.contains_key(job));
                if let Some(job) = job {
                    world.vanish(&job);
                }
            }
            Op::Restart => world.restart_at(now),
            Op::Creates(creates) => world.creates = *creates,
            Op::Reveal => world.reveal(),
            Op::Hide(which) => {
                if let Some(job) = pick(world, *which, false) {
                    world.hidden.insert(job);
                }
            }
            Op::SlowDeletes(slow) => world.slow_deletes = *slow,
            Op::Edit => world.edit(|spec| spec.successful_history = spec.successful_history.wrapping_add(1) % 3),
            Op::Problem(bad) => world.set_problem(bad.then_some("NoMarmot")),
        }
    }

    /// Everything in the way is gone: every claim comes to its end.
    fn quiesce(&mut self) {
        self.world.creates = Creates::Work;
        self.world.slow_deletes = false;
        self.world.reveal();
        self.world.set_problem(None);
        for _ in 0..4 {
            let running: Vec<String> =
                self.world.jobs.values().filter(|job| job.finished.is_none()).map(|job| job.name.clone()).collect();
            for job in running {
                if self.world.jobs.contains_key(&job) {
                    self.world.finish(&job, Outcome::Succeeded);
                }
            }
            let now = self.world.now;
            self.world.look_at(now + secs(30));
        }
        if self.world.spec.suspend {
            self.world.suspend(false);
        }
        self.count();
    }

    /// Every tick was started or told to be skipped, once.
    fn told(&self) -> (u64, u64) {
        let mut started = BTreeSet::new();
        let mut told = 0;
        for news in &self.world.news {
            match news {
                News::Started { tick: Some(tick), .. } => {
                    assert!(started.insert(*tick), "R34: {tick} started twice");
                    told += 1;
                }
                News::Skipped(skipped) => told += skipped.count,
                _ => {}
            }
        }
        for skipped in self.world.skips().filter(|skipped| skipped.count == 1) {
            assert!(!started.contains(&skipped.from), "R16: {skipped:?} was started");
        }
        let due = |tick: Timestamp| tick <= self.world.now;
        let open = self.world.state.claims.values().filter(|claim| claim.tick.is_some_and(due)).count();
        (told, open as u64)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    // R12, R14–R17, R34, and what `World` checks at every step.
    #[test]
    fn every_tick_is_run_or_recorded_exactly_once(
        policy in any_policy(),
        first in 0..SCHEDULES.len(),
        start in prop_oneof![Just(at("10:00:30")), Just(at("2025-03-09T06:30:00")), Just(at("2025-10-25T23:10:00"))],
        ops in proptest::collection::vec(any_op(), 1..40),
    ) {
        let mut spec = every("* * * * *");
        (spec.schedule, spec.policy) = (Some(schedule_spec(SCHEDULES[first].0, SCHEDULES[first].1)), policy);
        let mut trial = Trial { world: World::new(spec, start), expected: 0, since: start };
        for op in &ops {
            trial.apply(op);
        }
        trial.quiesce();
        let (told, open) = trial.told();
        prop_assert_eq!(told + open, trial.expected, "{:#?}", trial.world.news);
        prop_assert_eq!(trial.world.created.iter().filter(|(_, order)| order.kind == RunKind::Trigger).count(), trial.world.taken.len());
    }

    // R7: at rest, nothing; and however the Jobs are listed, the same.
    #[test]
    fn rest_is_rest_and_the_order_of_jobs_is_irrelevant(
        policy in any_policy(),
        first in 0..SCHEDULES.len(),
        ops in proptest::collection::vec(any_op(), 1..30),
        turn in 0_usize..8,
    ) {
        let mut spec = every("* * * * *");
        (spec.schedule, spec.policy) = (Some(schedule_spec(SCHEDULES[first].0, SCHEDULES[first].1)), policy);
        let mut trial = Trial { world: World::new(spec, at("10:00:30")), expected: 0, since: at("10:00:30") };
        for op in &ops {
            trial.apply(op);
        }
        trial.quiesce();
        trial.world.look();
        let world = &trial.world;
        let observation = world.observation();
        let rest = scheduler::decide(&observation, world.now);
        prop_assert!(rest.effects.is_empty(), "{:?}", rest);
        prop_assert_eq!(rest.wake, world.wake);
        let mut turned = observation.clone();
        let jobs = turned.jobs.len();
        turned.jobs.rotate_left(turn.checked_rem(jobs).unwrap_or_default());
        for later in [0, 61, 3600] {
            let now = world.now + secs(later);
            prop_assert_eq!(decide(&observation, now), decide(&turned, now));
        }
    }
}

// DESIGN 6, layer 1: the order of Jobs is irrelevant.
#[test]
fn the_order_of_jobs_is_irrelevant() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    for name in ["orders-1", "orders-2"] {
        world.appear(name, RunKind::Scheduled);
    }
    let observation = world.observation();
    let mut turned = observation.clone();
    turned.jobs.reverse();
    let later = at("10:05:00");
    assert_eq!(decide(&observation, later), decide(&turned, later), "strays");

    let mut world = World::new(under(Allow, TENTHS), at("10:01:00"));
    world.creates = Creates::Unanswered;
    world.advance_to(at("10:10:00"));
    world.sleep_to(at("10:10:01"));
    world.trigger();
    world.hidden.clear();
    let observation = world.observation();
    let mut turned = observation.clone();
    turned.jobs.reverse();
    assert_eq!(decide(&observation, world.now), decide(&turned, world.now), "settlements");
}
