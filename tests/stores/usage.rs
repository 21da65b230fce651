//! Usage: gathered in memory, told to the store in one call, never in the way of a request.

use std::convert::Infallible;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use http::{Request, Response, StatusCode};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::{
    Access, ApiKeyLayer, Expiry, IssuedKey, KeyDigest, KeyId, KeyManager, KeyRecord, KeyStore, KeyUsage, ListKeys,
    Lookup, ManageError, MemoryStore, NewKey, OrganizationId, OrganizationPolicy, Page, ScopeSet, SharedStore,
    StoredCredential, UsageTracker,
};

fn organization() -> OrganizationId {
    "acme".parse().unwrap()
}

async fn issue(keys: &impl KeyManager) -> IssuedKey {
    keys.issue(&organization(), NewKey::new("ci", Access::Full).unwrap()).await.unwrap()
}

/// One request through a layer.
async fn call(layer: &ApiKeyLayer, key: &IssuedKey) -> StatusCode {
    let service = layer.layer(service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(String::new())) }));
    let request = Request::builder().header("x-avala-api-key", key.secret.expose_secret()).body(()).unwrap();
    service.oneshot(request).await.unwrap().status()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A clock and its hand.
fn clock() -> (impl Fn() -> SystemTime + Send + Sync + 'static, Arc<AtomicU64>) {
    let hand = Arc::new(AtomicU64::new(1_000));
    let seconds = Arc::clone(&hand);
    (move || at(seconds.load(Ordering::Relaxed)), hand)
}

/// A `MemoryStore` whose `record_usage` is counted, and can fail or hang. With `copies`, each lookup makes a record
/// of its own, as a database does.
#[derive(Clone)]
struct Counting {
    inner: MemoryStore,
    copies: bool,
    reports: Arc<AtomicUsize>,
    failing: Arc<AtomicBool>,
    hanging: Arc<AtomicBool>,
    told: Arc<Mutex<Vec<Vec<KeyUsage>>>>,
}

impl Counting {
    fn new(copies: bool) -> Self {
        Self {
            inner: MemoryStore::new(),
            copies,
            reports: Arc::default(),
            failing: Arc::default(),
            hanging: Arc::default(),
            told: Arc::default(),
        }
    }
}

impl KeyStore for Counting {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        let found = self.inner.find(digest).await?;
        Ok(found.map(|record| Arc::new((*record).clone())))
    }

    fn find_now(&self, digest: &KeyDigest) -> Lookup {
        if self.copies { Lookup::Later } else { self.inner.find_now(digest) }
    }
}

impl KeyManager for Counting {
    async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), ManageError> {
        self.reports.fetch_add(1, Ordering::Relaxed);
        if self.hanging.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
        if self.failing.load(Ordering::Relaxed) {
            return Err(ManageError::store("down"));
        }
        self.told.lock().unwrap().push(usage.to_vec());
        self.inner.record_usage(usage).await
    }

    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        self.inner.get(organization, id).await
    }

    async fn list(&self, organization: &OrganizationId, query: &ListKeys) -> Result<Page, ManageError> {
        self.inner.list(organization, query).await
    }

    async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        self.inner.revoke(organization, id).await
    }

    async fn narrow(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        scopes: ScopeSet,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        self.inner.narrow(organization, id, scopes).await
    }

    async fn policy(&self, organization: &OrganizationId) -> Result<OrganizationPolicy, ManageError> {
        self.inner.policy(organization).await
    }

    async fn set_policy(&self, organization: &OrganizationId, policy: OrganizationPolicy) -> Result<(), ManageError> {
        self.inner.set_policy(organization, policy).await
    }

    async fn insert(
        &self,
        organization: &OrganizationId,
        key: NewKey,
        credential: StoredCredential,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        self.inner.insert(organization, key, credential).await
    }

    async fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expiry: Expiry,
        credential: StoredCredential,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        self.inner.replace(organization, id, expiry, credential).await
    }
}

