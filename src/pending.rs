//! Why the pod of a Job does not start, in the words of scheduler, kubelet and runtime (R41). Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use scheduler::observation::Problem;

use crate::start_error;

/// Longest message taken over.
const MAX_MESSAGE: usize = 400;

/// What the newest pod waits for; `None` if it runs, or has run.
#[must_use]
pub fn why(pods: &[Pod]) -> Option<Problem> {
    let age = |pod: &&Pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let Some(pod) = pods.iter().max_by_key(age) else {
        let message = "none could be made; `kubectl describe job` says why: a quota, a ServiceAccount that is missing, \
                       a policy";
        return Some(problem("NoPod", message));
    };
    let status = pod.status.as_ref()?;
    let mut containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    if status.phase.as_deref() != Some("Pending") {
        return containers.find_map(never_ran);
    }
    // With init containers all containers wait in these words, until the first of them runs.
    let initializes = status.init_container_statuses.iter().flatten().any(has_begun);
    let waiting = |container: &ContainerStatus| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = match waiting.reason.as_deref()? {
            "PodInitializing" if initializes => return None,
            "PodInitializing" => "ContainerCreating",
            reason => reason,
        };
        Some(explain(&container.image, reason, waiting.message.as_deref().unwrap_or_default()))
    };
    let unscheduled = || {
        let conditions = status.conditions.iter().flatten();
        let mut failed =
            conditions.filter(|condition| condition.status == "False" && condition.type_ == "PodScheduled");
        let condition = failed.next()?;
        Some(problem(condition.reason.as_deref().unwrap_or("Unschedulable"), condition.message.as_deref()?))
    };
    containers.find_map(waiting).or_else(unscheduled)
}

fn has_begun(container: &ContainerStatus) -> bool {
    container.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
}

/// Its program could not be started; the Job makes another pod, which will end the same way.
fn never_ran(container: &ContainerStatus) -> Option<Problem> {
    let terminated = container.state.as_ref()?.terminated.as_ref()?;
    let reason = terminated.reason.as_deref().filter(|reason| start_error::is_start_error(reason))?;
    Some(problem(reason, &start_error::explain(&container.image, terminated.message.as_deref().unwrap_or_default())))
}

/// The kubelet says the same thing in turns with two words; the first of them is kept here.
fn explain(image: &str, reason: &str, message: &str) -> Problem {
    match reason {
        "ErrImagePull" | "ImagePullBackOff" => {
            problem("ImagePull", &format!("image {image} cannot be pulled: check its name and imagePullSecrets"))
        }
        "ContainerCreating" => problem(
            reason,
            "a volume is not ready, or its image is still being pulled; a Secret or ConfigMap that a volume names may be \
             missing (`kubectl describe pod` says which)",
        ),
        "CreateContainerError" | "RunContainerError" => problem(reason, &start_error::explain(image, message)),
        "CreateContainerConfigError" if message.contains("runAsNonRoot") => {
            problem(reason, &start_error::explain(image, message))
        }
        _ => problem(reason, message),
    }
}

fn problem(reason: &str, message: &str) -> Problem {
    Problem { reason: reason.to_owned(), message: message.chars().take(MAX_MESSAGE).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    fn pod(created: &str, status: &Value) -> Pod {
        let metadata = json!({ "creationTimestamp": created });
        serde_json::from_value(json!({ "metadata": metadata, "status": status })).unwrap()
    }

    fn waits(reason: &str, message: &str) -> Value {
        json!({ "phase": "Pending", "containerStatuses": [{
            "name": "marmot-ingest", "image": "example.org/marmot:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "waiting": { "reason": reason, "message": message } },
        }] })
    }

    /// All wait in the words of the kubelet for pods with init containers, but that one is in this state.
    fn initializes(init: &Value) -> Value {
        let mut status = waits("PodInitializing", "");
        let container = json!({ "name": "runner", "image": "example.org/operator:1", "imageID": "", "ready": false,
            "restartCount": 0, "state": init });
        status["initContainerStatuses"] = json!([container]);
        status
    }

    fn never_ran_pod(reason: &str) -> Value {
        let message =
            "runc create failed: unable to start container process: exec: \"marmot\": executable file not found";
        json!({ "phase": "Failed", "containerStatuses": [{
            "name": "marmot-ingest", "image": "example.org/marmot:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "terminated": { "exitCode": 128, "reason": reason, "message": message } },
        }] })
    }

    // R41
    #[rstest]
    #[case(waits("ErrImagePull", "x"), Some(("ImagePull", "example.org/marmot:1")))]
    #[case(waits("ImagePullBackOff", "y"), Some(("ImagePull", "example.org/marmot:1")))]
    #[case(waits("CreateContainerConfigError", "secret \"db\" not found"), Some(("CreateContainerConfigError", "db")))]
    #[case(waits("CreateContainerConfigError", "container has runAsNonRoot and image has non-numeric user (marmot)"),
        Some(("CreateContainerConfigError", "set podSecurityContext.runAsUser")))]
    #[case(waits("CreateContainerError", "no command specified"), Some(("CreateContainerError", "example.org/marmot:1")))]
    #[case(never_ran_pod("StartError"), Some(("StartError", "has no program marmot")))]
    #[case(never_ran_pod("Error"), None)]
    #[case(waits("ContainerCreating", ""), Some(("ContainerCreating", "Secret")))]
    #[case(initializes(&json!({ "waiting": { "reason": "PodInitializing" } })), Some(("ContainerCreating", "Secret")))]
    #[case(initializes(&json!({ "running": {} })), None)]
    #[case(initializes(&json!({ "terminated": { "exitCode": 0 } })), None)]
    #[case(json!({ "phase": "Running" }), None)]
    #[case(json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/1 nodes are available" }] }), Some(("Unschedulable", "0/1 nodes")))]
    fn the_reason_is_told_in_words(#[case] status: Value, #[case] expected: Option<(&str, &str)>) {
        let why = why(&[pod("2026-01-01T00:00:00Z", &waits("Old", "")), pod("2026-01-01T00:00:01Z", &status)]);
        assert_eq!(why.as_ref().map(|why| why.reason.as_str()), expected.map(|(reason, _)| reason));
        if let (Some(why), Some((_, words))) = (why, expected) {
            assert!(why.message.contains(words), "{}", why.message);
        }
    }

    // R41: neither quota nor policy lets a pod be made.
    #[test]
    fn a_job_without_pods_says_so() {
        assert_eq!(why(&[]).unwrap().reason, "NoPod");
    }
}
