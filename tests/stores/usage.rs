//! Usage: counted in memory, reported to the store in one call, never in the way of a request.

use std::convert::Infallible;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use http::{Request, Response, StatusCode};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::background::Background;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord, OrganizationPolicy};
use tower_api_key::manage::IssuedKey;
use tower_api_key::store::{
    BackendError, DynKeyBackend, InsertRules, Inserted, KeyBackend, KeyCounts, KeyUpdate, KeyUsage, ListKeys, Lookup,
    NewRecord, Organizations, Page, Replacement,
};
use tower_api_key::usage::UsageTracker;
use tower_api_key::{Access, ApiKeyLayer, KeyStore, MemoryStore, NewKey, OrganizationId};

use crate::support::manage::Manage;

fn organization() -> OrganizationId {
    "acme".parse().unwrap()
}

async fn issue(keys: &impl Manage) -> IssuedKey {
    keys.manage().issue(&organization(), NewKey::new("ci", Access::Full).unwrap()).await.unwrap()
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
    reported: Arc<Mutex<Vec<Vec<KeyUsage>>>>,
}

impl Counting {
    fn new(copies: bool) -> Self {
        Self {
            inner: MemoryStore::new(),
            copies,
            reports: Arc::default(),
            failing: Arc::default(),
            hanging: Arc::default(),
            reported: Arc::default(),
        }
    }
}

impl KeyStore for Counting {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        let found = self.inner.find(digest).await?;
        Ok(found.map(|record| Arc::new((*record).clone())))
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        if self.copies { Lookup::Pending } else { self.inner.try_find(digest) }
    }
}

impl KeyBackend for Counting {
    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        self.inner.get(organization, id).await
    }

    async fn list(&self, organizations: Organizations<'_>, query: &ListKeys) -> Result<Page, BackendError> {
        self.inner.list(organizations, query).await
    }

    async fn insert(&self, record: NewRecord, rules: InsertRules) -> Result<Arc<KeyRecord>, BackendError> {
        self.inner.insert(record, rules).await
    }

    async fn counts(&self, organizations: Organizations<'_>) -> Result<KeyCounts, BackendError> {
        self.inner.counts(organizations).await
    }

    async fn insert_many(&self, records: Vec<NewRecord>, rules: InsertRules) -> Result<Vec<Inserted>, BackendError> {
        self.inner.insert_many(records, rules).await
    }

    async fn purge(
        &self,
        organizations: Organizations<'_>,
        age: Duration,
        limit: usize,
    ) -> Result<Vec<KeyId>, BackendError> {
        self.inner.purge(organizations, age, limit).await
    }

    async fn erase_organization(
        &self,
        organization: &OrganizationId,
        limit: usize,
    ) -> Result<Vec<KeyId>, BackendError> {
        self.inner.erase_organization(organization, limit).await
    }

    async fn update(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        update: KeyUpdate,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        self.inner.update(organization, id, update).await
    }

    async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        self.inner.revoke(organization, id).await
    }

    async fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        replacement: Replacement,
        rules: InsertRules,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        self.inner.replace(organization, id, replacement, rules).await
    }

    async fn organization_policy(&self, organization: &OrganizationId) -> Result<OrganizationPolicy, BackendError> {
        self.inner.organization_policy(organization).await
    }

    async fn set_organization_policy(
        &self,
        organization: &OrganizationId,
        policy: OrganizationPolicy,
    ) -> Result<(), BackendError> {
        self.inner.set_organization_policy(organization, policy).await
    }

    async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), BackendError> {
        self.reports.fetch_add(1, Ordering::Relaxed);
        if self.hanging.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
        if self.failing.load(Ordering::Relaxed) {
            return Err(BackendError::store("down"));
        }
        self.reported.lock().unwrap().push(usage.to_vec());
        self.inner.record_usage(usage).await
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
        assert_eq!(store.reports.load(Ordering::Relaxed), 1, "with nothing to report, the store is not called");
        let mut reported = store.reported.lock().unwrap().concat();
        reported.sort_by_key(|usage| usage.request_count);
        let reported: Vec<_> =
            reported.iter().map(|usage| (usage.id, usage.request_count, usage.last_used_at)).collect();
        assert_eq!(reported, [(two.record.id(), 1, at(1_099)), (one.record.id(), 100, at(1_099))]);
        let record = store.get(&organization(), one.record.id()).await.unwrap();
        assert_eq!((record.last_used_at(), record.request_count()), (Some(at(1_099)), 100));
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
    let report = async |seconds| {
        let (usage, (clock, hand)) = (UsageTracker::new(), clock());
        hand.store(seconds, Ordering::Relaxed);
        let layer = ApiKeyLayer::new(store.clone()).track_usage(&usage).clock(clock);
        assert_eq!(call(&layer, &key).await, StatusCode::OK);
        usage.flush(&store).await.unwrap();
        let record = store.get(&organization(), key.record.id()).await.unwrap();
        (record.last_used_at(), record.request_count())
    };
    assert_eq!(report(2_000).await, (Some(at(2_000)), 1));
    assert_eq!(report(1_500).await, (Some(at(2_000)), 2));
}

