//! Work that comes round by itself and is in no hurry: a look at everybody, and a sweep. No tick hangs on it.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::controller::Controller;
use crate::queue::Lane;

/// Every ten minutes everybody is looked at: the net under lost watch events.
const RESYNC: &str = "0 */10 * * * *";
/// Teardown Jobs go a minute after their end, or a little later.
const SWEEP: &str = "*/5 * * * * *";

/// Does the periodic work until dropped. It goes by the wall clock, so it starts anew whenever that was stepped (R20).
///
/// # Errors
///
/// Where the scheduler cannot be started.
pub async fn run(controller: Arc<Controller>, stepped: Arc<Notify>) -> Result<Infallible, JobSchedulerError> {
    loop {
        let mut scheduler = start(Arc::clone(&controller)).await?;
        stepped.notified().await;
        scheduler.shutdown().await?;
    }
}

async fn start(controller: Arc<Controller>) -> Result<JobScheduler, JobSchedulerError> {
    let scheduler = JobScheduler::new().await?;
    let resynced = Arc::clone(&controller);
    scheduler
        .add(Job::new(RESYNC, move |_, _| {
            for key in resynced.index.keys() {
                resynced.queue.push(key, Lane::Change);
            }
        })?)
        .await?;
    let sweeper = controller;
    scheduler
        .add(Job::new_async(SWEEP, move |_, _| {
            let sweeper = Arc::clone(&sweeper);
            Box::pin(async move { sweeper.sweep().await })
        })?)
        .await?;
    scheduler.start().await?;
    Ok(scheduler)
}
