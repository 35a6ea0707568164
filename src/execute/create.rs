//! The create: the one call that cannot be guarded by a resourceVersion (R32–R34).

use std::time::Duration;

use crds::Run;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, PostParams, Request};
use kube::{Api, Resource as _};
use scheduler::claim::CREATE_TIMEOUT;
use scheduler::decision::JobOrder;
use scheduler::observation::RefusalCause;
use tracing::debug;

use super::error::is_refusal;
use super::{ExecuteError, Executor, Plan, belongs_to, name, namespace};
use crate::api_error::words;
use crate::events;
use crate::light::LightJob;
use crate::metrics::{Resource, Verb};
use crate::objects;

/// Time limit of a create (R33).
pub(super) const TIMEOUT: Duration = CREATE_TIMEOUT.unsigned_abs();

impl Executor {
    /// Sends the create if its window is still open by the wall clock and by the monotonic one (R33).
    pub(super) async fn create_job(&self, plan: &mut Plan<'_>, order: &JobOrder) -> Result<(), ExecuteError> {
        let job = objects::job(&plan.run, order, &self.defaults);
        let path = Job::url_path(&(), plan.run.metadata.namespace.as_deref());
        let body = serde_json::to_vec(&job).unwrap_or_default();
        if !self.window_is_open(plan, order) {
            return Err(ExecuteError::WindowClosed { job: order.name.clone() });
        }
        // Of the answer, the pod is not read: we have just written it.
        let call = async {
            let request = Request::new(path).create(&PostParams::default(), body).map_err(kube::Error::BuildRequest)?;
            self.client.request::<LightJob>(request).await
        };
        // Until the answer is here, nobody knows.
        let again = plan.memory.in_doubt.insert(order.name.clone(), order.attempt).is_some();
        match self.call(plan.term, Verb::Create, Resource::Jobs, &order.name, call).await {
            Ok(created) => {
                plan.memory.in_doubt.remove(&order.name);
                plan.memory.refused.remove(&order.name);
                self.count(order);
                self.index.apply_answered_job(&created);
                Ok(())
            }
            Err(ExecuteError::Conflict) => self.already_exists(plan, order, again).await,
            Err(ExecuteError::Gone { .. }) => {
                plan.memory.in_doubt.remove(&order.name);
                self.refused(plan, order, RefusalCause::NamespaceTerminating, "the namespace is gone");
                Ok(())
            }
            Err(ExecuteError::Api { source, .. }) if is_refusal(&source) => {
                plan.memory.in_doubt.remove(&order.name);
                self.refused(plan, order, cause_of_refusal(&source), &words(&source));
                Ok(())
            }
            Err(error @ ExecuteError::NotLeading) => {
                plan.memory.in_doubt.remove(&order.name);
                Err(error)
            }
            Err(error) => {
                // Once may be a moment of the API server's own; twice keeps the run from starting.
                if let Some((cause, message)) = error.trouble().filter(|_| again) {
                    self.refused(plan, order, cause, &message);
                }
                Err(error)
            }
        }
    }

    fn count(&self, order: &JobOrder) {
        if let Some(tick) = order.tick {
            self.count_tick(tick, self.clock.now());
        }
    }

    /// A tick has its Job, since then.
    pub(super) fn count_tick(&self, tick: Timestamp, since: Timestamp) {
        self.metrics.tick_run(Duration::try_from(since.duration_since(tick)).unwrap_or_default());
    }

    fn window_is_open(&self, plan: &Plan<'_>, order: &JobOrder) -> bool {
        let (decided, then) = plan.decided;
        let elapsed = self.clock.monotonic().saturating_duration_since(then);
        let left = Duration::try_from(order.closes_at.duration_since(decided)).unwrap_or_default();
        self.clock.now() < order.closes_at && elapsed < left
    }

    /// The name is taken: by our own Job, whose create was answered to nobody, or by somebody else's (R10, R33). `again`: we
    /// have sent one before, and have not counted it.
    async fn already_exists(&self, plan: &mut Plan<'_>, order: &JobOrder, again: bool) -> Result<(), ExecuteError> {
        let api: Api<LightJob> = Api::namespaced(self.client.clone(), namespace(&plan.run));
        let found = self.call(plan.term, Verb::Get, Resource::Jobs, &order.name, api.get(&order.name)).await;
        if let Err(ExecuteError::Gone { .. }) = found {
            // Admission may refuse in these words too, and a quota that many charge at once does.
            plan.memory.in_doubt.remove(&order.name);
            self.refused(
                plan,
                order,
                RefusalCause::Rejected,
                "the API server calls it a conflict, but there is no such Job",
            );
            return Ok(());
        }
        let found = found?;
        plan.memory.in_doubt.remove(&order.name);
        if belongs_to(&found.metadata, &plan.run) {
            debug!(run = name(&plan.run), job = order.name, "the Job was there already");
            if again {
                self.count(order);
            }
            self.index.apply_answered_job(&found);
            return Ok(());
        }
        let cause = cause_of_conflict(&found.metadata, &plan.run);
        self.refused(plan, order, cause, message_of_conflict(cause));
        Ok(())
    }

    fn refused(&self, plan: &mut Plan<'_>, order: &JobOrder, cause: RefusalCause, message: &str) {
        if plan.memory.refuse(&order.name, cause, message, self.clock.now()) {
            self.events.publish(&plan.run.object_ref(&()), events::refused(&order.name, namespace(&plan.run), message));
        }
    }
}

/// A namespace that is going says so in the details of its refusal.
fn cause_of_refusal(error: &kube::Error) -> RefusalCause {
    let causes = if let kube::Error::Api(status) = error { status.details.as_ref() } else { None };
    let causes = causes.map(|details| details.causes.as_slice()).unwrap_or_default();
    let is_going = causes.iter().any(|cause| cause.reason == "NamespaceTerminating");
    if is_going { RefusalCause::NamespaceTerminating } else { RefusalCause::Rejected }
}

/// An object that is going is waited for, and so is one of an earlier Run of this name, which the garbage collector will
/// find; any other is a conflict (R10).
pub(super) fn cause_of_conflict(metadata: &ObjectMeta, run: &Run) -> RefusalCause {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    let earlier = |owner: &OwnerReference| owner.kind == crds::KIND && owner.name == name(run);
    let is_going = metadata.deletion_timestamp.is_some() || owners.iter().any(earlier);
    if is_going { RefusalCause::NameBusy } else { RefusalCause::NameConflict }
}

/// What to do about it.
pub(super) const fn message_of_conflict(cause: RefusalCause) -> &'static str {
    match cause {
        RefusalCause::NameBusy => "an earlier object of this name is being deleted: waiting until it is gone",
        _ => "an object of this name exists that does not belong to this Run: delete or rename it",
    }
}
