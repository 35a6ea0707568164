//! How a Job ended in the words of its pods: the runner's termination message, or what the kubelet says without one (R36).

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use scheduler::observation::{Finished, Observation, ObservedJob};
use scheduler::state::Outcome;

use crate::objects;
use crate::runner::report::{self, Report};
use crate::start_error;

/// Longest message taken over, in characters. The runner's are no longer; other images may write what they like.
const MAX_MESSAGE: usize = 1024;
/// Longest reason.
const MAX_REASON: usize = 64;
/// Exit codes above this tell a signal.
const SIGNALS: i32 = 128;
/// Reason of a Job that the deadline ended.
const DEADLINE: &str = "DeadlineExceeded";

/// The end of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// How it ended.
    pub outcome: Outcome,
    /// Why, as one word.
    pub reason: String,
    /// Why, in words.
    pub message: String,
}

/// The Jobs that have ended and whose end is about to be recorded: their pods are asked now, once, and never otherwise.
pub fn awaited(observation: &Observation) -> impl Iterator<Item = &ObservedJob> {
    let state = &observation.state;
    observation.jobs.iter().filter(|job| {
        let is_settled = state.active_jobs.iter().any(|active| active.uid == job.uid && !active.finished);
        job.finished.is_some() && (is_settled || state.claims.contains_key(&job.name))
    })
}

/// The newest end among the pods of the Job with that UID; pods that ended otherwise than their Job tell nothing about its
/// end.
#[must_use]
pub fn newest(pods: &[Pod], job_uid: &str, job: Outcome) -> Option<Ending> {
    let of_job = |pod: &&Pod| pod.metadata.owner_references.iter().flatten().any(|owner| owner.uid == job_uid);
    let ends = pods.iter().filter(of_job).filter_map(|pod| Some((when(pod), of_pod(pod)?)));
    let fitting = ends.filter(|(_, end)| (end.outcome == Outcome::Succeeded) == (job == Outcome::Succeeded));
    fitting.max_by_key(|(when, _)| *when).map(|(_, end)| end)
}

/// Puts the pod's words into the Job's end. The Job alone says whether it succeeded, and when its time was over.
pub fn explain(finished: &mut Finished, ending: &Ending) {
    if finished.reason.as_deref() == Some(DEADLINE) {
        if ending.outcome != Outcome::Killed {
            let message = finished.message.take().unwrap_or_default();
            finished.message = Some(format!("{message}; its last attempt: {}", ending.message).into());
        }
        return;
    }
    finished.outcome = ending.outcome;
    finished.reason = Some(ending.reason.clone().into());
    finished.message = Some(ending.message.clone().into());
}

fn terminated(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let container = statuses.iter().find(|status| status.name == objects::CONTAINER)?;
    container.state.as_ref()?.terminated.as_ref()
}

fn when(pod: &Pod) -> Option<jiff::Timestamp> {
    let finished = terminated(pod).and_then(|terminated| terminated.finished_at.as_ref());
    finished.or(pod.metadata.creation_timestamp.as_ref()).map(|time| time.0)
}

fn of_pod(pod: &Pod) -> Option<Ending> {
    let report = terminated(pod).and_then(|terminated| Report::parse(terminated.message.as_deref()?));
    if let Some(report) = report {
        return Some(reported(&report));
    }
    let status = pod.status.as_ref()?;
    if let Some(reason) = &status.reason {
        // The kubelet's, such as Evicted.
        let message = status.message.clone().unwrap_or_default();
        return Some(Ending { outcome: Outcome::Killed, reason: word(reason), message: cut(&message) });
    }
    let (container, terminated) = failed(pod)?;
    let code = terminated.exit_code;
    let (outcome, message) = match terminated.reason.as_deref() {
        Some("OOMKilled") => {
            (Outcome::Killed, "the container ran out of memory: raise spec.resources.limits.memory".to_owned())
        }
        Some(reason) if start_error::is_start_error(reason) => {
            let message = terminated.message.as_deref().unwrap_or_default();
            (Outcome::Failed, start_error::explain(&container.image, message))
        }
        // The runner said more, but its message was lost.
        _ if container.name == objects::CONTAINER && code == i32::from(report::PARTIAL) => {
            (Outcome::Partial, "something was lost; the container's log says what".to_owned())
        }
        Some("ContainerStatusUnknown") => (Outcome::Killed, "nobody knows how the container ended".to_owned()),
        _ if code > SIGNALS => (Outcome::Killed, format!("the container was killed by signal {}", code - SIGNALS)),
        _ if container.name == objects::CONTAINER => {
            (Outcome::Failed, format!("the container ended with exit code {code} and said nothing"))
        }
        _ => (Outcome::Failed, format!("the container {} ended with exit code {code}", container.name)),
    };
    Some(Ending { outcome, reason: word(terminated.reason.as_deref().unwrap_or_default()), message: cut(&message) })
}

