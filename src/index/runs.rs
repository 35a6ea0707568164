//! Runs as the index holds them: by the ten thousand, so as packed text. As an object each takes ten times as much, most
//! of it fields that nobody has set.

use std::collections::HashSet;
use std::sync::Arc;

use crds::{Run, RunStatus};
use dashmap::mapref::entry::Entry;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use lz4_flex::block::{compress_with_dict, decompress_with_dict};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tracing::error;

use super::{Index, Key, Version};
use crate::lenient::{Broken, Lenient};
use crate::parsed::Parsed;
use crate::status;

/// What `kubectl apply` keeps of an object in the object itself.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A Run with what was read out of its spec.
#[derive(Clone)]
pub struct IndexedRun {
    /// The object.
    pub run: Arc<Run>,
    /// Its spec, parsed once per generation.
    pub parsed: Arc<Parsed>,
}

/// A Run at rest.
pub(super) struct KnownRun {
    uid: Box<str>,
    version: Version,
    generation: Option<i64>,
    deleting_since: Option<Timestamp>,
    triggered: bool,
    /// The object, as JSON, packed.
    text: Box<[u8]>,
    /// Bytes of that JSON.
    len: usize,
    parsed: Arc<Parsed>,
}

/// What most Runs have in common: the packed text of each refers to it. Any text will do, and it may change.
const COMMON: &[u8] = include_bytes!("common.json");

#[derive(Deserialize)]
struct StatusOnly {
    status: Option<RunStatus>,
}

impl KnownRun {
    fn of(run: &Run, parsed: Arc<Parsed>) -> Self {
        let (metadata, text) = (&run.metadata, serde_json::to_vec(run).unwrap_or_default());
        Self {
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            version: Version::of(metadata),
            generation: metadata.generation,
            deleting_since: metadata.deletion_timestamp.as_ref().map(|time| time.0),
            triggered: is_triggered(run),
            text: compress_with_dict(&text, COMMON).into_boxed_slice(),
            len: text.len(),
            parsed,
        }
    }

    fn is(&self, metadata: &ObjectMeta) -> bool {
        metadata.uid.as_deref() == Some(&*self.uid)
    }

    fn read<T: DeserializeOwned>(&self, key: &Key) -> Option<T> {
        let text = decompress_with_dict(&self.text, self.len, COMMON).map_err(|error| error.to_string());
        let read = text.and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()));
        // It was read before it was written.
        read.inspect_err(|error| error!(run = %key, error, "cannot be read again")).ok()
    }
}

fn is_triggered(run: &Run) -> bool {
    let annotations = run.metadata.annotations.as_ref();
    let counted = run.status.as_ref().and_then(|status| status.trigger_count).unwrap_or_default();
    annotations.is_some_and(|all| all.contains_key(crds::TRIGGER_ANNOTATION))
        || status::taken(run).is_some_and(|taken| taken.number > Some(counted))
}

