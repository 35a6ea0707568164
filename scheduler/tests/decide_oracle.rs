//! Whatever users do in whatever order, what comes out is what a plain reading of the rules says: an oracle that walks
//! from tick to tick and knows neither claims nor records (R12–R19, R27), compared with the operator.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use scheduler::claim::{CREATE_TIMEOUT, CREATE_WINDOW};
use scheduler::names;
use scheduler::policy::ConcurrencyPolicy::{self, Allow, Forbid, Replace};
use scheduler::report::ConditionKind;
use scheduler::schedule::Schedule;
use scheduler::state::{Outcome, SkipReason};
use support::{World, at, schedule_spec, secs, under};

const SCHEDULES: [(&str, &str); 4] =
    [("*/10 * * * *", ""), ("* * * * *", ""), ("15,45 10-12 * * 1", "Asia/Kolkata"), ("30 1-3 * * *", "Europe/Berlin")];

#[derive(Clone, Debug)]
enum Op {
    Wait(i64),
    /// Nobody looks for so long, and then another process does.
    Down(i64),
    Reschedule(usize),
    Suspend(bool),
    Policy(ConcurrencyPolicy),
    Trigger,
    Finish(usize),
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => prop_oneof![3 => 1_i64..200, 1 => 200_i64..4000].prop_map(Op::Wait),
        2 => prop_oneof![3 => 1_i64..200, 1 => 200_i64..9000].prop_map(Op::Down),
        1 => (0..SCHEDULES.len()).prop_map(Op::Reschedule),
        1 => any::<bool>().prop_map(Op::Suspend),
        1 => prop_oneof![Just(Allow), Just(Forbid), Just(Replace)].prop_map(Op::Policy),
        2 => Just(Op::Trigger),
        4 => any::<usize>().prop_map(Op::Finish),
    ]
}

/// The rules, read plainly.
struct Oracle {
    now: Timestamp,
    schedule: Schedule,
    policy: ConcurrencyPolicy,
    suspended: bool,
    running: Vec<String>,
    started: Vec<String>,
    skipped: BTreeMap<SkipReason, u64>,
    /// Ticks that passed during the suspension.
    passed: u64,
    triggers: i64,
    trigger_waits: bool,
}

impl Oracle {
    fn ticks_until(&self, until: Timestamp) -> Vec<Timestamp> {
        let next = |from: &Timestamp| self.schedule.next_in(*from, *from).filter(|tick| *tick <= until);
        std::iter::successors(next(&self.now), next).collect()
    }

    fn start(&mut self, job: String) {
        if self.policy == Replace {
            self.running.clear();
        }
        self.running.push(job.clone());
        self.started.push(job);
    }

    fn skip(&mut self, reason: SkipReason, count: usize) {
        if count > 0 {
            *self.skipped.entry(reason).or_default() += count as u64;
        }
    }

    fn tick(&mut self, tick: Timestamp) {
        if self.policy == Forbid && !self.running.is_empty() {
            self.skip(SkipReason::ConcurrencyForbidden, 1);
        } else {
            self.start(names::scheduled("orders", tick));
        }
    }

    fn wait(&mut self, until: Timestamp) {
        for tick in self.ticks_until(until) {
            if self.suspended { self.passed += 1 } else { self.tick(tick) }
        }
        self.now = until;
    }

    fn down(&mut self, until: Timestamp) {
        let mut ticks = self.ticks_until(until);
        self.now = until;
        if self.suspended {
            self.passed += ticks.len() as u64;
        } else if let Some(latest) = ticks.pop() {
            self.skip(SkipReason::Missed, ticks.len());
            self.tick(latest);
        }
    }

    fn resume(&mut self) {
        let passed = usize::try_from(std::mem::take(&mut self.passed)).unwrap();
        self.skip(SkipReason::Suspended, passed);
    }

    fn trigger(&mut self) {
        if self.policy == Forbid && !self.running.is_empty() {
            self.trigger_waits = true;
            return;
        }
        self.trigger_waits = false;
        self.triggers += 1;
        self.start(names::trigger("orders", self.triggers));
    }

    fn look(&mut self) {
        if self.trigger_waits {
            self.trigger();
        }
    }
}

struct Pair {
    world: World,
    oracle: Oracle,
}

