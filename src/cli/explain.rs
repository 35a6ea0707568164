//! `marmot-operator explain`: why a Run does or does not run, from what the cluster holds. It looks through the eyes of the
//! operator (the same observation, the same decision, the same words) and changes nothing.

mod text;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use crds::Run;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use scheduler::caps::{Cap, Place};
use scheduler::observation::{Observation, Process};
use scheduler::report::ConditionKind;
use scheduler::{Decision, Effect, decide};
use serde::de::DeserializeOwned;

use crate::api_error::words;
use crate::args::{ServerArgs, pod_namespace};
use crate::index::{Index, IndexedRun, Key};
use crate::leader::LEASE_NAME;
use crate::lenient::Lenient;
use crate::light::{LightConfigMap, LightCronJob, LightJob};
use crate::marmot::Address;
use crate::objects::Defaults;
use crate::observe::observe;
use crate::preflight::{self, Preflight};
use crate::status;
use crate::watch::OURS;

/// Who we say we are: what people ask is none of the operator's doing.
const AGENT: &str = concat!("marmot-operator-explain/", env!("CARGO_PKG_VERSION"));
/// Reasons of `Ready` that the running operator alone knows to be over.
const REMEMBERED: [&str; 3] = ["FailedCreate", "NameConflict", "PodPending"];

/// Flags of `explain`.
#[derive(Args, Clone, Debug)]
pub struct ExplainArgs {
    /// The Run, as NAME or NAMESPACE/NAME
    pub run: String,

    /// Its namespace [default: that of the kubeconfig's context]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// Namespace of the Lease `marmot-operator.marmotdata.io` [default: in a pod its own; else wherever it is, which takes
    /// the right to list Leases of all namespaces]
    #[arg(long, value_name = "NAMESPACE")]
    pub leader_election_namespace: Option<String>,

