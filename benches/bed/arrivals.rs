//! When Jobs arrive at a client that watches.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt as _};
use marmot_operator::light::LightJob;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Between two attempts at a watch.
const PAUSE: Duration = Duration::from_millis(100);

/// A Job that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// Its Run or CronJob; for a Job without owner, its own name.
    pub(crate) owner: String,
    /// The tick it says it is for.
    pub(crate) tick: Option<Timestamp>,
    /// When the watch told of it.
    pub(crate) at: Timestamp,
}

/// A watch of the Jobs of a namespace.
pub(crate) struct Arrivals {
    seen: Arc<Mutex<Vec<Arrival>>>,
    count: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Arrivals {
    /// Watches from now on; the namespace has no Jobs yet.
    pub(crate) async fn watch(client: &Client, namespace: &str) -> anyhow::Result<Self> {
        let jobs: Api<LightJob> = Api::namespaced(client.clone(), namespace);
        let mut version =
            jobs.list(&ListParams::default().limit(1)).await?.metadata.resource_version.unwrap_or_default();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (told, count) = watch::channel(0);
        let store = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut uids = HashSet::new();
            let mut take = |job: &LightJob, at| {
                if uids.insert(job.uid()) {
                    let mut seen = store.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.push(arrival(job, at));
                    told.send_replace(seen.len());
                }
            };
            loop {
                let params = WatchParams::default().timeout(290);
                let Ok(stream) = jobs.watch(&params, &version).await else {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                };
                let mut stream = stream.boxed();
                let mut expired = false;
                while let Some(event) = stream.next().await {
                    let at = Timestamp::now();
                    match event {
                        Ok(WatchEvent::Added(job) | WatchEvent::Modified(job)) => {
                            version = job.resource_version().unwrap_or_default();
                            take(&job, at);
                        }
                        Ok(WatchEvent::Bookmark(mark)) => version = mark.metadata.resource_version,
                        Ok(WatchEvent::Deleted(job)) => version = job.resource_version().unwrap_or_default(),
                        Ok(WatchEvent::Error(_)) => {
                            expired = true;
                            break;
                        }
                        Err(_) => break,
                    }
                }
                // What the API server has forgotten is found late, but not lost.
                if expired && let Ok(list) = jobs.list(&ListParams::default()).await {
                    let at = Timestamp::now();
                    version = list.metadata.resource_version.unwrap_or_default();
                    list.items.iter().for_each(|job| take(job, at));
                }
            }
        });
        Ok(Self { seen, count, task })
    }

    /// Waits until so many have arrived, at most until an instant.
    pub(crate) async fn wait(&mut self, enough: usize, until: Timestamp) {
        let patience = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
        let _ = tokio::time::timeout(patience, self.count.wait_for(|count| *count >= enough)).await;
    }

    /// What has arrived so far.
    pub(crate) fn so_far(&self) -> Vec<Arrival> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn arrival(job: &LightJob, at: Timestamp) -> Arrival {
    let tick = job.annotations().get(crds::SCHEDULED_TIMESTAMP_ANNOTATION).and_then(|text| text.parse().ok());
    let owner = job.owner_references().first().map(|owner| owner.name.clone());
    Arrival { owner: owner.unwrap_or_else(|| job.name_any()), tick, at }
}

/// How late Jobs were, in milliseconds, and whether each tick had one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lateness {
    /// Of all Jobs, ascending.
    pub(crate) sorted: Vec<f64>,
    /// Ticks without a Job.
    pub(crate) missing: usize,
    /// Jobs beyond the first of their tick.
    pub(crate) doubled: usize,
}

impl Lateness {
    /// `expected` ticks; `since` is the tick of Jobs that name none.
    pub(crate) fn new(arrivals: &[Arrival], expected: usize, since: Timestamp) -> Self {
        let mut ticks: BTreeMap<(&str, Timestamp), usize> = BTreeMap::new();
        let mut sorted = Vec::new();
        for arrival in arrivals {
            let tick = arrival.tick.unwrap_or(since);
            *ticks.entry((&arrival.owner, tick)).or_default() += 1;
            sorted.push(arrival.at.duration_since(tick).as_secs_f64() * 1000.0);
        }
        sorted.sort_by(f64::total_cmp);
        let doubled = arrivals.len() - ticks.len();
        Self { sorted, missing: expected.saturating_sub(ticks.len()), doubled }
    }

    /// The value that `percent` of a hundred do not exceed; none if nothing arrived.
    pub(crate) fn percentile(&self, percent: usize) -> Option<f64> {
        let rank = (self.sorted.len() * percent).div_ceil(100).max(1) - 1;
        self.sorted.get(rank).copied()
    }
}
