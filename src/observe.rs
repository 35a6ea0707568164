//! API objects → [`Observation`]: the only place where the core's picture of the world is put together.

use std::sync::Arc;

use crds::Run;
use jiff::{SignedDuration, Timestamp};
use scheduler::claim::LONGEST_LEAD;
use scheduler::observation::{Observation, ObservedCronJob, Problem, Process, RunMeta, Spec};
use scheduler::policy::ConcurrencyPolicy;

use crate::index::{Index, IndexedRun, Key};
use crate::light::LightCronJob;
use crate::objects::Defaults;
use crate::status;

/// How far ahead of its tick a claim is made at least, and all of them where there are few.
const SHORTEST_LEAD: SignedDuration = SignedDuration::from_secs(2);
/// Claims of so many Runs are made in a second: fewer than the API server can take, which has ticks to serve meanwhile.
const CLAIMS_PER_SECOND: usize = 150;

/// The observation of a Run.
#[must_use]
pub fn observe(indexed: &IndexedRun, index: &Index, process: Process, defaults: &Defaults) -> Observation {
    let run = &indexed.run;
    let uid = run.metadata.uid.as_deref().unwrap_or_default();
    Observation {
        run: metadata(run, &index.namesakes(&Key::of(&run.metadata))),
        spec: spec(indexed, defaults),
        state: status::record(run),
        report: run.status.as_ref().map(status::report).unwrap_or_default(),
        jobs: index.jobs(uid).iter().filter_map(|job| job.observed().cloned()).collect(),
        cron_jobs: index.cron_jobs(uid).iter().map(|cron_job| observed_cron_job(cron_job, index)).collect(),
        config_hash: index.config(uid).map(|config| config.hash.into_string()),
        process,
        lead: lead(uid, index.len()),
    }
}