/// Takes off what fills most of an object and nobody reads: who manages which field, and what was applied last.
pub fn strip(run: &mut Run) {
    run.metadata.managed_fields = None;
    if let Some(annotations) = &mut run.metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

#[allow(clippy::must_use_candidate, reason = "the Run to look at matters to the watches, not after our own writes")]
impl Index {
    /// Takes in a Run from the watch. Returns its key if that changed anything.
    ///
    /// # Errors
    ///
    /// The broken object, for somebody to report.
    pub fn apply_run(&self, run: Lenient<Run>) -> Result<Option<Key>, Box<Broken>> {
        let mut run = run.0?;
        strip(&mut run);
        let metadata = &run.metadata;
        let key = Key::of(metadata);
        self.names.note(&key, metadata.deletion_timestamp.is_none());
        let uid = metadata.uid.clone().unwrap_or_default();
        match self.runs.entry(key) {
            Entry::Vacant(entry) => {
                let key = entry.key().clone();
                self.keys.insert(uid.into(), key.clone());
                entry.insert(KnownRun::of(&run, Arc::new(Parsed::of(&run))));
                Ok(Some(key))
            }
            Entry::Occupied(mut entry) => {
                let (key, known) = (entry.key().clone(), entry.get());
                let same = known.is(metadata);
                if same && !self.is_news(&Version::of(metadata), &known.version) {
                    return Ok(None);
                }
                if !same {
                    // Deleted and made again, and the watch has seen neither.
                    self.keys.remove(&known.uid);
                }
                let unedited = same && known.generation == metadata.generation;
                let parsed = if unedited { Arc::clone(&known.parsed) } else { Arc::new(Parsed::of(&run)) };
                self.keys.insert(uid.into(), key.clone());
                entry.insert(KnownRun::of(&run, parsed));
                Ok(Some(key))
            }
        }
    }

    /// Takes in the answer to one of our own writes, see [`strip`]. A Run that is gone stays gone: it may have been deleted
    /// while the answer was on its way.
    pub fn apply_written_run(&self, run: &Run) {
        let metadata = &run.metadata;
        if let Some(mut known) = self.runs.get_mut(&Key::of(metadata))
            && known.is(metadata)
            && self.is_news(&Version::of(metadata), &known.version)
        {
            let unedited = known.generation == metadata.generation;
            let parsed = if unedited { Arc::clone(&known.parsed) } else { Arc::new(Parsed::of(run)) };
            *known = KnownRun::of(run, parsed);
        }
    }

    /// Forgets a deleted Run, unless another of its name has taken its place.
    pub fn remove_run(&self, metadata: &ObjectMeta) -> Key {
        let key = Key::of(metadata);
        self.forget_run(&key, metadata.uid.as_deref().unwrap_or_default());
        key
    }

    fn forget_run(&self, key: &Key, uid: &str) {
        if self.runs.remove_if(key, |_, known| &*known.uid == uid).is_some() {
            self.names.note(key, false);
        }
        self.keys.remove(uid);
    }

    /// Forgets what a new list does not show; returns the Runs that were gone.
    pub fn forget_unlisted_runs(&self, listed: &HashSet<String>) -> Vec<Key> {
        let unlisted = self.runs.iter().filter(|known| !listed.contains(&*known.uid));
        let gone: Vec<_> = unlisted.map(|known| (known.key().clone(), known.uid.clone())).collect();
        for (key, uid) in &gone {
            self.forget_run(key, uid);
        }
        gone.into_iter().map(|(key, _)| key).collect()
    }

    /// The Run of that name.
    #[must_use]
    pub fn run(&self, key: &Key) -> Option<IndexedRun> {
        let known = self.runs.get(key)?;
        Some(IndexedRun { run: Arc::new(known.read(key)?), parsed: Arc::clone(&known.parsed) })
    }

    /// The status of the Run of that name; an empty one if it has none yet. A claim that stands beside the trigger annotation
    /// is among its claims (R32).
    #[must_use]
    pub fn status(&self, key: &Key) -> Option<RunStatus> {
        let known = self.runs.get(key)?;
        if known.triggered {
            return Some(status::with_taken_trigger(&known.read(key)?));
        }
        known.read::<StatusOnly>(key)?.status.or_else(|| Some(RunStatus::default()))
    }

    /// The Run is triggered, has a claim, or its next tick has passed.
    #[must_use]
    pub fn is_due(&self, key: &Key, now: Timestamp) -> bool {
        let is_due = |status: RunStatus| {
            !status.claims.is_empty() || status.next_schedule_time.as_ref().is_some_and(|next| next.0 <= now)
        };
        self.is_triggered(key) || self.status(key).is_some_and(is_due)
    }

    /// The Run has the trigger annotation, or one that was taken has no Job yet: somebody waits for it (R27).
    #[must_use]
    pub fn is_triggered(&self, key: &Key) -> bool {
        self.runs.get(key).is_some_and(|known| known.triggered)
    }

    /// When the oldest deletion of a Run that is still there was asked for.
    #[must_use]
    pub fn oldest_deletion(&self) -> Option<Timestamp> {
        self.runs.iter().filter_map(|known| known.deleting_since).min()
    }

    /// How many Runs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// All Runs.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        self.runs.iter().map(|known| known.key().clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Ten thousand Runs are to fit: what they have in common is not kept with each.
    #[test]
    fn a_typical_run_takes_little_more_than_what_is_its_own() {
        let text = String::from_utf8_lossy(COMMON)
            .replace("\"name\":\"\"", "\"name\":\"orders\"")
            .replace("2026-01-01", "2027-11-26");
        let run: Run = serde_json::from_str(&text).unwrap();
        let known = KnownRun::of(&run, Arc::new(Parsed::of(&run)));
        assert!(known.text.len() * 3 < known.len, "{} of {} bytes", known.text.len(), known.len);
        assert_eq!(known.read::<Run>(&Key::default()).unwrap(), run);
    }
}
