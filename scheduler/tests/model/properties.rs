//! What must hold of every state (R16, R17, R27, R34), and of the last ones.

use jiff::{SignedDuration, Timestamp};
use scheduler::claim::CREATE_TIMEOUT;
use scheduler::decide;
use scheduler::policy::ConcurrencyPolicy;
use stateright::Property;

use super::protocol::Protocol;
use super::world::World;

pub const ONE_JOB: &str = "never two Jobs of one name";
pub const NO_OVERLAP: &str = "no run beside an unfinished one";
pub const NONE_LOST: &str = "a tick is run or told, once";
pub const TRIGGERS_RUN: &str = "a trigger that was taken runs";
pub const ALL_DONE: &str = "in the end nothing is left to do";
pub const THE_END: &str = "there is an end";

pub fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(ONE_JOB, |_, world: &World| world.history.created.values().all(|times| *times < 2)),
        Property::always(NO_OVERLAP, |model: &Protocol, world: &World| {
            model.policy != ConcurrencyPolicy::Forbid || !model.exclusive || !world.history.overlapped
        }),
        Property::always(NONE_LOST, Protocol::no_tick_is_lost),
        Property::always(TRIGGERS_RUN, |_, world: &World| {
            let state = world.run.record();
            (1..=state.trigger_count).all(|number| {
                let job = scheduler::names::trigger("orders", number);
                world.history.created.contains_key(&job) || state.claims.contains_key(&job)
            })
        }),
        Property::always(ALL_DONE, |model, world| !model.is_over(world) || model.all_is_done(world)),
        Property::sometimes(THE_END, Protocol::is_over),
    ]
}

impl Protocol {
    fn made(world: &World, tick: Timestamp) -> bool {
        world.history.created.contains_key(&scheduler::names::scheduled("orders", tick))
    }

    /// What the mark has passed was run or told, and not both; or its claim is open yet (R16, R34).
    fn no_tick_is_lost(&self, world: &World) -> bool {
        Self::ticks().into_iter().all(|tick| {
            let told = world.history.told.get(&tick).copied().unwrap_or(0);
            let passed = world.run.state.mark >= Some(tick);
            // The edited schedule does not have the first tick.
            let may_be_gone = self.budget.edits > 0;
            let both = told > 0 && Self::made(world, tick) && self.transit <= CREATE_TIMEOUT;
            let open = world.run.state.claims.values().any(|claim| claim.tick == Some(tick));
            told < 2 && !both && (!passed || open || may_be_gone || told > 0 || Self::made(world, tick))
        })
    }

    /// Nothing to do, and nothing to wait for but tomorrow's ticks.
    fn rests(&self, world: &World, operator: usize) -> bool {
        let now = self.now(world);
        let decision = decide(&self.observe(world, operator), now);
        let far = SignedDuration::from_hours(1);
        decision.effects.is_empty() && decision.wake.is_none_or(|wake| wake.duration_since(now) > far)
    }

    /// Everything has had its time, and everybody knows everything.
    fn is_over(&self, world: &World) -> bool {
        world.clock + 1 == self.instants.len()
            && world.wire.is_empty()
            && world.unfinished().next().is_none()
            && world.operators.iter().enumerate().all(|(index, this)| {
                this.plan.is_empty()
                    && (!world.leads(index)
                        || (this.run == world.run && this.jobs == world.jobs && self.rests(world, index)))
            })
    }

    /// Every tick was run or told, every claim has come to its end, no trigger waits.
    fn all_is_done(&self, world: &World) -> bool {
        let told = |tick: &Timestamp| world.history.told.contains_key(tick);
        let ticks = world.run.suspend
            || self.budget.edits > 0
            || Self::ticks().iter().all(|tick| Self::made(world, *tick) || told(tick));
        let settled = world.run.state.active_jobs.iter().all(|job| job.finished);
        ticks && settled && world.run.record().claims.is_empty() && !world.run.trigger
    }
}
