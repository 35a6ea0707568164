//! What the watches have shown, and our own writes: Runs by name, Jobs and `ConfigMaps` by the UID of their Run.
//!
//! Whatever carries the higher resourceVersion wins, and the answer to a write goes in like a watch event. So no look is
//! ever based on a state older than this process' own last write to that Run (R33).

mod cron_jobs;
mod gone;
mod jobs;
mod unfinished;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crds::Run;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use self::gone::Gone;
use crate::lenient::{Broken, Lenient};
use crate::light::{LightConfigMap, LightCronJob, LightJob};
use crate::parsed::Parsed;
pub use jobs::KnownJob;
pub use unfinished::Unfinished;

const CRON_JOB: &str = "CronJob";

/// Namespace and name of a Run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

impl Key {
    /// The key of an object of that metadata.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }
}

/// A Run with what was read out of its spec.
#[derive(Clone)]
pub struct IndexedRun {
    /// The object.
    pub run: Arc<Run>,
    /// Its spec, parsed once per generation.
    pub parsed: Arc<Parsed>,
}

/// The cache of one process.
#[derive(Default)]
pub struct Index {
    runs: DashMap<Key, IndexedRun>,
    /// Run of each UID, for events that only know the owner.
    keys: DashMap<String, Key>,
    /// Namespaces of the living Runs of each name: they share a pipeline in Marmot (R11).
    names: DashMap<String, BTreeSet<String>>,
    jobs: DashMap<String, Vec<Arc<KnownJob>>>,
    configs: DashMap<String, Arc<LightConfigMap>>,
    /// What another operator made of Runs, by UID (R31). Jobs of a CronJob are in `jobs` under its UID.
    cron_jobs: DashMap<String, Arc<LightCronJob>>,
    /// The CronJob of each Job that one controls, by UID.
    foreign: DashMap<String, String>,
    /// Jobs and CronJobs.
    gone: Gone,
    /// Views passed over because a newer one was held already.
    stale: AtomicU64,
    /// Counted only where a cap needs it.
    unfinished: Option<Arc<Unfinished>>,
}

#[allow(clippy::must_use_candidate, reason = "the Run to look at matters to the watches, not after our own writes")]
impl Index {
    /// An index that counts unfinished runs there.
    #[must_use]
    pub fn counting(unfinished: Arc<Unfinished>) -> Self {
        Self { unfinished: Some(unfinished), ..Self::default() }
    }

    /// Takes in a Run from the watch. Returns its key if that changed anything.
    ///
    /// # Errors
    ///
    /// The broken object, for somebody to report.
    pub fn apply_run(&self, run: Lenient<Run>) -> Result<Option<Key>, Box<Broken>> {
        let mut run = run.0?;
        run.metadata.managed_fields = None;
        let key = Key::of(&run.metadata);
        self.note_name(&key, run.metadata.deletion_timestamp.is_none());
        match self.runs.entry(key.clone()) {
            Entry::Vacant(entry) => {
                self.keys.insert(run.metadata.uid.clone().unwrap_or_default(), key.clone());
                entry.insert(IndexedRun { parsed: Arc::new(Parsed::of(&run)), run: Arc::new(run) });
            }
            Entry::Occupied(mut entry) => {
                let known = entry.get();
                let same = known.run.metadata.uid == run.metadata.uid;
                if same && !self.is_news(version(&run.metadata), version(&known.run.metadata)) {
                    return Ok(None);
                }
                let unedited = same && known.run.metadata.generation == run.metadata.generation;
                let parsed = if unedited { Arc::clone(&known.parsed) } else { Arc::new(Parsed::of(&run)) };
                self.keys.insert(run.metadata.uid.clone().unwrap_or_default(), key.clone());
                entry.insert(IndexedRun { run: Arc::new(run), parsed });
            }
        }
        Ok(Some(key))
    }

    /// Takes in the answer to one of our own writes. A Run that is gone stays gone: it may have been deleted while the
    /// answer was on its way.
    pub fn apply_written_run(&self, run: &Arc<Run>) {
        if let Some(mut known) = self.runs.get_mut(&Key::of(&run.metadata)) {
            let same = known.run.metadata.uid == run.metadata.uid;
            if same && self.is_news(version(&run.metadata), version(&known.run.metadata)) {
                if known.run.metadata.generation != run.metadata.generation {
                    known.parsed = Arc::new(Parsed::of(run));
                }
                known.run = Arc::clone(run);
            }
        }
    }

    /// Forgets a deleted Run, unless another of its name has taken its place.
    pub fn remove_run(&self, metadata: &ObjectMeta) -> Key {
        let key = Key::of(metadata);
        if self.runs.remove_if(&key, |_, entry| entry.run.metadata.uid == metadata.uid).is_some() {
            self.note_name(&key, false);
        }
        if let Some(uid) = &metadata.uid {
            self.keys.remove(uid);
        }
        key
    }

