//! The wake queue: who wants to be looked at next, and when.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

/// One wake time per key, ordered by time. Arming a key again replaces its time.
#[derive(Clone, Debug)]
pub struct WakeQueue<K> {
    by_time: BTreeSet<(Timestamp, K)>,
    by_key: BTreeMap<K, Timestamp>,
}

impl<K: Ord + Clone> Default for WakeQueue<K> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new(), by_key: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> WakeQueue<K> {
    /// Wakes `key` at `at`, and not at the time it was armed for before.
    pub fn arm(&mut self, key: K, at: Timestamp) {
        self.disarm(&key);
        self.by_key.insert(key.clone(), at);
        self.by_time.insert((at, key));
    }

    /// Forgets `key`.
    pub fn disarm(&mut self, key: &K) {
        if let Some((key, at)) = self.by_key.remove_entry(key) {
            self.by_time.remove(&(at, key));
        }
    }

    /// Forgets everybody.
    pub fn clear(&mut self) {
        self.by_time.clear();
        self.by_key.clear();
    }

    /// When `key` is woken, if it is armed.
    #[must_use]
    pub fn at(&self, key: &K) -> Option<Timestamp> {
        self.by_key.get(key).copied()
    }

    /// The earliest wake time.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out the key whose time came first, if it has come.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }

    /// How many keys are armed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Nobody is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn keys_come_out_in_order_of_time_and_only_when_due() {
        let mut queue = WakeQueue::default();
        queue.arm("late", at(30));
        queue.arm("early", at(10));
        assert_eq!(queue.next(), Some(at(10)));
        assert_eq!(queue.pop_due(at(9)), None);
        assert_eq!(queue.pop_due(at(10)), Some("early"));
        assert_eq!(queue.pop_due(at(10)), None);
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn arming_again_replaces_the_old_time() {
        let mut queue = WakeQueue::default();
        queue.arm("run", at(10));
        queue.arm("run", at(20));
        assert_eq!(queue.pop_due(at(15)), None);
        assert_eq!(queue.pop_due(at(20)), Some("run"));
        assert!(queue.is_empty());
    }
}
