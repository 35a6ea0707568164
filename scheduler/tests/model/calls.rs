//! Effects as `src/execute.rs` carries them out, one call at a time, and what the API server makes of them.

use std::sync::Arc;

use scheduler::decision::{Deletion, DeletionReason, Effect, JobOrder, News, Record};
use scheduler::observation::ObservedJob;

use super::protocol::Protocol;
use super::world::{Create, Run, World};
use crate::support::at;

impl Protocol {
    /// At rest the operator forgets what it knew of things that are over.
    pub fn rest(&self, world: &mut World, operator: usize) {
        if world.operators[operator].plan.is_empty() && self.effects(world, operator).is_empty() {
            let this = &mut world.operators[operator];
            this.absent.clear();
            this.first_look = false;
            let run = Arc::clone(&this.run);
            let claims = run.record().claims;
            this.in_doubt.retain(|job, _| claims.contains_key(job));
        }
    }

    /// A write to the Run, unless it has changed meanwhile.
    fn write(&self, world: &mut World, operator: usize, change: impl FnOnce(&mut Run)) -> bool {
        let this = &mut world.operators[operator];
        if self.guards.compare_and_swap && this.based_on != world.run.version {
            // The shell reads the Run afresh and decides anew.
            this.run = Arc::clone(&world.run);
            this.plan.clear();
            return false;
        }
        let mut run = (*world.run).clone();
        change(&mut run);
        run.version += 1;
        this.based_on = run.version;
        world.run = Arc::new(run);
        if self.guards.own_writes_seen {
            this.run = Arc::clone(&world.run);
        }
        true
    }

    fn record(&self, world: &mut World, operator: usize, record: Record) {
        let Record { mut state, report, news } = record;
        if !self.guards.prune_floor {
            for job in &mut state.active_jobs {
                job.settled_at = at("09:00:00");
            }
        }
        if !self.guards.claim_first {
            // The claim is believed without having been written.
            let this = &mut world.operators[operator];
            let unwritten = state.claims.keys().any(|job| !world.run.state.claims.contains_key(job));
            if unwritten {
                this.run = Arc::new(Run { state, report, ..(*this.run).clone() });
                return;
            }
        }
        if self.write(world, operator, |run| (run.state, run.report) = (state, report)) {
            for news in news {
                if let News::Skipped(skipped) = news {
                    let told = Self::ticks().into_iter().filter(|tick| (skipped.from..=skipped.to).contains(tick));
                    told.for_each(|tick| *world.history.told.entry(tick).or_default() += 1);
                }
            }
        }
    }

    pub fn execute(&self, world: &mut World, operator: usize, effect: Effect) {
        match effect {
            Effect::Record(record) => self.record(world, operator, *record),
            Effect::TakeTrigger(claim) => {
                self.write(world, operator, |run| {
                    run.trigger = false;
                    if self.guards.claim_first {
                        run.taken = Some(claim);
                    } else {
                        run.state.trigger_count = claim.number.unwrap_or(0);
                    }
                });
            }
            Effect::CreateJob(order) => self.send(world, operator, order),
            Effect::DeleteJob(deletion) => self.delete(world, operator, &deletion),
            Effect::LookUpJob(name) => {
                let this = &mut world.operators[operator];
                let asked = if self.guards.live_look_up { &world.jobs } else { &this.jobs.clone() };
                match asked.get(&name) {
                    Some(job) => _ = this.jobs.insert(name, Arc::clone(job)),
                    None => _ = this.absent.insert(name),
                }
            }
            Effect::ConfirmRun => {
                let this = &mut world.operators[operator];
                if this.based_on != world.run.version {
                    this.run = Arc::clone(&world.run);
                    this.plan.clear();
                }
            }
            other => panic!("not in this model: {other:?}"),
        }
    }

    fn send(&self, world: &mut World, operator: usize, order: JobOrder) {
        let now = self.now(world);
        if self.guards.window && now >= order.closes_at {
            world.operators[operator].plan.clear();
            return;
        }
        world.history.raced |= world.wire.iter().any(|create| create.order.name == order.name);
        world.operators[operator].in_doubt.insert(order.name.clone(), order.attempt);
        world.wire.push(Create { order, sender: operator, sent_at: now, awaited: true });
        world.wire.sort_by(|a, b| (&a.order.name, a.sender, a.sent_at).cmp(&(&b.order.name, b.sender, b.sent_at)));
    }

    pub fn land(&self, world: &mut World, create: &Create) {
        let name = create.order.name.clone();
        if !world.jobs.contains_key(&name) {
            let runs = world.unfinished().count();
            world.history.overlapped |= runs > 0;
            *world.history.created.entry(name.clone()).or_default() += 1;
            world.uids += 1;
            let job = ObservedJob {
                name: name.clone(),
                uid: format!("uid-{}", world.uids),
                kind: create.order.kind,
                created_at: self.now(world),
                deleting_since: None,
                running: true,
                finished: None,
                legacy: false,
                legacy_tick: None,
            };
            world.jobs.insert(name.clone(), Arc::new(job));
        }
        if create.awaited {
            let job = Arc::clone(&world.jobs[&name]);
            let this = &mut world.operators[create.sender];
            this.in_doubt.remove(&name);
            this.jobs.insert(name, job);
        }
    }

    fn delete(&self, world: &mut World, operator: usize, deletion: &Deletion) {
        let now = self.now(world);
        world.history.strays += u8::from(deletion.reason == DeletionReason::Stray);
        let is_it = |job: &&Arc<ObservedJob>| job.uid == deletion.uid;
        if let Some(job) = world.jobs.get(&deletion.name).filter(is_it) {
            if deletion.reason == DeletionReason::Pruned || job.finished.is_some() {
                world.jobs.remove(&deletion.name);
            } else {
                let going = ObservedJob { deleting_since: Some(now), ..(**job).clone() };
                world.jobs.insert(deletion.name.clone(), Arc::new(going));
            }
        }
        let this = &mut world.operators[operator];
        match world.jobs.get(&deletion.name).filter(is_it) {
            Some(job) => _ = this.jobs.insert(deletion.name.clone(), Arc::clone(job)),
            None if this.jobs.get(&deletion.name).is_some_and(|job| job.uid == deletion.uid) => {
                _ = this.jobs.remove(&deletion.name);
            }
            None => {}
        }
    }
}