    /// Namespaces of other living Runs of this name (R11), in order.
    #[must_use]
    pub fn namesakes(&self, key: &Key) -> Vec<String> {
        let namespaces = self.names.get(&key.name);
        let others = namespaces.iter().flat_map(|namespaces| namespaces.iter());
        others.filter(|namespace| **namespace != key.namespace).cloned().collect()
    }

    fn note_name(&self, key: &Key, alive: bool) {
        if alive {
            self.names.entry(key.name.clone()).or_default().insert(key.namespace.clone());
        } else if let Some(mut namespaces) = self.names.get_mut(&key.name) {
            namespaces.remove(&key.namespace);
            drop(namespaces);
            self.names.remove_if(&key.name, |_, namespaces| namespaces.is_empty());
        }
    }

    /// Teardown Jobs whose Run is gone: nobody else puts them away (R30).
    #[must_use]
    pub fn leftovers(&self) -> Vec<Arc<KnownJob>> {
        let gone = self.jobs.iter().filter(|jobs| !self.keys.contains_key(jobs.key()));
        gone.flat_map(|jobs| jobs.iter().filter(|job| !job.owned).map(Arc::clone).collect::<Vec<_>>()).collect()
    }

    /// The Run of that name.
    #[must_use]
    pub fn run(&self, key: &Key) -> Option<IndexedRun> {
        self.runs.get(key).map(|entry| entry.clone())
    }

    /// The Run has a claim, or its next tick has passed.
    #[must_use]
    pub fn is_due(&self, key: &Key, now: Timestamp) -> bool {
        let run = self.runs.get(key).map(|entry| Arc::clone(&entry.run));
        run.as_ref().and_then(|run| run.status.as_ref()).is_some_and(|status| {
            !status.claims.is_empty() || status.next_schedule_time.as_ref().is_some_and(|next| next.0 <= now)
        })
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
        self.runs.iter().map(|entry| entry.key().clone()).collect()
    }

    /// Takes in a Job from the watch; returns the Run it belongs to.
    pub fn apply_job(&self, job: &LightJob) -> Option<Key> {
        self.gone.forget(job.metadata.uid.as_deref()?);
        self.put_job(job)
    }

    fn put_job(&self, job: &LightJob) -> Option<Key> {
        let owner = owner_uid(&job.metadata)?;
        self.note_owner(job, owner);
        let mut jobs = self.jobs.entry(owner.to_owned()).or_default();
        let job = Arc::new(KnownJob::of(job)?);
        let known = jobs.iter_mut().find(|known| known.name() == job.name());
        if known.as_ref().is_some_and(|known| {
            known.uid() == job.uid() && !self.is_news(&job.resource_version, &known.resource_version)
        }) {
            return None;
        }
        if let Some(unfinished) = &self.unfinished {
            unfinished.replace(known.as_deref().map(Arc::as_ref), Some(&job));
        }
        match known {
            Some(known) => *known = job,
            None => jobs.push(job),
        }
        drop(jobs);
        self.key_of(owner)
    }

    /// Takes in the answer to one of our own calls about a Job. One that the watch has seen go stays gone, else it would
    /// count as unfinished for ever.
    pub fn apply_answered_job(&self, job: &LightJob) {
        self.put_job(job);
        // Afterwards: the watch may see it go at any moment.
        if self.gone.has(&job.metadata) {
            self.remove_job(&job.metadata);
        }
    }

    /// Forgets a Job that the watch has seen go; returns the Run it belonged to.
    pub fn remove_job(&self, metadata: &ObjectMeta) -> Option<Key> {
        self.gone.note(metadata.uid.as_deref()?);
        self.forget_job(owner_uid(metadata)?, metadata.uid.as_deref()?)
    }

    /// Forgets the Job of that UID of the Run or CronJob of that UID; returns the Run it belonged to.
    pub fn forget_job(&self, owner: &str, uid: &str) -> Option<Key> {
        if let Some(mut jobs) = self.jobs.get_mut(owner)
            && let Some(place) = jobs.iter().position(|job| job.uid() == uid)
        {
            let gone = jobs.swap_remove(place);
            if let Some(unfinished) = &self.unfinished {
                unfinished.replace(Some(&gone), None);
            }
        }
        self.jobs.remove_if(owner, |_, jobs| jobs.is_empty());
        self.foreign.remove_if(uid, |_, cron_job| cron_job == owner);
        self.key_of(owner)
    }

    /// Forgets what a new list does not show; returns the Runs that it belonged to.
    pub fn forget_unlisted_jobs(&self, listed: &HashSet<String>) -> Vec<Key> {
        let unlisted = |jobs: &[Arc<KnownJob>]| {
            let gone = jobs.iter().filter(|job| !listed.contains(job.uid()));
            gone.map(|job| job.uid().to_owned()).collect::<Vec<_>>()
        };
        let gone: Vec<_> = self.jobs.iter().map(|jobs| (jobs.key().clone(), unlisted(&jobs))).collect();
        let each = gone.iter().flat_map(|(owner, uids)| uids.iter().map(move |uid| (owner, uid)));
        each.filter_map(|(owner, uid)| self.forget_job(owner, uid)).collect()
    }

