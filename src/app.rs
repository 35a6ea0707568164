//! Wiring and the order of shutdown, nothing else.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, anyhow};
use dashmap::DashMap;
use kube::client::ClientBuilder;
use kube::{Client, Config};
use scheduler::caps::Limits;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_cron_scheduler::JobSchedulerError;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::admin::{self, Gate, Readiness};
use crate::args::{self, ArgsError, OperatorArgs};
use crate::clock::{Clock, SystemClock};
use crate::controller::Controller;
use crate::defaults::JobDefaults;
use crate::events::Events;
use crate::execute::Executor;
use crate::index::{Index, Unfinished};
use crate::leader::{self, Leadership};
use crate::looks::{DebugRuns, Looks};
use crate::marmot::{self, Address};
use crate::metrics::{self, Metrics};
use crate::objects::Defaults;
use crate::places::Places;
use crate::queue::{Lane, Queue};
use crate::skew::Skew;
use crate::ticker::Ticker;
use crate::watch::Synced;
use crate::{periodic, preflight, watch as watches};

/// The API server tells each watch at least once a minute how far it is. One that says nothing for longer is gone, and so is
/// a list that stands still; else nobody would notice (R38).
const SILENCE: Duration = Duration::from_secs(90);
/// How long events that wait may take to be written at shutdown.
const LAST_EVENTS: Duration = Duration::from_secs(2);
/// How long looks in progress may take to end at shutdown; a lease that is kept longer delays the next leader (R35).
const DRAIN: Duration = Duration::from_millis(700);

