//! A limiter that must be awaited.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::rejection::Outage;
use tower_api_key::throttle::{Acquired, Hit, Limit, LimitRule, LimitState, LimitStore, MemoryLimits, ThrottleLayer};
use tower_api_key::transport::ClientInfoLayer;
use tower_api_key::{Access, ApiKeyLayer, BoxError, KeyStore, MemoryStore, Rejection};

use super::world::{ask, from, limit_headers};
use crate::support::handler::Handler;
use crate::support::keys::KEY;
use crate::support::log_lines::{record_log, take_log};
use crate::support::poll::poll;
use crate::support::request::request;
use crate::support::store::store;

/// Counts when it has been awaited for a while, or fails.
#[derive(Clone)]
struct Far {
    counts: MemoryLimits,
    delay: Duration,
    /// 0: it answers, 1: it fails, 2: it panics.
    fault: Arc<AtomicU32>,
    asked: Arc<AtomicU32>,
}

impl Far {
    fn after(delay: Duration) -> Self {
        Self { counts: MemoryLimits::new(), delay, fault: Arc::default(), asked: Arc::default() }
    }

    fn set(&self, fault: u32) {
        self.fault.store(fault, Ordering::SeqCst);
    }

    fn take_asked(&self) -> u32 {
        self.asked.swap(0, Ordering::SeqCst)
    }
}

impl LimitStore for Far {
    type Error = BoxError;

    async fn acquire(&self, hit: &Hit) -> Result<Acquired, BoxError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let fault = self.fault.load(Ordering::SeqCst);
        if fault == 0 {
            let acquired = self.counts.acquire(hit);
            sleep(self.delay).await;
            return Ok(acquired);
        }
        sleep(self.delay).await;
        assert_eq!(fault, 1, "the store panics");
        Err("the store is down".into())
    }
}

const MILLIS: Duration = Duration::from_millis(1);

fn rule(far: &Far, requests: u32) -> LimitRule {
    LimitRule::per_key(Limit::per_minute(requests)).store(far.clone())
}

/// Cases: 255.
#[tokio::test(start_paused = true)]
async fn awaited_limit_counts_every_response() {
    let far = Far::after(5 * MILLIS);
    let keys = || ApiKeyLayer::new(store(Access::scoped([])));
    let require = tower_api_key::scope::avala::TASKS_READ;
    for (keys, status) in [(keys(), 200), (keys().require(require), 403)] {
        let far = Far { counts: MemoryLimits::new(), ..far.clone() };
        let service = keys.limit(rule(&far, 2)).layer(Handler::default().service());
        for (status, left) in [(status, "1"), (status, "0"), (429, "0")] {
            let reply = ask(&service, request(KEY)).await;
            assert_eq!((reply.status, limit_headers(&reply.headers)[1]), (status, left));
        }
    }
    let anonymous = keys().allow_anonymous().limit(rule(&Far::after(MILLIS), 1)).layer(Handler::default().service());
    let inside = keys().layer(ThrottleLayer::new(rule(&Far::after(MILLIS), 1)).layer(Handler::default().service()));
    for status in [200, 429] {
        assert_eq!(ask(&anonymous, request("")).await.status, status);
        assert_eq!(ask(&inside, request(KEY)).await.status, status);
    }
}

/// Cases: 255, 260.
#[tokio::test(start_paused = true)]
async fn awaited_failure_limit_rejects() {
    let rule = LimitRule::per_client(Limit::per_minute(1)).store(Far::after(MILLIS));
    let keys = ApiKeyLayer::new(store(Access::Full)).throttle_failures(rule);
    let service = ServiceBuilder::new().layer(ClientInfoLayer::new()).layer(keys).service(Handler::default().service());
    for (key, status) in [("guess", 401), (KEY, 200), ("guess", 429), (KEY, 200)] {
        assert_eq!(ask(&service, from("192.0.2.1", key)).await.status, status, "{key}");
    }
}

/// Cases: 255.
#[tokio::test(start_paused = true)]
async fn request_waits_once_for_store_and_limit() {
    struct Slow(MemoryStore);
    impl KeyStore for Slow {
        type Error = BoxError;

        async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
            sleep(600 * MILLIS).await;
            Ok(self.0.find(digest).await?)
        }
    }
    for (delay, status) in [(300, 200), (399, 200), (401, 503), (5_000, 503)] {
        let far = Far::after(delay * MILLIS);
        let keys = ApiKeyLayer::new(Slow(store(Access::Full))).limit(rule(&far, 5)).expose_rejection();
        let began = Instant::now();
        let response = keys.layer(Handler::default().service()).oneshot(request(KEY)).await.unwrap();
        assert_eq!(response.status(), status, "{delay}");
        assert!(began.elapsed() <= 1_001 * MILLIS, "{:?}", began.elapsed());
        if status == 503 {
            let timed_out = Rejection::Unavailable(Outage::LimitTimedOut);
            assert_eq!(response.extensions().get(), Some(&timed_out));
        }
    }
    // A layer of limits has a timeout of its own.
    let keys = ApiKeyLayer::new(store(Access::Full));
    let limit = ThrottleLayer::new(rule(&Far::after(Duration::MAX), 5)).timeout(50 * MILLIS);
    let began = Instant::now();
    assert_eq!(ask(&keys.layer(limit.layer(Handler::default().service())), request(KEY)).await.status, 503);
    assert!(began.elapsed() <= 51 * MILLIS);
}

