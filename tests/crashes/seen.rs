//! All that was ever there in the namespace of a play: a watch that misses nothing.

use std::collections::{BTreeMap, BTreeSet};

use crds::Run;
use futures::TryStreamExt;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::runtime::watcher::{self, Event, watcher};
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
}

/// The record, as it grows.
pub struct Seen {
    pub record: watch::Receiver<Record>,
    watches: [AbortHandle; 2],
}

impl Seen {
    pub fn follow(world: &World) -> Self {
        let (sender, record) = watch::channel(Record::default());
        let (jobs, runs) = (world.jobs(), world.runs());
        let to_jobs = sender.clone();
        let jobs = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher(jobs, watcher::Config::default()));
            while let Some(event) = events.try_next().await.expect("the watch of Jobs goes on") {
                to_jobs.send_modify(|record| match event {
                    Event::Apply(job) | Event::InitApply(job) => {
                        record.made.entry(job.name_any()).or_default().extend(job.uid());
                        record.jobs.insert(job.name_any(), job);
                    }
                    Event::Delete(job) => drop(record.jobs.remove(&job.name_any())),
                    Event::Init | Event::InitDone => {}
                });
            }
        });
        let runs = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher(runs, watcher::Config::default()));
            while let Some(event) = events.try_next().await.expect("the watch of Runs goes on") {
                sender.send_modify(|record| match event {
                    Event::Apply(run) | Event::InitApply(run) => drop(record.runs.insert(run.name_any(), run)),
                    Event::Delete(run) => drop(record.runs.remove(&run.name_any())),
                    Event::Init | Event::InitDone => {}
                });
            }
        });
        Self { record, watches: [jobs.abort_handle(), runs.abort_handle()] }
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        for watch in &self.watches {
            watch.abort();
        }
    }
}
