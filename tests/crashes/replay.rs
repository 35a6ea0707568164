//! The same play again, with a fault at each of its calls.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::join_all;
use tokio::sync::Semaphore;

use crate::ending::Ending;
use crate::faults::call::Call;
use crate::faults::fault::Fault;
use crate::scenario::Scenario;
use crate::stage::{Stage, Trouble};

/// Plays at the same time. They wait most of the time, but all of them start processes.
static PLACES: Semaphore = Semaphore::const_new(24);
/// Without a call for so long, nobody is doing anything any more.
const REST: Duration = Duration::from_millis(2500);
/// By then a world has ended as it should, or it never will: longer than the prune floor, which some wait for.
const PATIENCE: Duration = Duration::from_secs(75);

/// How much of an enumeration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Each call with one of the faults, in turns.
    Some,
    /// Each call with each fault.
    All,
}

/// Plays the scenario, and then once for each call and fault. All must end like the first.
pub async fn replay(scenario: Scenario, faults: &[Fault], extent: Extent) {
    let (golden, calls) = golden(scenario).await;
    let calls = &calls[..calls.len().min(scenario.most())];
    let mut points = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let fitting: Vec<Fault> = faults.iter().copied().filter(|fault| fault.befits(call)).collect();
        let chosen: &[Fault] = match extent {
            Extent::Some => &fitting[index % fitting.len()..][..1],
            Extent::All => &fitting,
        };
        points.extend(chosen.iter().map(|fault| Trouble::At(index + 1, *fault)));
    }
    play_all(scenario, &golden, calls, &points).await;
}

/// Plays the scenario once, and then in each of these troubles.
pub async fn replay_in(scenario: Scenario, troubles: &[Trouble]) {
    let (golden, calls) = golden(scenario).await;
    play_all(scenario, &golden, &calls, troubles).await;
}

async fn play_all(scenario: Scenario, golden: &Ending, calls: &[Call], points: &[Trouble]) {
    let since = Instant::now();
    let played = join_all(points.iter().map(|point| play_again(scenario, *point, golden))).await;
    let missed = played.iter().filter(|played| matches!(played, Ok(false))).count();
    let failures: Vec<String> = played.into_iter().filter_map(Result::err).collect();
    println!(
        "{scenario:?}: {} calls, {} replays ({missed} without their fault), {} failed, {} s",
        calls.len(),
        points.len(),
        failures.len(),
        since.elapsed().as_secs(),
    );
    for (index, call) in calls.iter().enumerate() {
        println!("  {:2} {call}", index + 1);
    }
    assert!(failures.is_empty(), "{scenario:?}\n{}", failures.join("\n"));
    // A busy machine may make one call of two, or two of one.
    // Timing decides whether the last calls come; but a replay without any fault would prove nothing.
    let struck = points.len() - missed;
    assert!(struck > 0 && missed <= 1 + points.len() / 4, "{missed} of {} faults never came to pass", points.len());
}

async fn golden(scenario: Scenario) -> (Ending, Vec<Call>) {
    let place = PLACES.acquire().await.expect("it is never closed");
    let (stage, ended) = play(scenario, Trouble::None).await;
    ended.unwrap_or_else(|trouble| panic!("{scenario:?} without a fault: {trouble}; {}", stage.log().display()));
    let mut ending = Ending::of(&stage).await;
    loop {
        tokio::time::sleep(REST).await;
        let now = Ending::of(&stage).await;
        if now == ending && stage.quiet_for() >= REST {
            break;
        }
        ending = now;
    }
    let made: Vec<(&str, usize)> = ending.made.iter().map(|(name, uids)| (name.as_str(), *uids)).collect();
    let wanted: Vec<(&str, usize)> = scenario.makes().iter().map(|name| (*name, 1)).collect();
    assert_eq!(made, wanted, "{scenario:?}");
    stage.forget();
    drop(place);
    (ending, stage.layer.calls())
}

/// Whether the fault came to pass; `Err` says how the play ended otherwise than the golden one.
async fn play_again(scenario: Scenario, point: Trouble, golden: &Ending) -> Result<bool, String> {
    let _place = PLACES.acquire().await.expect("it is never closed");
    let (stage, ended) = play(scenario, point).await;
    let told = |trouble: String| format!("{:?}: {trouble}\n  {}", stage.trouble(), stage.log().display());
    ended.map_err(told)?;
    let deadline = Instant::now() + PATIENCE;
    let mut record = stage.seen.record.clone();
    loop {
        let ending = Ending::of(&stage).await;
        if ending == *golden && stage.quiet_for() >= REST {
            stage.forget();
            return Ok(stage.was_troubled());
        }
        if Instant::now() > deadline {
            let calls: Vec<String> = stage.layer.calls().iter().map(Call::to_string).collect();
            return Err(told(format!("another end\n{}  {}", ending.difference(golden), calls.join(", "))));
        }
        // Rest is no event.
        let _ = tokio::time::timeout(Duration::from_secs(1), record.changed()).await;
    }
}

async fn play(scenario: Scenario, trouble: Trouble) -> (Arc<Stage>, Result<(), String>) {
    let stage = Arc::new(Stage::new("crashes", trouble, scenario.counts()).await);
    let played = AssertUnwindSafe(scenario.play(&stage)).catch_unwind().await;
    let words = |panic: Box<dyn Any + Send>| panic.downcast_ref::<String>().cloned().unwrap_or_default();
    (stage, played.map_err(words))
}
