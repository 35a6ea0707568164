//! What the tests of `decide` share: a simulated world, and short words for times and specs.
#![allow(dead_code, unused_imports, reason = "no test binary uses all of it")]
#![allow(unreachable_pub, reason = "each test binary has this as a private module")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod world;

use jiff::{SignedDuration, Timestamp};
use scheduler::observation::{Problem, ScheduleSpec, Spec};
use scheduler::policy::ConcurrencyPolicy;
use scheduler::schedule::{Schedule, Zone};

pub use world::{Crash, Creates, World};

/// `10:00:00` on Monday, 3 March 2025, or a date with a time, in UTC.
pub fn at(text: &str) -> Timestamp {
    let text = if text.contains('T') { format!("{text}Z") } else { format!("2025-03-03T{text}Z") };
    text.parse().unwrap()
}

pub fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// `spec.schedule` with its zone, parsed as the shell does it.
pub fn schedule_spec(expression: &str, zone: &str) -> ScheduleSpec {
    let known = if zone.is_empty() { Ok(Zone::utc()) } else { Zone::parse(zone) };
    let problem = |reason: &str, message: String| Problem { reason: reason.to_owned(), message };
    let parsed = known.map_err(|error| problem("InvalidTimeZone", error.to_string())).and_then(|zone| {
        Schedule::parse(expression, &zone).map_err(|error| problem("InvalidSchedule", error.to_string()))
    });
    ScheduleSpec { expression: expression.to_owned(), zone: zone.to_owned(), parsed }
}

/// The spec of a one-shot Run with everything at its default.
pub fn one_shot() -> Spec {
    Spec {
        schedule: None,
        suspend: false,
        policy: ConcurrencyPolicy::Forbid,
        starting_deadline: None,
        successful_history: 3,
        failed_history: 1,
        teardown: false,
        pipeline_hash: "v1:a".to_owned(),
        config_hash: "a".to_owned(),
        problem: None,
        warning: None,
        teardown_problem: None,
    }
}

/// The spec of a scheduled Run with everything else at its default.
pub fn every(expression: &str) -> Spec {
    Spec { schedule: Some(schedule_spec(expression, "")), ..one_shot() }
}

/// The same under a policy.
pub fn under(policy: ConcurrencyPolicy, expression: &str) -> Spec {
    Spec { policy, ..every(expression) }
}

/// Name of the Job of a tick.
pub fn tick(text: &str) -> String {
    scheduler::names::scheduled("orders", at(text))
}
