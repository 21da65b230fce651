use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::key::KeyDigest;

/// The keys that the old table does not have, of the last seconds. A bounded number: the oldest is forgotten first.
pub(super) struct Negatives {
    capacity: usize,
    time_to_live: Duration,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    /// When each key was added.
    added: HashMap<KeyDigest, Instant>,
    /// The keys in the order in which they were added. Each is in the map.
    order: VecDeque<KeyDigest>,
}

impl Negatives {
    pub(super) fn new(capacity: usize, time_to_live: Duration) -> Self {
        Self { capacity, time_to_live, entries: Mutex::default() }
    }

    pub(super) fn has(&self, digest: &KeyDigest) -> bool {
        self.entries().added.get(digest).is_some_and(|added| added.elapsed() < self.time_to_live)
    }

    pub(super) fn add(&self, digest: KeyDigest) {
        let mut entries = self.entries();
        entries.remove_old(self.time_to_live, self.capacity.saturating_sub(1));
        if self.capacity > 0 && !entries.added.contains_key(&digest) {
            entries.added.insert(digest, Instant::now());
            entries.order.push_back(digest);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Forgets the oldest keys until none is too old and at most `most` are left.
    fn remove_old(&mut self, time_to_live: Duration, most: usize) {
        while let Some(oldest) = self.order.front() {
            let is_old = self.added.get(oldest).is_none_or(|added| added.elapsed() >= time_to_live);
            if !is_old && self.order.len() <= most {
                return;
            }
            self.added.remove(oldest);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
#[cfg(not(loom_model))]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn digest(number: usize) -> KeyDigest {
        KeyDigest::hash(&number.to_be_bytes())
    }

    #[tokio::test(start_paused = true)]
    async fn unknown_key_is_remembered_for_its_time() {
        let second = Duration::from_secs(1);
        let negatives = Negatives::new(2, 10 * second);
        negatives.add(digest(1));
        advance(9 * second).await;
        assert!(negatives.has(&digest(1)) && !negatives.has(&digest(2)));
        negatives.add(digest(2));
        advance(second).await;
        assert!(!negatives.has(&digest(1)) && negatives.has(&digest(2)));
        // An entry that is too old does not renew itself, and makes room.
        negatives.add(digest(1));
        negatives.add(digest(3));
        assert_eq!([1, 2, 3].map(|number| negatives.has(&digest(number))), [true, false, true]);
    }

    #[test]
    fn remembered_keys_are_bounded() {
        let negatives = Negatives::new(100, Duration::MAX);
        (0..10_000).for_each(|number| negatives.add(digest(number)));
        let entries = negatives.entries();
        assert_eq!((entries.added.len(), entries.order.len()), (100, 100));
        drop(entries);
        assert!(negatives.has(&digest(9_999)) && !negatives.has(&digest(9_899)));
        let none = Negatives::new(0, Duration::MAX);
        none.add(digest(1));
        assert!(!none.has(&digest(1)));
    }
}
