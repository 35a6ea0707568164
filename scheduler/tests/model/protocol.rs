//! The transition function: the real `decide`, and its effects as `src/execute.rs` carries them out.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use scheduler::claim::CREATE_TIMEOUT;
use scheduler::decide;
use scheduler::decision::Effect;
use scheduler::observation::{Finished, Observation, ObservedJob, Process, RunMeta, ScheduleSpec, Spec};
use scheduler::policy::ConcurrencyPolicy;
use scheduler::report::Report;
use scheduler::state::{Outcome, State};
use stateright::{Model, Property};

use crate::support::{at, schedule_spec};

use super::properties;
use super::world::{Budget, History, Jobs, Operator, Run, World};

/// What the shell does for the sake of R33 and R34. Each can be left out, to show that it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub struct Guards {
    /// Writes to the Run carry the version they are based on.
    pub compare_and_swap: bool,
    /// The answer to an own write goes into the cache at once.
    pub own_writes_seen: bool,
    /// The window is checked again when the create is sent.
    pub window: bool,
    /// Whether a Job exists is asked of the API server, not of the cache.
    pub live_look_up: bool,
    /// A new process has a new identity.
    pub new_identity: bool,
    /// No Job is put away before the prune floor has passed.
    pub prune_floor: bool,
    /// A claim is recorded before the create is sent.
    pub claim_first: bool,
}

pub const ALL: Guards = Guards {
    compare_and_swap: true,
    own_writes_seen: true,
    window: true,
    live_look_up: true,
    new_identity: true,
    prune_floor: true,
    claim_first: true,
};

/// One bounded world.
#[derive(Clone, Debug)]
pub struct Protocol {
    pub policy: ConcurrencyPolicy,
    pub guards: Guards,
    /// The instants the clock shows, in order. At the last one everything has had its time.
    pub instants: Vec<Timestamp>,
    pub operators: usize,
    /// There is never more than one leader.
    pub exclusive: bool,
    pub budget: Budget,
    /// How long a create may be on its way.
    pub transit: SignedDuration,
    pub successful_history: usize,
    pub schedules: [ScheduleSpec; 2],
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The clock moves on.
    Tick,
    /// A watch event arrives.
    SeeRun(usize),
    SeeJobs(usize),
    Decide(usize),
    /// The next effect of the plan is carried out.
    Execute(usize),
    /// The answer does not come.
    TimeOut(usize),
    Crash(usize),
    HandOver(usize),
    /// A create reaches the API server.
    Land(usize),
    Finish(String),
    /// A Job that is being deleted is gone.
    Vanish(String),
    Trigger,
    Suspend,
    Edit,
}

impl Protocol {
    pub fn new(policy: ConcurrencyPolicy, instants: &[&str]) -> Self {
        Self {
            policy,
            guards: ALL,
            instants: instants.iter().map(|text| at(text)).collect(),
            operators: 2,
            exclusive: false,
            budget: Budget::default(),
            transit: CREATE_TIMEOUT,
            successful_history: 1,
            // Two ticks, and then none for a day; and another one in their place.
            schedules: [schedule_spec("10,11 10 * * *", ""), schedule_spec("11 10 * * *", "")],
        }
    }

    pub fn now(&self, world: &World) -> Timestamp {
        self.instants[world.clock]
    }

    pub fn observe(&self, world: &World, operator: usize) -> Observation {
        let this = &world.operators[operator];
        let run = &this.run;
        let life =
            if self.guards.new_identity { Cow::from(format!("{operator}.{}", this.life)) } else { "same".into() };
        Observation {
            run: RunMeta {
                namespace: "sales".to_owned(),
                name: "orders".to_owned(),
                uid: "uid-run".to_owned(),
                namesakes: Vec::new(),
                generation: run.generation,
                created_at: at("10:00:00"),
                deleting_since: None,
                trigger: run.trigger.then(|| "true".to_owned()),
                finalizer: false,
            },
            spec: Spec {
                schedule: Some(self.schedules[usize::from(run.edited)].clone()),
                suspend: run.suspend,
                policy: self.policy,
                starting_deadline: None,
                successful_history: self.successful_history,
                failed_history: 1,
                teardown: false,
                pipeline_hash: "v1:a".to_owned(),
                config_hash: "a".to_owned(),
                problem: None,
                warning: None,
                teardown_problem: None,
            },
            state: run.record(),
            report: run.report.clone(),
            jobs: this.jobs.values().map(|job| (**job).clone()).collect(),
            cron_jobs: Vec::new(),
            config_hash: Some("a".to_owned()),
            process: Process {
                holder: life.into_owned(),
                first_look: this.first_look,
                in_doubt: this.in_doubt.clone(),
                absent: this.absent.clone(),
                ..Process::default()
            },
            lead: SignedDuration::from_secs(5),
        }
    }

    /// What the operator would do now.
    pub fn effects(&self, world: &World, operator: usize) -> Vec<Effect> {
        decide(&self.observe(world, operator), self.now(world)).effects
    }

    /// Every tick there can be.
    pub fn ticks() -> Vec<Timestamp> {
        vec![at("10:10:00"), at("10:11:00")]
    }