/// Runs the operator until SIGTERM or SIGINT.
///
/// # Errors
///
/// Flags that contradict each other, addresses that cannot be bound, or a kubeconfig that cannot be read. An API server
/// that is away is no error: it is waited for (R38).
pub async fn run(args: OperatorArgs) -> anyhow::Result<()> {
    let election = args.election()?;
    let job_defaults = args.job_defaults.as_deref().map(JobDefaults::load).transpose()?.unwrap_or_default();
    let mut config = preflight::configure(&args.server, preflight::AGENT).await?;
    // A create that is sent twice by somebody else than us is hard to reason about: we retry ourselves.
    config.default_retry = false;
    let server = config.cluster_url.to_string();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // Counted only where a cap needs it.
    let unfinished = (!args.limits().are_off()).then(Arc::<Unfinished>::default);
    let index = Arc::new(unfinished.clone().map_or_else(Index::default, Index::counting));
    let (queue, synced) = <(Arc<Queue>, Arc<Synced>)>::default();
    let ticker = Arc::new(Ticker::new(Arc::clone(&clock), Arc::clone(&queue)));
    let readiness = Readiness::default();
    let metrics = instruments(&index, &queue, &ticker, &readiness, &clock, args.metrics_per_run);
    let (client, watching) = clients(&config, &clock, &metrics)?;

    let stop = CancellationToken::new();
    let (crd_gate, cache_gate) = (readiness.gate("the CRD"), readiness.gate("caches"));
    let serving = CancellationToken::new();
    let debug = Arc::new(OnceLock::new());
    let (probes, asked) = (&args.health_probe_bind_address, Arc::clone(&debug));
    let _health = admin::serve_health(probes, readiness.clone(), asked, serving.clone()).await?;
    let _metrics = admin::serve_metrics(&args.metrics_bind_address, Arc::clone(&metrics), serving.clone()).await?;
    tokio::spawn(stop_on_signal(stop.clone())?);

    tokio::select! {
        () = preflight::wait(&client, &server, crd_gate) => {}
        () = stop.cancelled() => return Ok(()),
    }
    let holder = election.as_ref().map_or_else(leader::identity, |election| election.identity.clone());
    let release = CancellationToken::new();
    let (leadership, mut elector) = match election {
        Some(election) => leader::run(election, config, Arc::clone(&clock), release.clone(), Arc::clone(&metrics))
            .context("the client for the lease cannot be made")?,
        None => leader::alone(release.clone(), &metrics),
    };

    let places = unfinished.map(|unfinished| places(args.limits(), unfinished, &queue, &clock, &metrics));
    let (events, event_writer) = Events::start(client.clone(), holder.clone(), Arc::clone(&metrics));
    let (marmot, sought) = locate(&args, &synced)?;
    let looks = args.debug_endpoint.then(Arc::<Looks>::default);
    if let Some(looks) = looks.clone() {
        let (index, ticker, leadership) = (Arc::clone(&index), Arc::clone(&ticker), leadership.clone());
        let _ = debug.set(DebugRuns { looks, index, ticker, leadership, holder: holder.clone() });
    }
    let controller = Arc::new(Controller {
        index: Arc::clone(&index),
        synced: Arc::clone(&synced),
        queue: Arc::clone(&queue),
        ticker: Arc::clone(&ticker),
        executor: Executor {
            client,
            index: Arc::clone(&index),
            clock: Arc::clone(&clock),
            defaults: defaults(&args, marmot.clone(), job_defaults),
            metrics: Arc::clone(&metrics),
            events,
            places: places.clone(),
        },
        clock,
        leadership: leadership.clone(),
        holder,
        memory: DashMap::new(),
        looks,
    });

    let mut background = JoinSet::new();
    let stepped = Arc::<Notify>::default();
    let services = watching.clone();
    let namespace = args.watched_namespace().map(str::to_owned);
    background.spawn({
        let (index, queue, synced) = (Arc::clone(&index), Arc::clone(&queue), Arc::clone(&synced));
        async move { watches::run(watching, namespace.as_deref(), &index, &queue, &synced).await }
    });
    if let Some((told, namespace)) = sought {
        background.spawn(marmot::follow(services, namespace, told, Arc::clone(&synced)));
    }
    background.spawn(follow_marmot(marmot, Arc::clone(&controller)));
    if let Some(places) = places {
        let (index, synced, leadership) = (Arc::clone(&index), Arc::clone(&synced), leadership.clone());
        background.spawn(async move { places.run(&index, &synced, leadership).await });
    }
    background.spawn(begin_when_synced(cache_gate, synced, Arc::clone(&controller)));
    background.spawn(follow_clock(ticker, Arc::clone(&controller), Arc::clone(&stepped)));
    background.spawn(follow_leadership(leadership, Arc::clone(&controller)));
    let mut work = tokio::spawn(Arc::clone(&controller).work(stop.clone()));

    // The order of shutdown: no new looks, those in progress end, the lease is given back, events are written out.
    at_work(&stop, &mut background, &mut work, &mut elector, periodic::run(controller, stepped)).await?;
    info!("stopping");
    if tokio::time::timeout(DRAIN, &mut work).await.is_err() {
        warn!("some calls were still under way; what they leave behind is found at the next look");
    }
    work.abort();
    release.cancel();
    if let Err(error) = elector.await {
        warn!(%error, "the election ended badly");
    }
    background.abort_all();
    if tokio::time::timeout(LAST_EVENTS, event_writer.finish()).await.is_err() {
        warn!("some events were not written");
    }
    serving.cancel();
    Ok(())
}

/// The client for calls, which have time limits of their own, and the one for watches.
fn clients(config: &Config, clock: &Arc<dyn Clock>, metrics: &Arc<Metrics>) -> anyhow::Result<(Client, Client)> {
    let skew = Skew::new(Arc::clone(clock), Arc::clone(metrics));
    let client = |read_timeout| {
        let mut config = config.clone();
        config.read_timeout = read_timeout;
        let client = ClientBuilder::try_from(config).context("the client for the API server cannot be made")?;
        anyhow::Ok(client.with_layer(&skew).build())
    };
    Ok((client(None)?, client(Some(SILENCE))?))
}

/// Waits until `stop` says so. Nothing else ends by itself: what has failed would only seem to be at work.
async fn at_work(
    stop: &CancellationToken,
    background: &mut JoinSet<()>,
    work: &mut JoinHandle<()>,
    elector: &mut JoinHandle<()>,
    periodic: impl Future<Output = Result<Infallible, JobSchedulerError>>,
) -> anyhow::Result<()> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Ok(()),
        error = failure(background) => Err(error).context("a part of the operator failed"),
        ended = work => ended.context("the work failed").and(Err(anyhow!("the work ended"))),
        ended = elector => ended.context("the election failed").and(Err(anyhow!("the election ended"))),
        ended = periodic => match ended.context("the periodic work failed")? {},
    }
}