impl Pair {
    fn new(policy: ConcurrencyPolicy, start: Timestamp) -> Self {
        let world = World::new(under(policy, SCHEDULES[0].0), start);
        let oracle = Oracle {
            now: start,
            schedule: schedule_spec(SCHEDULES[0].0, "").parsed.unwrap(),
            policy,
            suspended: false,
            running: Vec::new(),
            started: Vec::new(),
            skipped: BTreeMap::new(),
            passed: 0,
            triggers: 0,
            trigger_waits: false,
        };
        Self { world, oracle }
    }

    fn wait(&mut self, seconds: i64) {
        let until = self.world.now + secs(seconds);
        self.world.look_at(until);
        self.oracle.wait(until);
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Wait(seconds) => self.wait(*seconds),
            // A claim that another process takes over keeps its Job from being replaced at once (R34).
            Op::Down(_) if self.oracle.policy == Replace => {}
            Op::Down(seconds) => {
                let until = self.world.now + secs(*seconds);
                self.world.restart_at(until);
                self.oracle.down(until);
                // A tick that the one before has claimed, and that is not to run now, is told once nothing more can come
                // of its claim (R33).
                self.wait((CREATE_WINDOW + CREATE_TIMEOUT).as_secs() + 1);
            }
            Op::Reschedule(which) => {
                let (expression, zone) = SCHEDULES[*which];
                let spec = schedule_spec(expression, zone);
                // The ticks of the old one are told, if it is another.
                let same = self.world.spec.schedule.as_ref().is_some_and(|old| *old == spec);
                if !same {
                    self.oracle.resume();
                }
                self.oracle.schedule = spec.parsed.unwrap();
                self.world.reschedule(expression, zone);
            }
            Op::Suspend(suspend) => {
                self.world.suspend(*suspend);
                self.oracle.suspended = *suspend;
                if !suspend {
                    self.oracle.resume();
                }
            }
            Op::Policy(policy) => {
                if *policy == Replace {
                    self.wait(60);
                }
                self.world.edit(|spec| spec.policy = *policy);
                self.oracle.policy = *policy;
                self.oracle.look();
            }
            Op::Trigger => {
                self.world.trigger();
                self.oracle.trigger();
            }
            Op::Finish(which) => {
                if self.oracle.running.is_empty() {
                    return;
                }
                let job = self.oracle.running.remove(which % self.oracle.running.len());
                self.world.finish(&job, Outcome::Succeeded);
                self.oracle.look();
            }
        }
    }

    fn compare(&self) {
        let (world, oracle) = (&self.world, &self.oracle);
        assert_eq!(world.started(), oracle.started, "started");
        let mut skipped = BTreeMap::new();
        for (reason, count) in world.skipped() {
            *skipped.entry(reason).or_insert(0) += count;
        }
        assert_eq!(skipped, oracle.skipped, "skipped");
        assert_eq!(world.report.active, i32::try_from(oracle.running.len()).unwrap(), "active");
        assert_eq!(world.run.trigger.is_some(), oracle.trigger_waits, "the annotation");
        let next = oracle.schedule.next_after(oracle.now).filter(|_| !oracle.suspended);
        assert_eq!(world.report.next, next, "next");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_operator_does_what_the_rules_say(
        policy in prop_oneof![Just(Allow), Just(Forbid), Just(Replace)],
        start in prop_oneof![Just(at("10:00:30")), Just(at("2025-03-29T23:50:30")), Just(at("2025-10-25T22:50:30"))],
        ops in proptest::collection::vec(any_op(), 1..40),
    ) {
        let mut pair = Pair::new(policy, start);
        for op in &ops {
            pair.apply(op);
            pair.compare();
        }
        // After quiet time nothing tells what has been: it is as if the last spec had been the only one.
        pair.world.suspend(false);
        while let Some(job) = pair.oracle.running.pop() {
            pair.world.finish(&job, Outcome::Succeeded);
        }
        for job in pair.world.jobs.values().filter(|job| job.finished.is_none()).map(|job| job.name.clone()).collect::<Vec<_>>() {
            pair.world.finish(&job, Outcome::Succeeded);
        }
        let world = &pair.world;
        let fresh = World::new(world.spec.clone(), world.now);
        prop_assert_eq!(world.report.next, fresh.report.next);
        prop_assert_eq!(world.report.active, 0);
        prop_assert_eq!(world.condition(ConditionKind::Ready), fresh.condition(ConditionKind::Ready));
        prop_assert!(world.state.claims.values().all(|claim| claim.tick > Some(world.now)));
        prop_assert!(world.state.active_jobs.iter().all(|job| job.finished));
    }
}
