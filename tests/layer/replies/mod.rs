//! What comes back, byte for byte: for every reason that a layer has to reply, from axum and from bare hyper, over
//! HTTP/1.1 and HTTP/2, to `GET` and to `HEAD`.

mod ask;
mod broken;
mod inner_service;
mod keys;
mod kinds;
mod stack;
mod unread_bodies;

use std::collections::HashSet;

use http::{Method, Request};
use tower::{Layer, ServiceExt};
use tower_api_key::decision::Denial;
use tower_api_key::key::{KeyFormat, KeySecret};
use tower_api_key::{Access, ApiKeyLayer, MemoryStore, NewKey, Rejection};

use self::ask::Behind::{self, Axum, Hyper};
use self::ask::Version::{self, Http1, Http2};
use self::keys::Keys;
use self::kinds::{CHALLENGE, INVALID, Kind, accepted, rejections};
use self::stack::{PATH, Stack};
use crate::support::manage::Manage;
use crate::support::seen::Seen;

/// Cases: 44, 45, 46.
#[tokio::test]
async fn axum_http_1_rejections_match() {
    every(rejections, Axum, Http1, Method::GET).await;
}

/// Cases: 44, 45, 46.
#[tokio::test]
async fn axum_http_1_head_rejections_match() {
    every(rejections, Axum, Http1, Method::HEAD).await;
}

/// Cases: 44, 45, 46.
#[tokio::test]
async fn axum_http_2_rejections_match() {
    every(rejections, Axum, Http2, Method::GET).await;
}

/// Cases: 44, 45, 46.
#[tokio::test]
async fn axum_http_2_head_rejections_match() {
    every(rejections, Axum, Http2, Method::HEAD).await;
}

/// Cases: 44, 45, 46.
#[tokio::test]
async fn hyper_http_1_rejections_match() {
    every(rejections, Hyper, Http1, Method::GET).await;
}

/// Cases: 44, 45, 46.
#[tokio::test]
async fn hyper_http_1_head_rejections_match() {
    every(rejections, Hyper, Http1, Method::HEAD).await;
}

/// Cases: 44, 45, 46.
#[tokio::test]
async fn hyper_http_2_rejections_match() {
    every(rejections, Hyper, Http2, Method::GET).await;
}

/// Cases: 44, 45, 46.
#[tokio::test]
async fn hyper_http_2_head_rejections_match() {
    every(rejections, Hyper, Http2, Method::HEAD).await;
}

/// Cases: 47, 52.
#[tokio::test]
async fn inner_service_responses_match() {
    for (behind, version) in [(Axum, Http1), (Axum, Http2), (Hyper, Http1), (Hyper, Http2)] {
        for method in [Method::GET, Method::HEAD] {
            every(accepted, behind, version, method).await;
        }
    }
}

/// Cases: 48.
/// A client must not learn which keys exist or existed, not even from the order of the headers.
#[tokio::test]
async fn invalid_keys_get_the_same_bytes() {
    for awaited in [false, true] {
        let of_the_default = |kind: &Kind| {
            let challenges = kind.reply.headers.iter().filter(|line| line.starts_with("www-authenticate: "));
            challenges.eq([CHALLENGE])
        };
        let kinds = rejections(&Keys::new(awaited).await).into_iter().filter(of_the_default);
        let (kinds, others): (Vec<_>, Vec<_>) = kinds.partition(|kind| kind.reply.body == INVALID);
        let other = others.iter().find(|kind| kind.rejection == Some(Denial::Expired.into())).unwrap();
        let reasons: HashSet<_> = kinds.iter().filter_map(|kind| kind.rejection).collect();
        assert_eq!(reasons.len(), 6, "{reasons:?}");
        for (behind, method) in [(Axum, Method::GET), (Axum, Method::HEAD), (Hyper, Method::GET), (Hyper, Method::HEAD)]
        {
            let mut texts = HashSet::new();
            for kind in &kinds {
                texts.insert(kind.ask_by_hand(&kind.serve(behind).await, &method).await.1);
            }
            assert_eq!(texts.len(), 1, "{behind:?}, {method}: {texts:#?}");
            // Otherwise, the texts could be equal because all responses are.
            texts.insert(other.ask_by_hand(&other.serve(behind).await, &method).await.1);
            assert_eq!(texts.len(), 2, "{behind:?}, {method}");
        }
        for behind in [Axum, Hyper] {
            let mut replies = HashSet::new();
            for kind in &kinds {
                replies.insert(kind.ask(&kind.serve(behind).await, Http2, &Method::GET).await.unwrap());
            }
            assert_eq!(replies.len(), 1, "{behind:?}, HTTP/2: {replies:#?}");
        }
    }
}

/// The response of a layer around a service with an empty body.
async fn answer(layer: &ApiKeyLayer, request: Request<String>) -> (http::response::Parts, bytes::Bytes) {
    let service = layer.layer(tower::service_fn(async |_: Request<String>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    }));
    let (parts, body) = service.oneshot(request).await.unwrap().into_parts();
    (parts, http_body_util::BodyExt::collect(body).await.unwrap().to_bytes())
}

