use std::cmp::{Ordering as Order, Reverse};
use std::collections::BinaryHeap;
use std::convert::Infallible;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::iter::from_fn;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use tokio::time::{sleep, timeout};

use super::CachedStore;
use super::entries::Asked;
use super::inner::Inner;
use crate::key::KeyDigest;
use crate::store::KeyStore;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// How many batches are refreshed at once: one whose connection is dead holds up none of the others.
pub(super) const AT_ONCE: usize = 4;

/// A key of a store that takes batches is refreshed until it was not used for so long.
const IDLE: Duration = Duration::from_secs(60);

impl<S: KeyStore> CachedStore<S> {
    /// Looks keys that are in use up again before their time to live ends, so that no request waits for a store that
    /// answers. Runs until it is dropped. [`Background::of`](crate::background::Background::of) runs it for a cache.
    ///
    /// A key is due after half to three quarters of its time to live, at random, so that keys that were first used together
    /// do not stay together. What is due at the same time is looked up in batches of [`max_batch`](KeyStore::max_batch)
    /// keys. Over a store that takes batches, a key is refreshed until it was not used for a minute. Over a store that
    /// looks up one key at a time, each refresh costs as much as a lookup, and only a key that was used in the last half of
    /// the time to live is refreshed.
    ///
    /// What the cache serves is never older than the time to live. When the store fails, an entry serves to the end of its
    /// time to live, and then requests ask the store themselves. A change that is made through the cache, published by
    /// the store or received by [`watch`](Self::watch) also applies to a refresh that is on its way.
    ///
    /// Without this future, the first request after the end of the time to live waits for the store.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use tower_api_key::MemoryStore;
    /// use tower_api_key::background::Background;
    /// use tower_api_key::store::CachedStore;
    ///
    /// let keys = CachedStore::new(MemoryStore::new());
    /// let background = Background::new();
    /// background.run(keys.refresh());
    /// // Serve. When the server has ended:
    /// background.shutdown().await;
    /// # }
    /// ```
    ///
    /// # Panics
    /// When polled outside a tokio runtime, or in one without its timer.
    pub fn refresh(&self) -> impl Future<Output = Infallible> + Send + use<S> {
        Arc::clone(&self.shared).refresh()
    }
}

impl<S: KeyStore> Inner<S> {
    async fn refresh(self: Arc<Self>) -> Infallible {
        let _followed = self.schedule.follow();
        self.entries.for_each_known(|digest, asked| self.schedule.add(digest, asked));
        let inner = &self;
        let batches = stream::unfold((), |()| async move { Some((inner.next_due().await, ())) });
        batches.for_each_concurrent(AT_ONCE, |due| inner.refresh_keys(due)).await;
        unreachable!("there is always a next batch")
    }

    /// Waits until keys are due.
    async fn next_due(&self) -> Vec<Due> {
        let most = self.store.max_batch().max(1);
        let idle = if most > 1 { IDLE } else { self.schedule.life / 2 };
        loop {
            let now = self.entries.ask();
            self.entries.uses().advance(now.monotonic());
            let is_wanted = |due: &Due| {
                self.entries.uses().is_within(&due.digest, idle) && self.entries.holds(&due.digest, due.asked)
            };
            match self.schedule.due(now.monotonic(), most, is_wanted) {
                Some(due) if !due.is_empty() => return due,
                // None of many keys is in use any more.
                Some(_) => tokio::task::yield_now().await,
                None => sleep(self.schedule.tick()).await,
            }
        }
    }

    /// Looks these up. What fails is tried again, until its time to live ends.
    async fn refresh_keys(&self, due: Vec<Due>) {
        let digests: Vec<_> = due.iter().map(|due| due.digest).collect();
        let answers = timeout(self.schedule.patience(), self.look_up_all(&digests)).await.unwrap_or_default();
        let is_answered = |at: usize| answers.get(at).is_some_and(Result::is_ok);
        let failed: Vec<_> =
            due.into_iter().enumerate().filter(|&(at, _)| !is_answered(at)).map(|(_, due)| due).collect();
        if !failed.is_empty() {
            self.schedule.retry(failed, self.entries.ask().monotonic());
        }
    }
}

/// When each entry is to be looked up again, while there is a refresh that follows it.
pub(super) struct Schedule {
    life: Duration,
    /// With more entries than this, further ones are left to requests: the cache is too small for its keys.
    capacity: usize,
    followers: AtomicUsize,
    due: Mutex<BinaryHeap<Reverse<Due>>>,
    spread: RandomState,
}

/// An entry that is to be looked up again.
pub(super) struct Due {
    at: Instant,
    digest: KeyDigest,
    /// When the store was asked for the entry: a newer one has a place of its own.
    asked: Instant,
}

impl Schedule {
    pub(super) fn new(life: Duration, capacity: usize) -> Self {
        Self {
            life,
            capacity: capacity.saturating_mul(2),
            followers: AtomicUsize::new(0),
            due: Mutex::default(),
            spread: RandomState::new(),
        }
    }

    /// How often to look what is due.
    pub(super) fn tick(&self) -> Duration {
        (self.life / 64).clamp(Duration::from_millis(1), Duration::from_secs(1))
    }

    /// How long a refresh may take, so that there is time for another one.
    fn patience(&self) -> Duration {
        (self.life / 8).min(Duration::from_secs(1))
    }

    fn follow(&self) -> Followed<'_> {
        self.followers.fetch_add(1, Ordering::SeqCst);
        Followed(self)
    }

    /// Schedules the entry that was asked for then.
    pub(super) fn add(&self, digest: &KeyDigest, asked: Asked) {
        if self.followers.load(Ordering::SeqCst) == 0 {
            return;
        }
        let asked = asked.monotonic();
        let random = self.spread.hash_one((digest.as_bytes(), asked)) as f64 / u64::MAX as f64;
        let Some(at) = asked.checked_add(self.life.mul_f64(0.5 + 0.25 * random)) else { return };
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if due.len() < self.capacity {
            due.push(Reverse(Due { at, digest: *digest, asked }));
        }
    }

    fn retry(&self, failed: Vec<Due>, now: Instant) {
        let Some(at) = now.checked_add(self.life / 16) else { return };
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.extend(failed.into_iter().map(|failed| Reverse(Due { at, ..failed })));
    }

    /// Removes what is due, and returns up to so many that are wanted. `None` if nothing was due.
    fn due(&self, now: Instant, most: usize, is_wanted: impl Fn(&Due) -> bool) -> Option<Vec<Due>> {
        let mut schedule = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let next = || schedule.peek().is_some_and(|Reverse(due)| due.at <= now).then(|| schedule.pop()).flatten();
        // Bounded, so that no lookup waits long for the lock.
        let mut due = from_fn(next).take(4 * most).map(|Reverse(due)| due).peekable();
        due.peek()?;
        Some(due.filter(is_wanted).take(most).collect())
    }
}

/// Counts a refresh that follows a schedule until this is dropped.
struct Followed<'a>(&'a Schedule);

impl Drop for Followed<'_> {
    fn drop(&mut self) {
        self.0.followers.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Order {
        self.at.cmp(&other.at)
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}
