//! The watches: API server → index → queue. They end only with the process; errors are waited out (R38).

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crds::Run;
use futures::TryStreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tracing::{debug, warn};

use crate::index::{Index, Key};
use crate::lenient::Lenient;
use crate::light::{LightConfigMap, LightCronJob, LightJob};
use crate::queue::{Lane, Queue};

/// A kind of object the index holds.
trait Indexed: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static {
    /// Only objects with this label are watched.
    const SELECTOR: Option<&'static str>;

    /// A new list is asked for. What is taken in from here on, by answers to our own calls, may be younger than it.
    fn begin_list(_: &Index) {}

    /// Takes the object in; returns the Run to look at.
    fn apply(self, index: &Index) -> Option<Key>;

    /// Takes a deleted object out; returns the Run to look at.
    fn remove(metadata: &ObjectMeta, index: &Index) -> Option<Key>;

    /// Takes out what a new list does not show; returns the Runs to look at.
    fn forget_unlisted(listed: &HashSet<String>, index: &Index) -> Vec<Key>;
}

/// Label of everything the operator has made.
pub(crate) const OURS: Option<&str> = Some("app.kubernetes.io/managed-by=marmot-operator");

impl Indexed for Lenient<Run> {
    const SELECTOR: Option<&'static str> = None;

    fn apply(self, index: &Index) -> Option<Key> {
        index.apply_run(self).unwrap_or_else(|broken| {
            warn!(run = %Key::of(&broken.metadata), error = broken.error, "this Run cannot be read and is skipped");
            None
        })
    }

    fn remove(metadata: &ObjectMeta, index: &Index) -> Option<Key> {
        Some(index.remove_run(metadata))
    }

    fn forget_unlisted(listed: &HashSet<String>, index: &Index) -> Vec<Key> {
        index.forget_unlisted_runs(listed)
    }
}

impl Indexed for Lenient<LightJob> {
    const SELECTOR: Option<&'static str> = OURS;

    fn begin_list(index: &Index) {
        index.begin_job_list();
    }

    fn apply(self, index: &Index) -> Option<Key> {
        match self.0 {
            Ok(job) => index.apply_job(&job),
            Err(broken) => {
                warn!(job = %Key::of(&broken.metadata), error = broken.error, "this Job cannot be read and is skipped");
                None
            }
        }
    }

    fn remove(metadata: &ObjectMeta, index: &Index) -> Option<Key> {
        index.remove_job(metadata)
    }

    fn forget_unlisted(listed: &HashSet<String>, index: &Index) -> Vec<Key> {
        index.forget_unlisted_jobs(listed)
    }
}

impl Indexed for Lenient<LightConfigMap> {
    const SELECTOR: Option<&'static str> = OURS;

    fn apply(self, index: &Index) -> Option<Key> {
        self.0.ok().and_then(|config| index.apply_config(&config))
    }

    fn remove(metadata: &ObjectMeta, index: &Index) -> Option<Key> {
        index.remove_config(metadata)
    }

    fn forget_unlisted(listed: &HashSet<String>, index: &Index) -> Vec<Key> {
        index.forget_unlisted_configs(listed)
    }
}

impl Indexed for Lenient<LightCronJob> {
    const SELECTOR: Option<&'static str> = OURS;

    fn apply(self, index: &Index) -> Option<Key> {
        self.0.ok().and_then(|cron_job| index.apply_cron_job(cron_job))
    }

    fn remove(metadata: &ObjectMeta, index: &Index) -> Option<Key> {
        index.remove_cron_job(metadata)
    }

    fn forget_unlisted(listed: &HashSet<String>, index: &Index) -> Vec<Key> {
        index.forget_unlisted_cron_jobs(listed)
    }
}

/// Which lists have been seen whole.
#[derive(Debug, Default)]
pub struct Synced {
    runs: AtomicBool,
    jobs: AtomicBool,
    configs: AtomicBool,
    cron_jobs: AtomicBool,
    services: AtomicBool,
    progress: Notify,
}

impl Synced {
    #[cfg(test)]
    pub(crate) fn complete() -> Self {
        let seen = || AtomicBool::new(true);
        let (runs, jobs, configs, cron_jobs, services) = (seen(), seen(), seen(), seen(), seen());
        Self { runs, jobs, configs, cron_jobs, services, progress: Notify::new() }
    }

    /// The Services of Marmot have been seen, or do not matter; whether that is new.
    pub fn see_services(&self) -> bool {
        let first = !self.services.swap(true, Ordering::AcqRel);
        self.progress.notify_one();
        first
    }

    /// Waits for the next list to be complete.
    pub async fn progress(&self) {
        self.progress.notified().await;
    }

