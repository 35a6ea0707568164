//! A decision in words.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use scheduler::policy::ConcurrencyPolicy::{Allow, Forbid, Replace};
use scheduler::state::{Outcome, SkipReason};
use scheduler::{decide, explain};
use support::{World, at, tick, under};

const MINUTES: &str = "*/10 * * * *";

fn why(world: &World) -> Vec<String> {
    let observation = world.observation();
    explain::why(&observation, &decide(&observation, world.now))
}

fn newest(world: &World) -> String {
    explain::newest_tick(&world.observation()).map(|(_, fate)| fate).unwrap_or_default()
}

// R17, R32
#[test]
fn a_tick_from_claim_to_end() {
    let mut world = World::new(under(Forbid, MINUTES), at("10:01:00"));
    world.advance_to(at("10:02:00"));
    let next = at("10:10:00");
    assert_eq!(why(&world)[0], format!("the next tick is at {next}"));
    assert_eq!(newest(&world), "");

    let near = world.observation().lead;
    world.sleep_to(next.checked_sub(near).unwrap());
    let job = tick("10:10:00");
    assert_eq!(why(&world)[0], format!("claim Job {job} for the tick of {next}, attempt 1"));
    world.look();
    assert!(why(&world)[0].starts_with(&format!("Job {job} is claimed by ")), "{:?}", why(&world));
    world.sleep_to(next);
    assert_eq!(why(&world)[0], format!("create Job {job} for the tick of {next}"));
    world.advance_to(at("10:11:00"));
    assert_eq!(newest(&world), format!("run by Job {job}, which has not ended"));
    let meanwhile = "a tick that comes due meanwhile is not run (concurrencyPolicy: Forbid)";
    assert_eq!(why(&world)[0], format!("Job {job} has not ended: {meanwhile}"));

    world.advance_to(at("10:20:00"));
    assert_eq!(newest(&world), format!("not run: {}", explain::not_run(SkipReason::ConcurrencyForbidden)));
    world.finish(&job, Outcome::Failed);
    world.advance_to(at("10:30:30"));
    world.finish(&tick("10:30:00"), Outcome::Succeeded);
    assert_eq!(newest(&world), format!("run by Job {}: Succeeded", tick("10:30:00")));
}

#[test]
fn what_the_policy_does_with_the_next_tick() {
    for (policy, words) in [(Allow, "ticks run beside it"), (Replace, "the next tick ends it")] {
        let mut world = World::new(under(policy, MINUTES), at("10:01:00"));
        world.advance_to(at("10:11:00"));
        assert!(why(&world)[0].contains(words), "{:?}", why(&world));
    }
}

// R19, R22
#[test]
fn why_no_tick_runs() {
    let mut world = World::new(under(Forbid, MINUTES), at("10:01:00"));
    world.spec.suspend = true;
    world.advance_to(at("10:11:00"));
    assert_eq!(why(&world), ["it is suspended: no tick runs until spec.suspend is false; triggers do"]);

    let mut world = World::new(under(Forbid, "61 * * * *"), at("10:01:00"));
    world.advance_to(at("10:11:00"));
    assert!(why(&world)[0].starts_with("InvalidSchedule: "), "{:?}", why(&world));
}
