//! `ThrottleLayer`, inside and outside of an `ApiKeyLayer`.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_api_key::key::KeyDigest;
use tower_api_key::observe::Outcome;
use tower_api_key::throttle::{Limit, LimitRule, Subject, ThrottleLayer};
use tower_api_key::transport::{ClientInfoLayer, TrustedProxies};
use tower_api_key::{Access, ApiKeyLayer, NewKey, Rejection};

use super::world::{Events, Hand, MINUTE, START, ask, from, limit_headers, throttled};
use crate::support::handler::Handler;
use crate::support::keys::KEY;
use crate::support::log_lines::{record_log, take_log};
use crate::support::manage::Manage;
use crate::support::reply::Reply;
use crate::support::request::request;
use crate::support::store::store;

/// Cases: 40.
/// Counters that restart every minute would accept five requests just before its end and five just after it.
#[tokio::test]
async fn any_minute_allows_five_requests() {
    let (hand, handler) = (Hand::default(), Handler::default());
    let layer = ThrottleLayer::new(hand.per_client(5)).clock(hand.time_of_day());
    let service = ServiceBuilder::new().layer(ClientInfoLayer::new()).layer(layer).service(handler.service());
    let client = "192.0.2.1";
    // The time, how many requests are left, and when the next one becomes free.
    for (at, remaining, reset) in
        [(0, "4", 60), (59_990, "3", 60), (59_991, "2", 60), (59_992, "1", 60), (59_993, "0", 60)]
    {
        hand.set(at);
        let reply = ask(&service, from(client, "")).await;
        assert_eq!((reply.status, &*reply.body), (200, "handled"));
        assert_eq!(limit_headers(&reply.headers), ["5", remaining, &(START + reset).to_string(), ""], "{at}");
    }
    // At the edge, only the first request leaves the window.
    hand.set(MINUTE);
    let reply = ask(&service, from(client, "")).await;
    assert_eq!(limit_headers(&reply.headers), ["5", "0", &(START + 120).to_string(), ""]);
    for (at, seconds) in [(MINUTE, 60), (60_001, 60), (100_000, 20), (118_990, 1), (119_989, 1)] {
        hand.set(at);
        let reply = ask(&service, from(client, "")).await;
        assert_eq!((reply.status, reply.body), (429, throttled(seconds)), "{at}");
        assert_eq!(limit_headers(&reply.headers), ["5", "0", &(START + 120).to_string(), &seconds.to_string()], "{at}");
        assert_eq!(
            (&reply.headers["content-type"], &reply.headers["cache-control"]),
            (&"application/json".parse().unwrap(), &"no-store".parse().unwrap())
        );
    }
    assert_eq!(handler.calls(), 6);
    hand.set(119_990);
    assert_eq!(ask(&service, from(client, "")).await.status, 200);
    // Another client has its own count.
    assert_eq!(limit_headers(&ask(&service, from("192.0.2.2", "")).await.headers)[1], "4");
}

/// Cases: 40.
#[tokio::test]
async fn ipv6_network_is_one_client() {
    let hand = Hand::default();
    let client = ClientInfoLayer::new().trust(TrustedProxies::new(["10.0.0.1"]).unwrap());
    let layer = ThrottleLayer::new(hand.per_client(3));
    let service = ServiceBuilder::new().layer(client).layer(layer).service(Handler::default().service());
    let from = |address: &str, forwarded: &str| {
        let mut request = from(address, "");
        if !forwarded.is_empty() {
            request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
        }
        request
    };
    for group in [
        // One /64; two forms of one address; untrusted headers; trusted headers after untrusted ones.
        [("2001:db8:0:1::1", ""), ("2001:db8:0:1::2", ""), ("2001:db8:0:1:ffff::", ""), ("2001:db8:0:1::4", "")],
        [("192.0.2.1", ""), ("::ffff:192.0.2.1", ""), ("192.0.2.1", "6.6.6.6"), ("192.0.2.1", "10.0.0.1, 7.7.7.7")],
        [
            ("10.0.0.1", "192.0.2.7"),
            ("10.0.0.1", "6.6.6.6, 192.0.2.7"),
            ("192.0.2.7", ""),
            ("10.0.0.1", "::ffff:192.0.2.7"),
        ],
        [
            ("10.0.0.1", "2001:db8::1"),
            ("10.0.0.1", "[2001:db8::2]:80"),
            ("2001:db8::3", ""),
            ("10.0.0.1", "2001:db8::4"),
        ],
    ] {
        let mut statuses = Vec::new();
        for (address, forwarded) in group {
            statuses.push(ask(&service, from(address, forwarded)).await.status);
        }
        assert_eq!(statuses, [200, 200, 200, 429], "{group:?}");
    }
}