/// The container that failed: that of `marmot`, or one that it waits for.
fn failed(pod: &Pod) -> Option<(&ContainerStatus, &ContainerStateTerminated)> {
    let status = pod.status.as_ref()?;
    let mains = status.container_statuses.iter().flatten().filter(|container| container.name == objects::CONTAINER);
    let mut containers = mains.chain(status.init_container_statuses.iter().flatten());
    containers.find_map(|container| {
        let terminated = container.state.as_ref()?.terminated.as_ref()?;
        (terminated.exit_code != 0).then_some((container, terminated))
    })
}

fn reported(report: &Report) -> Ending {
    let outcome = match report.outcome {
        report::Outcome::Succeeded => Outcome::Succeeded,
        report::Outcome::Partial => Outcome::Partial,
        report::Outcome::Failed => Outcome::Failed,
        report::Outcome::Killed => Outcome::Killed,
    };
    Ending { outcome, reason: word(&report.reason), message: cut(&report.message) }
}

/// Reasons stand in conditions and metrics: one word, whoever wrote it.
fn word(reason: &str) -> String {
    let is_word = (1..=MAX_REASON).contains(&reason.len()) && reason.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_word { reason.to_owned() } else { "Error".to_owned() }
}

fn cut(message: &str) -> String {
    message.chars().take(MAX_MESSAGE).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn pod(finished: &str, terminated: Value) -> Pod {
        let mut terminated = terminated;
        terminated["finishedAt"] = json!(finished);
        let pod = json!({
            "metadata": { "ownerReferences": [{ "apiVersion": "batch/v1", "kind": "Job", "name": "x", "uid": "job" }] },
            "status": { "containerStatuses": [
                { "name": "sidecar", "image": "", "imageID": "", "ready": false, "restartCount": 0 },
                { "name": "marmot-ingest", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                  "state": { "terminated": terminated } },
            ] },
        });
        serde_json::from_value(pod).unwrap()
    }

    fn said(outcome: &str, reason: &str, exit_code: i32) -> Value {
        let message =
            json!({ "outcome": outcome, "reason": reason, "message": "in words", "counts": { "created": 1 } });
        json!({ "exitCode": exit_code, "message": message.to_string() })
    }

    fn job(outcome: Outcome, reason: &str) -> Finished {
        let (reason, message) = (Some(reason.to_owned().into()), Some("the Job's".into()));
        Finished { outcome, at: Timestamp::UNIX_EPOCH, reason, message }
    }

    // R36
    #[test]
    fn the_newest_pod_that_ended_like_its_job_explains_it() {
        let pods = [
            pod("2026-01-01T00:02:00Z", said("Partial", "AssetsLost", 3)),
            pod("2026-01-01T00:03:00Z", said("Succeeded", "Completed", 0)),
            pod("2026-01-01T00:01:00Z", said("Failed", "Unauthorized", 1)),
        ];
        let ending = newest(&pods, "job", Outcome::Failed).unwrap();
        assert_eq!((ending.outcome, ending.reason.as_str()), (Outcome::Partial, "AssetsLost"));
        assert_eq!(newest(&pods, "job", Outcome::Succeeded).unwrap().reason, "Completed");
        assert_eq!(newest(&pods, "another", Outcome::Failed), None, "by UID, never by label alone");
        assert_eq!(newest(&[], "job", Outcome::Failed), None);

        let mut finished = job(Outcome::Failed, "PodFailurePolicy");
        explain(&mut finished, &ending);
        let parts = (finished.outcome, finished.reason.as_deref(), finished.message.as_deref());
        assert_eq!(parts, (Outcome::Partial, Some("AssetsLost"), Some("in words")));
    }

    // R36
    #[test]
    fn the_deadline_is_the_jobs_to_tell() {
        let mut finished = job(Outcome::Killed, DEADLINE);
        let ending = newest(&[pod("2026-01-01T00:02:00Z", said("Failed", "Unauthorized", 1))], "job", Outcome::Killed);
        explain(&mut finished, &ending.unwrap());
        assert_eq!((finished.outcome, finished.reason.as_deref()), (Outcome::Killed, Some(DEADLINE)));
        assert_eq!(finished.message.as_deref(), Some("the Job's; its last attempt: in words"));
    }

    // R36: the runner is brought by an init container.
    #[test]
    fn a_container_before_it_may_have_failed() {
        let mut pod = pod("2026-01-01T00:00:00Z", json!({ "exitCode": 0 }));
        let status = pod.status.as_mut().unwrap();
        let mut statuses = status.container_statuses.take().unwrap();
        statuses[1].state = None;
        let mut before = statuses[1].clone();
        before.name = "marmot-runner".to_owned();
        before.state =
            Some(serde_json::from_value(json!({ "terminated": { "exitCode": 2, "reason": "Error" } })).unwrap());
        (status.container_statuses, status.init_container_statuses) = (Some(statuses), Some(vec![before]));
        let ending = newest(&[pod], "job", Outcome::Failed).unwrap();
        assert_eq!((ending.outcome, ending.reason.as_str()), (Outcome::Failed, "Error"));
        assert_eq!(ending.message, "the container marmot-runner ended with exit code 2");
    }

    // R36: what the kubelet says when the container could not.
    #[test]
    fn without_a_message() {
        for (terminated, outcome, reason) in [
            (json!({ "exitCode": 137, "reason": "OOMKilled" }), Outcome::Killed, "OOMKilled"),
            (json!({ "exitCode": 1, "reason": "Error" }), Outcome::Failed, "Error"),
            (json!({ "exitCode": 1, "reason": "Error", "message": "not JSON" }), Outcome::Failed, "Error"),
            (json!({ "exitCode": 128, "reason": "StartError" }), Outcome::Failed, "StartError"),
            (json!({ "exitCode": 3, "reason": "Error" }), Outcome::Partial, "Error"),
            (json!({ "exitCode": 137, "reason": "Error" }), Outcome::Killed, "Error"),
            (json!({ "exitCode": 137, "reason": "ContainerStatusUnknown" }), Outcome::Killed, "ContainerStatusUnknown"),
            (said("Failed", "not one word", 1), Outcome::Failed, "Error"),
        ] {
            let ending = newest(&[pod("2026-01-01T00:00:00Z", terminated)], "job", Outcome::Failed).unwrap();
            assert_eq!((ending.outcome, ending.reason.as_str()), (outcome, reason));
        }
        let message = "unable to start container process: exec: \"sh\": executable file not found in $PATH: unknown";
        let started = json!({ "exitCode": 128, "reason": "StartError", "message": message });
        let ending = newest(&[pod("2026-01-01T00:00:00Z", started)], "job", Outcome::Failed).unwrap();
        assert!(ending.message.contains("has no shell (sh)"), "{}", ending.message);
        let mut evicted = pod("2026-01-01T00:00:00Z", json!({ "exitCode": 143 }));
        evicted.status.as_mut().unwrap().reason = Some("Evicted".to_owned());
        assert_eq!(newest(&[evicted], "job", Outcome::Failed).unwrap().reason, "Evicted");
        assert_eq!(newest(&[pod("2026-01-01T00:00:00Z", json!({ "exitCode": 0 }))], "job", Outcome::Succeeded), None);
        let loud = json!({ "outcome": "Failed", "reason": "X", "message": "a\nb".repeat(2000) }).to_string();
        let loud = pod("2026-01-01T00:00:00Z", json!({ "exitCode": 1, "message": loud }));
        let message = newest(&[loud], "job", Outcome::Failed).unwrap().message;
        assert!(message.len() == MAX_MESSAGE && !message.contains('\n'));
    }
}
