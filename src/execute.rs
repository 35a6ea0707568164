//! [`Effect`] → API call. Before every call: do we still lead? Around every call: a time limit. On every write to a Run:
//! the resourceVersion it is based on (R7, R32, R33).

mod create;
mod delete;
mod error;
mod lookup;
mod pods;
mod takeover;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crds::Run;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource as _};
use scheduler::claim::Claim;
use scheduler::decision::{Effect, News, Record};
use scheduler::names;
use scheduler::observation::{Observation, RefusalCause};
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::api_error::words;
use crate::clock::Clock;
use crate::events::{self, Events};
use crate::index::{self, Index, Key};
use crate::leader::Term;
use crate::light::LightConfigMap;
use crate::memory::Memory;
use crate::metrics::{Metrics, Resource, Verb};
use crate::objects::{self, Defaults};
use crate::places::Places;
use crate::{pipeline, status};

pub use self::error::ExecuteError;
use self::error::is_refusal;

/// Time limit of a call that has none of its own.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// What all looks share.
pub struct Executor {
    /// For everything but leases.
    pub client: Client,
    /// Answers to writes go in here.
    pub index: Arc<Index>,
    /// Wall and monotonic time.
    pub clock: Arc<dyn Clock>,
    /// Flags that shape pods.
    pub defaults: Defaults,
    /// Counts calls and outcomes.
    pub metrics: Arc<Metrics>,
    /// Takes the news.
    pub events: Events,
    /// Caps across Runs, if there are any.
    pub places: Option<Arc<Places>>,
}

/// One plan in progress: the Run as our last write left it.
pub struct Plan<'a> {
    /// The Run, with the resourceVersion the next write is based on.
    pub run: Arc<Run>,
    /// Permission to write.
    pub term: &'a Term,
    /// When the decision was made, by both clocks.
    pub decided: (Timestamp, Instant),
    /// What this process knows.
    pub memory: &'a mut Memory,
    /// Jobs that a live GET did not find during this look.
    pub absent: &'a mut BTreeSet<String>,
}

impl Executor {
    /// Carries out one effect.
    ///
    /// # Errors
    ///
    /// See [`ExecuteError`]. Nothing after the failed effect may be carried out.
    pub async fn execute(&self, plan: &mut Plan<'_>, effect: &Effect) -> Result<(), ExecuteError> {
        match effect {
            Effect::EnsureConfig => self.ensure_config(plan).await,
            Effect::Record(record) => self.record(plan, record).await,
            Effect::TakeTrigger(claim) => self.take_trigger(plan, claim).await,
            Effect::AskForPlace { job, due, again } => {
                self.places.iter().for_each(|places| places.ask(&Key::of(&plan.run.metadata), job, *due, *again));
                Ok(())
            }
            Effect::ReturnPlace(job) => {
                self.places.iter().for_each(|places| places.give_back(&Key::of(&plan.run.metadata), job));
                Ok(())
            }
            Effect::CreateJob(order) => self.create_job(plan, order).await,
            Effect::DeleteJob(deletion) => self.delete_job(plan, deletion).await,
            Effect::LookUpJob(name) => self.look_up(plan, name).await,
            Effect::AskPods(job) => self.ask_pods(plan, job).await,
            Effect::ConfirmRun => self.confirm_run(plan).await,
            Effect::SuspendCronJob(uid) => self.suspend_cron_job(plan, uid).await,
            Effect::AdoptJob { name, uid } => self.adopt_job(plan, name, uid).await,
            Effect::DeleteCronJob(uid) => self.delete_cron_job(plan, uid).await,
            Effect::AddFinalizer => self.set_finalizer(plan, true).await,
            Effect::ReleaseFinalizer => self.set_finalizer(plan, false).await,
        }
    }

    /// Tells of a call that has failed twice: where the Run itself cannot be written, nothing else of it says so.
    pub fn tell_failure(&self, run: &Run, error: &ExecuteError) {
        if error.is_told_by_event() {
            self.events.publish(&run.object_ref(&()), events::failed(&error.to_string()));
        }
    }

    async fn record(&self, plan: &mut Plan<'_>, record: &Record) -> Result<(), ExecuteError> {
        let current = plan.run.status.clone().unwrap_or_default();
        let wanted = status::render(&current, &record.state, &record.report, self.clock.now());
        let json = |status: &crds::RunStatus| serde_json::to_value(status).unwrap_or_default();
        let Some(patch) = status::merge_patch(&json(&current), &json(&wanted)) else {
            // The core saw a difference that the API type does not carry: writing would not end it.
            warn!(run = name(&plan.run), "a decided change of status has no effect");
            return Ok(());
        };
        let body = json!({ "metadata": { "resourceVersion": plan.run.metadata.resource_version }, "status": patch });
        let api = self.runs(&plan.run);
        let patch = Patch::Merge(&body);
        let params = PatchParams::default();
        let call = api.patch_status(name(&plan.run), &params, &patch);
        let written = match self.call(plan.term, Verb::Patch, Resource::RunStatus, name(&plan.run), call).await {
            Err(error @ (ExecuteError::Timeout { .. } | ExecuteError::Api { .. })) => {
                plan.memory.untold = Some(Box::new(record.clone()));
                return Err(error);
            }
            answer => answer?,
        };
        plan.memory.untold = None;
        self.take_in(plan, written);
        self.tell_all(plan, record);
        Ok(())
    }

