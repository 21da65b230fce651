use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use tokio::time::timeout;

use super::CachedStore;
use crate::BoxError;
use crate::error_chain::{error_chain, panic_text};
use crate::store::{ChangeFeed, FeedEvent, KeyStore};

impl<S: KeyStore + ChangeFeed> CachedStore<S> {
    /// Forgets what other processes change. Runs until it is dropped: spawn it next to the server.
    ///
    /// While changes are received, they apply within milliseconds. While they are not, entries serve to the end of their
    /// time to live. Whenever changes are received again, everything is forgotten once, since some may have been missed.
    /// A feed that panics, or reports nothing within its [`silence_limit`](ChangeFeed::silence_limit), counts as lost. The log
    /// has one line for each loss and one for its end.
    ///
    /// Postgres notifies through a connection of its own, and a heartbeat every 5 seconds finds a connection that has died
    /// silently; [`heartbeat_interval`](crate::store::PostgresStore::heartbeat_interval) sets another interval. An SQLite file
    /// is read 10 times a second. Behind a pooler that swallows `LISTEN`, such as PgBouncer in transaction mode, no change is
    /// received.
    ///
    /// ```no_run
    /// # #[cfg(feature = "postgres")]
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_api_key::ApiKeyLayer;
    /// use tower_api_key::store::{CachedStore, PostgresStore};
    ///
    /// let keys = CachedStore::new(PostgresStore::connect("postgres://app@db.internal/app").await?);
    /// tokio::spawn(keys.watch());
    /// let layer = ApiKeyLayer::new(keys);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// On a runtime other than tokio's, or one without its timer.
    pub fn watch(&self) -> impl Future<Output = Infallible> + Send + use<S> {
        let cache = self.clone();
        async move {
            let mut logged = false;
            loop {
                let mut received = false;
                let followed = AssertUnwindSafe(follow(&cache, &mut received)).catch_unwind().await;
                let Loss { cause, retry_after } = followed.unwrap_or_else(|panic| Loss::by_panic(&*panic));
                // One line for each loss, whatever the number of attempts since.
                if received || !logged {
                    tracing::warn!("not receiving change notifications, relying on the cache TTL: {cause}");
                    logged = true;
                }
                tokio::time::sleep(retry_after).await;
            }
        }
    }
}

/// Forgets what the feed reports, until it ends or fails. Sets `received` when changes are received.
async fn follow<S: KeyStore + ChangeFeed>(cache: &CachedStore<S>, received: &mut bool) -> Loss {
    let feed = cache.get_ref();
    let limit = feed.silence_limit();
    let changes = match timeout(limit, feed.listen()).await {
        Ok(Ok(changes)) => changes,
        Ok(Err(error)) => return Loss::by(feed, error),
        Err(_elapsed) => return Loss::by_silence("did not begin", limit),
    };
    *received = true;
    cache.flush();
    tracing::info!("receiving change notifications of other processes");
    let mut changes = pin!(changes);
    loop {
        match timeout(limit, changes.next()).await {
            Ok(Some(Ok(FeedEvent::Change(change)))) => cache.forget(&change),
            Ok(Some(Ok(FeedEvent::Alive))) => {}
            Ok(Some(Err(error))) => return Loss::by(feed, error),
            Ok(None) => return Loss::by_end(),
            Err(_elapsed) => return Loss::by_silence("was silent", limit),
        }
    }
}

/// Why no changes are received, or no longer.
struct Loss {
    cause: String,
    retry_after: Duration,
}

impl Loss {
    fn by<F: ChangeFeed>(feed: &F, error: F::Error) -> Self {
        let retry_after = feed.retry_after(&error);
        let error: BoxError = error.into();
        Self { cause: error_chain(&*error), retry_after }
    }

    fn by_end() -> Self {
        Self { cause: "the feed ended".to_owned(), retry_after: Duration::from_millis(250) }
    }

    fn by_silence(what: &str, limit: Duration) -> Self {
        let cause = format!("the feed {what} for {limit:?}: it must report that it is alive");
        Self { cause, retry_after: Duration::from_millis(250) }
    }

