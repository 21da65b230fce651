//! What open streams cost: lookups, tasks, and what is left of them.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::runtime::Handle;
use tokio::time::{Instant, advance, sleep};
use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::store::{Changes, KeyBackend};
use tower_api_key::test_kit::FaultyStore;
use tower_api_key::{ApiKeyLayer, KeyStore, MemoryStore};

use crate::world::{ACME, accepted, end, is_open, issue, watch};

/// Cases: 227.
#[tokio::test(start_paused = true)]
async fn ten_thousand_streams_share_a_thousand_lookups() {
    const KEYS: u64 = 1_000;
    const STREAMS: usize = 10;
    for awaited in [false, true] {
        let store = MemoryStore::new();
        let counted = FaultyStore::new(store.clone());
        counted.set_always_pending(awaited);
        let layer = ApiKeyLayer::new(counted.clone());
        let (mut streams, mut issued) = (FuturesUnordered::new(), Vec::new());
        for _ in 0..KEYS {
            let key = issue(&store).await;
            for _ in 0..STREAMS {
                let ended = accepted(&layer, &key).await.ended();
                let id = key.record.id();
                streams.push(async move { (id, ended.await) });
            }
            issued.push(key);
        }
        // Each is watched from its first poll.
        assert!(futures::poll!(streams.next()).is_pending());
        let opened = counted.lookups();
        assert_eq!(opened, KEYS * STREAMS as u64, "one for each request");
        // In the time of ten checks, and of what may be left of an eleventh.
        let left = tokio::time::timeout(10 * INTERVAL, streams.next()).await;
        assert!(left.is_err(), "no key has changed");
        let lookups = counted.lookups() - opened;
        assert!((9 * KEYS..=11 * KEYS).contains(&lookups), "{lookups} lookups in ten checks of {KEYS} keys");
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 1, "one task checks them all");

        let revoked = issued[7].record.id();
        store.revoke(&ACME, revoked).await.unwrap();
        for _ in 0..STREAMS {
            let (id, rejection) = streams.next().await.unwrap();
            assert_eq!((id, rejection.code()), (revoked, "revoked"));
        }
        assert!(tokio::time::timeout(10 * INTERVAL, streams.next()).await.is_err(), "the others stay open");

        drop(streams);
        sleep(2 * INTERVAL).await;
        let (closed, alive) = (counted.lookups(), Handle::current().metrics().num_alive_tasks());
        sleep(10 * INTERVAL).await;
        assert_eq!((counted.lookups(), alive), (closed, 0), "nothing is left of streams that have ended");
    }
}

const INTERVAL: Duration = Duration::from_millis(500);

/// Cases: 227.
#[tokio::test(start_paused = true)]
async fn interval_is_configurable_and_bounds_lookups() {
    let store = FaultyStore::new(MemoryStore::new());
    let issued = issue(&store).await;
    let layer = ApiKeyLayer::new(store.clone()).check_streams_every(Duration::from_secs(20));
    let mut ended = accepted(&layer, &issued).await.ended();
    watch(&mut ended);
    let before = store.lookups();
    for _ in 0..10 {
        assert!(is_open(&mut ended).await);
    }
    assert!((5..=6).contains(&(store.lookups() - before)), "{}", store.lookups() - before);
}

/// Cases: 227.
///
/// The task that watches is dropped while streams are open, and while it waits for the store: they go on without it.
#[tokio::test(start_paused = true)]
async fn streams_survive_the_task_that_watches_them() {
    let store = FaultyStore::new(MemoryStore::new());
    store.set_always_pending(true);
    let issued = issue(&store).await;
    let layer = ApiKeyLayer::new(store.clone());
    for slow in [Duration::ZERO, Duration::from_millis(400)] {
        store.set_fault(tower_api_key::test_kit::Fault::Slow(slow));
        let watching = tokio::spawn(layer.watch_streams());
        let standby = tokio::spawn(layer.clone().watch_streams());
        let mut streams = Vec::new();
        for _ in 0..3 {
            streams.push(accepted(&layer, &issued).await.ended());
        }
        streams.iter_mut().for_each(watch);
        assert!(is_open(&mut streams[0]).await);
        // In the middle of a slow lookup, or between two.
        advance(Duration::from_millis(100)).await;
        watching.abort();
        standby.abort();
        assert!(watching.await.is_err() && standby.await.is_err());
        let before = store.lookups();
        assert!(is_open(&mut streams[1]).await);
        assert!(store.lookups() > before + 5, "{} lookups", store.lookups() - before);
    }
    let mut last = accepted(&layer, &issued).await.ended();
    watch(&mut last);
    store.revoke(&ACME, issued.record.id()).await.unwrap();
    assert_eq!(end(&mut last).await.0.code(), "revoked");
}

/// A store that reads at once, and answers after a delay.
#[derive(Clone)]
struct Held {
    keys: MemoryStore,
    answers: Arc<AtomicUsize>,
    delay: Arc<Mutex<Duration>>,
}

impl KeyStore for Held {
    type Error = std::convert::Infallible;

    fn find(&self, digest: &KeyDigest) -> impl Future<Output = Result<Option<Arc<KeyRecord>>, Self::Error>> + Send {
        let (this, digest) = (self.clone(), *digest);
        async move {
            let found = this.keys.find(&digest).await;
            let delay = *this.delay.lock().unwrap();
            sleep(delay).await;
            this.answers.fetch_add(1, Ordering::SeqCst);
            found
        }
    }

    fn changes(&self) -> Option<&Changes> {
        self.keys.changes()
    }
}

/// Cases: 227.
///
/// A change that is made while the store is being asked may not be in its answer: the store is asked again at once, and not
/// after the interval.
#[tokio::test(start_paused = true)]
async fn change_during_a_check_is_checked_again() {
    let keys = MemoryStore::new();
    let issued = issue(&keys).await;
    let held = Held { keys: keys.clone(), answers: Arc::default(), delay: Arc::default() };
    let layer = ApiKeyLayer::new(held.clone()).check_streams_every(Duration::from_secs(100));
    let mut ended = accepted(&layer, &issued).await.ended();
    watch(&mut ended);
    assert!(is_open(&mut ended).await);
    *held.delay.lock().unwrap() = Duration::from_millis(300);
    // Begins a check, which reads the old record.
    keys.changes().unwrap().publish(&tower_api_key::store::Invalidation::Key(issued.record.id()));
    let began = Instant::now();
    sleep(Duration::from_millis(100)).await;
    keys.revoke(&ACME, issued.record.id()).await.unwrap();
    let (rejection, _) = end(&mut ended).await;
    assert_eq!((rejection.code(), began.elapsed()), ("revoked", Duration::from_millis(600)));
}
