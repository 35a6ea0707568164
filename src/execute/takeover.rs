//! The calls of a take-over (R31): each on one object, guarded by its UID and resourceVersion.

use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use serde_json::json;

use super::{ExecuteError, Executor, Plan, namespace};
use crate::light::{LightCronJob, LightJob};
use crate::metrics::{Resource, Verb};
use crate::objects;

impl Executor {
    /// Suspends the CronJob of that UID.
    pub(super) async fn suspend_cron_job(&self, plan: &mut Plan<'_>, uid: &str) -> Result<(), ExecuteError> {
        let Some(known) = self.index.cron_job(uid) else { return Ok(()) };
        let name = known.metadata.name.clone().unwrap_or_default();
        let api: Api<LightCronJob> = Api::namespaced(self.client.clone(), namespace(&plan.run));
        let guard = json!({ "uid": uid, "resourceVersion": known.metadata.resource_version });
        let patch = Patch::Merge(json!({ "metadata": guard, "spec": { "suspend": true } }));
        let params = PatchParams::default();
        let call = api.patch(&name, &params, &patch);
        match self.call(plan.term, Verb::Patch, Resource::CronJobs, &name, call).await {
            Ok(suspended) => {
                self.index.apply_answered_cron_job(suspended);
                Ok(())
            }
            Err(error) => self.refresh_cron_job(plan, &known, error).await,
        }
    }

    /// Makes the Job one of the Run. Its pods do not notice.
    pub(super) async fn adopt_job(&self, plan: &mut Plan<'_>, name: &str, uid: &str) -> Result<(), ExecuteError> {
        let Some(known) = self.index.foreign_job(uid) else { return Ok(()) };
        let api: Api<LightJob> = Api::namespaced(self.client.clone(), namespace(&plan.run));
        let patch = Patch::Merge(json!({ "metadata": {
            "uid": uid,
            "resourceVersion": known.version.to_string(),
            "ownerReferences": [objects::owner_reference(&plan.run)],
        }}));
        let params = PatchParams::default();
        let call = api.patch(name, &params, &patch);
        match self.call(plan.term, Verb::Patch, Resource::Jobs, name, call).await {
            Ok(adopted) => {
                self.index.apply_answered_job(&adopted);
                Ok(())
            }
            Err(ExecuteError::Gone { .. }) => {
                self.index.forget_foreign_job(uid);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes the CronJob of that UID; what it made stays.
    pub(super) async fn delete_cron_job(&self, plan: &mut Plan<'_>, uid: &str) -> Result<(), ExecuteError> {
        let Some(known) = self.index.cron_job(uid) else { return Ok(()) };
        let name = known.metadata.name.clone().unwrap_or_default();
        let api: Api<LightCronJob> = Api::namespaced(self.client.clone(), namespace(&plan.run));
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Orphan),
            preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
            ..DeleteParams::default()
        };
        let call = api.delete(&name, &params);
        match self.call(plan.term, Verb::Delete, Resource::CronJobs, &name, call).await {
            Ok(answer) => {
                match answer.left() {
                    Some(going) if going.metadata.deletion_timestamp.is_some() => {
                        self.index.apply_answered_cron_job(going);
                    }
                    _ => {
                        self.index.remove_cron_job(&known.metadata);
                    }
                }
                Ok(())
            }
            Err(error) => self.refresh_cron_job(plan, &known, error).await,
        }
    }

    /// The cache was behind: takes in the CronJob as the API server holds it. Other errors stay errors.
    async fn refresh_cron_job(
        &self,
        plan: &mut Plan<'_>,
        known: &LightCronJob,
        error: ExecuteError,
    ) -> Result<(), ExecuteError> {
        if !matches!(error, ExecuteError::Conflict | ExecuteError::Gone { .. }) {
            return Err(error);
        }
        let name = known.metadata.name.clone().unwrap_or_default();
        let api: Api<LightCronJob> = Api::namespaced(self.client.clone(), namespace(&plan.run));
        match self.call(plan.term, Verb::Get, Resource::CronJobs, &name, api.get(&name)).await {
            Ok(found) => self.index.apply_answered_cron_job(found),
            Err(ExecuteError::Gone { .. }) => {
                self.index.remove_cron_job(&known.metadata);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