/// Two keys of one organization, at one address.
#[tokio::test]
async fn each_key_has_its_own_count() {
    let (hand, handler, events) = (Hand::default(), Handler::default(), Events::default());
    let keys = store(Access::Full);
    let other =
        keys.manage().issue(&"acme".parse().unwrap(), NewKey::new("other", Access::Full).unwrap()).await.unwrap();
    let guard = events.of(ApiKeyLayer::new(keys));
    let layer = ThrottleLayer::new(hand.per_key(Limit::per_minute(2))).clock(hand.time_of_day());
    let service = ServiceBuilder::new().layer(guard).layer(layer).service(handler.service());
    let rejected = Outcome::Rejected(Rejection::Throttled { retry_after: 60 });
    for (key, status, outcome) in [
        (KEY, 200, Outcome::Accepted),
        (KEY, 200, Outcome::Accepted),
        (KEY, 429, rejected),
        (KEY, 429, rejected),
        (other.secret.expose_secret(), 200, Outcome::Accepted),
    ] {
        let reply = ask(&service, request(key)).await;
        assert_eq!(reply.status, status);
        assert_eq!(events.take(), [(outcome, Some(status), Some(KeyDigest::hash(key.as_bytes())))]);
        assert_eq!(limit_headers(&reply.headers)[0], "2");
    }
    // A request that the outer layer rejects is not counted, and its response has no limit headers.
    let reply = ask(&service, request("unknown")).await;
    assert_eq!((reply.status, limit_headers(&reply.headers)), (401, [""; 4]));
    assert_eq!(handler.calls(), 3);
}

/// Of each client, if the client is known.
/// Cases: 252.
#[tokio::test]
async fn anonymous_request_has_its_own_count() {
    let hand = Hand::default();
    let keys = || ApiKeyLayer::new(store(Access::Full)).allow_anonymous();
    let rule = || hand.per_key(Limit::per_minute(1));
    let outside = keys().limit(rule()).layer(Handler::default().service());
    let inside = keys().layer(ThrottleLayer::new(rule()).layer(Handler::default().service()));
    for (key, status) in [("", 200), ("", 429), (KEY, 200), (KEY, 429), ("", 429)] {
        assert_eq!(ask(&outside, request(key)).await.status, status, "{key}");
        assert_eq!(ask(&inside, request(key)).await.status, status, "{key}");
    }
    let clients = ClientInfoLayer::new().layer(keys().limit(rule()).layer(Handler::default().service()));
    for (client, status) in [("192.0.2.1", 200), ("192.0.2.1", 429), ("192.0.2.2", 200), ("192.0.2.2", 429)] {
        assert_eq!(ask(&clients, from(client, "")).await.status, status, "{client}");
    }
}

#[tokio::test]
async fn custom_key_function_is_used() {
    let hand = Hand::default();
    let rule = LimitRule::by(Limit::per_minute(1), |request, _| {
        Some(Subject::text(request.headers().get("x-tenant")?.to_str().ok()?))
    });
    let service = ThrottleLayer::new(rule.store(hand.limits())).layer(Handler::default().service());
    for (tenant, status) in [("a", 200), ("a", 429), ("b", 200), ("", 200), ("", 200)] {
        let mut request = request("");
        if !tenant.is_empty() {
            request.headers_mut().insert("x-tenant", tenant.parse().unwrap());
        }
        let reply = ask(&service, request).await;
        assert_eq!(reply.status, status, "{tenant}");
        assert_eq!(limit_headers(&reply.headers)[0], if tenant.is_empty() { "" } else { "1" });
    }
}

/// Outside the key layer, in its form and with its one event.
#[tokio::test]
async fn outer_limit_rejects_as_the_key_layer() {
    let (hand, events) = (Hand::default(), Events::default());
    let keys = events.of(ApiKeyLayer::new(store(Access::Full))).expose_rejection().rejection_response(|rejected| {
        assert!(rejected.request().headers().is_empty(), "the credential is gone");
        rejected.response().map(|_| rejected.rejection().code().into())
    });
    let layer = ThrottleLayer::new(hand.per_client(1)).clock(hand.time_of_day());
    let rejection = Rejection::Throttled { retry_after: 60 };
    for layer in [layer.clone().reject_as(&keys), layer] {
        let service = ServiceBuilder::new()
            .layer(ClientInfoLayer::new())
            .layer(layer.clone())
            .layer(keys.clone())
            .service(Handler::default().service());
        // The second layer shares the count of the first one.
        let _ = service.clone().oneshot(from("192.0.2.1", KEY)).await;
        events.take();
        let response = service.clone().oneshot(from("192.0.2.1", KEY)).await.unwrap();
        let exposed = response.extensions().get().copied();
        let reply = Reply::of(response).await;
        assert_eq!((reply.status, limit_headers(&reply.headers)), (429, ["1", "0", "1700000060", "60"]));
        if exposed.is_some() {
            assert_eq!((exposed, &*reply.body), (Some(rejection), "throttled"));
            let event = (Outcome::Rejected(rejection), Some(429), Some(KeyDigest::hash(KEY.as_bytes())));
            assert_eq!(events.take(), [event]);
        } else {
            assert_eq!((reply.body, events.take()), (throttled(60), vec![]));
        }
        let mut head = from("192.0.2.1", "");
        *head.method_mut() = http::Method::HEAD;
        let reply = ask(&service, head).await;
        assert_eq!((reply.status, &*reply.body), (429, ""));
        assert_ne!(reply.headers["content-length"], "0");
    }
}

