//! How a Job ended in the words of its pods: the runner's termination message, or what the kubelet says without one (R36).

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use scheduler::observation::{Finished, Observation, ObservedJob};
use scheduler::state::Outcome;

use crate::objects;
use crate::runner::report::{self, Report};

/// Longest message taken over, in characters. The runner's are no longer; other images may write what they like.
const MAX_MESSAGE: usize = 1024;
/// Longest reason.
const MAX_REASON: usize = 64;
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
            let message = finished.message.get_or_insert_default();
            *message = format!("{message}; its last attempt: {}", ending.message);
        }
        return;
    }
    finished.outcome = ending.outcome;
    finished.reason = Some(ending.reason.clone());
    finished.message = Some(ending.message.clone());
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
    let terminated = terminated(pod).filter(|terminated| terminated.exit_code != 0)?;
    let (outcome, message) = if terminated.reason.as_deref() == Some("OOMKilled") {
        let message = "the container ran out of memory: raise spec.resources.limits.memory".to_owned();
        (Outcome::Killed, message)
    } else {
        (Outcome::Failed, format!("the container ended with exit code {} and said nothing", terminated.exit_code))
    };
    Some(Ending { outcome, reason: word(terminated.reason.as_deref().unwrap_or_default()), message })
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
        let (reason, message) = (Some(reason.to_owned()), Some("the Job's".to_owned()));
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

    // R36: what the kubelet says when the container could not.
    #[test]
    fn without_a_message() {
        for (terminated, outcome, reason) in [
            (json!({ "exitCode": 137, "reason": "OOMKilled" }), Outcome::Killed, "OOMKilled"),
            (json!({ "exitCode": 1, "reason": "Error" }), Outcome::Failed, "Error"),
            (json!({ "exitCode": 1, "reason": "Error", "message": "not JSON" }), Outcome::Failed, "Error"),
            (said("Failed", "not one word", 1), Outcome::Failed, "Error"),
        ] {
            let ending = newest(&[pod("2026-01-01T00:00:00Z", terminated)], "job", Outcome::Failed).unwrap();
            assert_eq!((ending.outcome, ending.reason.as_str()), (outcome, reason));
        }
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
