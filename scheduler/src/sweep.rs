//! What a Run leaves behind when it has gone (R30): its teardown Jobs, which have no owner that would take them along.

use jiff::{SignedDuration, Timestamp};

use crate::observation::ObservedJob;
use crate::state::RunKind;

/// How long a finished teardown Job stays, for its log.
const KEPT: SignedDuration = SignedDuration::from_secs(60);

/// Whether the Job of a Run that is gone may be deleted now.
#[must_use]
pub fn is_due(job: &ObservedJob, now: Timestamp) -> bool {
    let over = |at: Timestamp| at.saturating_add(KEPT).is_ok_and(|until| until <= now);
    job.kind == RunKind::Teardown
        && job.deleting_since.is_none()
        && job.finished.as_ref().is_some_and(|end| over(end.at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Finished;
    use crate::state::Outcome;

    // R30
    #[test]
    fn a_teardown_goes_a_minute_after_its_end_and_nothing_else_does() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let end = Finished { outcome: Outcome::Succeeded, at: at(100), reason: None, message: None };
        let mut job = ObservedJob {
            name: "orders-teardown".to_owned(),
            uid: "uid".to_owned(),
            kind: RunKind::Teardown,
            created_at: at(0),
            deleting_since: None,
            finished: Some(end),
            running: false,
            legacy: false,
            legacy_tick: None,
        };
        assert!(!is_due(&job, at(159)));
        assert!(is_due(&job, at(160)));
        job.kind = RunKind::Scheduled;
        assert!(!is_due(&job, at(160)), "an orphaned run was left on purpose");
        job.kind = RunKind::Teardown;
        job.finished = None;
        assert!(!is_due(&job, at(160)));
    }
}
