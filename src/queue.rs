//! Who is looked at next: each Run once at a time, those whose time has come before those that merely changed.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::index::Key;

/// How urgent a look is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Something was observed.
    Change,
    /// A wake time has come: a tick may be due.
    Due,
}

#[derive(Default)]
struct Inner {
    due: VecDeque<Key>,
    changed: VecDeque<Key>,
    /// Waiting or running Runs; a running one asked for again is looked at once more.
    state: HashMap<Key, Place>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Waiting(Lane),
    Running { again: Option<Lane> },
}

/// A queue of Runs without duplicates.
#[derive(Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    added: Notify,
}

impl Queue {
    /// Asks for a look at `key`. Asking again changes nothing but, at most, the lane.
    pub fn push(&self, key: Key, lane: Lane) {
        let mut inner = self.lock();
        match inner.state.get(&key).copied() {
            Some(Place::Running { again }) => {
                inner.state.insert(key, Place::Running { again: again.max(Some(lane)) });
                return;
            }
            Some(Place::Waiting(waiting)) if waiting >= lane => return,
            // A key that moves up leaves a stale entry in its old lane, which is skipped when it comes out.
            _ => {}
        }
        inner.state.insert(key.clone(), Place::Waiting(lane));
        match lane {
            Lane::Due => inner.due.push_back(key),
            Lane::Change => inner.changed.push_back(key),
        }
        drop(inner);
        self.added.notify_one();
    }

    /// The next Run to look at. Nobody else gets it before [`Queue::done`].
    pub async fn next(&self) -> Key {
        loop {
            let added = self.added.notified();
            if let Some(key) = self.take() {
                return key;
            }
            added.await;
        }
    }

    fn take(&self) -> Option<Key> {
        let mut inner = self.lock();
        loop {
            let (key, lane) = match inner.due.pop_front() {
                Some(key) => (key, Lane::Due),
                None => (inner.changed.pop_front()?, Lane::Change),
            };
            if inner.state.get(&key) == Some(&Place::Waiting(lane)) {
                inner.state.insert(key.clone(), Place::Running { again: None });
                if !inner.due.is_empty() || !inner.changed.is_empty() {
                    self.added.notify_one();
                }
                return Some(key);
            }
        }
    }

    /// The look at `key` is over.
    pub fn done(&self, key: &Key) {
        let again = match self.lock().state.remove(key) {
            Some(Place::Running { again }) => again,
            _ => None,
        };
        if let Some(lane) = again {
            self.push(key.clone(), lane);
        }
    }

    /// Runs waiting to be looked at.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().state.values().filter(|place| matches!(place, Place::Waiting(_))).count()
    }

    /// Nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { namespace: "ns".to_owned(), name: name.to_owned() }
    }

    #[tokio::test]
    async fn due_runs_come_first_and_each_once() {
        let queue = Queue::default();
        queue.push(key("a"), Lane::Change);
        queue.push(key("b"), Lane::Change);
        queue.push(key("b"), Lane::Due);
        queue.push(key("b"), Lane::Change);
        assert_eq!(queue.next().await, key("b"));
        assert_eq!(queue.next().await, key("a"));
        assert!(queue.is_empty());
    }

    #[tokio::test]
    async fn a_run_asked_for_while_it_is_looked_at_is_looked_at_again() {
        let queue = Queue::default();
        queue.push(key("a"), Lane::Change);
        let first = queue.next().await;
        queue.push(key("a"), Lane::Change);
        assert!(queue.take().is_none(), "never twice at once");
        queue.done(&first);
        assert_eq!(queue.next().await, key("a"));
        queue.done(&first);
        assert!(queue.take().is_none());
    }
}
