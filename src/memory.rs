//! What this process knows about a Run and no other does. All of it may be lost (see [`Process`]).

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use scheduler::decision::Record;
use scheduler::names;
use scheduler::observation::{LONGEST_PAUSE, Observation, Process, Refusal, RefusalCause, Waiting};

use crate::ending::Ending;

/// The memory of one Run.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The Run it is about: another of the same name starts anew.
    pub uid: String,
    /// The term in which the Run was last looked at to the end.
    pub term: Option<u64>,
    /// Creates of unknown outcome, with their attempt.
    pub in_doubt: BTreeMap<String, i32>,
    /// Creates the API server refused.
    pub refused: BTreeMap<String, (Refusal, u32)>,
    /// What the pods said of Jobs that have ended, by the Job's UID; `None` if nothing. Kept until it is recorded.
    pub endings: BTreeMap<String, Option<Ending>>,
    /// Why pods do not start, by Job.
    pub waiting: BTreeMap<String, Waiting>,
    /// How often pods were asked in vain.
    pub unanswered: u32,
    /// A status that may have been stored although nobody was told so: its news is still to be told (R16).
    pub untold: Option<Box<Record>>,
    /// Failed calls since the last look that went through.
    pub failures: u32,
    /// A call was not answered in time, and none since.
    pub hangs: bool,
}

impl Memory {
    /// The facts for one look.
    #[must_use]
    pub fn process(&self, holder: &str, term: u64, absent: &BTreeSet<String>) -> Process {
        Process {
            holder: holder.to_owned(),
            first_look: self.term != Some(term),
            in_doubt: self.in_doubt.clone(),
            absent: absent.clone(),
            refused: self.refused.iter().map(|(name, (refusal, _))| (name.clone(), refusal.clone())).collect(),
            waiting: self.waiting.clone(),
            places: None,
        }
    }

    /// Notes that the API server said no; returns whether that is news.
    pub fn refuse(&mut self, name: &str, cause: RefusalCause, message: &str, now: Timestamp) -> bool {
        let known = self.refused.get(name);
        let news = known.is_none_or(|(refusal, _)| refusal.message != message);
        let attempts = known.map_or(0, |(_, attempts)| attempts.saturating_add(1));
        let retry_at = now.saturating_add(pause(attempts)).unwrap_or(now);
        let refusal = Refusal { cause, message: message.to_owned(), retry_at };
        self.refused.insert(name.to_owned(), (refusal, attempts));
        news
    }

    /// The ConfigMap is as it should be, whoever made it so: nothing refuses it any more.
    pub fn forget_mended(&mut self, observation: &mut Observation) {
        if observation.config_hash.as_ref() == Some(&observation.spec.config_hash) {
            self.refused.remove(names::CONFIG);
            observation.process.refused.remove(names::CONFIG);
        }
    }

    /// At rest: forgets what concerns neither a claim nor the ConfigMap nor an unfinished Job any more.
    pub fn tidy(&mut self, observation: &Observation) {
        let claims = &observation.state.claims;
        let concerns = |name: &String| name == names::CONFIG || claims.contains_key(name);
        self.in_doubt.retain(|name, _| concerns(name));
        self.refused.retain(|name, _| concerns(name));
        self.waiting.retain(|name, _| observation.job(name).is_some_and(|job| job.finished.is_none() && !job.running));
        self.endings.clear();
    }

    /// How long to wait after another failed call.
    pub fn back_off(&mut self) -> SignedDuration {
        let pause = pause(self.failures);
        self.failures = self.failures.saturating_add(1);
        pause
    }
}

/// Doubling from 0.2 s to 10 s.
fn pause(attempts: u32) -> SignedDuration {
    SignedDuration::from_millis(200_i64.saturating_mul(1 << attempts.min(10))).min(LONGEST_PAUSE)
}
