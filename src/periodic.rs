//! Work that comes round by itself and is in no hurry: a look at everybody, and the gauges. No tick hangs on it.

use std::sync::Arc;

use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::controller::Controller;
use crate::metrics::Metrics;
use crate::queue::Lane;

/// Every ten minutes everybody is looked at: the net under lost watch events.
const RESYNC: &str = "0 */10 * * * *";
/// Teardown Jobs go a minute after their end, or a little later.
const SWEEP: &str = "*/5 * * * * *";
/// How often gauges are brought up to date.
const GAUGES: &str = "*/15 * * * * *";

/// Starts the periodic work; it ends when the scheduler is dropped.
///
/// # Errors
///
/// Where the scheduler cannot be started.
pub async fn start(controller: Arc<Controller>, metrics: Arc<Metrics>) -> Result<JobScheduler, JobSchedulerError> {
    let scheduler = JobScheduler::new().await?;
    let resynced = Arc::clone(&controller);
    scheduler
        .add(Job::new(RESYNC, move |_, _| {
            for key in resynced.index.keys() {
                resynced.queue.push(key, Lane::Change);
            }
        })?)
        .await?;
    let sweeper = Arc::clone(&controller);
    scheduler
        .add(Job::new_async(SWEEP, move |_, _| {
            let sweeper = Arc::clone(&sweeper);
            Box::pin(async move { sweeper.sweep().await })
        })?)
        .await?;
    scheduler
        .add(Job::new(GAUGES, move |_, _| {
            metrics.set_queue_depth(controller.queue.len());
            metrics.set_armed_runs(controller.ticker.armed());
            metrics.set_claims_outstanding(claims(&controller));
        })?)
        .await?;
    scheduler.start().await?;
    Ok(scheduler)
}

fn claims(controller: &Controller) -> usize {
    let runs = controller.index.keys().into_iter().filter_map(|key| controller.index.run(&key));
    runs.map(|indexed| indexed.run.status.as_ref().map_or(0, |status| status.claims.len())).sum()
}