/// When to claim: the more Runs there are, and so perhaps are due together, the longer before the tick, each at a moment
/// of its own. Then one create is all that is left at the tick, for everybody (R32).
fn lead(uid: &str, runs: usize) -> SignedDuration {
    let spread = i64::try_from(runs.saturating_mul(1000) / CLAIMS_PER_SECOND).unwrap_or(i64::MAX);
    // And at most. What is edited within its lead costs a write more.
    let spread = spread.min((LONGEST_LEAD - SHORTEST_LEAD).as_millis().try_into().unwrap_or(0));
    // UIDs are random: their digits place the Run evenly.
    let place = uid.bytes().fold(0_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let own = i64::from(place >> 8).saturating_mul(spread) / (1 << 24);
    SHORTEST_LEAD.saturating_add(SignedDuration::from_millis(own))
}

fn metadata(run: &Run, namesakes: &[Arc<str>]) -> RunMeta {
    let annotation = |key: &str| run.metadata.annotations.as_ref().and_then(|annotations| annotations.get(key));
    let finalizers = run.metadata.finalizers.as_deref().unwrap_or_default();
    RunMeta {
        namespace: run.metadata.namespace.clone().unwrap_or_default(),
        name: run.metadata.name.clone().unwrap_or_default(),
        uid: run.metadata.uid.clone().unwrap_or_default(),
        namesakes: namesakes.iter().map(ToString::to_string).collect(),
        generation: run.metadata.generation.unwrap_or_default(),
        created_at: run.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        deleting_since: run.metadata.deletion_timestamp.as_ref().map(|time| time.0),
        trigger: annotation(crds::TRIGGER_ANNOTATION).cloned(),
        finalizer: finalizers.iter().any(|finalizer| finalizer == crds::FINALIZER),
    }
}

fn spec(indexed: &IndexedRun, defaults: &Defaults) -> Spec {
    let (run, parsed) = (&indexed.run.spec, &indexed.parsed);
    let limit = |limit: i32| usize::try_from(limit).unwrap_or_default();
    Spec {
        schedule: parsed.schedule.clone(),
        suspend: run.suspended(),
        policy: match run.concurrency_policy() {
            crds::ConcurrencyPolicy::Allow => ConcurrencyPolicy::Allow,
            crds::ConcurrencyPolicy::Forbid => ConcurrencyPolicy::Forbid,
            crds::ConcurrencyPolicy::Replace => ConcurrencyPolicy::Replace,
        },
        starting_deadline: run.starting_deadline_seconds.map(SignedDuration::from_secs),
        successful_history: limit(run.successful_jobs_history_limit()),
        failed_history: limit(run.failed_jobs_history_limit()),
        pipeline_hash: parsed.pipeline_hash.clone(),
        config_hash: parsed.config_hash.clone(),
        teardown: run.teardown_on_delete(),
        problem: parsed.problem.clone().or_else(|| missing_default(indexed, defaults)),
        warning: parsed.warning.clone(),
        teardown_problem: missing_default(indexed, defaults),
    }
}

/// What neither the Run nor the operator's flags say.
fn missing_default(indexed: &IndexedRun, defaults: &Defaults) -> Option<Problem> {
    if defaults.marmot.get().is_none() {
        return Some(Problem {
            reason: "NoMarmot".to_owned(),
            message: "Marmot is not found: no Service with app.kubernetes.io/name=marmot in the operator's namespace; install it \
                      there, or set operator.marmot.url of the chart (--marmot-url)"
                .to_owned(),
        });
    }
    (defaults.image.is_empty() && indexed.run.spec.image.is_none()).then(|| Problem {
        reason: "NoImage".to_owned(),
        message: "no ingestion image: set spec.image, or start the operator with --image".to_owned(),
    })
}

fn observed_cron_job(cron_job: &LightCronJob, index: &Index) -> ObservedCronJob {
    let metadata = &cron_job.metadata;
    let uid = metadata.uid.clone().unwrap_or_default();
    ObservedCronJob {
        name: metadata.name.clone().unwrap_or_default(),
        suspended: cron_job.spec.suspend,
        deleting: metadata.deletion_timestamp.is_some(),
        last_schedule: cron_job.status.last_schedule_time.as_ref().map(|time| time.0),
        jobs: index.jobs(&uid).iter().map(|job| job.foreign()).collect(),
        uid,
    }
}

#[cfg(test)]
mod tests {
    use scheduler::claim::Claim;
    use scheduler::state::RunKind;
    use serde_json::json;

    use super::*;

    // R27, R32: the claim beside the annotation counts until the status tells of it, and only for the Run it was made for.
    #[test]
    fn a_taken_trigger_is_a_claim_of_its_own_run() {
        let run = |uid: &str, text: String, status: serde_json::Value| -> Run {
            let annotations = json!({ crds::TRIGGER_TAKEN_ANNOTATION: text });
            let metadata = json!({ "name": "orders", "uid": uid, "annotations": annotations });
            serde_json::from_value(json!({ "metadata": metadata, "spec": { "runs": [] }, "status": status })).unwrap()
        };
        let known = |count: i64| {
            let in_force = json!({ "suspend": false, "since": "2026-01-01T00:00:00Z" });
            json!({ "triggerCount": count, "scheduleInForce": in_force })
        };
        let at = "2026-01-01T00:10:00Z".parse().unwrap();
        let claim = Claim { number: Some(3), taken: true, ..Claim::new(RunKind::Trigger, "op-1", at) };
        let text = serde_json::to_string(&status::taken_out(&run("a", String::new(), known(2)), &claim)).unwrap();

        let taken = run("a", text.clone(), known(2));
        assert_eq!(status::taken(&taken).as_ref(), Some(&claim));
        let record = status::record(&taken);
        assert_eq!((record.trigger_count, record.claims.get("orders-trigger-3")), (3, Some(&claim)));
        for told in [run("a", text.clone(), known(3)), run("b", text, known(2)), run("a", "3".to_owned(), known(2))] {
            assert_eq!(status::record(&told), status::state(&told.status.clone().unwrap()), "{:?}", told.metadata);
        }
    }

    // R32: claims of many Runs are spread, those of a few are not made early.
    #[test]
    fn the_lead_grows_with_the_number_of_runs() {
        let leads = |runs: usize| {
            let uids = (0..runs.min(2000)).map(|number| format!("6f{number:06x}-77aa-4b1c-9d0e-00000000{number:04x}"));
            uids.map(|uid| lead(&uid, runs)).collect::<Vec<_>>()
        };
        assert!(leads(3).iter().all(|lead| *lead < SignedDuration::from_millis(2_020)));
        let many = leads(10_000);
        assert!(many.iter().all(|lead| (SHORTEST_LEAD..=LONGEST_LEAD).contains(lead)));
        let middle = SHORTEST_LEAD.saturating_add(SignedDuration::from_secs(10_000 / 150 / 2));
        let early = many.iter().filter(|lead| **lead > middle).count();
        assert!((800..1200).contains(&early), "{early} of 2000 in the earlier half");
    }
}