    fn user(world: &mut World, change: impl FnOnce(&mut Run)) {
        let mut run = (*world.run).clone();
        change(&mut run);
        run.version += 1;
        world.run = Arc::new(run);
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    /// Everybody has looked once, and the first tick is near.
    fn init_states(&self) -> Vec<World> {
        let run = Run {
            version: 1,
            generation: 1,
            suspend: false,
            edited: false,
            trigger: false,
            taken: None,
            state: State::default(),
            report: Report::default(),
        };
        let run = Arc::new(run);
        let operators = (0..self.operators).map(|_| Operator::new(0, &run, &Jobs::new())).collect();
        let mut world = World {
            clock: 0,
            run,
            jobs: Jobs::new(),
            wire: Vec::new(),
            operators,
            leader: self.exclusive.then_some(0),
            budget: self.budget,
            history: History::default(),
            uids: 0,
        };
        while let Some(Effect::Record(record)) = self.effects(&world, 0).into_iter().next() {
            Self::user(&mut world, |run| (run.state, run.report) = (record.state, record.report));
            world.operators[0].run = Arc::clone(&world.run);
        }
        for operator in 0..self.operators {
            world.operators[operator].run = Arc::clone(&world.run);
            self.rest(&mut world, operator);
        }
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for (index, this) in world.operators.iter().enumerate() {
            if world.is_waiting(index) {
                if world.budget.unanswered > 0 {
                    actions.push(Action::TimeOut(index));
                }
            } else if !this.plan.is_empty() {
                if world.leads(index) {
                    actions.push(Action::Execute(index));
                }
            } else {
                if world.leads(index) && !self.effects(world, index).is_empty() {
                    actions.push(Action::Decide(index));
                }
                if this.run != world.run {
                    actions.push(Action::SeeRun(index));
                }
                if this.jobs != world.jobs {
                    actions.push(Action::SeeJobs(index));
                }
            }
            if world.budget.crashes > 0 {
                actions.push(Action::Crash(index));
            }
            if world.budget.hand_overs > 0 && world.leader.is_some_and(|leader| leader != index) {
                actions.push(Action::HandOver(index));
            }
        }
        actions.extend((0..world.wire.len()).map(Action::Land));
        let is_last = world.clock + 1 == self.instants.len();
        for job in world.unfinished() {
            if job.deleting_since.is_some() {
                actions.push(Action::Vanish(job.name.clone()));
            }
            if world.budget.ends > 0 || is_last {
                actions.push(Action::Finish(job.name.clone()));
            }
        }
        if world.budget.triggers > 0 && !world.run.trigger {
            actions.push(Action::Trigger);
        }
        if world.budget.suspensions > 0 {
            actions.push(Action::Suspend);
        }
        if world.budget.edits > 0 {
            actions.push(Action::Edit);
        }
        // Nobody waits for an answer longer than the time-out.
        let in_time = |next: &Timestamp| {
            world.wire.iter().all(|create| !create.awaited || next.duration_since(create.sent_at) <= CREATE_TIMEOUT)
        };
        if self.instants.get(world.clock + 1).is_some_and(in_time) {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Tick => {
                world.clock += 1;
                let now = self.now(&world);
                // What has not arrived by now never will.
                world.wire.retain(|create| create.awaited || now.duration_since(create.sent_at) <= self.transit);
            }
            Action::SeeRun(index) => {
                world.operators[index].run = Arc::clone(&world.run);
                self.rest(&mut world, index);
            }
            Action::SeeJobs(index) => {
                world.operators[index].jobs = world.jobs.clone();
                self.rest(&mut world, index);
            }
            Action::Decide(index) => {
                let effects = self.effects(&world, index);
                let this = &mut world.operators[index];
                this.plan = effects.into();
                this.based_on = this.run.version;
            }
            Action::Execute(index) => {
                let effect = world.operators[index].plan.pop_front()?;
                self.execute(&mut world, index, effect);
                self.rest(&mut world, index);
            }
            Action::TimeOut(index) => {
                world.budget.unanswered -= 1;
                world.wire.iter_mut().filter(|create| create.sender == index).for_each(|create| create.awaited = false);
                world.operators[index].drop_plan();
            }
            Action::Crash(index) => {
                world.budget.crashes -= 1;
                world.wire.iter_mut().filter(|create| create.sender == index).for_each(|create| create.awaited = false);
                let life = world.operators[index].life + 1;
                world.operators[index] = Operator::new(life, &world.run, &world.jobs);
            }
            Action::HandOver(index) => {
                world.budget.hand_overs -= 1;
                if let Some(old) = world.leader.replace(index) {
                    world.operators[old].drop_plan();
                }
                world.operators[index].first_look = true;
            }
            Action::Land(index) => {
                let create = world.wire.remove(index);
                let sender = create.sender;
                self.land(&mut world, &create);
                self.rest(&mut world, sender);
            }
            Action::Finish(name) => {
                world.budget.ends = world.budget.ends.saturating_sub(1);
                let at = self.now(&world);
                let end = Finished { outcome: Outcome::Succeeded, at, reason: None, message: None };
                let job = ObservedJob { finished: Some(end), ..(*world.jobs[&name]).clone() };
                // A Job that was being deleted in the foreground goes with its last pod.
                match job.deleting_since {
                    Some(_) => _ = world.jobs.remove(&name),
                    None => _ = world.jobs.insert(name, Arc::new(job)),
                }
            }
            Action::Vanish(name) => _ = world.jobs.remove(&name),
            Action::Trigger => {
                world.budget.triggers -= 1;
                Self::user(&mut world, |run| run.trigger = true);
            }
            Action::Suspend => {
                world.budget.suspensions -= 1;
                Self::user(&mut world, |run| (run.suspend, run.generation) = (!run.suspend, run.generation + 1));
            }
            Action::Edit => {
                world.budget.edits -= 1;
                Self::user(&mut world, |run| (run.edited, run.generation) = (!run.edited, run.generation + 1));
            }
        }
        (world != *last).then_some(world)
    }

    /// Two that believe they lead may take a claim from each other for ever.
    fn within_boundary(&self, world: &World) -> bool {
        world.run.record().claims.values().all(|claim| claim.attempt <= 4)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
