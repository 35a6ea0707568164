//! Caps across all Runs: how many may run together, and how many may start in a second.
//!
//! A start that a cap holds back waits in a [`Line`]: first due, first served, over all Runs and kinds but teardowns; one
//! that was tried in vain waits beside those that have not been tried, and takes turns with them. It
//! keeps its claim (R33) and is never lost: it starts when a place is free, or stands in the ledger when a newer tick of
//! its Run has come due before (R15, R16).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};

/// The span over which starts are counted.
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// The caps; `None` is no cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Unfinished runs at a time, of all Runs together.
    pub concurrent_runs: Option<usize>,
    /// Starts within any second.
    pub starts_per_second: Option<usize>,
}

/// Which cap holds a start back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cap {
    /// [`Limits::concurrent_runs`].
    ConcurrentRuns,
    /// [`Limits::starts_per_second`].
    StartsPerSecond,
}

/// What the line says to a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It may start.
    Free,
    /// A create was sent and not answered. The place is kept until it is known whether that made the Job.
    InDoubt,
    /// Not yet.
    Waiting {
        /// What held it back when it asked.
        cap: Cap,
        /// When it asked.
        since: Timestamp,
        /// It is in line as if it had asked then.
        due: Timestamp,
    },
}

/// Starts in order of the instant they were due.
#[derive(Clone, Debug)]
pub struct Line<K> {
    limits: Limits,
    /// Those that have not been tried yet, and those that have: they take turns, so that neither keeps the other waiting,
    /// however many are refused again and again.
    fresh: BTreeSet<(Timestamp, K, String)>,
    again: BTreeSet<(Timestamp, K, String)>,
    /// The next turn is that of those that have been tried.
    turn_of_again: bool,
    entries: BTreeMap<K, BTreeMap<String, Entry>>,
    /// Starts that were let through and whose Job is not among the unfinished yet.
    given: usize,
    /// When starts were let through, within the last second.
    starts: VecDeque<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    again: bool,
    place: Place,
}

impl Limits {
    /// Nothing is capped.
    #[must_use]
    pub const fn are_off(&self) -> bool {
        self.concurrent_runs.is_none() && self.starts_per_second.is_none()
    }
}

impl Cap {
    /// The cap as metrics name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConcurrentRuns => "concurrent_runs",
            Self::StartsPerSecond => "starts_per_second",
        }
    }
}