/// Why a task has failed; never returns where none has.
async fn failure(tasks: &mut JoinSet<()>) -> JoinError {
    loop {
        match tasks.join_next().await {
            Some(Ok(())) => {}
            Some(Err(error)) => return error,
            None => std::future::pending().await,
        }
    }
}

/// What the pods of all Runs share.
fn defaults(args: &OperatorArgs, marmot: Address, job: JobDefaults) -> Defaults {
    let (image, service_account) = (args.image.clone(), args.ingest_service_account.clone());
    Defaults { marmot, image, service_account, runner: args.runner(), job }
}

/// The metrics, with what they read at each scrape.
fn instruments(
    index: &Arc<Index>,
    queue: &Arc<Queue>,
    ticker: &Arc<Ticker>,
    readiness: &Readiness,
    clock: &Arc<dyn Clock>,
    per_run: bool,
) -> Arc<Metrics> {
    let mut metrics = Metrics::new();
    metrics.show(metrics::Sources {
        index: Arc::clone(index),
        queue: Arc::clone(queue),
        ticker: Arc::clone(ticker),
        readiness: readiness.clone(),
        clock: Arc::clone(clock),
        per_run,
    });
    Arc::new(metrics)
}

fn places(
    limits: Limits,
    unfinished: Arc<Unfinished>,
    queue: &Arc<Queue>,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Arc<Places> {
    Arc::new(Places::new(limits, unfinished, Arc::clone(queue), Arc::clone(clock), Arc::clone(metrics)))
}

/// Ends the process in order at SIGTERM and at Ctrl-C.
fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    })
}

/// Everybody is looked at when everything has been seen; before, nobody is.
async fn begin_when_synced(gate: Gate, synced: Arc<Synced>, controller: Arc<Controller>) {
    while !synced.is_complete() {
        gate.waits(format!("caches: {}", synced.missing().join(", ")));
        synced.progress().await;
    }
    gate.open();
    look_at_everybody(&controller);
}

/// Everybody is looked at when this replica begins to lead; nobody is woken while it does not.
async fn follow_leadership(mut leadership: watch::Receiver<Leadership>, controller: Arc<Controller>) {
    let mut term = None;
    loop {
        let now = leadership.borrow_and_update().term().map(leader::Term::number);
        if now != term {
            term = now;
            if term.is_some() {
                look_at_everybody(&controller);
            } else {
                controller.ticker.clear();
            }
        }
        if leadership.changed().await.is_err() {
            return;
        }
    }
}

/// The address of Marmot; where it has to be found, also where to tell it and in which namespace to look.
type Located = (Address, Option<(watch::Sender<Option<String>>, String)>);

fn locate(args: &OperatorArgs, synced: &Synced) -> Result<Located, ArgsError> {
    if args.marmot_url.is_empty() {
        let (marmot, told) = Address::sought();
        return Ok((marmot, Some((told, args::pod_namespace().ok_or(ArgsError::NoMarmotNamespace)?))));
    }
    synced.see_services();
    Ok((Address::given(&args.marmot_url), None))
}

/// Everybody is looked at when Marmot is found, lost or found elsewhere.
async fn follow_marmot(mut marmot: Address, controller: Arc<Controller>) {
    loop {
        marmot.changed().await;
        look_at_everybody(&controller);
    }
}

/// Wakes Runs by the wall clock, and notices when that is stepped.
async fn follow_clock(ticker: Arc<Ticker>, controller: Arc<Controller>, stepped: Arc<Notify>) {
    let on_jump = |drift| {
        on_clock_jump(&controller, drift);
        stepped.notify_one();
    };
    ticker.run(on_jump).await;
}

fn on_clock_jump(controller: &Controller, drift: jiff::SignedDuration) {
    warn!(?drift, "the wall clock was stepped, or this machine slept: looking at everybody");
    look_at_everybody(controller);
}

/// Those with a trigger, a claim or a tick that has passed come first: they may have been waiting for a leader (R35).
fn look_at_everybody(controller: &Controller) {
    let now = controller.clock.now();
    for key in controller.index.keys() {
        let lane = if controller.index.is_due(&key, now) { Lane::Due } else { Lane::Change };
        controller.queue.push(key, lane);
    }
}