    fn by_panic(panic: &(dyn Any + Send)) -> Self {
        Self { cause: format!("the feed panicked: {}", panic_text(panic)), retry_after: Duration::from_secs(1) }
    }
}

#[cfg(test)]
#[cfg(not(loom_model))]
mod tests {
    use std::collections::VecDeque;
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    use futures::Stream;
    use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
    use tokio::task::yield_now;
    use tokio::time::advance;

    use super::*;
    use crate::key::{KeyDigest, KeyId, KeyRecord, OrganizationId};
    use crate::scope::Access;
    use crate::store::memory::MemoryStore;
    use crate::store::{Invalidation, KeyBackend};

    const KEY: KeyId = KeyId::from_u128(1);
    const RETRY: Duration = Duration::from_secs(1);

    /// A change on which the feed of the test panics.
    const PANIC: Invalidation = Invalidation::Key(KeyId::from_u128(u128::MAX));

    type Feed = Result<UnboundedReceiver<Result<Invalidation, io::Error>>, io::Error>;

    /// A store that another process changes, and whose feeds come from the test.
    #[derive(Clone)]
    struct Remote {
        keys: MemoryStore,
        feeds: Arc<Mutex<VecDeque<Feed>>>,
    }

    impl KeyStore for Remote {
        type Error = Infallible;

