//! What the watches have lately seen go.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// More than go while one call is on its way.
const REMEMBERED: usize = 4096;

/// UIDs that the watches have lately seen go: an answer that was on its way meanwhile tells nothing new of them.
#[derive(Debug, Default)]
pub(super) struct Gone(Mutex<Uids>);

#[derive(Debug, Default)]
struct Uids {
    all: HashSet<Arc<str>>,
    /// Oldest first.
    order: VecDeque<Arc<str>>,
}

impl Gone {
    pub(super) fn note(&self, uid: &str) {
        let mut uids = self.lock();
        let uid: Arc<str> = Arc::from(uid);
        if !uids.all.insert(Arc::clone(&uid)) {
            return;
        }
        uids.order.push_back(uid);
        if uids.order.len() > REMEMBERED
            && let Some(oldest) = uids.order.pop_front()
        {
            uids.all.remove(&oldest);
        }
    }

    /// The watch shows it again: it had only left what is watched.
    pub(super) fn forget(&self, uid: &str) {
        self.lock().all.remove(uid);
    }

    pub(super) fn has(&self, metadata: &ObjectMeta) -> bool {
        metadata.uid.as_deref().is_some_and(|uid| self.lock().all.contains(uid))
    }

    fn lock(&self) -> MutexGuard<'_, Uids> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
