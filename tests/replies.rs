//! What comes back, byte for byte: for every reason that a layer has to reply, from axum and from bare hyper, over
//! HTTP/1.1 and HTTP/2, to `GET` and to `HEAD`.

#[path = "replies/ask.rs"]
mod ask;
#[path = "replies/broken.rs"]
mod broken;
#[path = "replies/inner_service.rs"]
mod inner_service;
#[path = "replies/keys.rs"]
mod keys;
#[path = "replies/kinds.rs"]
mod kinds;
#[path = "replies/stack.rs"]
mod stack;
#[path = "replies/unread_bodies.rs"]
mod unread_bodies;

#[path = "common/awaited.rs"]
mod awaited;
#[path = "support/axum_server.rs"]
mod axum_server;
#[path = "support/http1_client.rs"]
mod http1_client;
#[path = "support/http2_client.rs"]
mod http2_client;
#[path = "support/hyper_server.rs"]
mod hyper_server;
#[path = "support/seen.rs"]
mod seen;
#[path = "support/server.rs"]
mod server;
#[path = "support/wire.rs"]
mod wire;

use std::collections::HashSet;

use http::{Method, Request};
use tower::{Layer, ServiceExt};
use tower_api_key::{Access, ApiKeyLayer, Denial, KeyFormat, KeyManager, KeySecret, MemoryStore, NewKey, Rejection};

use self::ask::Behind::{self, Axum, Hyper};
use self::ask::Version::{self, Http1, Http2};
use self::keys::Keys;
use self::kinds::{CHALLENGE, INVALID, Kind, accepted, refusals};
use self::seen::Seen;
use self::stack::{PATH, Stack};

#[tokio::test]
async fn case_044_case_045_case_046_refusals_of_axum_over_http_1() {
    every(refusals, Axum, Http1, Method::GET).await;
}

#[tokio::test]
async fn case_044_case_045_case_046_refusals_of_axum_over_http_1_to_head() {
    every(refusals, Axum, Http1, Method::HEAD).await;
}

#[tokio::test]
async fn case_044_case_045_case_046_refusals_of_axum_over_http_2() {
    every(refusals, Axum, Http2, Method::GET).await;
}

#[tokio::test]
async fn case_044_case_045_case_046_refusals_of_axum_over_http_2_to_head() {
    every(refusals, Axum, Http2, Method::HEAD).await;
}

#[tokio::test]
async fn case_044_case_045_case_046_refusals_of_bare_hyper_over_http_1() {
    every(refusals, Hyper, Http1, Method::GET).await;
}

#[tokio::test]
async fn case_044_case_045_case_046_refusals_of_bare_hyper_over_http_1_to_head() {
    every(refusals, Hyper, Http1, Method::HEAD).await;
}

#[tokio::test]
async fn case_044_case_045_case_046_refusals_of_bare_hyper_over_http_2() {
    every(refusals, Hyper, Http2, Method::GET).await;
}

#[tokio::test]
async fn case_044_case_045_case_046_refusals_of_bare_hyper_over_http_2_to_head() {
    every(refusals, Hyper, Http2, Method::HEAD).await;
}

#[tokio::test]
async fn case_047_case_052_replies_of_the_inner_service() {
    for (behind, version) in [(Axum, Http1), (Axum, Http2), (Hyper, Http1), (Hyper, Http2)] {
        for method in [Method::GET, Method::HEAD] {
            every(accepted, behind, version, method).await;
        }
    }
}

/// Whoever asks must not learn which keys exist, or existed: not even from the order of the headers.
#[tokio::test]
async fn case_048_revoked_unknown_and_malformed_are_the_same_bytes() {
    for awaited in [false, true] {
        let of_the_default = |kind: &Kind| kind.reply.headers.iter().any(|line| line == CHALLENGE);
        let kinds = refusals(&Keys::new(awaited).await).into_iter().filter(of_the_default);
        let (kinds, others): (Vec<_>, Vec<_>) = kinds.partition(|kind| kind.reply.body == INVALID);
        let other = others.iter().find(|kind| kind.rejection == Some(Denial::Expired.into())).unwrap();
        let reasons: HashSet<_> = kinds.iter().filter_map(|kind| kind.rejection).collect();
        assert_eq!(reasons.len(), 7, "{reasons:?}");
        for (behind, method) in [(Axum, Method::GET), (Axum, Method::HEAD), (Hyper, Method::GET), (Hyper, Method::HEAD)]
        {
            let mut texts = HashSet::new();
            for kind in &kinds {
                texts.insert(kind.ask_by_hand(&kind.serve(behind).await, &method).await.1);
            }
            assert_eq!(texts.len(), 1, "{behind:?}, {method}: {texts:#?}");
            // Without this, they could be the same because nothing is told apart.
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

/// What a layer answers in front of a service that says nothing.
async fn answer(layer: &ApiKeyLayer, request: Request<String>) -> (http::response::Parts, bytes::Bytes) {
    let service = layer.layer(tower::service_fn(async |_: Request<String>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    }));
    let (parts, body) = service.oneshot(request).await.unwrap().into_parts();
    (parts, http_body_util::BodyExt::collect(body).await.unwrap().to_bytes())
}

/// JSON, whatever a client would rather have: nobody has documented another form.
#[tokio::test]
async fn case_054_what_a_client_accepts_changes_nothing() {
    let layer = ApiKeyLayer::new(MemoryStore::new());
    for accept in ["text/html", "application/problem+json", "application/xml;q=1, */*;q=0", "image/*", "nonsense"] {
        let request = Request::builder().header("accept", accept).body(String::new()).unwrap();
        let (parts, body) = answer(&layer, request).await;
        assert_eq!(parts.status, 401, "{accept}");
        assert_eq!(parts.headers["content-type"], "application/json", "{accept}");
        assert_eq!(body, r#"{"detail":"Authentication credentials were not provided."}"#, "{accept}");
    }
}

/// No part of a key is a name that could be known without the rest.
#[tokio::test]
async fn case_050_a_key_that_is_wrong_at_its_end_is_like_one_that_nobody_has() {
    let (keys, format) = (MemoryStore::new(), KeyFormat::default());
    let issued = keys.issue(&"acme".parse().unwrap(), NewKey::new("key", Access::Full).unwrap()).await.unwrap();
    let known = issued.secret.expose_secret();
    let unknown = KeySecret::generate().unwrap();
    let layer = ApiKeyLayer::new(keys).only_format(format);
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
async fn a_layer_that_is_asked_to_exposes_its_rejection_and_no_other_does() {
    for awaited in [false, true] {
        let keys = Keys::new(awaited).await;
        for kind in [refusals(&keys), accepted(&keys)].into_iter().flatten() {
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

/// What holds for every reply, whatever the table says about it.
fn assert_rules(kind: &Kind, seen: &Seen, context: &str) {
    let count = |name: &str| seen.headers.iter().filter(|line| line.starts_with(name)).count();
    if kind.rejection.is_some() {
        assert_eq!(count("www-authenticate: "), usize::from(seen.status == 401), "{context}");
        assert_eq!(count("retry-after: "), usize::from(seen.status == 503), "{context}");
        assert_eq!(count("cache-control: no-"), 1, "{context}");
    }
    assert!(count("cache-control: ") <= 2, "{context}");
    let text = format!("{seen:?}");
    let presented = kind.headers.iter().map(|(_, value)| value).filter(|value| value.contains("avk_"));
    assert!(presented.into_iter().all(|key| !text.contains(&**key)), "{context}: {text}");
}