/// Cases: 117.
#[tokio::test]
async fn many_requests_are_one_report() {
    for copies in [false, true] {
        let (store, usage, (clock, hand)) = (Counting::new(copies), UsageTracker::new(), clock());
        let layer = ApiKeyLayer::new(store.clone()).track_usage(&usage).clock(clock);
        let (one, two) = (issue(&store).await, issue(&store).await);
        for second in 0..100 {
            hand.store(1_000 + second, Ordering::Relaxed);
            assert_eq!(call(&layer, &one).await, StatusCode::OK);
        }
        assert_eq!(call(&layer, &two).await, StatusCode::OK);
        assert_eq!(store.reports.load(Ordering::Relaxed), 0);

        usage.flush(&store).await.unwrap();
        usage.flush(&store).await.unwrap();
        assert_eq!(store.reports.load(Ordering::Relaxed), 1, "nothing to tell is no call");
        let mut told = store.told.lock().unwrap().concat();
        told.sort_by_key(|usage| usage.requests);
        let told: Vec<_> = told.iter().map(|usage| (usage.id, usage.requests, usage.last_used_at)).collect();
        assert_eq!(told, [(two.record.id(), 1, at(1_099)), (one.record.id(), 100, at(1_099))]);
        let record = store.get(&organization(), one.record.id()).await.unwrap();
        assert_eq!((record.last_used_at(), record.requests()), (Some(at(1_099)), 100));
    }
}

