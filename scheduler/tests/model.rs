//! The start protocol, checked for every order of events within bounds (R32–R34): the real `decide` as the transition
//! function, operators with stale caches, crashes anywhere, creates that are late or unanswered.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "each test binary has its modules to itself")]

mod model {
    pub mod calls;
    pub mod properties;
    pub mod protocol;
    pub mod world;
}
mod support;

use jiff::SignedDuration;
use model::properties::{ALL_DONE, NO_OVERLAP, NONE_LOST, ONE_JOB, TRIGGERS_RUN};
use model::protocol::{ALL, Guards, Protocol};
use model::world::Budget;
use rstest::rstest;
use scheduler::policy::ConcurrencyPolicy::{self, Allow, Forbid, Replace};
use stateright::{Checker, HasDiscoveries, Model};
use support::{at, schedule_spec};

/// The first tick with the end of its window and of the doubt, a time long after it, and another.
const INSTANTS: [&str; 5] = ["10:09:56", "10:10:00", "10:10:21", "10:30:00", "10:32:00"];

/// Visits every state, and fails with the path to the first that is wrong.
fn holds(protocol: Protocol) {
    let what = format!("{:?}, {} operators, {:?}", protocol.policy, protocol.operators, protocol.budget);
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    println!("{what}: {} states, {} deep", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
}

/// The same for the states that are reached first, where there is no end of them.
fn holds_for(states: usize, protocol: Protocol) {
    let what = format!("{:?}, {} operators, {:?}", protocol.policy, protocol.operators, protocol.budget);
    let checker = protocol.checker().threads(2).target_state_count(states).spawn_bfs().join();
    println!("{what}: {} states, {} deep", checker.unique_state_count(), checker.max_depth());
    for name in [ONE_JOB, NO_OVERLAP, NONE_LOST, TRIGGERS_RUN, ALL_DONE] {
        checker.assert_no_discovery(name);
    }
}

/// One operator at a time: under these bounds `Forbid` never overlaps.
fn alone(policy: ConcurrencyPolicy, budget: Budget) -> Protocol {
    Protocol { operators: 1, exclusive: true, budget, ..Protocol::new(policy, &INSTANTS) }
}

/// Two operators that both believe they lead.
fn together(policy: ConcurrencyPolicy, budget: Budget) -> Protocol {
    Protocol { operators: 2, exclusive: false, budget, ..Protocol::new(policy, &INSTANTS) }
}

const NOTHING: Budget =
    Budget { crashes: 0, unanswered: 0, hand_overs: 0, triggers: 0, suspensions: 0, edits: 0, ends: 0 };

// R33, R34
#[rstest]
#[case(Allow, Budget { unanswered: 1, ends: 1, ..NOTHING })]
#[case(Forbid, Budget { unanswered: 1, crashes: 1, ..NOTHING })]
#[case(Replace, Budget { crashes: 1, triggers: 1, ..NOTHING })]
fn two_operators_that_both_believe_they_lead(#[case] policy: ConcurrencyPolicy, #[case] budget: Budget) {
    holds_for(60_000, together(policy, budget));
}

// R17, R27, R33
#[rstest]
#[case(Forbid, Budget { crashes: 1, unanswered: 1, ends: 1, ..NOTHING })]
#[case(Forbid, Budget { crashes: 1, triggers: 1, ..NOTHING })]
#[case(Replace, Budget { unanswered: 1, triggers: 1, ..NOTHING })]
#[case(Forbid, Budget { crashes: 1, suspensions: 2, ..NOTHING })]
#[case(Replace, Budget { crashes: 1, edits: 1, ..NOTHING })]
fn one_operator_with_everything_that_can_happen_to_it(#[case] policy: ConcurrencyPolicy, #[case] budget: Budget) {
    holds(alone(policy, budget));
}

// R17, R35: the lease changes hands, and creates of the old leader are still on their way.
#[test]
fn a_lease_that_changes_hands() {
    let budget = Budget { hand_overs: 1, ..NOTHING };
    holds(Protocol { exclusive: true, ..together(Forbid, budget) });
}

// R34: a create may be on its way for as long as the prune floor allows, and no longer. Whether its tick was given up
// meanwhile is another matter: then it is found and removed as a stray.
#[test]
fn the_prune_floor_is_the_bound_of_late_creates() {
    let instants = ["10:10:00", "10:10:19", "10:10:59", "10:11:20"];
    let late = |seconds| Protocol {
        transit: SignedDuration::from_secs(seconds),
        successful_history: 0,
        schedules: [schedule_spec("10 10 * * *", ""), schedule_spec("11 10 * * *", "")],
        ..Protocol {
            instants: instants.map(at).to_vec(),
            ..alone(Forbid, Budget { unanswered: 1, ends: 1, ..NOTHING })
        }
    };
    let too_late = late(75).checker().spawn_bfs().join();
    assert!(too_late.discovery(ONE_JOB).is_some());
    let in_time = late(59).checker().spawn_bfs().join();
    assert!(in_time.discovery(ONE_JOB).is_none());
}

/// Finds that this goes wrong without the guard.
#[rstest]
#[case::compare_and_swap(Guards { compare_and_swap: false, ..ALL }, NONE_LOST, together(Forbid, Budget { crashes: 1, ..NOTHING }))]
#[case::own_writes_seen(
    Guards { own_writes_seen: false, ..ALL },
    ONE_JOB,
    alone(Replace, Budget { crashes: 1, unanswered: 1, triggers: 1, ..NOTHING })
)]
#[case::window(Guards { window: false, ..ALL }, NONE_LOST, alone(Forbid, Budget { crashes: 1, unanswered: 1, ends: 1, ..NOTHING }))]
#[case::live_look_up(
    Guards { live_look_up: false, ..ALL },
    NO_OVERLAP,
    alone(Forbid, Budget { crashes: 1, unanswered: 1, ends: 1, ..NOTHING })
)]
#[case::new_identity(Guards { new_identity: false, ..ALL }, NONE_LOST, together(Forbid, Budget { crashes: 1, ..NOTHING }))]
#[case::prune_floor(
    Guards { prune_floor: false, ..ALL },
    ONE_JOB,
    alone(Forbid, Budget { crashes: 1, unanswered: 1, ends: 1, ..NOTHING })
)]
#[case::claim_first(Guards { claim_first: false, ..ALL }, TRIGGERS_RUN, alone(Forbid, Budget { crashes: 1, unanswered: 1, triggers: 1, ..NOTHING }))]
fn every_guard_is_needed(#[case] guards: Guards, #[case] broken: &'static str, #[case] protocol: Protocol) {
    let protocol = Protocol { guards, successful_history: 0, ..protocol };
    let checker = protocol.checker().threads(2).finish_when(HasDiscoveries::AnyOf([broken].into())).spawn_bfs().join();
    assert!(checker.discovery(broken).is_some(), "{} states and nothing wrong", checker.unique_state_count());
}

/// `make model`: minutes, and several GiB.
#[rstest]
#[case(Allow, Budget { unanswered: 1, ends: 1, ..NOTHING })]
#[case(Forbid, Budget { crashes: 1, unanswered: 1, ..NOTHING })]
#[case(Forbid, Budget { crashes: 1, triggers: 1, ..NOTHING })]
#[case(Replace, Budget { crashes: 1, unanswered: 1, triggers: 1, ..NOTHING })]
#[ignore = "deep"]
fn two_operators_deep(#[case] policy: ConcurrencyPolicy, #[case] budget: Budget) {
    holds_for(1_500_000, together(policy, budget));
}

/// `make model`
#[rstest]
#[case(Forbid, Budget { crashes: 1, unanswered: 1, triggers: 1, ..NOTHING })]
#[case(Replace, Budget { crashes: 1, unanswered: 1, triggers: 1, ..NOTHING })]
#[ignore = "deep"]
fn one_operator_deep(#[case] policy: ConcurrencyPolicy, #[case] budget: Budget) {
    holds_for(1_500_000, alone(policy, budget));
}