/// Cases: 255.
#[tokio::test(start_paused = true)]
async fn dropped_request_stays_counted() {
    let far = Far::after(MILLIS);
    let service = ApiKeyLayer::new(store(Access::Full)).limit(rule(&far, 2)).layer(Handler::default().service());
    let mut dropped = Box::pin(service.clone().call(request(KEY)));
    assert!(poll(dropped.as_mut()).is_pending());
    drop(dropped);
    assert_eq!(limit_headers(&ask(&service, request(KEY)).await.headers)[1], "0");
    assert_eq!(ask(&service, request(KEY)).await.status, 429);
}

/// Cases: 255.
#[tokio::test(start_paused = true)]
async fn store_that_is_away_counts_locally() {
    let far = Far::after(MILLIS);
    let service = ApiKeyLayer::new(store(Access::Full)).limit(rule(&far, 4)).layer(Handler::default().service());
    record_log();
    assert_eq!(limit_headers(&ask(&service, request(KEY)).await.headers)[1], "3");
    far.set(1);
    // What the store has accepted before counts, and only the first request waits.
    for (status, left, asked) in [(200, "2", 2), (200, "1", 0), (200, "0", 0), (429, "0", 0)] {
        let reply = ask(&service, request(KEY)).await;
        assert_eq!((reply.status, limit_headers(&reply.headers)[1], far.take_asked()), (status, left, asked));
    }
    let [line] = &take_log()[..] else { panic!("one line is expected") };
    let expected = "no answer from the limit store, counting in this process until it answers: the store is down";
    assert!(line.contains(expected), "{line}");
    // It is asked again after a second.
    far.set(0);
    tokio::time::advance(Duration::from_secs(61)).await;
    for _ in 0..2 {
        assert_eq!((ask(&service, request(KEY)).await.status, far.take_asked()), (200, 1));
    }
    let [line] = &take_log()[..] else { panic!("one line is expected") };
    assert!(line.contains("the limit store answers again"), "{line}");
}

/// Cases: 255.
#[tokio::test(start_paused = true)]
async fn store_that_is_away_rejects_if_asked_to() {
    for (fault, causes) in [(1, 2), (2, 1)] {
        let far = Far::after(MILLIS);
        let rule = rule(&far, 4).reject_when_away();
        let keys = ApiKeyLayer::new(store(Access::Full)).limit(rule).expose_rejection();
        let (handler, failed) = (Handler::default(), Rejection::Unavailable(Outage::LimitFailed));
        let service = keys.layer(handler.service());
        far.set(fault);
        record_log();
        for _ in 0..10 {
            let response = service.clone().oneshot(request(KEY)).await.unwrap();
            assert_eq!((response.status().as_u16(), response.extensions().get()), (503, Some(&failed)));
        }
        // One for each cause, and not for each request: a store that is down is asked once, and then not for a second.
        let lines = take_log();
        assert_eq!(
            lines.iter().filter(|line| line.contains("no answer from the limiter")).count(),
            causes,
            "{lines:?}"
        );
        far.set(0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((ask(&service, request(KEY)).await.status, handler.calls()), (200, 1));
    }
}

/// What this process and others have accepted together: a hit that the store rejects is not counted here.
#[tokio::test(start_paused = true)]
async fn hit_rejected_by_store_is_not_counted_locally() {
    let far = Far::after(MILLIS);
    let service = ApiKeyLayer::new(store(Access::Full)).limit(rule(&far, 3)).layer(Handler::default().service());
    let key = tower_api_key::key::KeyId::from_u128(1);
    // Another process uses the limit up.
    let hit = Hit::new(key, Limit::per_minute(3));
    assert!((0..3).all(|_| far.counts.acquire(&hit).is_allowed()));
    for _ in 0..5 {
        assert_eq!(ask(&service, request(KEY)).await.status, 429);
    }
    far.set(1);
    for left in ["2", "1", "0"] {
        let reply = ask(&service, request(KEY)).await;
        assert_eq!((reply.status, limit_headers(&reply.headers)[1]), (200, left));
    }
    let _: &LimitState = far.counts.acquire(&hit).state();
}
