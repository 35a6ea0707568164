//! Who is looked at next: each Run once at a time, those whose time has come before those that merely changed.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::index::Key;

/// Looks at what merely changed, at a time. Settles are no hurry: more in flight would only keep the API server from
/// telling everybody of the Jobs that are stored already.
const CHANGES: usize = 16;
/// And while somebody's time has come, after the first moments: then one goes on, so that nothing stands still where there
/// is always somebody due.
const CHANGES_BESIDE_DUE: usize = 1;
/// So long those that are due together have the API server to themselves: each settle costs it as much as three creates.
const HEAD_START: Duration = Duration::from_secs(3);

/// How urgent a look is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Something was observed.
    Change,
    /// A wake time has come: a tick may be due. Or a trigger is set.
    Due,
}

#[derive(Default)]
struct Inner {
    due: VecDeque<Key>,
    changed: VecDeque<Key>,
    /// Waiting or running Runs; a running one asked for again is looked at once more.
    state: HashMap<Key, Place>,
    /// Looks under way, of either lane, but for those that only wait.
    running_due: usize,
    running_changes: usize,
    /// When somebody came due and nobody else was.
    due_since: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Waiting(Lane),
    /// Counted in its lane; `None` once it only waits.
    Running {
        lane: Option<Lane>,
        again: Option<Lane>,
    },
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
            Some(Place::Running { lane: running, again }) => {
                inner.state.insert(key, Place::Running { lane: running, again: again.max(Some(lane)) });
                return;
            }
            Some(Place::Waiting(waiting)) if waiting >= lane => return,
            // A key that moves up leaves a stale entry in its old lane, which is skipped when it comes out.
            _ => {}
        }
        inner.state.insert(key.clone(), Place::Waiting(lane));
        match lane {
            Lane::Due => {
                if inner.due.is_empty() && inner.running_due == 0 {
                    inner.due_since = Some(Instant::now());
                }
                inner.due.push_back(key);
            }
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
            // What merely changed may be let through by time alone.
            let _ = tokio::time::timeout(HEAD_START, added).await;
        }
    }

    fn take(&self) -> Option<Key> {
        let mut inner = self.lock();
        loop {
            let (key, lane) = inner.pop()?;
            if inner.state.get(&key) == Some(&Place::Waiting(lane)) {
                inner.state.insert(key.clone(), Place::Running { lane: Some(lane), again: None });
                *inner.running(lane) += 1;
                if inner.has_work() {
                    self.added.notify_one();
                }
                return Some(key);
            }
        }
    }

    /// The look at `key` waits for an answer: it is still the only one at that Run, but holds up nobody else any more.
    pub fn waits(&self, key: &Key) {
        let mut inner = self.lock();
        if let Some(Place::Running { lane, again }) = inner.state.get(key).copied() {
            inner.leave(lane);
            inner.state.insert(key.clone(), Place::Running { lane: None, again });
        }
        if inner.has_work() {
            self.added.notify_one();
        }
    }

    /// The look at `key` is over.
    pub fn done(&self, key: &Key) {
        let mut inner = self.lock();
        let again = match inner.state.remove(key) {
            Some(Place::Running { lane, again }) => {
                inner.leave(lane);
                again
            }
            _ => None,
        };
        if inner.has_work() {
            self.added.notify_one();
        }
        drop(inner);
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

impl Inner {
    fn running(&mut self, lane: Lane) -> &mut usize {
        match lane {
            Lane::Due => &mut self.running_due,
            Lane::Change => &mut self.running_changes,
        }
    }

    /// A look is over, or only waits.
    fn leave(&mut self, lane: Option<Lane>) {
        if let Some(lane) = lane {
            let running = self.running(lane);
            *running = running.saturating_sub(1);
        }
    }

    /// Those that are due come first; but after the first moments some of the others go on, however many are due.
    fn pop(&mut self) -> Option<(Key, Lane)> {
        let changed = if self.has_room_for_changes() { self.changed.pop_front() } else { None };
        let due = || Some((self.due.pop_front()?, Lane::Due));
        changed.map(|key| (key, Lane::Change)).or_else(due)
    }

    fn has_room_for_changes(&self) -> bool {
        let is_anybody_due = !self.due.is_empty() || self.running_due > 0;
        let at_first = || self.due_since.is_some_and(|since| since.elapsed() < HEAD_START);
        let room = if !is_anybody_due {
            CHANGES
        } else if at_first() {
            0
        } else {
            CHANGES_BESIDE_DUE
        };
        self.running_changes < room
    }

    /// Somebody may be looked at now.
    fn has_work(&self) -> bool {
        !self.due.is_empty() || (!self.changed.is_empty() && self.has_room_for_changes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { namespace: "ns".into(), name: name.into() }
    }

    #[tokio::test(start_paused = true)]
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

    // What merely changed leaves the API server to those whose time has come, but does not stand still for long.
    #[tokio::test(start_paused = true)]
    async fn few_changes_are_looked_at_while_runs_are_due() {
        let queue = Queue::default();
        let all = |prefix: &str| (0..40).map(|number| key(&format!("{prefix}{number}"))).collect::<Vec<_>>();
        for (changed, due) in all("changed").into_iter().zip(all("due")) {
            queue.push(changed, Lane::Change);
            queue.push(due, Lane::Due);
        }
        let mut running: Vec<Key> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(running.len(), 40);
        tokio::time::advance(HEAD_START).await;
        running.extend(std::iter::from_fn(|| queue.take()));
        assert_eq!(running.len(), 40 + CHANGES_BESIDE_DUE);
        for due in running.drain(..40) {
            queue.done(&due);
        }
        running.extend(std::iter::from_fn(|| queue.take()));
        assert_eq!(running.len(), CHANGES);
        // A worker that waits hears of the room.
        let next = tokio::spawn({
            let queue = std::sync::Arc::new(queue);
            async move {
                let waiting = tokio::spawn({
                    let queue = std::sync::Arc::clone(&queue);
                    async move { queue.next().await }
                });
                tokio::task::yield_now().await;
                queue.done(&running[0]);
                waiting.await.unwrap()
            }
        });
        assert!(next.await.unwrap().name.starts_with("changed"));
    }

    // However many are due: else edits, deletions and ends stand still where the API server is slow.
    #[tokio::test(start_paused = true)]
    async fn a_change_goes_on_while_others_wait_that_are_due() {
        let queue = Queue::default();
        for name in ["due1", "due2", "due3"] {
            queue.push(key(name), Lane::Due);
        }
        for name in ["changed1", "changed2"] {
            queue.push(key(name), Lane::Change);
        }
        assert_eq!(queue.take(), Some(key("due1")));
        tokio::time::advance(HEAD_START).await;
        assert_eq!(queue.take(), Some(key("changed1")));
        assert_eq!(queue.take(), Some(key("due2")), "one at a time");
        queue.done(&key("changed1"));
        assert_eq!(queue.take(), Some(key("changed2")));
        assert_eq!(queue.take(), Some(key("due3")));
    }

    // R38: looks that only wait hold up nobody, but each Run is still looked at once at a time.
    #[tokio::test]
    async fn looks_that_wait_leave_room_for_others() {
        let queue = Queue::default();
        let hung: Vec<Key> = (0..CHANGES).map(|number| key(&format!("hung{number}"))).collect();
        for hung in &hung {
            queue.push(hung.clone(), Lane::Change);
            assert!(queue.take().is_some());
        }
        queue.push(key("other"), Lane::Change);
        assert_eq!(queue.take(), None);
        for hung in &hung {
            queue.waits(hung);
            queue.push(hung.clone(), Lane::Change);
        }
        assert_eq!(queue.take(), Some(key("other")));
        assert_eq!(queue.take(), None, "never twice at once");
        queue.done(&hung[0]);
        assert_eq!(queue.take(), Some(hung[0].clone()));
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