    /// Tells what was stored by a write that was not answered, as soon as it is seen to be stored (R16).
    pub fn tell_late(&self, plan: &mut Plan<'_>, seen: &Observation) {
        let is_stored = |record: &mut Box<Record>| record.state == seen.state && record.report == seen.report;
        if let Some(record) = plan.memory.untold.take_if(is_stored) {
            self.tell_all(plan, &record);
        }
    }

    fn tell_all(&self, plan: &Plan<'_>, record: &Record) {
        for news in &record.news {
            if let News::Started { job, tick: Some(tick), created_at, .. } = news
                && plan.memory.in_doubt.contains_key(job)
            {
                // Its create was never answered, and not counted then.
                self.count_tick(*tick, *created_at);
            }
            self.tell(&plan.run, news);
        }
    }

    /// Tells the world what a written status contains: one event, one metric, one log line.
    fn tell(&self, run: &Run, news: &News) {
        let (namespace, run_name) = (run.metadata.namespace.as_deref().unwrap_or_default(), name(run));
        match news {
            News::Started { job, kind, .. } => info!(namespace, run = run_name, job, ?kind, "run started"),
            News::Finished(result) => {
                self.metrics.run_finished(result);
                info!(namespace, run = run_name, job = result.job, outcome = ?result.outcome, "run ended");
            }
            News::Skipped(skipped) => {
                self.metrics.ticks_skipped(skipped.reason, skipped.count);
                let (reason, count) = (skipped.reason.as_str(), skipped.count);
                info!(namespace, run = run_name, reason, count, from = %skipped.from, to = %skipped.to, "ticks not run");
            }
            News::Problem { reason, message } => info!(namespace, run = run_name, reason, why = message, "not ready"),
            News::TeardownSkipped { reason, why } => {
                self.metrics.teardown_skipped(reason);
                info!(namespace, run = run_name, reason, why, "no teardown");
            }
            News::TookOver { cron_job } => info!(namespace, run = run_name, cron_job, "took over from a CronJob"),
            News::NothingTornDown => info!(namespace, run = run_name, "the teardown found nothing"),
            News::TriggerQueued => info!(namespace, run = run_name, "trigger queued"),
            News::StartDelayed { message } => info!(namespace, run = run_name, why = message, "start delayed"),
            News::InvalidTrigger { value } => info!(namespace, run = run_name, value, "trigger of unknown value"),
        }
        self.events.publish(&run.object_ref(&()), events::event_for(news, namespace));
    }

    async fn take_trigger(&self, plan: &mut Plan<'_>, claim: &Claim) -> Result<(), ExecuteError> {
        let taken = serde_json::to_string(&status::taken_out(&plan.run, claim)).unwrap_or_default();
        let annotations = json!({ crds::TRIGGER_ANNOTATION: Value::Null, crds::TRIGGER_TAKEN_ANNOTATION: taken });
        self.patch_metadata(plan, json!({ "annotations": annotations })).await
    }

    async fn set_finalizer(&self, plan: &mut Plan<'_>, set: bool) -> Result<(), ExecuteError> {
        let mut finalizers = plan.run.metadata.finalizers.clone().unwrap_or_default();
        finalizers.retain(|finalizer| finalizer != crds::FINALIZER);
        finalizers.extend(set.then(|| crds::FINALIZER.to_owned()));
        self.patch_metadata(plan, json!({ "finalizers": finalizers })).await
    }

    /// Patches `metadata`, by compare-and-swap.
    async fn patch_metadata(&self, plan: &mut Plan<'_>, mut metadata: Value) -> Result<(), ExecuteError> {
        if let Some(fields) = metadata.as_object_mut() {
            fields.insert("resourceVersion".to_owned(), json!(plan.run.metadata.resource_version));
        }
        let body = json!({ "metadata": metadata });
        let api = self.runs(&plan.run);
        let patch = Patch::Merge(&body);
        let params = PatchParams::default();
        let call = api.patch(name(&plan.run), &params, &patch);
        let written = self.call(plan.term, Verb::Patch, Resource::Runs, name(&plan.run), call).await?;
        self.take_in(plan, written);
        Ok(())
    }

    /// The index and the plan go on with what the API server has answered.
    fn take_in(&self, plan: &mut Plan<'_>, mut answer: Run) {
        index::strip(&mut answer);
        plan.run = Arc::new(answer);
        self.index.apply_written_run(&plan.run);
    }

    async fn confirm_run(&self, plan: &mut Plan<'_>) -> Result<(), ExecuteError> {
        let api = self.runs(&plan.run);
        let live = self.call(plan.term, Verb::Get, Resource::Runs, name(&plan.run), api.get(name(&plan.run))).await?;
        let unchanged = live.metadata.resource_version == plan.run.metadata.resource_version;
        self.take_in(plan, live);
        if unchanged { Ok(()) } else { Err(ExecuteError::Conflict) }
    }

