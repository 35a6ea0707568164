//! How long a trigger takes to its Job, beside the same calls made by hand; and how long after its end the Job goes (R28).

use std::time::Duration;

use anyhow::Context as _;
use crds::Run;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{conditions, wait::await_condition};
use marmot_operator::light::LightJob;
use serde_json::{Value, json};

use crate::REST;
use crate::bed::arrivals::{Arrivals, Lateness};
use crate::bed::control_plane::ControlPlane;
use crate::bed::objects;
use crate::bed::requests::{IN_FLIGHT, create_all, numbered};
use crate::bed::writes::Writes;

/// So many Jobs are watched on their way out.
const LEAVING: usize = 20;

/// Who answers a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The bench itself, with the calls that the operator makes up to the Job: what they take where nobody has to notice.
    ByHand,
    /// The operator.
    Operator,
}

/// Whether a trigger was lost or doubled.
pub(crate) async fn measure(plane: &ControlPlane, triggers: usize) -> anyhow::Result<bool> {
    println!(
        "| triggers, one after the other | answered by | p50 | p99 | longest | missing | doubled | Jobs go after their end |"
    );
    println!("|---:|---|---:|---:|---:|---:|---:|---:|");
    let mut unsound = false;
    for answer in [Answer::ByHand, Answer::Operator] {
        unsound |= one_after_the_other(plane, triggers, answer).await.with_context(|| format!("{answer:?}"))?;
    }
    println!();
    Ok(unsound)
}

/// From each patch being sent to its Job arriving.
async fn one_after_the_other(plane: &ControlPlane, triggers: usize, answer: Answer) -> anyhow::Result<bool> {
    let namespace = plane.namespace("triggers").await;
    let runs: Api<Run> = Api::namespaced(plane.client.clone(), &namespace);
    let operator = (answer == Answer::Operator).then(|| plane.operator(&namespace)).transpose()?;
    let objects: Result<Vec<Run>, _> = numbered(triggers).map(|name| objects::run(&name, "0 0 1 1 *")).collect();
    create_all(&runs, objects?, IN_FLIGHT).await?;
    Writes::rest(&plane.client, REST).await?;
    let mut arrivals = Arrivals::watch(&plane.client, &namespace).await?;
    let annotation = json!({ "metadata": { "annotations": { crds::TRIGGER_ANNOTATION: "true" } } });
    let mut took = Vec::new();
    for (count, name) in numbered(triggers).enumerate() {
        let sent = Timestamp::now();
        runs.patch(&name, &PatchParams::default(), &Patch::Merge(&annotation)).await?;
        if answer == Answer::ByHand {
            by_hand(plane, &namespace, &name).await?;
        }
        arrivals.wait(count + 1, sent + SignedDuration::from_secs(30)).await;
        let arrived = arrivals.so_far();
        let arrived = arrived.iter().find(|arrival| arrival.owner == name).map(|arrival| arrival.at);
        took.extend(arrived.map(|at| at.duration_since(sent).as_secs_f64() * 1000.0));
        // The settling of this one is not the next one's business.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Writes::rest(&plane.client, REST).await?;
    let gone = if answer == Answer::Operator { leave(plane, &namespace).await? } else { "–".to_owned() };
    drop(operator);

    took.sort_by(f64::total_cmp);
    let arrived = arrivals.so_far().len();
    let (missing, doubled) = (triggers - took.len(), arrived.saturating_sub(triggers));
    let took = Lateness { sorted: took, ..Lateness::default() };
    let [median, high, longest] = [50, 99, 100].map(|percent| took.percentile(percent).unwrap_or_default());
    let who = match answer {
        Answer::ByHand => "the same calls by hand",
        Answer::Operator => "this operator",
    };
    println!(
        "| {triggers} | {who} | {median:.1} ms | {high:.1} ms | {longest:.1} ms | {missing} | {doubled} | {gone} |"
    );
    Ok(missing + doubled > 0)
}

/// Takes the annotation off and creates the Job.
async fn by_hand(plane: &ControlPlane, namespace: &str, name: &str) -> anyhow::Result<()> {
    let runs: Api<Run> = Api::namespaced(plane.client.clone(), namespace);
    let annotations = json!({ crds::TRIGGER_ANNOTATION: Value::Null, crds::TRIGGER_TAKEN_ANNOTATION: "by hand" });
    let taken = json!({ "metadata": { "annotations": annotations } });
    runs.patch(name, &PatchParams::default(), &Patch::Merge(&taken)).await?;
    let jobs: Api<Job> = Api::namespaced(plane.client.clone(), namespace);
    jobs.create(&PostParams::default(), &objects::job(name, Timestamp::now())?).await?;
    Ok(())
}

/// Some of the Jobs end at one instant. The shortest and the longest time until they are gone.
async fn leave(plane: &ControlPlane, namespace: &str) -> anyhow::Result<String> {
    let jobs: Api<LightJob> = Api::namespaced(plane.client.clone(), namespace);
    let all = jobs.list(&ListParams::default()).await?.items;
    // The API server keeps whole seconds.
    let ended = Timestamp::from_second(Timestamp::now().as_second() + 1)?;
    let left = Duration::try_from(ended.duration_since(Timestamp::now())).unwrap_or_default();
    tokio::time::sleep(left).await;
    let times = stream::iter(all.into_iter().take(LEAVING)).map(|job| {
        let jobs = &jobs;
        async move {
            let (name, uid) = (job.name_any(), job.uid().unwrap_or_default());
            let started = job.creation_timestamp().map_or(ended, |time| time.0);
            let status = json!({ "status": objects::success(started, ended) });
            jobs.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await?;
            let gone = await_condition(jobs.clone(), &name, conditions::is_deleted(&uid));
            tokio::time::timeout(Duration::from_secs(90), gone).await.context("a Job stays")??;
            anyhow::Ok(Timestamp::now().duration_since(ended).as_secs_f64())
        }
    });
    let mut times: Vec<f64> = times.buffer_unordered(LEAVING).try_collect().await?;
    times.sort_by(f64::total_cmp);
    let [first, last] = [times.first(), times.last()].map(|time| time.copied().unwrap_or_default());
    Ok(format!("{first:.2} to {last:.2} s"))
}
