//! Two operators that both believe they lead, on the same Runs: their calls go through one at a time, in an order drawn
//! from a seed, and their views lag behind.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use serde_json::{Value, json};

use crate::faults::Layer;
use crate::faults::call::Call;
use crate::faults::turns::{Random, Turns};
use crate::seen::{Record, Seen};
use crate::support::operator::{World, finished, status};

/// Name, seconds between ticks, policy and the way its pods end.
const SCHEDULED: &[(&str, i64, &str, &str)] =
    &[("allow", 4, "Allow", "success"), ("forbid", 5, "Forbid", "success"), ("replace", 7, "Replace", "slow")];
const ONE_SHOT: &str = "once";
/// How long users are busy.
const BUSY: Duration = Duration::from_secs(40);
const REST: Duration = Duration::from_secs(3);
/// Longer than the prune floor, which some of what is left may have to wait for, twice.
const PATIENCE: Duration = Duration::from_secs(150);

/// Plays it; everything that is drawn is drawn from `seed`.
pub async fn play(seed: u64) {
    let world = World::new("leaders").await;
    let witness = Seen::follow(&world).await;
    let turns = Turns::new(Random::new(seed));
    let mut layers = Vec::new();
    let mut operators = Vec::new();
    for number in 1..=2 {
        let name = format!("{}-{number}", world.namespace);
        let layer = Layer::start(&name, world.client.clone(), Call::decides, Some(turns.clone())).await;
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.log"));
        let log = Stdio::from(std::fs::File::create(log).expect("the log can be made"));
        operators.push(world.operator_by(layer.kubeconfig(), &["--leader-elect=false"], log));
        layer.count();
        layers.push(layer);
    }
    let mut random = Random::new(seed.wrapping_add(1));
    let edits = busy(&world, &layers, &mut random).await;

    let since = Instant::now();
    while !at_rest(&layers, &witness.record.borrow()) {
        assert!(since.elapsed() < PATIENCE, "no rest: {:#?}", witness.record.borrow().runs);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let record = witness.record.borrow().clone();
    let calls: Vec<usize> = layers.iter().map(|layer| layer.calls().len()).collect();
    println!("{} Jobs, calls of the two: {calls:?}, {edits} edits", record.made.len());
    assert!(calls.iter().all(|calls| *calls > 20), "both took part");
    audit(&record);
}

/// What users do meanwhile; returns how often the one-shot Run was edited. Then no tick comes any more.
async fn busy(world: &World, layers: &[Arc<Layer>], random: &mut Random) -> u64 {
    let limits = json!({ "successfulJobsHistoryLimit": 1000, "failedJobsHistoryLimit": 1000 });
    let spec = |policy: &str, outcome: &str| {
        let mut spec = limits.clone();
        spec["concurrencyPolicy"] = json!(policy);
        spec["podAnnotations"] = json!({ "test.marmotdata.io/outcome": outcome });
        spec
    };
    for (name, every, policy, outcome) in SCHEDULED {
        let mut spec = spec(policy, outcome);
        spec["schedule"] = json!(format!("@every {every}s"));
        world.create(name, spec).await;
    }
    world.create(ONE_SHOT, spec("Replace", "success")).await;

    let names: Vec<&str> = SCHEDULED.iter().map(|(name, ..)| *name).chain([ONE_SHOT]).collect();
    let mut edits = 0;
    let end = Instant::now() + BUSY;
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(200 + random.below(1500))).await;
        let name = names[usize::try_from(random.below(names.len() as u64)).expect("an index")];
        match random.below(4) {
            0 => world.trigger(name).await,
            1 => {
                edits += 1;
                let image: Value = json!({ "image": format!("example.org/marmot:{edits}") });
                world.patch(ONE_SHOT, json!({ "spec": image })).await;
            }
            2 => {
                world
                    .patch(name, json!({ "metadata": { "labels": { "edit": random.below(1000).to_string() } } }))
                    .await;
            }
            _ => {
                let layer = &layers[usize::try_from(random.below(2)).expect("an index")];
                layer.views.lag(Duration::from_millis(random.below(1500)));
                if random.below(3) == 0 {
                    layer.views.expire();
                }
            }
        }
    }
    for (name, ..) in SCHEDULED {
        world.patch(name, json!({ "spec": { "suspend": true } })).await;
    }
    edits
}

fn at_rest(layers: &[Arc<Layer>], record: &Record) -> bool {
    let quiet = layers.iter().all(|layer| layer.quiet_for() > REST);
    let done = record.runs.values().all(|run| {
        let status = status(run);
        let unfinished = status.active_jobs.iter().any(|job| !job.finished);
        marmot_operator::status::record(run).claims.is_empty()
            && !unfinished
            && !run.annotations().contains_key(crds::TRIGGER_ANNOTATION)
    });
    quiet && done && record.jobs.values().all(finished)
}

/// Every name has had one Job; every tick up to the mark has a Job or stands in the ledger; every trigger that was taken
/// has run, and so has the newest pipeline of the one-shot Run.
fn audit(record: &Record) {
    let twice: BTreeMap<_, _> = record.made.iter().filter(|(_, uids)| uids.len() > 1).collect();
    assert!(twice.is_empty(), "made twice: {twice:?}");
    for (name, every, ..) in SCHEDULED {
        let run = &record.runs[*name];
        let (status, created) = (status(run), run.creation_timestamp().expect("it is stored").0.as_second());
        let mark = status.last_schedule_time.expect("there were ticks").0.as_second();
        let ticks = (mark - created) / every;
        let tick = |number: i64| jiff::Timestamp::from_second(created + number * every).expect("a time");
        let ran =
            (1..=ticks).filter(|number| record.made.contains_key(&scheduler::names::scheduled(name, tick(*number))));
        let ran = i64::try_from(ran.count()).expect("a number");
        let skipped: i64 = status.skipped_ticks.iter().map(|skipped| skipped.count).sum();
        println!("{name}: {ticks} ticks, {ran} run, {skipped} told: {:?}", status.skipped_ticks);
        // Entries beyond the ledger's length are forgotten.
        let is_whole = status.skipped_ticks.len() < scheduler::state::LEDGER_LEN;
        assert!(ran + skipped == ticks || (!is_whole && ran + skipped < ticks), "{name}: {:#?}", record.made.keys());
    }
    for (name, run) in &record.runs {
        let triggers = status(run).trigger_count.unwrap_or_default();
        for number in 1..=triggers {
            let job = scheduler::names::trigger(name, number);
            assert!(record.made.contains_key(&job), "{job} never ran");
        }
    }
    let one_shot = status(&record.runs[ONE_SHOT]).one_shot.expect("it has run").generation;
    let job = scheduler::names::one_shot(ONE_SHOT, one_shot);
    assert!(record.made.contains_key(&job), "{job} never ran");
}