#[tokio::test]
async fn shared_store_forwards_usage() {
    let store = MemoryStore::new();
    let shared = DynKeyBackend::new(store.clone());
    let key = issue(&shared).await;
    shared.record_usage(&[KeyUsage::new(key.record.id(), 3, at(2_000))]).await.unwrap();
    let record = store.get(&organization(), key.record.id()).await.unwrap();
    assert_eq!((record.last_used_at(), record.request_count()), (Some(at(2_000)), 3));
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
    assert_eq!(store.get(&organization(), key.record.id()).await.unwrap().request_count(), 3);
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
    assert_eq!(store.get(&organization(), key.record.id()).await.unwrap().request_count(), 1);
}

#[tokio::test]
async fn memory_is_bounded_and_overflow_is_counted() {
    let (store, usage) = (Counting::new(false), UsageTracker::builder().capacity(2).build());
    let layer = ApiKeyLayer::new(store.clone()).track_usage(&usage);
    for _ in 0..5 {
        let key = issue(&store).await;
        for _ in 0..4 {
            assert_eq!(call(&layer, &key).await, StatusCode::OK);
        }
    }
    assert_eq!(usage.dropped(), 12);
    usage.flush(&store).await.unwrap();
    assert_eq!(store.reported.lock().unwrap().concat().iter().map(|usage| usage.request_count).sum::<u64>(), 8);
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
    assert_eq!((record.request_count(), usage.dropped()), (1, 1));
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
        assert_eq!(store.get(&organization(), key.record.id()).await.unwrap().request_count(), 16_000);
    }
}

/// A request only adds to a counter: the store is not called, whatever record it has found.
#[tokio::test]
async fn request_with_copied_record_is_counted_once() {
    const REQUESTS: u64 = 1_000;
    let (store, usage, (clock, hand)) = (Counting::new(true), UsageTracker::new(), clock());
    let layer = ApiKeyLayer::new(store.clone()).track_usage(&usage).clock(clock);
    let key = issue(&store).await;
    let first = store.find(key.record.digest()).await.unwrap().unwrap();
    let second = store.find(key.record.digest()).await.unwrap().unwrap();
    assert!(!Arc::ptr_eq(&first, &second), "each lookup makes a record of its own");

    for second in 0..REQUESTS {
        hand.store(1_000 + second, Ordering::Relaxed);
        assert_eq!(call(&layer, &key).await, StatusCode::OK);
    }
    assert_eq!(store.reports.load(Ordering::Relaxed), 0);
    usage.flush(&store).await.unwrap();
    let last = at(1_000 + REQUESTS - 1);
    let report = KeyUsage::new(key.record.id(), REQUESTS, last);
    assert_eq!(*store.reported.lock().unwrap(), [vec![report.clone()]]);

    usage.flush(&store).await.unwrap();
    assert_eq!(*store.reported.lock().unwrap(), [vec![report]]);
    assert_eq!(usage.dropped(), 0);
    let record = store.get(&organization(), key.record.id()).await.unwrap();
    assert_eq!((record.last_used_at(), record.request_count()), (Some(last), REQUESTS));
}