        async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
            self.keys.find(digest).await
        }
    }

    impl ChangeFeed for Remote {
        type Error = io::Error;

        async fn listen(&self) -> Result<impl Stream<Item = Result<FeedEvent, io::Error>> + Send, io::Error> {
            let feed = self.feeds.lock().unwrap().pop_front().unwrap_or_else(|| Err(io::Error::other("no feed")))?;
            let feed = feed.inspect(|change| assert!(!matches!(change, Ok(change) if *change == PANIC), "broken"));
            Ok(feed.map(|change| change.map(event)))
        }

        fn retry_after(&self, _: &io::Error) -> Duration {
            RETRY
        }
    }

    /// A change on whose message nothing but the life of the feed is reported.
    const ALIVE: Invalidation = Invalidation::Key(KeyId::from_u128(u128::MAX - 1));

    fn event(change: Invalidation) -> FeedEvent {
        if change == ALIVE { FeedEvent::Alive } else { change.into() }
    }

    impl Remote {
        fn new() -> Self {
            Self { keys: MemoryStore::new(), feeds: Arc::default() }
        }

        fn add(&self, id: u128) -> KeyDigest {
            let digest = KeyDigest::hash(&id.to_be_bytes());
            self.keys.add(KeyRecord::new(KeyId::from_u128(id), digest, acme(), Access::Full)).unwrap();
            digest
        }

        fn feed(&self) -> UnboundedSender<Result<Invalidation, io::Error>> {
            let (sender, receiver) = unbounded();
            self.feeds.lock().unwrap().push_back(Ok(receiver));
            sender
        }
    }

    fn acme() -> OrganizationId {
        "acme".parse().unwrap()
    }

    async fn is_revoked(cache: &CachedStore<Remote>, digest: &KeyDigest) -> bool {
        cache.find(digest).await.unwrap().unwrap().is_revoked()
    }

    /// Lets the watching task do what it can. The clock of the cache is not tokio's and hardly moves.
    async fn settle() {
        advance(Duration::ZERO).await;
        for _ in 0..10 {
            yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn watched_change_is_forgotten_and_published() {
        let remote = Remote::new();
        let (digest, other, feed) = (remote.add(1), remote.add(2), remote.feed());
        let cache = CachedStore::new(remote.clone());
        let outer = CachedStore::new(cache.clone());
        let watching = tokio::spawn(cache.watch());
        settle().await;
        assert!(!is_revoked(&cache, &digest).await && !is_revoked(&cache, &other).await);
        assert!(!outer.find(&digest).await.unwrap().unwrap().is_revoked());

        for id in [1, 2] {
            remote.keys.revoke(&acme(), KeyId::from_u128(id)).await.unwrap();
        }
        assert!(!is_revoked(&cache, &digest).await, "no notification yet");
        feed.unbounded_send(Ok(Invalidation::Key(KEY))).unwrap();
        settle().await;
        assert!(is_revoked(&cache, &digest).await);
        assert!(outer.find(&digest).await.unwrap().unwrap().is_revoked());
        assert!(!is_revoked(&cache, &other).await, "the notification was about one key");
        watching.abort();
    }

    /// Cases: 142.
    ///
    /// What was changed while no feed was followed.
    #[tokio::test(start_paused = true)]
    async fn feed_lost_is_followed_again_and_flushes() {
        for end in [Some(Err(io::Error::other("connection lost"))), Some(Ok(PANIC)), None] {
            let remote = Remote::new();
            let (digest, first) = (remote.add(1), remote.feed());
            remote.feeds.lock().unwrap().push_back(Err(io::Error::other("still down")));
            let _second = remote.feed();
            let cache = CachedStore::new(remote.clone());
            let watching = tokio::spawn(cache.watch());
            settle().await;
            assert!(!is_revoked(&cache, &digest).await);
            remote.keys.revoke(&acme(), KEY).await.unwrap();
            if let Some(end) = end {
                first.unbounded_send(end).unwrap();
            }
            drop(first);
            settle().await;
            assert!(!is_revoked(&cache, &digest).await, "the feed is lost");
            advance(RETRY).await;
            settle().await;
            assert!(!is_revoked(&cache, &digest).await, "the second attempt failed");
            advance(RETRY).await;
            settle().await;
            assert!(is_revoked(&cache, &digest).await);
            watching.abort();
        }
    }

    /// Cases: 217.
    ///
    /// A connection that has died, and nothing reports it.
    #[tokio::test(start_paused = true)]
    async fn silent_feed_is_followed_again_and_flushes() {
        let remote = Remote::new();
        let limit = remote.silence_limit();
        let (digest, first) = (remote.add(1), remote.feed());
        let second = remote.feed();
        let cache = CachedStore::new(remote.clone());
        let watching = tokio::spawn(cache.watch());
        settle().await;
        // Heartbeats keep it.
        for _ in 0..3 {
            advance(limit - Duration::from_millis(1)).await;
            first.unbounded_send(Ok(ALIVE)).unwrap();
            settle().await;
        }
        assert!(!is_revoked(&cache, &digest).await);
        remote.keys.revoke(&acme(), KEY).await.unwrap();
        advance(limit - Duration::from_millis(1)).await;
        settle().await;
        assert!(!is_revoked(&cache, &digest).await && !first.is_closed(), "not silent for long enough");
        advance(Duration::from_millis(1)).await;
        settle().await;
        assert!(first.is_closed(), "the feed is lost");
        advance(RETRY).await;
        settle().await;
        assert!(is_revoked(&cache, &digest).await && !second.is_closed());
        watching.abort();
    }

    /// Cases: 217.
    #[tokio::test(start_paused = true)]
    async fn feed_that_never_begins_is_tried_again() {
        /// Whose first attempt to listen hangs.
        struct Hangs(Remote, AtomicBool);

        impl KeyStore for Hangs {
            type Error = Infallible;

            async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
                self.0.find(digest).await
            }
        }

        impl ChangeFeed for Hangs {
            type Error = io::Error;

            async fn listen(&self) -> Result<impl Stream<Item = Result<FeedEvent, io::Error>> + Send, io::Error> {
                if !self.1.swap(true, Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                self.0.listen().await
            }
        }

        let remote = Remote::new();
        let (digest, feed) = (remote.add(1), remote.feed());
        let cache = CachedStore::new(Hangs(remote.clone(), AtomicBool::new(false)));
        cache.find(&digest).await.unwrap();
        let watching = tokio::spawn(cache.watch());
        settle().await;
        remote.keys.revoke(&acme(), KEY).await.unwrap();
        advance(cache.get_ref().silence_limit() + RETRY).await;
        settle().await;
        advance(RETRY).await;
        settle().await;
        assert!(cache.find(&digest).await.unwrap().unwrap().is_revoked());
        assert!(!feed.is_closed());
        watching.abort();
    }
}
