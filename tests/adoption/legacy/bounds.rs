//! What reaches the verifier, and how much of it.

use std::time::Duration;

use futures::future::join_all;
use http::{HeaderName, Request};
use tower::{Layer, ServiceExt};
use tower_api_key::auth::LegacyLimits;
use tower_api_key::key::{KeyFormat, KeySecret};
use tower_api_key::{Access, ApiKeyLayer, KeyManager, MemoryStore};

use super::old_table::OldTable;
use crate::support::calls::{Reply, call, full, issue};

fn limits() -> LegacyLimits {
    LegacyLimits::new().with_concurrency(3).with_waiting(4)
}

/// Cases: 215.
#[tokio::test]
async fn only_keys_in_a_legacy_format_are_offered() {
    let (store, table) = (MemoryStore::new(), OldTable::new(limits()));
    let layer = table.layer(&store);
    let issued = KeySecret::generate().unwrap();
    for key in ["plain", "|token", "12|", "12 |token", issued.expose_secret(), &format!("1|{}", "x".repeat(511))] {
        assert_eq!(call(&layer, key).await, Reply::invalid(), "{key}");
    }
    assert_eq!(table.verifications(), 0);
    assert_eq!(call(&layer, "12|unknown").await, Reply::invalid());
    assert_eq!(table.verifications(), 1);
}

/// Cases: 215.
#[tokio::test]
async fn required_formats_leave_room_for_legacy_keys() {
    let (store, table) = (MemoryStore::new(), OldTable::new(limits()));
    table.add("12|token");
    let key = issue(&store, full()).await;
    let layer = table.layer(&store).require_formats([KeyFormat::AVALA]).accept_bearer();
    assert_eq!(call(&layer, "12|token").await, Reply::accepted(&Access::Full));
    assert_eq!(call(&layer, key.secret.expose_secret()).await, Reply::accepted(&Access::Full));
    assert_eq!(call(&layer, "other").await, Reply::invalid());
    // A bearer token of another authenticator stays; one of ours is taken.
    for (token, status) in [("12|token", 200), ("eyJhbGciOi.JIUzI1.NiJ9", 401), ("13|unknown", 401)] {
        let echo = tower::service_fn(async |request: Request<String>| {
            let left = request.headers().contains_key("authorization");
            Ok::<_, std::convert::Infallible>(http::Response::new(left.to_string()))
        });
        let request = Request::builder().header("authorization", format!("Bearer {token}"));
        let response = layer.layer(echo).oneshot(request.body(String::new()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status, "{token}");
    }
    assert_eq!(table.verifications(), 2);
}

/// Cases: 215.
///
/// Several places for a key, and a WebSocket entry whose key is encoded.
#[tokio::test]
async fn legacy_key_is_read_from_every_source() {
    use tower_api_key::auth::CredentialSource;
    let (store, table) = (MemoryStore::new(), OldTable::new(limits()));
    table.add("12|token");
    let header = CredentialSource::header(HeaderName::from_static("x-key"));
    let layer = ApiKeyLayer::new(store.clone())
        .legacy_keys(KeyManager::new(store), table.clone())
        .unwrap()
        .sources([header, CredentialSource::websocket_protocol()]);
    for (name, value) in [("x-key", "12|token"), ("sec-websocket-protocol", "v1, base64url.api-key.MTJ8dG9rZW4")] {
        let inner = tower::service_fn(async |_: Request<String>| {
            Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
        });
        let request = Request::builder().header(name, value).body(String::new()).unwrap();
        assert_eq!(layer.layer(inner).oneshot(request).await.unwrap().status(), 200, "{name}");
    }
    assert_eq!(table.verifications(), 1);
}

/// Cases: 214.
#[tokio::test(start_paused = true)]
async fn verifications_are_bounded_and_the_newest_is_next() {
    let (store, table) = (MemoryStore::new(), OldTable::slow(limits(), Duration::from_millis(100)));
    let layer = table.layer(&store);
    let keys: Vec<String> = (0..20).map(|number| format!("{number}|key")).collect();
    keys.iter().for_each(|key| table.add(key));
    let replies = join_all(keys.iter().map(|key| call(&layer, key))).await;
    let accepted: Vec<usize> = (0..20).filter(|&at| replies[at] == Reply::accepted(&Access::Full)).collect();
    assert_eq!(accepted, [0, 1, 2, 16, 17, 18, 19], "three begin at once, and of the others the four newest wait");
    assert!(replies.iter().all(|reply| reply.status == 200 || *reply == Reply::unavailable()));
    assert_eq!((table.verifications(), table.most_running()), (7, 3));
}

/// Cases: 214.
#[tokio::test(start_paused = true)]
async fn unknown_legacy_key_is_remembered_for_a_while() {
    let limits = limits().with_remembered(2, Duration::from_secs(10));
    let (store, table) = (MemoryStore::new(), OldTable::new(limits));
    let layer = table.layer(&store);
    for _ in 0..100 {
        assert_eq!(call(&layer, "12|unknown").await, Reply::invalid());
    }
    assert_eq!(table.verifications(), 1);
    table.add("12|unknown");
    tokio::time::advance(Duration::from_secs(9)).await;
    assert_eq!(call(&layer, "12|unknown").await, Reply::invalid());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(call(&layer, "12|unknown").await, Reply::accepted(&Access::Full));
}
