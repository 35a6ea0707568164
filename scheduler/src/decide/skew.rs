//! A record from a clock that was once wrong (R12).

use jiff::{SignedDuration, Timestamp};

use super::Look;
use super::teardown::LONGEST_PAUSE;

/// A record this far ahead of now was not made by a clock like ours.
const TOLERATED: SignedDuration = SignedDuration::from_hours(1);
/// How long the record is believed nevertheless: the wrong clock may be the one of this node.
const PATIENCE: SignedDuration = SignedDuration::from_mins(5);
/// Clocks of a cluster differ by less, as a rule.
const USUAL: SignedDuration = SignedDuration::from_mins(1);

/// What was written down as "now" lies ahead of now: by a clock that was wrong.
pub(super) fn is_ahead(now: Timestamp, noted: Timestamp) -> bool {
    noted.duration_since(now) > USUAL
}

/// Holds the ticks back while the record lies in the future, and gives up on the record after five minutes. What only
/// makes somebody wait is not believed at all.
pub(super) fn heal(look: &mut Look<'_>) {
    let (now, stamp) = (look.now, look.stamp);
    for job in look.state.active_jobs.iter_mut().filter(|job| is_ahead(now, job.settled_at)) {
        job.settled_at = stamp;
    }
    if let Some(last) = look.state.last_result.as_mut().filter(|last| is_ahead(now, last.finished_at)) {
        last.finished_at = stamp;
    }
    if let Some(teardown) = &mut look.state.teardown {
        let farthest = stamp.saturating_add(LONGEST_PAUSE).unwrap_or(Timestamp::MAX);
        teardown.retry_at = teardown.retry_at.map(|at| at.min(farthest));
    }
    if !is_far_ahead(look) {
        look.state.skewed_since = None;
        return;
    }
    let since = look.state.skewed_since.filter(|since| *since <= look.now).unwrap_or(look.stamp);
    let until = since.saturating_add(PATIENCE).unwrap_or(Timestamp::MAX);
    if look.now < until {
        look.state.skewed_since = Some(since);
        look.wake_at(until);
        return;
    }
    let now = look.stamp;
    look.state.skewed_since = None;
    look.state.mark = look.state.mark.map(|mark| mark.min(now));
    if let Some(in_force) = &mut look.state.in_force {
        in_force.since = in_force.since.min(now);
    }
}

/// The mark, or the moment of the last change, is more than an hour ahead of now.
fn is_far_ahead(look: &Look<'_>) -> bool {
    let since = look.state.in_force.as_ref().map(|in_force| in_force.since);
    let newest = look.state.mark.max(since);
    newest.is_some_and(|newest| newest.duration_since(look.now) > TOLERATED)
}
