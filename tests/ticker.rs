//! The one timer and the clocks (R20).
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use marmot_operator::clock::{Clock, ManualClock};
use marmot_operator::index::Key;
use marmot_operator::queue::Queue;
use marmot_operator::ticker::Ticker;

// R20: a timer alone would sleep through the rest of the hour.
#[tokio::test(start_paused = true)]
async fn a_stepped_clock_is_noticed_within_thirty_seconds() {
    let clock = ManualClock::new("2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
    let queue = Arc::new(Queue::default());
    let ticker = Arc::new(Ticker::new(Arc::new(clock.clone()), Arc::clone(&queue)));
    let key = Key { namespace: "ns".into(), name: "orders".into() };
    ticker.arm(&key, Some(clock.now() + SignedDuration::from_hours(1)));
    let jumps = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&jumps);
    tokio::spawn({
        let ticker = Arc::clone(&ticker);
        async move { ticker.run(move |drift| told.lock().unwrap().push(drift)).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(queue.is_empty());

    clock.set_wall(clock.now() + SignedDuration::from_hours(2));
    let due = tokio::time::timeout(Duration::from_secs(31), queue.next()).await.expect("woken within 30 s");
    assert_eq!(due, key);
    assert_eq!(*jumps.lock().unwrap(), [SignedDuration::from_hours(2)]);
}
