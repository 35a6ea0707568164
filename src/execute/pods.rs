//! Asking the pods of a Job how it ended (R36) or why they do not start (R41): a LIST by label, and never otherwise.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use scheduler::observation::{Observation, ObservedJob, Waiting};
use scheduler::state::Outcome;
use tracing::warn;

use super::{ExecuteError, Executor, Plan, namespace};
use crate::ending::{self, Ending};
use crate::leader::Term;
use crate::memory::Memory;
use crate::metrics::{Resource, Verb};
use crate::pending;

/// Label on pods with the name of their Job.
const JOB_LABEL: &str = "batch.kubernetes.io/job-name";
/// More pods than this are not read: `backoffLimit` may be large, and the newest is as good as any.
const MOST_PODS: u32 = 100;
/// Time limit of one call: a tick of the same Run may be waiting behind it.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);
/// How often it is tried before the Job's own condition must do.
const ATTEMPTS: u32 = 2;

impl Executor {
    /// Puts what the pods say into the ends of Jobs that are about to be recorded. Without the runner those that succeeded
    /// say nothing, and are not asked.
    ///
    /// # Errors
    ///
    /// When the API server does not answer; after a few times it is done without.
    pub async fn explain_ends(
        &self,
        term: &Term,
        namespace: &str,
        memory: &mut Memory,
        observation: &mut Observation,
    ) -> Result<(), ExecuteError> {
        let outcome = |job: &ObservedJob| Some((job.name.clone(), job.uid.clone(), job.finished.as_ref()?.outcome));
        let awaited: Vec<_> = ending::awaited(observation).filter_map(outcome).collect();
        for (name, uid, outcome) in awaited {
            let tells = self.defaults.runner.is_some() || outcome != Outcome::Succeeded;
            if tells && !memory.endings.contains_key(&uid) {
                let pods = self.pods_of(term, namespace, memory, &name).await?;
                let ending = ending::newest(&pods, &uid, outcome);
                memory.endings.insert(uid, ending);
            }
        }
        recall(memory, observation);
        Ok(())
    }

    /// Looks why the pod of a Job does not start (R41). It is asked again where there is no answer.
    pub(super) async fn ask_pods(&self, plan: &mut Plan<'_>, job: &str) -> Result<(), ExecuteError> {
        let namespace = namespace(&plan.run).to_owned();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        // They are half a minute old: the API server's cache will do. It knows no limit.
        let params = ListParams::default().labels(&format!("{JOB_LABEL}={job}")).match_any();
        let answer = self.call(plan.term, Verb::List, Resource::Pods, job, pods.list(&params)).await;
        if matches!(answer, Err(ExecuteError::NotLeading)) {
            return Err(ExecuteError::NotLeading);
        }
        let why = match answer {
            Ok(pods) => pending::why(&pods.items),
            // What was known stays.
            Err(_) => plan.memory.waiting.get(job).and_then(|waiting| waiting.why.clone()),
        };
        plan.memory.waiting.insert(job.to_owned(), Waiting { why, asked_at: self.clock.now() });
        Ok(())
    }

    async fn pods_of(
        &self,
        term: &Term,
        namespace: &str,
        memory: &mut Memory,
        job: &str,
    ) -> Result<Vec<Pod>, ExecuteError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let params = ListParams::default().labels(&format!("{JOB_LABEL}={job}")).limit(MOST_PODS);
        match self.call(term, Verb::List, Resource::Pods, job, pods.list(&params)).await {
            Ok(pods) => Ok(pods.items),
            Err(ExecuteError::NotLeading) => Err(ExecuteError::NotLeading),
            Err(error) => {
                memory.unanswered += 1;
                let forbidden = matches!(&error, ExecuteError::Api { source, .. }
                    if matches!(source.as_ref(), kube::Error::Api(status) if status.code == 403));
                if forbidden || memory.unanswered >= ATTEMPTS {
                    memory.unanswered = 0;
                    warn!(job, %error, "its pods cannot be asked how it ended; the Job's own condition must do");
                    return Ok(Vec::new());
                }
                Err(error)
            }
        }
    }
}

fn recall(memory: &Memory, observation: &mut Observation) {
    for job in &mut observation.jobs {
        let ending: Option<&Ending> = memory.endings.get(&job.uid).and_then(Option::as_ref);
        if let (Some(finished), Some(ending)) = (&mut job.finished, ending) {
            ending::explain(finished, ending);
        }
    }
}
