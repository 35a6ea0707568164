//! The line before the caps across Runs: fair, never above a cap, never idle, and it ends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use scheduler::caps::{Limits, Line, Place};

#[derive(Clone, Copy, Debug)]
enum Op {
    /// A start of that Run, due so many milliseconds ago, joins.
    Join(u8, i64),
    /// A run ends.
    End,
    /// Time passes.
    Pass(i64),
    /// A start that has a place does not use it.
    Decline,
    /// A start that waits is given up.
    GiveUp(u8),
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (any::<u8>(), 0_i64..5000).prop_map(|(run, ago)| Op::Join(run, ago)),
        3 => Just(Op::End),
        3 => (0_i64..1500).prop_map(Op::Pass),
        1 => Just(Op::Decline),
        1 => any::<u8>().prop_map(Op::GiveUp),
    ]
}

fn any_limits() -> impl Strategy<Value = Limits> {
    let cap = || proptest::option::of(1_usize..5);
    (cap(), cap()).prop_map(|(concurrent_runs, starts_per_second)| Limits { concurrent_runs, starts_per_second })
}

/// A simple model of the world: who waits since when, and who runs.
struct World {
    limits: Limits,
    line: Line<u8>,
    now: Timestamp,
    due: BTreeMap<u8, Timestamp>,
    running: BTreeSet<u8>,
    starts: Vec<Timestamp>,
}

impl World {
    fn new(limits: Limits) -> Self {
        let now = "2025-03-03T10:00:00Z".parse().unwrap();
        let (due, running, starts) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        Self { limits, line: Line::new(limits), now, due, running, starts }
    }

    fn recent(&self) -> usize {
        self.starts.iter().filter(|start| self.now.duration_since(**start) < SignedDuration::from_secs(1)).count()
    }

    fn is_full(&self) -> bool {
        self.limits.concurrent_runs.is_some_and(|cap| self.running.len() >= cap)
            || self.limits.starts_per_second.is_some_and(|cap| self.recent() >= cap)
    }

    /// Whoever is let through runs at once.
    fn admit(&mut self, decline: bool) {
        let admitted = self.line.admit(self.running.len(), self.now);
        for run in admitted {
            let due = self.due.remove(&run).unwrap();
            assert!(self.due.iter().all(|(other, theirs)| (due, run) < (*theirs, *other)), "first due, first served");
            assert_eq!(self.line.places(&run).values().collect::<Vec<_>>(), [&Place::Free]);
            self.starts.push(self.now);
            if !decline {
                self.running.insert(run);
            }
            self.line.leave(&run, |_, _| false);
        }
        // What was declined is free again, if only somebody asks.
        if decline {
            self.admit(false);
        }
        assert!(self.limits.concurrent_runs.is_none_or(|cap| self.running.len() <= cap), "above the cap");
        assert!(self.limits.starts_per_second.is_none_or(|cap| self.recent() <= cap), "above the cap");
        assert!(self.due.is_empty() || self.is_full(), "idle although somebody waits");
        assert_eq!(self.line.waiting(), self.due.len());
    }
}

proptest! {
    #[test]
    fn the_line_is_fair_and_full_and_ends(limits in any_limits(), ops in proptest::collection::vec(any_op(), 0..60)) {
        let mut world = World::new(limits);
        for op in ops {
            match op {
                Op::Join(run, ago) if !world.running.contains(&run) => {
                    let due = world.now - SignedDuration::from_millis(ago);
                    if world.line.join(&run, "job", due, false, world.now) {
                        world.due.insert(run, due);
                    }
                }
                Op::End => {
                    world.running.pop_first();
                }
                Op::Pass(millis) => world.now += SignedDuration::from_millis(millis),
                Op::GiveUp(run) => {
                    world.line.leave(&run, |_, _| false);
                    world.due.remove(&run);
                }
                Op::Join(..) | Op::Decline => {}
            }
            world.admit(matches!(op, Op::Decline));
        }
        // Runs end and time passes: nobody waits for ever.
        for _ in 0..500 {
            world.running.pop_first();
            if let Some(at) = world.line.opens_at(world.running.len()) {
                prop_assert!(at > world.now);
                world.now = at;
            }
            world.admit(false);
        }
        prop_assert!(world.due.is_empty());
    }
}

// A create on its way counts until its Job is seen.
#[test]
fn a_place_is_taken_from_the_moment_it_is_given() {
    let mut world = World::new(Limits { concurrent_runs: Some(1), starts_per_second: None });
    for run in [1, 2] {
        world.line.join(&run, "job", world.now, false, world.now);
    }
    assert_eq!(world.line.admit(0, world.now), [1]);
    assert!(world.line.admit(0, world.now).is_empty());
    // Its Job is seen, and the place goes.
    assert!(world.line.admit(1, world.now).is_empty());
    assert!(world.line.leave(&1, |_, _| false));
    assert!(world.line.admit(1, world.now).is_empty());
    assert_eq!(world.line.admit(0, world.now), [2]);
}

// R38: a place in doubt counts until it is given back.
#[test]
fn a_start_in_doubt_keeps_its_place() {
    let mut world = World::new(Limits { concurrent_runs: Some(1), starts_per_second: None });
    for run in [1, 2] {
        world.line.join(&run, "job", world.now, false, world.now);
    }
    assert_eq!(world.line.admit(0, world.now), [1]);
    world.line.doubt(&1, "job");
    assert!(!world.line.join(&1, "job", world.now, true, world.now));
    assert!(world.line.admit(0, world.now).is_empty());
    assert!(world.line.leave(&1, |_, _| false));
    assert_eq!(world.line.admit(0, world.now), [2]);
}

// R38: a hundred Runs whose starts are refused again and again take turns with one that is well.
#[test]
fn those_that_are_tried_again_and_again_do_not_keep_the_others_waiting() {
    let mut world = World::new(Limits { concurrent_runs: None, starts_per_second: Some(1) });
    for run in 1..=100 {
        world.line.join(&run, "job", world.now, true, world.now);
    }
    let mut tried = BTreeSet::new();
    for minute in 0..10 {
        world.line.join(&0, "job", world.now, false, world.now);
        let mut waited = 0;
        for second in 0..60 {
            for run in world.line.admit(0, world.now) {
                world.line.leave(&run, |_, _| false);
                if run == 0 {
                    waited = second;
                } else {
                    tried.insert(run);
                    world.line.join(&run, "job", world.now, true, world.now);
                }
            }
            world.now += SignedDuration::from_secs(1);
        }
        assert!(waited <= 1, "{waited} s in minute {minute}");
    }
    assert_eq!(tried.len(), 100, "all of them have their turn");
}

// A clock that was stepped back does not close the line.
#[test]
fn a_stepped_clock_delays_by_a_second_at_most() {
    let mut world = World::new(Limits { concurrent_runs: None, starts_per_second: Some(1) });
    world.line.join(&1, "job", world.now, false, world.now);
    assert_eq!(world.line.admit(0, world.now), [1]);
    let earlier = world.now - SignedDuration::from_hours(1);
    world.line.join(&2, "job", earlier, false, earlier);
    assert!(world.line.admit(0, earlier).is_empty());
    assert_eq!(world.line.opens_at(0), Some(earlier + SignedDuration::from_secs(1)));
    assert_eq!(world.line.admit(0, earlier + SignedDuration::from_secs(1)), [2]);
}