#[tokio::test]
async fn rejected_request_is_not_usage() {
    let (store, usage) = (Counting::new(false), UsageTracker::new());
    let layer = ApiKeyLayer::new(store.clone()).track_usage(&usage);
    let key = issue(&store).await;
    store.revoke(&organization(), key.record.id()).await.unwrap();
    assert_eq!(call(&layer, &key).await, StatusCode::UNAUTHORIZED);
    usage.flush(&store).await.unwrap();
    assert_eq!(store.reports.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn later_use_in_the_store_is_kept() {
    let store = MemoryStore::new();
    let key = issue(&store).await;
    let tell = async |seconds| {
        let (usage, (clock, hand)) = (UsageTracker::new(), clock());
        hand.store(seconds, Ordering::Relaxed);
        let layer = ApiKeyLayer::new(store.clone()).track_usage(&usage).clock(clock);
        assert_eq!(call(&layer, &key).await, StatusCode::OK);
        usage.flush(&store).await.unwrap();
        let record = store.get(&organization(), key.record.id()).await.unwrap();
        (record.last_used_at(), record.requests())
    };
    assert_eq!(tell(2_000).await, (Some(at(2_000)), 1));
    assert_eq!(tell(1_500).await, (Some(at(2_000)), 2));
}

#[tokio::test]
async fn shared_store_forwards_usage() {
    let store = MemoryStore::new();
    let shared = SharedStore::new(store.clone());
    let key = issue(&shared).await;
    shared.record_usage(&[KeyUsage::new(key.record.id(), 3, at(2_000))]).await.unwrap();
    let record = store.get(&organization(), key.record.id()).await.unwrap();
    assert_eq!((record.last_used_at(), record.requests()), (Some(at(2_000)), 3));
}

/// Cases: 118.
#[tokio::test]
async fn failed_report_is_sent_later() {
    let (store, usage) = (Counting::new(false), UsageTracker::new());
    let layer = ApiKeyLayer::new(store.clone()).track_usage(&usage);
    let key = issue(&store).await;
    store.failing.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        assert_eq!(call(&layer, &key).await, StatusCode::OK, "usage never fails a request");
        assert!(usage.flush(&store).await.is_err());
    }
    store.failing.store(false, Ordering::Relaxed);
    usage.flush(&store).await.unwrap();
    assert_eq!(store.get(&organization(), key.record.id()).await.unwrap().requests(), 3);
    assert_eq!(usage.dropped(), 0);
}

#[tokio::test]
async fn abandoned_report_has_unknown_outcome() {
    let (store, usage) = (Counting::new(false), UsageTracker::new());
    let layer = ApiKeyLayer::new(store.clone()).track_usage(&usage);
    let key = issue(&store).await;
    store.hanging.store(true, Ordering::Relaxed);
    call(&layer, &key).await;
    assert!(usage.flush(&store).now_or_never().is_none());
    assert_eq!(usage.dropped(), 1);
    // Requests go on, and are counted on.
    assert_eq!(call(&layer, &key).await, StatusCode::OK);
    store.hanging.store(false, Ordering::Relaxed);
    usage.flush(&store).await.unwrap();
    assert_eq!(store.get(&organization(), key.record.id()).await.unwrap().requests(), 1);
}

#[tokio::test]
async fn memory_is_bounded_and_overflow_is_counted() {
    let (store, usage) = (Counting::new(false), UsageTracker::with_capacity(2));
    let layer = ApiKeyLayer::new(store.clone()).track_usage(&usage);
    for _ in 0..5 {
        let key = issue(&store).await;
        for _ in 0..4 {
            assert_eq!(call(&layer, &key).await, StatusCode::OK);
        }
    }
    assert_eq!(usage.dropped(), 12);
    usage.flush(&store).await.unwrap();
    assert_eq!(store.told.lock().unwrap().concat().iter().map(|usage| usage.requests).sum::<u64>(), 8);
}

#[tokio::test(start_paused = true)]
async fn interval_continues_after_hang_and_failure() {
    let (store, usage) = (Counting::new(false), UsageTracker::new());
    let layer = ApiKeyLayer::new(store.clone()).track_usage(&usage);
    let key = issue(&store).await;
    tokio::spawn(usage.clone().run(store.clone(), Duration::from_secs(10)));
    store.hanging.store(true, Ordering::Relaxed);
    call(&layer, &key).await;
    tokio::time::sleep(Duration::from_secs(21)).await;
    store.hanging.store(false, Ordering::Relaxed);
    call(&layer, &key).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let record = store.get(&organization(), key.record.id()).await.unwrap();
    assert_eq!((record.requests(), usage.dropped()), (1, 1));
}

/// Eight threads and a reporter: not a request more or less than there were.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_request_is_counted_once() {
    for copies in [false, true] {
        let (store, usage) = (Counting::new(copies), UsageTracker::new());
        let layer = ApiKeyLayer::new(store.clone()).track_usage(&usage);
        let key = Arc::new(issue(&store).await);
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (layer, key) = (layer.clone(), Arc::clone(&key));
                tokio::spawn(async move {
                    for _ in 0..2_000 {
                        assert_eq!(call(&layer, &key).await, StatusCode::OK);
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
            usage.flush(&store).await.unwrap();
            tokio::task::yield_now().await;
        }
        for task in tasks {
            task.await.unwrap();
        }
        usage.flush(&store).await.unwrap();
        assert_eq!(store.get(&organization(), key.record.id()).await.unwrap().requests(), 16_000);
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn sqlite_records_report_in_one_statement() {
    let directory = std::env::temp_dir().join(format!("tower-api-key-usage-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let store = tower_api_key::SqliteStore::connect(&format!("sqlite:{}/keys.db", directory.display())).await.unwrap();
    store.migrate().await.unwrap();
    let key = issue(&store).await;
    let tell = async |seconds, requests| {
        let of = |id| usage_of(id, seconds, requests);
        // A key that is gone is passed over.
        store.record_usage(&[of(key.record.id()), of(KeyId::from_u128(404))]).await.unwrap();
        let record = store.get(&organization(), key.record.id()).await.unwrap();
        (record.last_used_at(), record.requests())
    };
    assert_eq!(tell(2_000, 5).await, (Some(at(2_000)), 5));
    assert_eq!(tell(1_000, 1).await, (Some(at(2_000)), 6));
    assert_eq!(tell(3_000, 1).await, (Some(at(3_000)), 7));
    std::fs::remove_dir_all(directory).unwrap();
}

#[cfg(feature = "sqlite")]
fn usage_of(id: KeyId, seconds: u64, requests: u64) -> KeyUsage {
    KeyUsage::new(id, requests, at(seconds))
}
