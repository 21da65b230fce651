use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use crate::key::{KeyDigest, KeyId, OrganizationId};

/// What a change made obsolete. A cache must forget it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a cache must handle each of these")]
pub enum Invalidation {
    /// Everything known about the key with this digest, also that there is none.
    Digest(KeyDigest),
    /// Everything known about this key.
    Key(KeyId),
    /// Everything known about the keys of this organization.
    Organization(OrganizationId),
    /// Everything.
    All,
}

/// Where a store publishes the changes that are made through it in this process.
///
/// A cache in front of the store subscribes, so that a change which bypasses the cache cannot leave it behind. A store of
/// your own that is changed in this process holds one `Changes`, returns it from
/// [`KeyStore::changes`](super::KeyStore::changes), and publishes each change after it is made and before the call
/// returns.
///
/// ```
/// use std::sync::Arc;
/// use tower_api_key::key::KeyId;
/// use tower_api_key::store::{Changes, Invalidation, Subscriber};
///
/// let changes = Changes::new();
/// let subscriber: Arc<Subscriber> = Arc::new(|change: &Invalidation| println!("forget {change:?}"));
/// changes.subscribe(&subscriber);
/// changes.publish(&Invalidation::Key(KeyId::from_u128(7)));
/// ```
#[derive(Default)]
pub struct Changes {
    subscribers: RwLock<Vec<Weak<Subscriber>>>,
}

/// A function that is called with each change.
pub type Subscriber = dyn Fn(&Invalidation) + Send + Sync;

impl Changes {
    /// Returns a list without subscribers.
    #[must_use]
    pub const fn new() -> Self {
        Self { subscribers: RwLock::new(Vec::new()) }
    }

    /// Calls this subscriber with each change, for as long as the caller keeps it.
    pub fn subscribe(&self, subscriber: &Arc<Subscriber>) {
        let mut subscribers = self.subscribers.write().unwrap_or_else(PoisonError::into_inner);
        subscribers.retain(|subscriber| subscriber.strong_count() > 0);
        subscribers.push(Arc::downgrade(subscriber));
    }

    /// Calls every subscriber.
    pub fn publish(&self, change: &Invalidation) {
        // No lock is held during the calls: a subscriber may subscribe.
        let subscribers: Vec<_> = {
            let subscribers = self.subscribers.read().unwrap_or_else(PoisonError::into_inner);
            subscribers.iter().filter_map(Weak::upgrade).collect()
        };
        subscribers.iter().for_each(|subscriber| subscriber(change));
    }

    /// Publishes these changes when the returned guard is dropped: also after an error, which may hide a change that was
    /// made, and when the caller stopped waiting.
    pub const fn publish_on_drop<C: AsRef<[Invalidation]>>(&self, changes: C) -> PublishOnDrop<'_, C> {
        PublishOnDrop { hub: self, changes }
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

/// Publishes changes when it is dropped. Made by [`Changes::publish_on_drop`].
#[derive(Debug)]
#[must_use = "dropped at once, it publishes before the change is made"]
pub struct PublishOnDrop<'a, C: AsRef<[Invalidation]>> {
    hub: &'a Changes,
    changes: C,
}

impl<C: AsRef<[Invalidation]>> Drop for PublishOnDrop<'_, C> {
    fn drop(&mut self) {
        self.changes.as_ref().iter().for_each(|change| self.hub.publish(change));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn subscriber_sees_each_change_until_dropped() {
        let changes = Changes::new();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let subscriber: Arc<Subscriber> =
            Arc::new(move |change: &Invalidation| log.lock().unwrap().push(change.clone()));
        changes.subscribe(&subscriber);
        let key = Invalidation::Key(KeyId::from_u128(1));
        changes.publish(&key);
        let guard = changes.publish_on_drop([Invalidation::All]);
        assert_eq!(*seen.lock().unwrap(), std::slice::from_ref(&key));
        drop(guard);
        drop(subscriber);
        changes.publish(&key);
        assert_eq!(*seen.lock().unwrap(), [key, Invalidation::All]);
    }
}
