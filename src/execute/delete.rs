//! The deletions of Jobs: by UID, so that nothing else of the name is touched (R10, R29).

use kube::api::{DeleteParams, Preconditions, PropagationPolicy};
use kube::{Api, Resource as _};
use scheduler::decision::{Deletion, DeletionReason};
use tracing::debug;

use super::{ExecuteError, Executor, Plan, name, namespace};
use crate::events;
use crate::index::KnownJob;
use crate::leader::Term;
use crate::light::LightJob;
use crate::metrics::{Resource, Verb};

impl Executor {
    /// Deletes a Job by UID.
    pub(super) async fn delete_job(&self, plan: &mut Plan<'_>, deletion: &Deletion) -> Result<(), ExecuteError> {
        let api: Api<LightJob> = Api::namespaced(self.client.clone(), namespace(&plan.run));
        let propagation = match deletion.reason {
            DeletionReason::Pruned => PropagationPolicy::Background,
            // Gone means that its pods are gone too.
            DeletionReason::Replaced | DeletionReason::Stray | DeletionReason::Stopped => PropagationPolicy::Foreground,
        };
        let params = DeleteParams {
            propagation_policy: Some(propagation),
            preconditions: Some(Preconditions { uid: Some(deletion.uid.clone()), resource_version: None }),
            ..DeleteParams::default()
        };
        let call = api.delete(&deletion.name, &params);
        let run = plan.run.metadata.uid.as_deref().unwrap_or_default();
        match self.call(plan.term, Verb::Delete, Resource::Jobs, &deletion.name, call).await {
            Ok(either) => match either.left() {
                Some(going) if going.metadata.deletion_timestamp.is_some() => {
                    self.index.apply_answered_job(&going);
                }
                _ => {
                    self.index.forget_job(run, &deletion.uid);
                }
            },
            Err(ExecuteError::Gone { .. }) => {
                self.index.forget_job(run, &deletion.uid);
                return Ok(());
            }
            Err(ExecuteError::Conflict) => {
                self.confirm_gone(plan, deletion).await?;
                self.index.forget_job(run, &deletion.uid);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        debug!(run = name(&plan.run), job = deletion.name, reason = ?deletion.reason, "Job deleted");
        let about = plan.run.object_ref(&());
        match deletion.reason {
            DeletionReason::Pruned => {}
            DeletionReason::Replaced => {
                self.events.publish(&about, events::replaced(&deletion.name, namespace(&plan.run)));
            }
            DeletionReason::Stray => self.events.publish(&about, events::stray(&deletion.name, namespace(&plan.run))),
            DeletionReason::Stopped => {
                self.events.publish(&about, events::stopped(&deletion.name, namespace(&plan.run)));
            }
        }
        Ok(())
    }

    /// A deletion met a conflict. Usually another Job has that name by now, and ours is gone; but admission may refuse in
    /// the same words.
    async fn confirm_gone(&self, plan: &Plan<'_>, deletion: &Deletion) -> Result<(), ExecuteError> {
        let api: Api<LightJob> = Api::namespaced(self.client.clone(), namespace(&plan.run));
        let call = api.get(&deletion.name);
        match self.call(plan.term, Verb::Get, Resource::Jobs, &deletion.name, call).await {
            Ok(found) if found.metadata.uid.as_deref() == Some(&deletion.uid) => {
                Err(ExecuteError::Kept { job: deletion.name.clone() })
            }
            Ok(_) | Err(ExecuteError::Gone { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes what a Run that is gone has left behind (R30).
    ///
    /// # Errors
    ///
    /// See [`ExecuteError`].
    pub async fn sweep(&self, term: &Term, job: &KnownJob) -> Result<(), ExecuteError> {
        let (name, namespace) = (job.name(), &job.namespace);
        let api: Api<LightJob> = Api::namespaced(self.client.clone(), namespace);
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions { uid: Some(job.uid().to_owned()), resource_version: None }),
            ..DeleteParams::default()
        };
        match self.call(term, Verb::Delete, Resource::Jobs, name, api.delete(name, &params)).await {
            Ok(_) | Err(ExecuteError::Gone { .. } | ExecuteError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
