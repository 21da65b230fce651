//! Failed attempts: a client that fails too often is throttled, and a valid key never is.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use tower::{ServiceBuilder, ServiceExt};
use tower_api_key::decision::Denial;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::observe::Outcome;
use tower_api_key::rejection::CredentialError;
use tower_api_key::scope::avala;
use tower_api_key::store::KeyBackend;
use tower_api_key::transport::ClientInfoLayer;
use tower_api_key::{Access, ApiKeyLayer, MemoryStore, NewKey, Rejection};

use super::world::{Events, Hand, MINUTE, from, limit_headers, throttled};
use crate::support::awaited::Awaited;
use crate::support::handler::Handler;
use crate::support::keys::KEY;
use crate::support::log_lines::{record_log, take_log};
use crate::support::manage::Manage;
use crate::support::reply::{INVALID, Reply};
use crate::support::request::request;
use crate::support::store::store;

/// A store with the valid [`KEY`], a revoked key and an expired one.
async fn keys() -> (MemoryStore, String, String) {
    let (keys, acme) = (store(Access::Full), "acme".parse().unwrap());
    let revoked = keys.manage().issue(&acme, NewKey::new("revoked", Access::Full).unwrap()).await.unwrap();
    keys.revoke(&acme, revoked.record.id()).await.unwrap();
    let expired = "avk_expired".to_owned();
    let record = KeyRecord::new(KeyId::from_u128(2), KeyDigest::hash(expired.as_bytes()), acme, Access::Full);
    keys.add(record.with_expires_at(SystemTime::now() - Duration::from_secs(60))).unwrap();
    (keys, revoked.secret.expose_secret().to_owned(), expired)
}

#[tokio::test]
async fn failing_client_is_throttled_but_valid_key_is_not() {
    let (keys, revoked, expired) = keys().await;
    throttles_failures(ApiKeyLayer::new(keys.clone()), &revoked, &expired).await;
    throttles_failures(ApiKeyLayer::new(Awaited(keys)), &revoked, &expired).await;
}

async fn throttles_failures(layer: ApiKeyLayer, revoked: &str, expired: &str) {
    let (hand, events, handler) = (Hand::default(), Events::default(), Handler::default());
    let layer = events.of(layer).throttle_failures(hand.per_client(3));
    let service = ServiceBuilder::new().layer(ClientInfoLayer::new()).layer(layer).service(handler.service());
    let rejected = |rejection: Rejection| Outcome::Rejected(rejection);
    let late = rejected(Rejection::Throttled { retry_after: 60 });
    let there = "192.0.2.1";
    for (address, key, status, outcome) in [
        (there, "guess", 401, rejected(Denial::Unknown.into())),
        (there, KEY, 200, Outcome::Accepted),
        (there, revoked, 401, rejected(Denial::Revoked.into())),
        (there, expired, 401, rejected(Denial::Expired.into())),
        (there, KEY, 200, Outcome::Accepted),
        // The limit is reached.
        (there, "guess", 429, late),
        (there, revoked, 429, late),
        (there, expired, 429, late),
        (there, KEY, 200, Outcome::Accepted),
        // A request without a key is no attempt.
        (there, "", 401, rejected(CredentialError::Missing.into())),
        // Another client has its own count, for the same keys too.
        ("192.0.2.2", expired, 401, rejected(Denial::Expired.into())),
        ("192.0.2.2", KEY, 200, Outcome::Accepted),
    ] {
        let reply = Reply::of(service.clone().oneshot(from(address, key)).await.unwrap()).await;
        assert_eq!(reply.status, status, "{address} {key}");
        let digest = Some(KeyDigest::hash(key.as_bytes())).filter(|_| !key.is_empty());
        assert_eq!(events.take(), [(outcome, Some(status), digest)], "{address} {key}");
        if status == 429 {
            assert_eq!((reply.body, limit_headers(&reply.headers)), (throttled(60), ["", "", "", "60"]));
            assert_eq!(reply.headers["cache-control"], "no-store");
        }
    }
    assert_eq!(handler.calls(), 4);
    hand.set(MINUTE);
    let reply = Reply::of(service.oneshot(from(there, "guess")).await.unwrap()).await;
    assert_eq!((reply.status, &*reply.body), (401, INVALID));
}

/// A 401 for a presented credential is a failed attempt, and nothing else is.
#[tokio::test]
async fn failed_attempts_are_counted() {
    let hand = Hand::default();
    let (keys, revoked, expired) = keys().await;
    keys.add(KeyRecord::new(
        KeyId::from_u128(3),
        KeyDigest::hash(b"reader"),
        "acme".parse().unwrap(),
        Access::scoped([]),
    ))
    .unwrap();
    for (key, statuses) in [
        ("guess", [401, 429]),
        (&*revoked, [401, 429]),
        (&*expired, [401, 429]),
        (&*"x".repeat(513), [401, 429]),
        ("", [401, 401]),
        (" ", [401, 401]),
        ("reader", [403, 403]),
        (KEY, [200, 200]),
    ] {
        let layer = ApiKeyLayer::new(keys.clone()).require(avala::DATASETS_READ).throttle_failures(hand.per_client(1));
        let service =
            ServiceBuilder::new().layer(ClientInfoLayer::new()).layer(layer).service(Handler::default().service());
        for status in statuses {
            assert_eq!(service.clone().oneshot(from("192.0.2.1", key)).await.unwrap().status(), status, "{key}");
        }
    }
}

#[tokio::test]
async fn missing_client_on_failure_is_500() {
    let hand = Hand::default();
    let layer = ApiKeyLayer::new(store(Access::Full)).throttle_failures(hand.per_client(1));
    let service = ServiceBuilder::new().layer(layer).service(Handler::default().service());
    record_log();
    for (key, status) in [("guess", 500), (KEY, 200), ("", 401)] {
        assert_eq!(service.clone().oneshot(request(key)).await.unwrap().status(), status, "{key}");
    }
    let [line] = &take_log()[..] else { panic!("one line is expected") };
    assert!(line.contains("a LimitRule that counts by client got a request without a Client"), "{line}");
}

proptest! {
    /// No failures, from the same address or others, throttle the valid key, and no client gets more 401s than the limit.
    #[test]
    fn failures_cannot_lock_a_key(attempts in proptest::collection::vec((0_u64..20_000, 0_u8..4, any::<bool>()), 1..80)) {
        let hand = Hand::default();
        let layer = ApiKeyLayer::new(store(Access::Full)).throttle_failures(hand.per_client(2));
        let service = ServiceBuilder::new().layer(ClientInfoLayer::new()).layer(layer).service(Handler::default().service());
        let (mut now, mut answered) = (0, Vec::new());
        for (step, host, valid) in attempts {
            now += step;
            hand.set(now);
            let key = if valid { KEY } else { "guess" };
            let request = from(&format!("192.0.2.{host}"), key);
            let status = futures::executor::block_on(service.clone().oneshot(request)).unwrap().status().as_u16();
            let counting = answered.iter().filter(|&&(at, who)| who == host && now - at < MINUTE).count();
            let expected = if valid { 200 } else if counting < 2 { 401 } else { 429 };
            prop_assert_eq!(status, expected);
            if status == 401 {
                answered.push((now, host));
            }
        }
    }
}
