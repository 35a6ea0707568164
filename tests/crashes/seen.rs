//! All that was ever there in the namespace of a play: a watch that misses nothing.

use std::collections::{BTreeMap, BTreeSet};

use crds::Run;
use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::support::operator::World;

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The UIDs that each name of a Job has ever had.
    pub made: BTreeMap<String, BTreeSet<String>>,
    /// The Jobs that are there.
    pub jobs: BTreeMap<String, Job>,
    /// The Runs that are there.
    pub runs: BTreeMap<String, Run>,
    /// Jobs and Runs were listed once.
    followed: (bool, bool),
}

/// The record, as it grows.
pub struct Seen {
    pub record: watch::Receiver<Record>,
    watches: [AbortHandle; 2],
}

impl Seen {
    /// Follows from now on.
    pub async fn follow(world: &World) -> Self {
        let (sender, mut record) = watch::channel(Record::default());
        let jobs = follow(world.jobs(), sender.clone(), |record, event| match event {
            Event::Apply(job) | Event::InitApply(job) => {
                record.made.entry(job.name_any()).or_default().extend(job.uid());
                record.jobs.insert(job.name_any(), job);
            }
            Event::Delete(job) => drop(record.jobs.remove(&job.name_any())),
            Event::Init => {}
            Event::InitDone => record.followed.0 = true,
        });
        let runs = follow(world.runs(), sender, |record, event| match event {
            Event::Apply(run) | Event::InitApply(run) => drop(record.runs.insert(run.name_any(), run)),
            Event::Delete(run) => drop(record.runs.remove(&run.name_any())),
            Event::Init => {}
            Event::InitDone => record.followed.1 = true,
        });
        record.wait_for(|record| record.followed == (true, true)).await.expect("the watches go on");
        Self { record, watches: [jobs, runs] }
    }
}

fn follow<K>(api: Api<K>, to: watch::Sender<Record>, take: fn(&mut Record, Event<K>)) -> AbortHandle
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    let follow = async move {
        let mut events = std::pin::pin!(watcher(api, watcher::Config::default()));
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => to.send_modify(|record| take(record, event)),
                // It goes on where it was.
                Err(error) => println!("a watch of the test: {error}"),
            }
        }
    };
    tokio::spawn(follow).abort_handle()
}

impl Drop for Seen {
    fn drop(&mut self) {
        for watch in &self.watches {
            watch.abort();
        }
    }
}
