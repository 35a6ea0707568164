//! How many runs are unfinished, for the caps across Runs.

use std::sync::atomic::{AtomicUsize, Ordering};

use scheduler::state::RunKind;
use tokio::sync::Notify;

use super::KnownJob;

/// Unfinished runs of all Runs together; teardowns are none.
#[derive(Debug, Default)]
pub struct Unfinished {
    count: AtomicUsize,
    fewer: Notify,
}

impl Unfinished {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until there are fewer.
    pub async fn fewer(&self) {
        self.fewer.notified().await;
    }

    /// A Job took the place of another, or of none.
    pub(super) fn replace(&self, old: Option<&KnownJob>, new: Option<&KnownJob>) {
        match (old.is_some_and(is_unfinished_run), new.is_some_and(is_unfinished_run)) {
            (false, true) => _ = self.count.fetch_add(1, Ordering::AcqRel),
            (true, false) => {
                self.count.fetch_sub(1, Ordering::AcqRel);
                self.fewer.notify_one();
            }
            _ => {}
        }
    }
}

fn is_unfinished_run(job: &KnownJob) -> bool {
    job.observed().is_some_and(|job| job.kind != RunKind::Teardown && job.finished.is_none())
}