    /// Creates the ConfigMap, or repairs the one that belongs to this very Run (R8, R10).
    async fn ensure_config(&self, plan: &mut Plan<'_>) -> Result<(), ExecuteError> {
        let run = Arc::clone(&plan.run);
        let Ok(text) = pipeline::render(name(&run), run.spec.runs.get()) else { return Ok(()) };
        let mut wanted = objects::config_map(&run, &text);
        let config = objects::config_map_name(name(&run));
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace(&run));
        let known = self.index.config(run.metadata.uid.as_deref().unwrap_or_default());
        let written = if let Some(known) = known {
            wanted.metadata.resource_version = Some(known.version.to_string());
            let (params, patch) = (PatchParams::default(), Patch::Merge(&wanted));
            let call = api.patch(&config, &params, &patch);
            self.call(plan.term, Verb::Patch, Resource::ConfigMaps, &config, call).await
        } else {
            let params = PostParams::default();
            let call = api.create(&params, &wanted);
            self.call(plan.term, Verb::Create, Resource::ConfigMaps, &config, call).await
        };
        match written {
            Ok(written) => {
                plan.memory.refused.remove(names::CONFIG);
                let hash = objects::content_hash(&text);
                self.index.apply_config(&LightConfigMap { metadata: written.metadata, hash });
                Ok(())
            }
            Err(ExecuteError::Conflict | ExecuteError::Gone { .. }) => self.adopt_config(plan, &config).await,
            Err(ExecuteError::Api { source, .. }) if is_refusal(&source) => {
                plan.memory.refuse(names::CONFIG, RefusalCause::Rejected, &words(&source), self.clock.now());
                Ok(())
            }
            Err(error) => {
                if let Some((cause, message)) = error.trouble().filter(|_| plan.memory.failures > 0) {
                    plan.memory.refuse(names::CONFIG, cause, &message, self.clock.now());
                }
                Err(error)
            }
        }
    }

    /// The cache was behind, or the name is taken: the API server tells which.
    async fn adopt_config(&self, plan: &mut Plan<'_>, config: &str) -> Result<(), ExecuteError> {
        let api: Api<LightConfigMap> = Api::namespaced(self.client.clone(), namespace(&plan.run));
        let found = match self.call(plan.term, Verb::Get, Resource::ConfigMaps, config, api.get(config)).await {
            Ok(found) => found,
            Err(ExecuteError::Gone { .. }) => {
                let run = plan.run.metadata.uid.as_deref().unwrap_or_default();
                if let Some(known) = self.index.config(run) {
                    self.index.forget_config(run, &known);
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if belongs_to(&found.metadata, &plan.run) {
            self.index.apply_config(&found);
            // Without its owner it would not go with the Run, and is none of ours.
            if self.index.config(plan.run.metadata.uid.as_deref().unwrap_or_default()).is_some() {
                return Ok(());
            }
        }
        let cause = create::cause_of_conflict(&found.metadata, &plan.run);
        plan.memory.refuse(names::CONFIG, cause, create::message_of_conflict(cause), self.clock.now());
        Ok(())
    }

    /// One API call: leadership before, time limit around, metric after.
    async fn call<T>(
        &self,
        term: &Term,
        operation: Verb,
        resource: Resource,
        object: &str,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, ExecuteError> {
        if !term.holds(&self.clock) {
            return Err(ExecuteError::NotLeading);
        }
        let limit = match operation {
            Verb::Create => create::TIMEOUT,
            Verb::List => pods::TIMEOUT,
            _ => CALL_TIMEOUT,
        };
        let sent = Instant::now();
        let answer = tokio::time::timeout(limit, call).await;
        let code = match &answer {
            Ok(Ok(_)) => Some(if operation == Verb::Create { 201 } else { 200 }),
            Ok(Err(kube::Error::Api(status))) => Some(status.code),
            _ => None,
        };
        self.metrics.api_call(operation, resource, code, sent.elapsed());
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
                Err(ExecuteError::Gone { object: object.to_owned() })
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => Err(ExecuteError::Conflict),
            Ok(Err(source)) => {
                Err(ExecuteError::Api { operation, object: object.to_owned(), source: Box::new(source) })
            }
            Err(_) => Err(ExecuteError::Timeout { operation, object: object.to_owned() }),
        }
    }

    fn runs(&self, run: &Run) -> Api<Run> {
        Api::namespaced(self.client.clone(), namespace(run))
    }
}

fn name(run: &Run) -> &str {
    run.metadata.name.as_deref().unwrap_or_default()
}

fn namespace(run: &Run) -> &str {
    run.metadata.namespace.as_deref().unwrap_or_default()
}

/// The object is of this very Run, by UID (R10).
fn belongs_to(metadata: &kube::api::ObjectMeta, run: &Run) -> bool {
    index::run_uid(metadata).is_some_and(|uid| Some(uid) == run.metadata.uid.as_deref())
}
