//! What the operator before this one made of Runs (R31).

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Index, Key, KnownJob, Version, controller_uid, run_uid};
use crate::light::{LightCronJob, LightJob};

#[allow(clippy::must_use_candidate, reason = "the Run to look at matters to the watches, not after our own writes")]
impl Index {
    /// Takes in a CronJob from the watch; returns the Run that controls it.
    pub fn apply_cron_job(&self, cron_job: LightCronJob) -> Option<Key> {
        self.gone.forget(cron_job.metadata.uid.as_deref()?);
        self.put_cron_job(cron_job)
    }

    fn put_cron_job(&self, mut cron_job: LightCronJob) -> Option<Key> {
        cron_job.metadata.managed_fields = None;
        let owner = controller_uid(&cron_job.metadata, crds::KIND)?.to_owned();
        let uid = cron_job.metadata.uid.clone()?;
        let is_news =
            |known: &LightCronJob| self.is_news(&Version::of(&cron_job.metadata), &Version::of(&known.metadata));
        if self.cron_jobs.get(&uid).is_some_and(|known| !is_news(&known)) {
            return None;
        }
        self.cron_jobs.insert(uid, Arc::new(cron_job));
        self.key_of(&owner)
    }

    /// Takes in the answer to one of our own calls about a CronJob. One that the watch has seen go stays gone: while there is
    /// a CronJob no tick of the Run is run.
    pub fn apply_answered_cron_job(&self, cron_job: LightCronJob) {
        let metadata = cron_job.metadata.clone();
        self.put_cron_job(cron_job);
        if self.gone.has(&metadata) {
            self.remove_cron_job(&metadata);
        }
    }

    /// Forgets a deleted CronJob; returns the Run that controlled it.
    pub fn remove_cron_job(&self, metadata: &ObjectMeta) -> Option<Key> {
        let uid = metadata.uid.as_deref()?;
        self.gone.note(uid);
        self.cron_jobs.remove(uid);
        self.key_of(controller_uid(metadata, crds::KIND)?)
    }

    /// The CronJob of that UID.
    #[must_use]
    pub fn cron_job(&self, uid: &str) -> Option<Arc<LightCronJob>> {
        self.cron_jobs.get(uid).map(|cron_job| Arc::clone(&cron_job))
    }

    /// Each CronJob that the Run of that UID controls, oldest first.
    #[must_use]
    pub fn cron_jobs(&self, run: &str) -> Vec<Arc<LightCronJob>> {
        if self.cron_jobs.is_empty() {
            return Vec::new();
        }
        let all = self.cron_jobs.iter().map(|cron_job| Arc::clone(&cron_job));
        let mut own: Vec<_> =
            all.filter(|cron_job| controller_uid(&cron_job.metadata, crds::KIND) == Some(run)).collect();
        let age = |cron_job: &LightCronJob| cron_job.metadata.creation_timestamp.clone().map(|time| time.0);
        own.sort_by_key(|cron_job| (age(cron_job), cron_job.metadata.uid.clone()));
        own
    }

    /// The Job of that UID, if a CronJob controls it.
    #[must_use]
    pub fn foreign_job(&self, uid: &str) -> Option<Arc<KnownJob>> {
        let owner = self.foreign.get(uid).map(|owner| owner.clone())?;
        self.jobs(&owner).into_iter().find(|job| job.uid() == uid)
    }

    /// Forgets the Job of that UID, if a CronJob controls it.
    pub fn forget_foreign_job(&self, uid: &str) {
        if let Some((_, owner)) = self.foreign.remove(uid) {
            self.forget_job(&owner, uid);
        }
    }

    /// A Job that the Run has been given is its CronJob's no more, whoever gave it and however that is learned: else it
    /// would be given again for ever.
    pub(super) fn note_owner(&self, job: &LightJob, owner: &str) {
        let Some(uid) = &job.metadata.uid else { return };
        if run_uid(&job.metadata).is_none() {
            self.foreign.insert(uid.clone(), owner.to_owned());
        } else if !self.foreign.is_empty() {
            self.forget_foreign_job(uid);
        }
    }

    /// Forgets what a new list does not show; returns the Runs that controlled it.
    pub fn forget_unlisted_cron_jobs(&self, listed: &HashSet<String>) -> Vec<Key> {
        let unlisted = self.cron_jobs.iter().filter(|cron_job| !listed.contains(cron_job.key()));
        let gone: Vec<ObjectMeta> = unlisted.map(|cron_job| cron_job.metadata.clone()).collect();
        gone.iter().filter_map(|metadata| self.remove_cron_job(metadata)).collect()
    }
}