#[tokio::test]
async fn memory_store_has_usage_after_shutdown() {
    reports_at_shutdown(MemoryStore::new()).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn sqlite_store_has_usage_after_shutdown() {
    let dir = crate::support::sqlite::Dir::new();
    reports_at_shutdown(dir.store().await).await;
}

/// With an interval that never ends, the shutdown reports everything.
async fn reports_at_shutdown(store: impl Manage) {
    let (usage, (clock, hand)) = (UsageTracker::new(), clock());
    let layer = ApiKeyLayer::new(store.clone()).track_usage(&usage).clock(clock);
    let key = issue(&store).await;
    let used = async || {
        let record = store.get(&organization(), key.record.id()).await.unwrap();
        (record.last_used_at(), record.request_count())
    };
    let background = Background::new();
    background.report_usage(&usage, store.clone(), Duration::MAX);
    for second in 0..5 {
        hand.store(2_000 + second, Ordering::Relaxed);
        assert_eq!(call(&layer, &key).await, StatusCode::OK);
        tokio::task::yield_now().await;
    }
    assert_eq!(used().await, (None, 0));
    background.shutdown().await;
    assert_eq!(used().await, (Some(at(2_004)), 5));
    assert_eq!(usage.dropped(), 0);
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn sqlite_records_report_in_one_statement() {
    let dir = crate::support::sqlite::Dir::new();
    let store = dir.store().await;
    let key = issue(&store).await;
    let report = async |seconds, requests| {
        let of = |id| KeyUsage::new(id, requests, at(seconds));
        // A key that is gone is skipped.
        store.record_usage(&[of(key.record.id()), of(KeyId::from_u128(404))]).await.unwrap();
        let record = store.get(&organization(), key.record.id()).await.unwrap();
        (record.last_used_at(), record.request_count())
    };
    assert_eq!(report(2_000, 5).await, (Some(at(2_000)), 5));
    assert_eq!(report(1_000, 1).await, (Some(at(2_000)), 6));
    assert_eq!(report(3_000, 1).await, (Some(at(3_000)), 7));
}

/// Nothing but the store and its `Background` is named.
#[cfg(all(feature = "cache", feature = "sqlite"))]
mod by_default {
    use tower_api_key::store::CachedStore;

    use super::*;
    use crate::support::sqlite::Dir;

    /// Cases: 167.
    #[tokio::test(flavor = "multi_thread")]
    async fn sql_store_keeps_usage_without_a_tracker() {
        let dir = Dir::new();
        let store = dir.store().await;
        let background = Background::of(store.clone());
        let key = issue(&store).await;
        let cached = CachedStore::new(store.clone());
        let layers = [
            ApiKeyLayer::new(store.clone()),
            ApiKeyLayer::new(cached.clone()),
            ApiKeyLayer::new(DynKeyBackend::new(cached.clone())),
            ApiKeyLayer::new(Arc::new(store.clone())),
        ];
        for layer in &layers {
            assert_eq!(call(layer, &key).await, StatusCode::OK);
        }
        // A tracker that is named counts in place of the store.
        let tracker = UsageTracker::new();
        assert_eq!(call(&layers[0].clone().track_usage(&tracker), &key).await, StatusCode::OK);
        let found = store.get(&organization(), key.record.id()).await.unwrap();
        assert_eq!((found.request_count(), found.last_used_at()), (0, None), "nothing is reported yet");

        background.shutdown().await;
        let found = store.get(&organization(), key.record.id()).await.unwrap();
        assert_eq!(found.request_count(), 4);
        assert!(found.last_used_at().is_some());
    }

    /// Cases: 167.
    #[tokio::test]
    async fn store_without_usage_gets_no_reports() {
        let (store, key) = {
            let store = MemoryStore::new();
            let key = issue(&store).await;
            (store, key)
        };
        let background = Background::of(store.clone());
        assert_eq!(call(&ApiKeyLayer::new(store.clone()), &key).await, StatusCode::OK);
        background.shutdown().await;
        assert_eq!(store.get(&organization(), key.record.id()).await.unwrap().last_used_at(), None);
    }
}