    /// What has not been seen yet; empty once a look is worth anything.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let lists = [
            (&self.runs, "runs"),
            (&self.jobs, "jobs"),
            (&self.configs, "configmaps"),
            (&self.cron_jobs, "cronjobs"),
            (&self.services, "services"),
        ];
        lists.into_iter().filter(|(seen, _)| !seen.load(Ordering::Acquire)).map(|(_, name)| name).collect()
    }

    /// All lists have been seen.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing().is_empty()
    }
}

/// Follows Runs, Jobs, `ConfigMaps` and what another operator has left (R31) in one namespace, or in all. Ends when dropped.
pub async fn run(client: Client, namespace: Option<&str>, index: &Index, queue: &Queue, synced: &Arc<Synced>) {
    tokio::join!(
        follow::<Lenient<Run>>(client.clone(), namespace, index, queue, synced, &synced.runs),
        follow::<Lenient<LightJob>>(client.clone(), namespace, index, queue, synced, &synced.jobs),
        follow::<Lenient<LightConfigMap>>(client.clone(), namespace, index, queue, synced, &synced.configs),
        follow::<Lenient<LightCronJob>>(client, namespace, index, queue, synced, &synced.cron_jobs),
    );
}

async fn follow<K>(
    client: Client,
    namespace: Option<&str>,
    index: &Index,
    queue: &Queue,
    synced: &Synced,
    seen: &AtomicBool,
) where
    K: Indexed,
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
{
    let api: Api<K> = namespace.map_or_else(|| Api::all(client.clone()), |name| Api::namespaced(client.clone(), name));
    let config = watcher::Config { label_selector: K::SELECTOR.map(str::to_owned), ..watcher::Config::default() };
    let mut events = std::pin::pin!(watch(api, config).backoff(Pauses::default()));
    let mut listed = HashSet::new();
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                let complete = matches!(event, Event::InitDone);
                let changed = take_in(event, index, &mut listed);
                if complete {
                    seen.store(true, Ordering::Release);
                    synced.progress.notify_one();
                }
                if synced.is_complete() {
                    for key in changed {
                        ask(index, queue, key);
                    }
                }
            }
            Ok(None) => return,
            Err(error) => debug!(kind = %K::kind(&()), %error, "watch interrupted"),
        }
    }
}

/// Asks for a look at a Run that changed, and at its namesakes. A trigger does not wait behind the settles of thousands.
fn ask(index: &Index, queue: &Queue, key: Key) {
    for namespace in index.namesakes(&key) {
        queue.push(Key { namespace, name: key.name.clone() }, Lane::Change);
    }
    let lane = if index.is_triggered(&key) { Lane::Due } else { Lane::Change };
    queue.push(key, lane);
}

/// Applies one event; returns the Runs it concerns. Once a list is complete, what it no longer shows is gone.
fn take_in<K: Indexed>(event: Event<K>, index: &Index, listed: &mut HashSet<String>) -> Vec<Key> {
    match event {
        Event::Apply(object) => object.apply(index).into_iter().collect(),
        Event::Delete(object) => K::remove(object.meta(), index).into_iter().collect(),
        Event::Init => {
            K::begin_list(index);
            listed.clear();
            Vec::new()
        }
        Event::InitApply(object) => {
            listed.extend(object.meta().uid.clone());
            object.apply(index).into_iter().collect()
        }
        Event::InitDone => {
            let changed = K::forget_unlisted(listed, index);
            *listed = HashSet::new();
            changed
        }
    }
}

/// Pauses between attempts at a watch: doubling from 0.2 s to 10 s (R38).
#[derive(Debug)]
pub(crate) struct Pauses(Duration);

impl Pauses {
    const FIRST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(10);
}

impl Default for Pauses {
    fn default() -> Self {
        Self(Self::FIRST)
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = (pause * 2).min(Self::LONGEST);
        Some(pause)
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0 = Self::FIRST;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // R27: at once, also while ten thousand runs that have just started are settled.
    #[tokio::test]
    async fn a_trigger_goes_before_what_merely_changed() {
        let (index, queue) = (Index::default(), Queue::default());
        let run = |name: &str, annotations: serde_json::Value| -> Lenient<Run> {
            let metadata = json!({ "name": name, "namespace": "data", "uid": name, "annotations": annotations });
            serde_json::from_value(json!({ "metadata": metadata, "spec": { "runs": [{ "x": {} }] } })).unwrap()
        };
        for name in ["a", "b", "c"] {
            ask(&index, &queue, index.apply_run(run(name, json!({}))).unwrap().unwrap());
        }
        let triggered = run("triggered", json!({ crds::TRIGGER_ANNOTATION: "true" }));
        ask(&index, &queue, index.apply_run(triggered).unwrap().unwrap());
        assert_eq!(&*queue.next().await.name, "triggered");
        assert_eq!(&*queue.next().await.name, "a");
    }
}
