//! `/debug/runs`: the last decisions, kept only where `--debug-endpoint` asks for them. For the question "why did it not
//! run?" to a replica; `marmot-operator explain` answers it from the cluster alone, in the same words.

use std::sync::Arc;

use dashmap::DashMap;
use jiff::Timestamp;
use scheduler::{Decision, Observation, explain};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::index::{Index, Key};
use crate::leader::Leadership;
use crate::ticker::Ticker;

/// The newest look at each Run, and the newest one that found something to do.
#[derive(Debug, Default)]
pub struct Looks(DashMap<Key, Looked>);

#[derive(Debug)]
struct Looked {
    last: Noted,
    acted: Option<Noted>,
}

/// A decision.
#[derive(Clone, Debug, Serialize)]
struct Noted {
    at: Timestamp,
    /// Names of its effects, in order.
    effects: Vec<&'static str>,
    /// In words.
    why: Vec<String>,
}

impl Looks {
    /// Notes a decision.
    pub fn note(&self, key: &Key, observation: &Observation, decision: &Decision, at: Timestamp) {
        let effects: Vec<_> = decision.effects.iter().map(scheduler::Effect::name).collect();
        let noted = Noted { at, effects, why: explain::why(observation, decision) };
        let acted = (!noted.effects.is_empty()).then(|| noted.clone());
        let acted = acted.or_else(|| self.0.get(key).and_then(|looked| looked.acted.clone()));
        self.0.insert(key.clone(), Looked { last: noted, acted });
    }

    /// Forgets a Run that is gone.
    pub fn forget(&self, key: &Key) {
        self.0.remove(key);
    }
}

/// What the endpoint shows.
pub struct DebugRuns {
    /// Decisions.
    pub looks: Arc<Looks>,
    /// Runs.
    pub index: Arc<Index>,
    /// Wake times.
    pub ticker: Arc<Ticker>,
    /// Does this replica lead? Only then it decides anything.
    pub leadership: watch::Receiver<Leadership>,
    /// This replica in claims and in the Lease.
    pub holder: String,
}

impl DebugRuns {
    /// All Runs in order, or the one named `namespace/name`. `None` if there is none of that name.
    #[must_use]
    pub fn answer(&self, run: Option<&str>) -> Option<Value> {
        let mut keys = self.index.keys();
        keys.retain(|key| run.is_none_or(|run| run == key.to_string()));
        if run.is_some() && keys.is_empty() {
            return None;
        }
        keys.sort();
        let runs: Vec<Value> = keys.iter().filter_map(|key| self.one(key)).collect();
        let leading = self.leadership.borrow().term().is_some();
        Some(json!({ "holder": self.holder, "leading": leading, "runs": runs }))
    }

    fn one(&self, key: &Key) -> Option<Value> {
        let status = self.index.status(key)?;
        let looked = self.looks.0.get(key);
        Some(json!({
            "run": key.to_string(),
            "phase": status.phase,
            "nextTick": status.next_schedule_time,
            "armed": self.ticker.at(key),
            "claims": status.claims,
            "lastLook": looked.as_ref().map(|looked| &looked.last),
            "lastAction": looked.as_ref().and_then(|looked| looked.acted.as_ref()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use scheduler::observation::Process;

    use super::*;
    use crate::lenient::Lenient;
    use crate::marmot::Address;
    use crate::objects::Defaults;
    use crate::observe::observe;

    #[test]
    fn what_was_done_last_stays_when_nothing_more_is_to_do() {
        let run = json!({
            "metadata": { "namespace": "sales", "name": "orders", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z" },
            "spec": { "runs": [{ "x": {} }], "schedule": "0 0 1 1 *" },
        });
        let (index, looks) = (Index::default(), Looks::default());
        let key = index.apply_run(Lenient(Ok(serde_json::from_value(run).unwrap()))).unwrap().unwrap();
        let defaults =
            Defaults { marmot: Address::given("http://marmot"), image: "marmot".to_owned(), ..Defaults::default() };
        let observation = observe(&index.run(&key).unwrap(), &index, Process::default(), &defaults);
        let first = "2026-01-01T00:00:01Z".parse().unwrap();
        let decision = scheduler::decide(&observation, first);
        assert!(!decision.effects.is_empty());
        looks.note(&key, &observation, &decision, first);
        let idle = Decision { effects: Vec::new(), wake: decision.wake };
        looks.note(&key, &observation, &idle, "2026-01-01T00:00:02Z".parse().unwrap());

        let looked = looks.0.get(&key).unwrap();
        assert!(looked.last.effects.is_empty());
        let acted = looked.acted.as_ref().unwrap();
        assert_eq!(acted.at, first);
        assert!(acted.effects.contains(&"Record"), "{:?}", acted.effects);
        drop(looked);
        looks.forget(&key);
        assert!(looks.0.is_empty());
    }
}