    /// The Jobs of the Run of that UID.
    #[must_use]
    pub fn jobs(&self, uid: &str) -> Vec<Arc<KnownJob>> {
        self.jobs.get(uid).map(|jobs| jobs.clone()).unwrap_or_default()
    }

    /// Takes in a ConfigMap; returns the Run it belongs to.
    pub fn apply_config(&self, mut config: LightConfigMap) -> Option<Key> {
        // Whose it is, and which version, is all that is asked.
        (config.metadata.managed_fields, config.metadata.labels) = (None, None);
        let owner = controller_uid(&config.metadata, crds::KIND)?.to_owned();
        let stale = self.configs.get(&owner).is_some_and(|known| {
            known.metadata.uid == config.metadata.uid
                && !self.is_news(version(&config.metadata), version(&known.metadata))
        });
        if stale {
            return None;
        }
        self.configs.insert(owner.clone(), Arc::new(config));
        self.key_of(&owner)
    }

    /// Forgets a deleted ConfigMap; returns the Run it belonged to.
    pub fn remove_config(&self, metadata: &ObjectMeta) -> Option<Key> {
        let owner = controller_uid(metadata, crds::KIND)?;
        self.configs.remove_if(owner, |_, config| config.metadata.uid == metadata.uid);
        self.key_of(owner)
    }

    /// The ConfigMap of the Run of that UID.
    #[must_use]
    pub fn config(&self, uid: &str) -> Option<Arc<LightConfigMap>> {
        self.configs.get(uid).map(|config| Arc::clone(&config))
    }

    /// Metadata of every ConfigMap that a new list does not show.
    #[must_use]
    pub fn unlisted_configs(&self, listed: &HashSet<String>) -> Vec<ObjectMeta> {
        let all = self.configs.iter();
        all.filter_map(|config| is_unlisted(&config.metadata, listed).then(|| config.metadata.clone())).collect()
    }

    /// Metadata of every Run that a new list does not show.
    #[must_use]
    pub fn unlisted_runs(&self, listed: &HashSet<String>) -> Vec<ObjectMeta> {
        let all = self.runs.iter();
        all.filter_map(|known| is_unlisted(&known.run.metadata, listed).then(|| known.run.metadata.clone())).collect()
    }

    /// How many views were older than what was held already.
    pub fn stale(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }

    /// Whether a view tells more than what is held: resourceVersions of one kind are numbers that grow, and one that is
    /// not a number is taken as it comes. The same version again is neither news nor stale.
    fn is_news(&self, candidate: &str, known: &str) -> bool {
        let (Ok(candidate), Ok(known)) = (candidate.parse::<u64>(), known.parse::<u64>()) else { return true };
        if candidate < known {
            self.stale.fetch_add(1, Ordering::Relaxed);
        }
        candidate > known
    }

    /// The Run of that UID, or the one that controls the CronJob of that UID.
    fn key_of(&self, uid: &str) -> Option<Key> {
        let of_cron_job = || self.key_of(controller_uid(&self.cron_job(uid)?.metadata, crds::KIND)?);
        self.keys.get(uid).map(|key| key.clone()).or_else(of_cron_job)
    }
}

fn is_unlisted(metadata: &ObjectMeta, listed: &HashSet<String>) -> bool {
    metadata.uid.as_ref().is_none_or(|uid| !listed.contains(uid))
}

/// The UID of the Run that a Job belongs to: its controller, or by label where it has no owner. That is what a teardown
/// has, and what an orphaning deletion leaves (R10, R30).
pub(crate) fn run_uid(metadata: &ObjectMeta) -> Option<&str> {
    if metadata.owner_references.as_ref().is_some_and(|owners| !owners.is_empty()) {
        return controller_uid(metadata, crds::KIND);
    }
    metadata.labels.as_ref()?.get(crds::RUN_UID_LABEL).map(String::as_str)
}

/// Under which UID a Job is kept: that of its Run, or of the CronJob that controls it (R31).
fn owner_uid(metadata: &ObjectMeta) -> Option<&str> {
    run_uid(metadata).or_else(|| controller_uid(metadata, CRON_JOB))
}

/// The UID of the object of that kind that controls this one. Names and labels of others do not count (R10).
fn controller_uid<'a>(metadata: &'a ObjectMeta, kind: &str) -> Option<&'a str> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    let group = if kind == crds::KIND { crds::GROUP } else { "batch" };
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    (owner.kind == kind && owner.api_version.split('/').next() == Some(group)).then_some(owner.uid.as_str())
}

fn version(metadata: &ObjectMeta) -> &str {
    metadata.resource_version.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
