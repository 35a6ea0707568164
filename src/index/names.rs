//! Living Runs by name: those of one name in several namespaces share a pipeline in Marmot (R11).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Key;

/// Names with their namespaces, in order.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<BTreeSet<(Arc<str>, Arc<str>)>>);

impl Names {
    pub(super) fn note(&self, key: &Key, alive: bool) {
        let entry = (Arc::clone(&key.name), Arc::clone(&key.namespace));
        if alive {
            self.lock().insert(entry);
        } else {
            self.lock().remove(&entry);
        }
    }

    /// The namespaces of this name but for the key's own, in order.
    pub(super) fn namesakes(&self, key: &Key) -> Vec<Arc<str>> {
        let names = self.lock();
        let same = names.range((Arc::clone(&key.name), Arc::default())..).take_while(|(name, _)| *name == key.name);
        same.map(|(_, namespace)| namespace).filter(|namespace| **namespace != key.namespace).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(Arc<str>, Arc<str>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
