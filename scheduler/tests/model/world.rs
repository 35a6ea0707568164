//! What there is: objects on the API server, creates on their way, and operators that know less.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use scheduler::claim::Claim;
use scheduler::decision::{Effect, JobOrder};
use scheduler::observation::ObservedJob;
use scheduler::report::Report;
use scheduler::state::State;

pub type Jobs = BTreeMap<String, Arc<ObservedJob>>;

/// The Run as the API server holds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// resourceVersion.
    pub version: u32,
    pub generation: i64,
    pub suspend: bool,
    /// The schedule is the other one.
    pub edited: bool,
    /// The trigger annotation is set.
    pub trigger: bool,
    /// The claim beside it.
    pub taken: Option<Claim>,
    pub state: State,
    pub report: Report,
}

impl Run {
    /// What stands in `status` and beside the annotation.
    pub fn record(&self) -> State {
        let mut state = self.state.clone();
        self.taken.iter().for_each(|taken| state.take_in("orders", taken));
        state
    }
}

/// A create between an operator and the API server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Create {
    pub order: JobOrder,
    pub sender: usize,
    pub sent_at: Timestamp,
    /// The sender waits for the answer.
    pub awaited: bool,
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operator {
    /// Which of its lives this is: a new process has a new identity and no memory.
    pub life: u8,
    /// Its caches.
    pub run: Arc<Run>,
    pub jobs: Jobs,
    pub first_look: bool,
    pub in_doubt: BTreeMap<String, i32>,
    pub absent: BTreeSet<String>,
    /// What is left of the last decision, and the version it is based on.
    pub plan: VecDeque<Effect>,
    pub based_on: u32,
}

/// What users and the world may still do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub crashes: u8,
    /// Creates whose answer does not come.
    pub unanswered: u8,
    pub hand_overs: u8,
    pub triggers: u8,
    /// Changes of `suspend`.
    pub suspensions: u8,
    pub edits: u8,
    /// Jobs that end while the clock runs.
    pub ends: u8,
}

/// What happened, for the properties.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct History {
    /// How often a Job of each name was made.
    pub created: BTreeMap<String, u8>,
    /// How often each tick was told to be not run.
    pub told: BTreeMap<Timestamp, u8>,
    /// A run began while another one was unfinished.
    pub overlapped: bool,
    pub strays: u8,
    /// Two creates of one name were on their way together.
    pub raced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// Index into the instants of the model.
    pub clock: usize,
    pub run: Arc<Run>,
    pub jobs: Jobs,
    pub wire: Vec<Create>,
    pub operators: Vec<Operator>,
    /// Who leads; `None`: everybody believes to.
    pub leader: Option<usize>,
    pub budget: Budget,
    pub history: History,
    pub uids: u32,
}

impl Operator {
    pub fn new(life: u8, run: &Arc<Run>, jobs: &Jobs) -> Self {
        Self {
            life,
            run: Arc::clone(run),
            jobs: jobs.clone(),
            first_look: true,
            in_doubt: BTreeMap::new(),
            absent: BTreeSet::new(),
            plan: VecDeque::new(),
            based_on: 0,
        }
    }

    /// A look that failed, or is over.
    pub fn drop_plan(&mut self) {
        self.plan.clear();
        self.absent.clear();
    }
}

impl World {
    pub fn is_waiting(&self, operator: usize) -> bool {
        self.wire.iter().any(|create| create.sender == operator && create.awaited)
    }

    pub fn leads(&self, operator: usize) -> bool {
        self.leader.is_none_or(|leader| leader == operator)
    }

    pub fn unfinished(&self) -> impl Iterator<Item = &Arc<ObservedJob>> {
        self.jobs.values().filter(|job| job.finished.is_none())
    }
}