    #[command(flatten)]
    server: ServerArgs,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum ExplainError {
    #[error(transparent)]
    Server(#[from] Preflight),
    #[error("no client can be made for the API server: {}", words(.0))]
    Client(kube::Error),
    #[error("there is no Run {0}; `kubectl get runs.runs.marmotdata.io --all-namespaces` shows which there are")]
    NoRun(Key),
    #[error("Run {0} cannot be read: {1}")]
    Broken(Key, String),
    #[error("cannot read {what}: {}", words(source))]
    Api { what: &'static str, source: kube::Error },
}

/// Everything that is told.
struct Explanation {
    key: Key,
    now: Timestamp,
    run: IndexedRun,
    leader: Leader,
    observation: Observation,
    decision: Decision,
}

/// Who leads, as far as it can be seen.
enum Leader {
    /// The Lease is held, by its own times and our clock.
    Is { holder: String, namespace: String },
    /// The last one has not renewed in time.
    Was { holder: String, namespace: String, until: Timestamp },
    /// There is no Lease, or nobody holds it.
    Nobody,
    /// We may not see it.
    Unseen(String),
}

/// Prints the explanation. Exit code 1 where there is none.
pub async fn main(args: &ExplainArgs) -> ExitCode {
    match explain(args).await {
        Ok(explanation) => {
            print!("{explanation}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn explain(args: &ExplainArgs) -> Result<Explanation, ExplainError> {
    let mut config = preflight::configure(&args.server, AGENT).await?;
    // Somebody is waiting for the answer.
    config.default_retry = false;
    let (namespace, name) = match args.run.split_once('/') {
        Some((namespace, name)) => (namespace.to_owned(), name.to_owned()),
        None => (args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone()), args.run.clone()),
    };
    let (key, server) = (Key { namespace: namespace.into(), name: name.into() }, config.cluster_url.to_string());
    let client = Client::try_from(config).map_err(ExplainError::Client)?;
    match preflight::check(&client, &server).await {
        // The operator waits for a newer one; what is there can be told.
        Err(outdated @ Preflight::CrdOutdated(_)) => eprintln!("warning: {outdated}"),
        other => other?,
    }
    let lease = args.leader_election_namespace.clone().or_else(pod_namespace);
    let leader = leader(&client, lease.as_deref()).await;
    let index = gather(&client, &key).await?;
    let run = index.run(&key).ok_or_else(|| ExplainError::NoRun(key.clone()))?;
    let process = Process { holder: eyes(&leader, &run.run), places: places(&run.run), ..Process::default() };
    let observation = observe(&run, &index, process, &defaults(&run.run));
    let now = Timestamp::now();
    let mut decision = decide(&observation, now);
    decision.effects.retain(|effect| !only_forgets(effect, &observation));
    Ok(Explanation { key, now, run, leader, observation, decision })
}

/// The Run with all that the operator looks at, as the operator keeps it.
async fn gather(client: &Client, key: &Key) -> Result<Index, ExplainError> {
    let index = Index::default();
    let runs: Api<Lenient<Run>> = Api::namespaced(client.clone(), &key.namespace);
    let failed = |what| move |source| ExplainError::Api { what, source };
    let run = runs.get_opt(&key.name).await.map_err(failed("the Run"))?;
    let run = run.ok_or_else(|| ExplainError::NoRun(key.clone()))?;
    // Who may see the Runs of other namespaces learns whether one of them has this name (R11).
    let named = ListParams::default().fields(&format!("metadata.name={}", key.name));
    let others = Api::<Lenient<Run>>::all(client.clone()).list(&named).await;
    for other in others.map(|list| list.items).unwrap_or_default() {
        // One that cannot be read is skipped, as the operator does.
        let _ = index.apply_run(other);
    }
    index.apply_run(run).map_err(|broken| ExplainError::Broken(key.clone(), broken.error))?;
    // CronJobs first: the Jobs of one belong to the Run that controls it.
    for cron_job in ours::<LightCronJob>(client, key).await.map_err(failed("CronJobs"))? {
        index.apply_cron_job(cron_job);
    }
    for job in ours::<LightJob>(client, key).await.map_err(failed("Jobs"))? {
        index.apply_job(&job);
    }
    for config in ours::<LightConfigMap>(client, key).await.map_err(failed("ConfigMaps"))? {
        index.apply_config(&config);
    }
    Ok(index)
}

/// The objects of a kind that carry the operator's label. One that cannot be read is skipped, as the operator does.
async fn ours<K>(client: &Client, key: &Key) -> Result<Vec<K>, kube::Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let params = ListParams { label_selector: OURS.map(str::to_owned), ..ListParams::default() };
    let list = Api::<Lenient<K>>::namespaced(client.clone(), &key.namespace).list(&params).await?;
    Ok(list.items.into_iter().filter_map(|item| item.0.ok()).collect())
}

async fn leader(client: &Client, namespace: Option<&str>) -> Leader {
    let leases: Api<Lease> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let named = ListParams::default().fields(&format!("metadata.name={LEASE_NAME}"));
    let leases = match leases.list(&named).await {
        Ok(leases) => leases.items,
        Err(error) => return Leader::Unseen(words(&error)),
    };
    // Several operators may each have a namespace: the newest sign of life counts.
    let held = leases.into_iter().filter_map(|lease| {
        let spec = lease.spec?;
        let holder = spec.holder_identity.filter(|holder| !holder.is_empty())?;
        let renewed = spec.renew_time?.0;
        let lasts = jiff::SignedDuration::from_secs(i64::from(spec.lease_duration_seconds.unwrap_or_default()));
        let until = renewed.saturating_add(lasts).unwrap_or(Timestamp::MAX);
        Some((until, holder, lease.metadata.namespace.unwrap_or_default()))
    });
    match held.max_by_key(|(until, ..)| *until) {
        Some((until, holder, namespace)) if until >= Timestamp::now() => Leader::Is { holder, namespace },
        Some((until, holder, namespace)) => Leader::Was { holder, namespace, until },
        None => Leader::Nobody,
    }
}

/// Through whose eyes: the leader's. Claims are its own where it has made them.
fn eyes(leader: &Leader, run: &Run) -> String {
    match leader {
        Leader::Is { holder, .. } | Leader::Was { holder, .. } => holder.clone(),
        // Without an election there is one operator, and all claims are its own.
        Leader::Nobody | Leader::Unseen(_) => {
            let claim = status::record(run).claims.into_values().next();
            claim.map_or_else(|| "operator".to_owned(), |claim| claim.holder)
        }
    }
}

/// Caps across Runs are not in the cluster, but that a start waits for one is (R7: told once it has lasted).
fn places(run: &Run) -> Option<BTreeMap<String, Place>> {
    let conditions = run.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let delayed = conditions.iter().find(|known| known.type_ == "Reconciling" && known.reason == "StartDelayed")?;
    let cap =
        if delayed.message.contains("--max-starts-per-second") { Cap::StartsPerSecond } else { Cap::ConcurrentRuns };
    let since = delayed.last_transition_time.0;
    let waiting = Place::Waiting { cap, since, due: since };
    Some(status::record(run).claims.into_keys().map(|job| (job, waiting)).collect())
}

/// The operator's flags are not in the cluster, but what it says of their absence is.
fn defaults(run: &Run) -> Defaults {
    let conditions = run.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let lacks = |reason: &str| conditions.iter().any(|known| known.type_ == "Ready" && known.reason == reason);
    Defaults {
        marmot: if lacks("NoMarmot") { Address::default() } else { Address::given("as the operator knows it") },
        image: if lacks("NoImage") { String::new() } else { "as the operator knows it".to_owned() },
        ..Defaults::default()
    }
}

/// The effect would only take back what the operator, who remembers more than the cluster holds, has written.
fn only_forgets(effect: &Effect, observation: &Observation) -> bool {
    let ready = observation.report.condition(ConditionKind::Ready);
    let reconciling = observation.report.condition(ConditionKind::Reconciling);
    let remembered = ready.is_some_and(|ready| REMEMBERED.contains(&ready.reason.as_str()))
        || reconciling.is_some_and(|reconciling| reconciling.reason == "StartDelayed");
    matches!(effect, Effect::Record(record) if remembered && record.state == observation.state)
}
