use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::terms::Terms;
use super::watched::{Answered, Watched};
use crate::auth::lookup::{Answer, GuardedStore};
use crate::episode::Episode;
use crate::error_chain::error_chain;
use crate::key::KeyDigest;
use crate::scope::Requirement;
use crate::store::{Invalidation, Subscriber};

/// The open streams of a layer and its clones.
pub(in crate::auth) struct OpenStreams {
    pub(super) store: Arc<dyn GuardedStore>,
    /// How often each key is looked up.
    pub(super) interval: Duration,
    /// How long streams stay open while the store gives no answer.
    outage: Duration,
    keys: Mutex<HashMap<KeyDigest, Arc<Watched>>>,
    /// Has its one permit while no task checks the keys.
    pub(super) driver: Semaphore,
    /// Wakes that task when a key has changed.
    pub(super) changed: Notify,
    /// Notes the changes that the store publishes, for as long as this is kept. Made for the first stream.
    subscriber: OnceLock<Option<Arc<Subscriber>>>,
    /// What the log has of lookups that failed.
    failures: Episode,
}

/// An open stream, which is closed when it is dropped.
pub(super) struct Open {
    pub(super) streams: Arc<OpenStreams>,
    pub(super) key: Arc<Watched>,
    pub(super) number: u64,
}

impl OpenStreams {
    pub(in crate::auth) fn new(store: Arc<dyn GuardedStore>) -> Self {
        Self::with(store, Duration::from_millis(500), Duration::from_secs(30))
    }

    pub(super) fn with_interval(&self, interval: Duration) -> Self {
        Self::with(Arc::clone(&self.store), interval, self.outage)
    }

    pub(super) fn with_outage(&self, outage: Duration) -> Self {
        Self::with(Arc::clone(&self.store), self.interval, outage)
    }

    fn with(store: Arc<dyn GuardedStore>, interval: Duration, outage: Duration) -> Self {
        Self {
            store,
            interval,
            outage,
            keys: Mutex::default(),
            driver: Semaphore::new(1),
            changed: Notify::new(),
            subscriber: OnceLock::new(),
            failures: Episode::default(),
        }
    }

    pub(super) fn open(self: Arc<Self>, terms: Terms) -> Open {
        self.subscribe();
        let digest = *terms.accepted.digest();
        let mut keys = self.keys();
        let new = || Arc::new(Watched::new(digest, Arc::clone(&terms.accepted), self.interval));
        let key = Arc::clone(keys.entry(digest).or_insert_with(new));
        let number = key.open(terms);
        drop(keys);
        Open { streams: self, key, number }
    }

    fn close(&self, key: &Arc<Watched>, number: u64) {
        let mut keys = self.keys();
        if key.close(number)
            && let Entry::Occupied(entry) = keys.entry(key.digest)
            && Arc::ptr_eq(entry.get(), key)
        {
            entry.remove();
        }
    }

    /// Has a task check the keys, if none does. It ends with the last stream.
    pub(super) fn ensure_driven(self: &Arc<Self>) {
        if self.driver.available_permits() > 0 {
            tokio::spawn(Arc::clone(self).drive_until_idle());
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.keys().is_empty()
    }

    pub(super) fn all(&self) -> Vec<Arc<Watched>> {
        self.keys().values().cloned().collect()
    }

    /// Asks the store about a key. Returns what is left to wait for, if the store does not answer at once.
    pub(super) fn check(self: &Arc<Self>, key: &Arc<Watched>) -> Option<BoxFuture<'static, ()>> {
        key.begin();
        let asked = Instant::now();
        let answer = match self.store.try_find(&key.digest) {
            Answer::Found(record) => Ok(Some(record)),
            Answer::NotFound => Ok(None),
            Answer::Failed(error) => Err(error),
            Answer::Pending => return Some(self.look_up(key, asked)),
        };
        self.apply(key, asked, answer);
        None
    }

    fn look_up(self: &Arc<Self>, key: &Arc<Watched>, asked: Instant) -> BoxFuture<'static, ()> {
        const LONGEST: Duration = Duration::from_secs(1);
        let lookup = Arc::clone(&self.store).find(key.digest, Some(key.timeout().unwrap_or(LONGEST)));
        let (streams, key) = (Arc::clone(self), Arc::clone(key));
        Box::pin(async move { streams.apply(&key, asked, lookup.await.found) })
    }

    fn apply(&self, key: &Watched, asked: Instant, answer: Answered) {
        let checked = key.apply(asked, answer, self.interval, self.outage);
        match &checked.error {
            None => self.log_recovery(),
            Some(error) => self.log_failure(&error_chain(&*error.cause)),
        }
        checked.log();
    }

    /// Ends the streams of a key that need no answer of the store to end.
    pub(super) fn expire(&self, key: &Watched) {
        key.expire(self.outage).log();
    }

    fn log_failure(&self, cause: &str) {
        if self.failures.fail(cause) {
            let outage = self.outage;
            tracing::warn!("the keys of open streams are not checked, ending the streams after {outage:.1?}: {cause}");
        }
    }

    fn log_recovery(&self) {
        if let Some(ended) = self.failures.succeed() {
            tracing::info!("the keys of open streams are checked again after {:.1?}", ended.length);
        }
    }

    /// Follows the changes that the store publishes.
    fn subscribe(self: &Arc<Self>) {
        self.subscriber.get_or_init(|| {
            let changes = self.store.changes()?;
            let streams = Arc::downgrade(self);
            let subscriber: Arc<Subscriber> = Arc::new(move |change: &Invalidation| {
                if let Some(streams) = streams.upgrade() {
                    streams.note(change);
                }
            });
            changes.subscribe(&subscriber);
            Some(subscriber)
        });
    }

    fn note(&self, change: &Invalidation) {
        let meant: Vec<_> = self.keys().values().filter(|key| key.is_meant(change)).cloned().collect();
        if !meant.is_empty() {
            meant.iter().for_each(|key| key.note_change());
            self.changed.notify_one();
        }
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<KeyDigest, Arc<Watched>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    pub(super) fn require(&self, requirement: Requirement) {
        self.key.require(self.number, requirement);
        self.streams.changed.notify_one();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.streams.close(&self.key, self.number);
    }
}
