//! What the watches have shown, and our own writes: Runs by name, Jobs and `ConfigMaps` by the UID of their Run.
//!
//! Whatever carries the higher resourceVersion wins, and the answer to a write goes in like a watch event. So no look is
//! ever based on a state older than this process' own last write to that Run (R33).

mod configs;
mod cron_jobs;
mod gone;
mod jobs;
mod key;
mod names;
mod runs;
mod unfinished;
mod version;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use dashmap::DashMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use self::gone::Gone;
use self::names::Names;
use self::runs::KnownRun;
use crate::light::{LightCronJob, LightJob};
pub use configs::KnownConfig;
pub use jobs::KnownJob;
pub use key::Key;
pub use runs::{IndexedRun, strip};
pub use unfinished::Unfinished;
pub use version::Version;

const CRON_JOB: &str = "CronJob";

/// The cache of one process.
#[derive(Default)]
pub struct Index {
    runs: DashMap<Key, KnownRun>,
    /// Run of each UID, for events that only know the owner.
    keys: DashMap<Box<str>, Key>,
    names: Names,
    jobs: DashMap<Box<str>, Vec<Arc<KnownJob>>>,
    /// How many lists of Jobs have been begun.
    job_lists: AtomicU32,
    configs: DashMap<Box<str>, KnownConfig>,
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

    /// Namespaces of other living Runs of this name (R11), in order.
    #[must_use]
    pub fn namesakes(&self, key: &Key) -> Vec<Arc<str>> {
        self.names.namesakes(key)
    }

    /// Teardown Jobs whose Run is gone: nobody else puts them away (R30).
    #[must_use]
    pub fn leftovers(&self) -> Vec<Arc<KnownJob>> {
        let gone = self.jobs.iter().filter(|jobs| !self.keys.contains_key(jobs.key()));
        gone.flat_map(|jobs| jobs.iter().filter(|job| !job.owned).map(Arc::clone).collect::<Vec<_>>()).collect()
    }

    /// Takes in a Job from the watch; returns the Run it belongs to.
    pub fn apply_job(&self, job: &LightJob) -> Option<Key> {
        self.gone.forget(job.metadata.uid.as_deref()?);
        self.put_job(job)
    }

    fn put_job(&self, job: &LightJob) -> Option<Key> {
        let owner = owner_uid(&job.metadata)?;
        self.note_owner(job, owner);
        let key = self.key_of(owner);
        let mut job = KnownJob::of(job, key.as_ref())?;
        job.list = self.job_lists.load(Ordering::Acquire);
        let job = Arc::new(job);
        let mut jobs = self.jobs.entry(owner.into()).or_default();
        let known = jobs.iter_mut().find(|known| known.name() == job.name());
        if known.as_ref().is_some_and(|known| known.uid() == job.uid() && !self.is_news(&job.version, &known.version)) {
            return None;
        }
        if let Some(unfinished) = &self.unfinished {
            unfinished.replace(known.as_deref().map(Arc::as_ref), Some(&job));
        }
        match known {
            Some(known) => *known = job,
            None => jobs.push(job),
        }
        key
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

    /// A new list of Jobs is asked for.
    pub fn begin_job_list(&self) {
        self.job_lists.fetch_add(1, Ordering::AcqRel);
    }

    /// Forgets what a new list does not show, unless it was made since that was begun; returns the Runs that it belonged to.
    pub fn forget_unlisted_jobs(&self, listed: &HashSet<String>) -> Vec<Key> {
        let list = self.job_lists.load(Ordering::Acquire);
        let unlisted = |jobs: &[Arc<KnownJob>]| {
            let gone = jobs.iter().filter(|job| job.list < list && !listed.contains(job.uid()));
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

    /// How many views were older than what was held already.
    pub fn stale(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }

    /// Whether a view tells more than what is held.
    fn is_news(&self, candidate: &Version, known: &Version) -> bool {
        if candidate.is_older_than(known) {
            self.stale.fetch_add(1, Ordering::Relaxed);
        }
        candidate.is_news_to(known)
    }

    /// The Run of that UID, or the one that controls the CronJob of that UID.
    fn key_of(&self, uid: &str) -> Option<Key> {
        let run = |uid: &str| self.keys.get(uid).map(|key| key.clone());
        // One step and no further: owners are what people write, and may lead round in a circle.
        let of_cron_job = || run(controller_uid(&self.cron_job(uid)?.metadata, crds::KIND)?);
        run(uid).or_else(of_cron_job)
    }
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

#[cfg(test)]
mod tests;
