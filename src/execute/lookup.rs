//! Asking the API server itself for a Job that the watch does not show (R33).

use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tracing::warn;

use super::{ExecuteError, Executor, Plan, belongs_to, name, namespace};
use crate::index::KnownJob;
use crate::light::LightJob;
use crate::metrics::{Resource, Verb};
use crate::{objects, status, watch};

impl Executor {
    /// Takes in the Job as it is, or notes that there is none of this Run.
    pub(super) async fn look_up(&self, plan: &mut Plan<'_>, job: &str) -> Result<(), ExecuteError> {
        let api: Api<LightJob> = Api::namespaced(self.client.clone(), namespace(&plan.run));
        match self.call(plan.term, Verb::Get, Resource::Jobs, job, api.get(job)).await {
            Ok(found) if belongs_to(&found.metadata, &plan.run) && is_watched(&found) => {
                self.index.apply_answered_job(&found);
            }
            Ok(found) if belongs_to(&found.metadata, &plan.run) => return self.label_again(plan, job, &found).await,
            Ok(_) | Err(ExecuteError::Gone { .. }) => {
                plan.absent.insert(job.to_owned());
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Somebody has changed the labels by which the watch finds the Job. It is there all the same, and its Run would wait for
    /// its end for ever: they are put back, as a changed ConfigMap is (R8).
    async fn label_again(&self, plan: &mut Plan<'_>, job: &str, found: &LightJob) -> Result<(), ExecuteError> {
        let record = status::record(&plan.run);
        let active = record.active_jobs.iter().find(|active| active.name == job).map(|active| active.kind);
        let Some(kind) = active.or_else(|| record.claims.get(job).map(|claim| claim.kind)) else { return Ok(()) };
        warn!(run = name(&plan.run), job, "its labels were changed, by which it is watched: they are put back");
        let api: Api<LightJob> = Api::namespaced(self.client.clone(), namespace(&plan.run));
        let patch = Patch::Merge(json!({ "metadata": {
            "uid": found.metadata.uid,
            "resourceVersion": found.metadata.resource_version,
            "labels": objects::job_labels(&plan.run, kind),
        }}));
        let params = PatchParams::default();
        let call = api.patch(job, &params, &patch);
        let labelled = self.call(plan.term, Verb::Patch, Resource::Jobs, job, call).await?;
        // As the watch is about to show it.
        self.index.apply_job(&labelled);
        Ok(())
    }
}

/// The watch shows it, and what it shows can be read.
fn is_watched(job: &LightJob) -> bool {
    let labels = job.metadata.labels.iter().flatten();
    let ours = labels.map(|(key, value)| format!("{key}={value}")).any(|label| Some(label.as_str()) == watch::OURS);
    ours && KnownJob::of(job, None).is_some_and(|known| known.observed().is_some())
}