/// Cases: 54.
/// JSON is the only documented form.
#[tokio::test]
async fn accept_header_does_not_change_rejection() {
    let layer = ApiKeyLayer::new(MemoryStore::new());
    for accept in ["text/html", "application/problem+json", "application/xml;q=1, */*;q=0", "image/*", "nonsense"] {
        let request = Request::builder().header("accept", accept).body(String::new()).unwrap();
        let (parts, body) = answer(&layer, request).await;
        assert_eq!(parts.status, 401, "{accept}");
        assert_eq!(parts.headers["content-type"], "application/json", "{accept}");
        assert_eq!(body, r#"{"detail":"Authentication credentials were not provided."}"#, "{accept}");
    }
}

/// Cases: 50.
/// No part of a key is a name that could be known without the rest.
#[tokio::test]
async fn key_wrong_at_its_end_is_like_unknown_key() {
    let (keys, format) = (MemoryStore::new(), KeyFormat::default());
    let issued =
        keys.manage().issue(&"acme".parse().unwrap(), NewKey::new("key", Access::Full).unwrap()).await.unwrap();
    let known = issued.secret.expose_secret();
    let unknown = KeySecret::generate().unwrap();
    let layer = ApiKeyLayer::new(keys).require_formats([format]);
    let mut texts = HashSet::new();
    // Half of it, the start that lists show, its checksum, its last character: no such key, or none at all.
    let wrong = [&known[..24], &known[..8], &known[..40], &known[..43], unknown.expose_secret()];
    let last = if known.ends_with('0') { "1" } else { "0" };
    for key in wrong.into_iter().map(str::to_owned).chain([format!("{}{last}", &known[..43])]) {
        let request = Request::builder().header("x-avala-api-key", key).body(String::new()).unwrap();
        let (parts, body) = answer(&layer, request).await;
        texts.insert(format!("{} {:?} {body:?}", parts.status, parts.headers));
    }
    assert_eq!(texts.len(), 1, "{texts:#?}");
    assert!(texts.iter().all(|text| text.starts_with("401")));
}

#[tokio::test]
async fn only_configured_layer_exposes_its_rejection() {
    for awaited in [false, true] {
        let keys = Keys::new(awaited).await;
        for kind in [rejections(&keys), accepted(&keys)].into_iter().flatten() {
            assert_eq!(rejection_in(&kind, &kind.stack).await, None, "{}", kind.name);
            // Where there is no layer that could have been asked, nothing is exposed.
            let expected = kind.rejection.filter(|_| kind.stack.begins_with_a_key_layer());
            let exposing = kind.stack.clone().exposing();
            assert_eq!(rejection_in(&kind, &exposing).await, expected, "{}", kind.name);
        }
    }
}

async fn rejection_in(kind: &Kind, stack: &Stack) -> Option<Rejection> {
    let request = kind.headers.iter().fold(Request::get(PATH), |request, (name, value)| request.header(*name, value));
    let response = kind.inner.in_service(stack).oneshot(request.body(()).unwrap()).await.unwrap();
    response.extensions().get().copied()
}

/// Each kind of reply, from a store that answers at once and from one that does not.
async fn every(kinds: fn(&Keys) -> Vec<Kind>, behind: Behind, version: Version, method: Method) {
    for awaited in [false, true] {
        for kind in kinds(&Keys::new(awaited).await) {
            let context = format!("{}, {behind:?}, {version:?}, {method}, awaited: {awaited}", kind.name);
            let server = kind.serve(behind).await;
            let seen = kind.ask(&server, version, &method).await.unwrap_or_else(|error| panic!("{context}: {error:?}"));
            assert_eq!(seen, kind.on_the_wire(&method), "{context}");
            assert_rules(&kind, &seen, &context);
            let mut requests = 1;
            if version == Http1 {
                assert_eq!(kind.ask_by_hand(&server, &method).await.0, seen, "{context}");
                requests += 2;
            }
            assert_eq!(kind.inner.calls(), if kind.rejection.is_some() { 0 } else { requests }, "{context}");
        }
    }
}

/// Rules that hold for every response, in addition to the table.
fn assert_rules(kind: &Kind, seen: &Seen, context: &str) {
    let count = |name: &str| seen.headers.iter().filter(|line| line.starts_with(name)).count();
    if kind.rejection.is_some() {
        // One challenge for each source of a key.
        let sources =
            if seen.headers.iter().any(|line| line.starts_with("www-authenticate: Bearer realm=")) { 2 } else { 1 };
        assert_eq!(count("www-authenticate: "), if seen.status == 401 { sources } else { 0 }, "{context}");
        assert_eq!(count("retry-after: "), usize::from(seen.status == 503), "{context}");
        let stored = count("cache-control: no-store") + count("cache-control: private, no-cache");
        assert_eq!(stored, 1, "{context}");
    }
    assert!(count("cache-control: ") <= 2, "{context}");
    let text = format!("{seen:?}");
    let presented = kind.headers.iter().map(|(_, value)| value).filter(|value| value.contains("avk_"));
    assert!(presented.into_iter().all(|key| !text.contains(&**key)), "{context}: {text}");
}
