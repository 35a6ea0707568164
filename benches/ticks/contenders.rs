//! The contenders, one after the other and each in a namespace of its own.

use std::time::Duration;

use anyhow::Context as _;
use crds::Run;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};

use crate::bed::arrivals::{Arrivals, Lateness};
use crate::bed::control_plane::ControlPlane;
use crate::bed::objects;
use crate::bed::process::Process;
use crate::bed::requests::{IN_FLIGHT, clear, create_all, minute_after, numbered, schedule_of};
use crate::bed::writes::Writes;
use crate::table::Row;

/// Raw creates are tried with so many in flight.
const CONCURRENCIES: [usize; 4] = [8, 16, 32, 64];
/// CronJobs that have no Job so long after the minute are given up.
const PATIENCE: SignedDuration = SignedDuration::from_secs(180);
/// From the last Job on, so long at most until nobody writes any more: ten thousand settles and events take a while.
const REST: Duration = Duration::from_secs(300);
/// Ticks of the single Run with a short interval.
const STEADY_TICKS: usize = 60;

/// All contenders contend here.
pub(crate) struct Bench {
    plane: ControlPlane,
}

impl Bench {
    /// On this control plane.
    pub(crate) const fn new(plane: ControlPlane) -> Self {
        Self { plane }
    }

    fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.plane.client.clone(), namespace)
    }

    /// Jobs as fast as the API server takes them: a row for each concurrency.
    pub(crate) async fn raw(&self, due: usize) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        for concurrency in CONCURRENCIES.into_iter().filter(|concurrency| due > 1 || *concurrency == 8) {
            let namespace = self.plane.namespace("raw").await;
            let jobs: Api<Job> = self.api(&namespace);
            let mut bodies = Vec::new();
            for number in 0..due {
                let mut job = objects::job(&format!("bench-{number}"), Timestamp::now())?;
                // Lateness is counted from the first request.
                job.metadata.annotations = None;
                job.metadata
                    .owner_references
                    .iter_mut()
                    .flatten()
                    .for_each(|owner| owner.name = format!("bench-{number}"));
                bodies.push(job);
            }
            let mut arrivals = Arrivals::watch(&self.plane.client, &namespace).await?;
            // Connections are warm, as those of the controllers are.
            stream::iter(0..concurrency)
                .map(|_| jobs.list(&LIST_ONE))
                .buffer_unordered(concurrency)
                .try_collect::<Vec<_>>()
                .await?;
            let since = Timestamp::now();
            create_all(&jobs, bodies, concurrency).await?;
            arrivals.wait(due, since + PATIENCE).await;
            let lateness = Lateness::new(&arrivals.so_far(), due, since);
            clear(&self.api::<Job>(&namespace)).await?;
            let name = format!("raw creates, {concurrency} in flight");
            let note =
                format!("{concurrency} in flight: {:.0} ms", lateness.sorted.last().copied().unwrap_or_default());
            rows.push(Row { name, due, lateness, writes: vec![], cpu: vec![], memory: vec![], note });
        }
        Ok(rows)
    }

    /// CronJobs in kube-controller-manager.
    pub(crate) async fn cron_jobs(&self, due: usize, raised: bool) -> anyhow::Result<Row> {
        let namespace = self.plane.namespace("cronjob").await;
        let controllers = [self.plane.cron_job_controller(raised)?];
        let tick = next_minute(due);
        let schedule = schedule_of(tick);
        let cron_jobs: Result<Vec<CronJob>, _> =
            numbered(due).map(|name| objects::cron_job(&name, &schedule)).collect();
        create_all(&self.api(&namespace), cron_jobs?, IN_FLIGHT).await?;
        let name = if raised { "CronJob, raised flags" } else { "CronJob, default flags" };
        let mut row = self.measure(name, due, tick, PATIENCE, &namespace, &controllers).await?;
        if row.lateness.missing > 0 {
            row.note = format!("given up {} s after the minute; {}", PATIENCE.as_secs(), row.note);
        }
        drop(controllers);
        clear(&self.api::<CronJob>(&namespace)).await?;
        clear(&self.api::<Job>(&namespace)).await?;
        Ok(row)
    }

    /// Runs in this operator.
    pub(crate) async fn runs(&self, due: usize, replicas: usize) -> anyhow::Result<Row> {
        let namespace = self.plane.namespace("ours").await;
        let operators = (0..replicas).map(|_| self.plane.operator(&namespace)).collect::<Result<Vec<_>, _>>()?;
        let tick = next_minute(due);
        let schedule = schedule_of(tick);
        let runs: Result<Vec<Run>, _> = numbered(due).map(|name| objects::run(&name, &schedule)).collect();
        create_all(&self.api(&namespace), runs?, IN_FLIGHT).await?;
        let name = format!("this operator, {replicas} replica{}", if replicas == 1 { "" } else { "s" });
        let row = self.measure(&name, due, tick, PATIENCE, &namespace, &operators).await?;
        self.clear_runs(&namespace, operators).await?;
        Ok(row)
    }

    /// One Run every two seconds, for percentiles of a tick that has the operator to itself.
    pub(crate) async fn steady(&self) -> anyhow::Result<Row> {
        let namespace = self.plane.namespace("steady").await;
        let operators = vec![self.plane.operator(&namespace)?];
        create_all(&self.api::<Run>(&namespace), vec![objects::run("bench", "@every 2s")?], 1).await?;
        let before = Writes::count(&self.plane.client).await?;
        let cpu = total(&operators, Process::cpu)?;
        let mut arrivals = Arrivals::watch(&self.plane.client, &namespace).await?;
        arrivals.wait(STEADY_TICKS, Timestamp::now() + SignedDuration::from_secs(2 * 60 + 20)).await;
        let suspend = Patch::Merge(objects::suspension());
        self.api::<Run>(&namespace).patch("bench", &PatchParams::default(), &suspend).await?;
        Writes::rest(&self.plane.client, Duration::from_secs(10)).await?;
        let arrived = arrivals.so_far();
        // From the first tick to the last one, each is expected.
        let ticks: Vec<Timestamp> = arrived.iter().filter_map(|arrival| arrival.tick).collect();
        let first = ticks.iter().min().copied().context("no tick ran")?;
        let span = ticks.iter().max().map_or(0, |last| last.duration_since(first).as_secs());
        let due = usize::try_from(span / 2 + 1)?;
        let row = Row {
            name: "this operator, 1 Run every 2 s".to_owned(),
            due,
            lateness: Lateness::new(&arrived, due, first),
            writes: Writes::count(&self.plane.client).await?.per_tick(&before, due),
            cpu: differences(&total(&operators, Process::cpu)?, &cpu),
            memory: total(&operators, Process::peak_memory)?,
            note: format!("one create at a time takes {}", self.round_trips(&namespace).await?),
        };
        self.clear_runs(&namespace, operators).await?;
        Ok(row)
    }

    /// How long one create takes that has the API server to itself, by the client that measures.
    async fn round_trips(&self, namespace: &str) -> anyhow::Result<String> {
        let jobs: Api<Job> = self.api(namespace);
        let mut took = Vec::new();
        for number in 0..STEADY_TICKS {
            let job = objects::job(&format!("single-{number}"), Timestamp::now())?;
            let started = std::time::Instant::now();
            jobs.create(&PostParams::default(), &job).await?;
            took.push(started.elapsed().as_secs_f64() * 1000.0);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        took.sort_by(f64::total_cmp);
        let lateness = Lateness { sorted: took, ..Lateness::default() };
        let [median, high] = [50, 99].map(|percent| lateness.percentile(percent).unwrap_or_default());
        Ok(format!("{median:.1} ms (p50), {high:.1} ms (p99)"))
    }

    /// Waits for rest, then for the tick, its Jobs, and rest again.
    async fn measure(
        &self,
        name: &str,
        due: usize,
        tick: Timestamp,
        patience: SignedDuration,
        namespace: &str,
        controllers: &[Process],
    ) -> anyhow::Result<Row> {
        let client = &self.plane.client;
        let mut arrivals = Arrivals::watch(client, namespace).await?;
        let left = tick.duration_since(Timestamp::now()) - SignedDuration::from_secs(2);
        let rested = Writes::rest(client, Duration::try_from(left).unwrap_or_default()).await?;
        let (writes, cpu) = (Writes::count(client).await?, total(controllers, Process::cpu)?);
        let spare = tick.duration_since(Timestamp::now()).as_secs();

        arrivals.wait(due, tick + patience).await;
        // Should there be a second Job for a tick, it has come by the time that nobody writes any more.
        Writes::rest(client, REST).await?;
        let note = match (rested, spare) {
            (true, _) => format!("at rest {spare} s before the minute"),
            (false, ..=0) => "objects were not all created by the minute: not comparable".to_owned(),
            (false, _) => "not at rest before the minute: writes are not those of the tick alone".to_owned(),
        };
        Ok(Row {
            name: name.to_owned(),
            due,
            lateness: Lateness::new(&arrivals.so_far(), due, tick),
            writes: Writes::count(client).await?.per_tick(&writes, due),
            cpu: differences(&total(controllers, Process::cpu)?, &cpu),
            memory: total(controllers, Process::peak_memory)?,
            note,
        })
    }

    /// Runs go while the operator is there; what it made goes after it, for there is no garbage collector.
    async fn clear_runs(&self, namespace: &str, operators: Vec<Process>) -> anyhow::Result<()> {
        clear(&self.api::<Run>(namespace)).await?;
        Writes::rest(&self.plane.client, REST).await?;
        drop(operators);
        clear(&self.api::<Job>(namespace)).await?;
        clear(&self.api::<ConfigMap>(namespace)).await
    }
}

const LIST_ONE: ListParams = ListParams {
    label_selector: None,
    field_selector: None,
    timeout: None,
    limit: Some(1),
    continue_token: None,
    version_match: None,
    resource_version: None,
};

/// The first minute that leaves time to create everything and to come to rest.
fn next_minute(due: usize) -> Timestamp {
    minute_after(12 + i64::try_from(due).unwrap_or(i64::MAX) / 60)
}

fn total(processes: &[Process], figure: impl Fn(&Process) -> anyhow::Result<f64>) -> anyhow::Result<Vec<f64>> {
    processes.iter().map(figure).collect()
}

fn differences(after: &[f64], before: &[f64]) -> Vec<f64> {
    after.iter().zip(before).map(|(after, before)| after - before).collect()
}