#[tokio::test]
async fn inner_limit_headers_are_kept() {
    let hand = Hand::default();
    let inner = ThrottleLayer::new(hand.per_key(Limit::per_minute(2))).clock(hand.time_of_day());
    let outer = ThrottleLayer::new(hand.per_client(3)).clock(hand.time_of_day());
    let service = ServiceBuilder::new()
        .layer(ClientInfoLayer::new())
        .layer(outer)
        .layer(ApiKeyLayer::new(store(Access::Full)))
        .layer(inner)
        .service(Handler::default().service());
    let reset = &*(START + 60).to_string();
    for (key, status, expected) in [
        (KEY, 200, ["2", "1", reset, ""]),
        ("", 401, ["3", "1", reset, ""]),
        (KEY, 200, ["2", "0", reset, ""]),
        (KEY, 429, ["3", "0", reset, "60"]),
    ] {
        let reply = ask(&service, from("192.0.2.1", key)).await;
        assert_eq!((reply.status, limit_headers(&reply.headers)), (status, expected));
    }
}

#[tokio::test]
async fn missing_limit_subject_is_500() {
    let (hand, handler) = (Hand::default(), Handler::default());
    let per_client = ThrottleLayer::new(hand.per_client(1)).layer(handler.service());
    let per_key = ThrottleLayer::new(hand.per_key(Limit::per_minute(1))).layer(handler.service());
    let misconfigured = r#"{"detail":"Internal server error."}"#;
    for (service, part) in [
        (
            &per_client,
            "a LimitRule that counts by client got a request without a ClientInfo: either no ClientInfoLayer is outside it",
        ),
        (&per_key, "a LimitRule that counts by key got a request without an API key: no ApiKeyLayer is outside it"),
    ] {
        record_log();
        let reply = ask(service, request(KEY)).await;
        assert_eq!((reply.status, &*reply.body, limit_headers(&reply.headers)), (500, misconfigured, [""; 4]));
        let [line] = &take_log()[..] else { panic!("one line is expected") };
        assert!(line.starts_with("ERROR ") && line.contains(part) && line.contains("answering 500"), "{line}");
    }
    // An inner ClientInfoLayer cannot help.
    let wrong = ThrottleLayer::new(hand.per_client(1)).layer(ClientInfoLayer::new().layer(handler.service()));
    assert_eq!(ask(&wrong, from("192.0.2.1", KEY)).await.status, 500);
    assert_eq!(handler.calls(), 0);
}

/// Cases: 40.
/// Of parallel requests, exactly as many as the limit are accepted, over many rounds.
#[test]
fn parallel_requests_pass_up_to_the_limit() {
    let hand = Hand::default();
    let layer = ThrottleLayer::new(hand.per_client(5));
    for round in 0..50 {
        // At the edge: the requests of the previous round leave the window at this moment.
        hand.set(round * MINUTE);
        let passed = Arc::new(AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                let (layer, passed) = (layer.clone(), Arc::clone(&passed));
                scope.spawn(move || {
                    for _ in 0..5 {
                        let inner =
                            service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(String::new())));
                        let service = ClientInfoLayer::new().layer(layer.layer(inner));
                        let response = futures::executor::block_on(service.oneshot(from("192.0.2.1", ""))).unwrap();
                        passed.fetch_add(usize::from(response.status() == 200), Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(passed.load(Ordering::SeqCst), 5, "round {round}");
    }
}

/// A rejected request releases what readiness had reserved.
#[tokio::test]
async fn limit_rejection_holds_no_permit() {
    let hand = Hand::default();
    let service = ServiceBuilder::new()
        .layer(ClientInfoLayer::new())
        .layer(ThrottleLayer::new(hand.per_client(1)))
        .layer(GlobalConcurrencyLimitLayer::new(1))
        .service(Handler::default().service());
    let mut rejected = service.clone();
    assert_eq!(rejected.ready().await.unwrap().call(from("192.0.2.1", "")).await.unwrap().status(), 200);
    let reply = rejected.ready().await.unwrap().call(from("192.0.2.1", ""));
    // The rejected instance and its future are alive, and the one permit is free.
    let mut other = service.clone();
    let ready = futures::FutureExt::now_or_never(other.ready()).expect("a permit").unwrap();
    assert_eq!(ready.call(from("192.0.2.2", "")).await.unwrap().status(), 200);
    assert_eq!(reply.await.unwrap().status(), 429);
}