impl<K: Ord + Clone> Line<K> {
    /// An empty line.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            fresh: BTreeSet::new(),
            again: BTreeSet::new(),
            turn_of_again: false,
            entries: BTreeMap::new(),
            given: 0,
            starts: VecDeque::new(),
        }
    }

    /// A start that was due at `due` joins the line, unless it is in it. `again`: it has been tried in vain. Whether it is
    /// new.
    pub fn join(&mut self, key: &K, job: &str, due: Timestamp, again: bool, now: Timestamp) -> bool {
        self.forget_starts(now);
        let jobs = self.entries.entry(key.clone()).or_default();
        if jobs.contains_key(job) {
            return false;
        }
        let full = self.limits.starts_per_second.is_some_and(|cap| self.starts.len() >= cap);
        let cap = match self.limits.concurrent_runs {
            Some(_) if !full => Cap::ConcurrentRuns,
            _ => Cap::StartsPerSecond,
        };
        jobs.insert(job.to_owned(), Entry { again, place: Place::Waiting { cap, since: now, due } });
        let waiting = if again { &mut self.again } else { &mut self.fresh };
        waiting.insert((due, key.clone(), job.to_owned()));
        true
    }

    /// Gives free places to those that wait, the one first due first; returns whose start may go on. `unfinished` counts
    /// the runs that are known to be unfinished.
    pub fn admit(&mut self, unfinished: usize, now: Timestamp) -> Vec<K> {
        self.forget_starts(now);
        let mut admitted = Vec::new();
        while self.has_room(unfinished) {
            let Some((_, key, job)) = self.pop() else { break };
            if let Some(entry) = self.entries.get_mut(&key).and_then(|jobs| jobs.get_mut(&job)) {
                entry.place = Place::Free;
                self.given = self.given.saturating_add(1);
                if self.limits.starts_per_second.is_some() {
                    self.starts.push_back(now);
                }
            }
            admitted.push(key);
        }
        admitted
    }

    /// When time alone makes room for somebody who waits.
    #[must_use]
    pub fn opens_at(&self, unfinished: usize) -> Option<Timestamp> {
        let first = self.starts.front()?;
        let full = self.limits.starts_per_second.is_some_and(|cap| self.starts.len() >= cap);
        let blocked = self.waiting() == 0 || !self.has_concurrent_room(unfinished);
        (full && !blocked).then(|| first.saturating_add(SECOND).unwrap_or(Timestamp::MAX))
    }

    /// What the line says to the starts of a Run.
    #[must_use]
    pub fn places(&self, key: &K) -> BTreeMap<String, Place> {
        let jobs = self.entries.get(key);
        jobs.map(|jobs| jobs.iter().map(|(job, entry)| (job.clone(), entry.place)).collect()).unwrap_or_default()
    }

    /// Nobody answered the create of a start that was let through.
    pub fn doubt(&mut self, key: &K, job: &str) {
        let entry = self.entries.get_mut(key).and_then(|jobs| jobs.get_mut(job));
        if let Some(entry) = entry.filter(|entry| entry.place == Place::Free) {
            entry.place = Place::InDoubt;
        }
    }

    /// The starts of a Run for which `stays` is false leave the line: they have started, or will not, or not now. What
    /// place they had is free again. Whether any had one.
    pub fn leave(&mut self, key: &K, stays: impl Fn(&str, Place) -> bool) -> bool {
        let Some(jobs) = self.entries.get_mut(key) else { return false };
        let before = self.given;
        let (fresh, again, given) = (&mut self.fresh, &mut self.again, &mut self.given);
        jobs.retain(|job, entry| {
            let stays = stays(job, entry.place);
            match entry.place {
                _ if stays => {}
                Place::Free | Place::InDoubt => *given = given.saturating_sub(1),
                Place::Waiting { due, .. } => {
                    let waiting = if entry.again { &mut *again } else { &mut *fresh };
                    waiting.remove(&(due, key.clone(), job.clone()));
                }
            }
            stays
        });
        if jobs.is_empty() {
            self.entries.remove(key);
        }
        self.given < before
    }

    /// Nobody waits and nobody was let through, as for a process that does not lead.
    pub fn clear(&mut self) {
        *self = Self::new(self.limits);
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.fresh.len().saturating_add(self.again.len())
    }

    fn pop(&mut self) -> Option<(Timestamp, K, String)> {
        let (first, second) =
            if self.turn_of_again { (&mut self.again, &mut self.fresh) } else { (&mut self.fresh, &mut self.again) };
        self.turn_of_again = !self.turn_of_again;
        first.pop_first().or_else(|| second.pop_first())
    }

    fn has_room(&self, unfinished: usize) -> bool {
        let slow_enough = self.limits.starts_per_second.is_none_or(|cap| self.starts.len() < cap);
        slow_enough && self.has_concurrent_room(unfinished)
    }

    fn has_concurrent_room(&self, unfinished: usize) -> bool {
        self.limits.concurrent_runs.is_none_or(|cap| unfinished.saturating_add(self.given) < cap)
    }

    /// A clock that was stepped back makes nobody wait longer than a second.
    fn forget_starts(&mut self, now: Timestamp) {
        for start in &mut self.starts {
            *start = (*start).min(now);
        }
        while self.starts.front().is_some_and(|start| now.duration_since(*start) >= SECOND) {
            self.starts.pop_front();
        }
    }
}
