//! `ApiKeyLayer::limit`: every response to a valid key counts and has the headers of the limit.

use http::Method;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_api_key::auth::{Attempt, LimitCaller, LimitState, Limiter, RequireScopesLayer};
use tower_api_key::key::KeyDigest;
use tower_api_key::observe::Outcome;
use tower_api_key::request::RequestHead;
use tower_api_key::scope::avala;
use tower_api_key::throttle::{Limit, LimitRule, ThrottleLayer};
use tower_api_key::transport::ClientInfoLayer;
use tower_api_key::{Access, ApiKeyLayer, Rejection};

use super::world::{Events, Hand, MINUTE, START, ask, from, limit_headers, throttled};
use crate::support::awaited::Awaited;
use crate::support::handler::Handler;
use crate::support::keys::KEY;
use crate::support::request::request;
use crate::support::store::store;

/// Cases: 251.
#[tokio::test]
async fn every_response_to_a_valid_key_counts() {
    let keys = store(Access::scoped([avala::DATASETS_READ]));
    counts_every_response(ApiKeyLayer::new(keys.clone())).await;
    counts_every_response(ApiKeyLayer::new(Awaited(keys))).await;
}

async fn counts_every_response(keys: ApiKeyLayer) {
    let (hand, handler, events) = (Hand::default(), Handler::default(), Events::default());
    let keys = events.of(keys).clock(hand.time_of_day()).limit(hand.per_key(Limit::per_minute(5)));
    let keys = keys.require_fn(|request| match request.path() {
        "/exports/" => avala::EXPORTS_CREATE.into(),
        _ => avala::DATASETS_READ.into(),
    });
    let inner = RequireScopesLayer::new(avala::DATASETS_READ).layer(handler.service());
    let service = keys.layer(inner);
    let scope = Outcome::Rejected(tower_api_key::decision::Denial::InsufficientScope.into());
    let late = Outcome::Rejected(Rejection::Throttled { retry_after: 60 });
    let reset = &*(START + 60).to_string();
    for (path, key, status, outcome, left) in [
        ("/datasets/", KEY, 200, Outcome::Accepted, "4"),
        ("/exports/", KEY, 403, scope, "3"),
        ("/datasets/", KEY, 200, Outcome::Accepted, "2"),
        // Neither a missing nor an invalid key counts.
        ("/datasets/", "", 401, Outcome::Rejected(tower_api_key::rejection::CredentialError::Missing.into()), ""),
        ("/datasets/", "guess", 401, Outcome::Rejected(tower_api_key::decision::Denial::Unknown.into()), ""),
        ("/exports/", KEY, 403, scope, "1"),
        ("/exports/", KEY, 403, scope, "0"),
        // The limit comes before the requirement.
        ("/exports/", KEY, 429, late, "0"),
        ("/datasets/", KEY, 429, late, "0"),
    ] {
        let mut request = request(key);
        *request.uri_mut() = path.parse().unwrap();
        let reply = ask(&service, request).await;
        assert_eq!(reply.status, status, "{path} {key}");
        let digest = Some(KeyDigest::hash(key.as_bytes())).filter(|_| !key.is_empty());
        assert_eq!(events.take(), [(outcome, Some(status), digest)], "{path} {key}");
        let expected = match left {
            "" => [""; 4],
            left => ["5", left, reset, if status == 429 { "60" } else { "" }],
        };
        assert_eq!(limit_headers(&reply.headers), expected, "{path} {key}");
        if status == 429 {
            assert_eq!(reply.body, throttled(60));
        }
    }
    assert_eq!(handler.calls(), 2);
    hand.set(MINUTE);
    assert_eq!(limit_headers(&ask(&service, request(KEY)).await.headers)[1], "4");
}

/// Also by a response that an inner layer has made.
/// Cases: 251.
#[tokio::test]
async fn response_of_inner_layer_has_the_headers() {
    let hand = Hand::default();
    let inner = RequireScopesLayer::new(avala::EXPORTS_CREATE).layer(Handler::default().service());
    let keys = ApiKeyLayer::new(store(Access::scoped([]))).clock(hand.time_of_day());
    let service = keys.limit(hand.per_key(Limit::per_minute(5))).layer(inner);
    let reply = ask(&service, request(KEY)).await;
    assert_eq!((reply.status, limit_headers(&reply.headers)[1]), (403, "4"));
}

/// Cases: 252.
#[tokio::test]
async fn preflight_does_not_count() {
    let hand = Hand::default();
    let keys = ApiKeyLayer::new(store(Access::Full)).allow_preflight().limit(hand.per_key(Limit::per_minute(1)));
    let cors = tower_http::cors::CorsLayer::permissive();
    let service = ServiceBuilder::new().layer(keys).layer(cors).service(Handler::default().service());
    for (method, status) in [(Method::OPTIONS, 200), (Method::OPTIONS, 200), (Method::GET, 200), (Method::GET, 429)] {
        let mut request = request(KEY);
        request.headers_mut().insert("origin", "https://app.example".parse().unwrap());
        if method == Method::OPTIONS {
            request.headers_mut().insert("access-control-request-method", "GET".parse().unwrap());
        }
        *request.method_mut() = method;
        let reply = ask(&service, request).await;
        let counted = !limit_headers(&reply.headers)[0].is_empty();
        assert_eq!((reply.status, counted), (status, reply.headers.get("allow").is_none() && counted), "{reply:?}");
    }
}

/// Cases: 252.
#[cfg(feature = "routes")]
#[tokio::test]
async fn public_route_does_not_count_and_404_does() {
    use tower_api_key::routes::RouteTable;

    let hand = Hand::default();
    let table = RouteTable::builder().public(Method::GET, "/health").route(Method::GET, "/a", avala::TASKS_READ);
    let keys = ApiKeyLayer::new(store(Access::Full)).routes(table.build().unwrap());
    let service = keys.limit(hand.per_key(Limit::per_minute(2))).layer(Handler::default().service());
    for (path, status, left) in [
        ("/health", 200, ""),
        ("/health", 200, ""),
        ("/nowhere", 404, "1"),
        ("/health", 200, ""),
        ("/a", 200, "0"),
        ("/nowhere", 429, "0"),
        ("/health", 200, ""),
    ] {
        let mut request = request(KEY);
        *request.uri_mut() = path.parse().unwrap();
        let reply = ask(&service, request).await;
        assert_eq!((reply.status, limit_headers(&reply.headers)[1]), (status, left), "{path}");
    }
}

/// Cases: 246.
#[tokio::test]
async fn closest_of_several_limits_answers() {
    let hand = Hand::default();
    let clients = hand.per_client(4);
    let plan = [Limit::per_minute(2), Limit::per_hour(3)];
    let keys = ApiKeyLayer::new(store(Access::Full)).clock(hand.time_of_day()).limit(hand.per_key(plan)).limit(clients);
    let service = ServiceBuilder::new().layer(ClientInfoLayer::new()).layer(keys).service(Handler::default().service());
    let minute = |minutes: u64| (START + 60 * minutes).to_string();
    for (at, status, expected) in [
        (0, 200, ["2", "1", &minute(1), ""]),
        (1, 200, ["2", "0", &minute(1), ""]),
        (1, 429, ["2", "0", &minute(1), "60"]),
        // The third request of the hour.
        (MINUTE, 200, ["3", "0", &minute(60), ""]),
        (2 * MINUTE, 429, ["3", "0", &minute(60), "3480"]),
    ] {
        hand.set(at);
        let reply = ask(&service, from("192.0.2.1", KEY)).await;
        assert_eq!((reply.status, limit_headers(&reply.headers)), (status, expected), "{at}");
    }
    // The client is limited before the key is.
    hand.set(60 * MINUTE);
    let other = ApiKeyLayer::new(store(Access::Full)).limit(hand.per_key(Limit::per_minute(9)));
    let service = ServiceBuilder::new().layer(ClientInfoLayer::new()).layer(other.limit(hand.per_client(2)));
    let service = service.service(Handler::default().service());
    for (status, limit) in [(200, "2"), (200, "2"), (429, "2")] {
        let reply = ask(&service, from("192.0.2.1", KEY)).await;
        assert_eq!((reply.status, limit_headers(&reply.headers)[0]), (status, limit));
    }
}

/// Answers what this function does.
#[derive(Clone, Copy)]
struct Own(fn() -> Attempt);

impl Limiter for Own {
    fn try_acquire(&self, request: RequestHead<'_>, caller: LimitCaller<'_>) -> Attempt {
        assert!(request.headers().get("x-avala-api-key").is_none());
        assert!(matches!(caller, LimitCaller::Key(key) if key.organization().as_str() == "acme"));
        (self.0)()
    }
}

fn limited() -> Attempt {
    Attempt::Limited(LimitState::new(Limit::per_day(7), 0, std::time::Duration::from_secs(42)))
}

/// Cases: 254.
#[tokio::test]
async fn limiter_of_ones_own_rejects_as_the_layer() {
    for (own, status, body, limit) in [
        (Own(|| Attempt::Unlimited), 200, "handled", ""),
        (Own(limited), 429, "throttled", "7"),
        (Own(|| Attempt::Rejected(Rejection::NotFound)), 404, "not_found", ""),
        (Own(|| Attempt::Pending(Box::pin(async { Ok(limited()) }))), 429, "throttled", "7"),
        (Own(|| Attempt::Pending(Box::pin(async { Err("down".into()) }))), 503, "limit_failed", ""),
    ] {
        let events = Events::default();
        let keys = events
            .of(ApiKeyLayer::new(store(Access::Full)))
            .rejection_response(|rejected| rejected.response().map(|_| rejected.rejection().code().into()));
        let handler = || Handler::default().service();
        for reply in [
            ask(&keys.clone().limit(own).layer(handler()), request(KEY)).await,
            ask(&keys.clone().limit(Own(|| Attempt::Unlimited)).limit(own).layer(handler()), request(KEY)).await,
            ask(&keys.clone().limit(own).limit(Own(|| Attempt::Unlimited)).layer(handler()), request(KEY)).await,
            ask(&keys.layer(ThrottleLayer::new(own).layer(handler())), request(KEY)).await,
        ] {
            assert_eq!((reply.status, &*reply.body, limit_headers(&reply.headers)[0]), (status, body, limit));
            let (outcome, reported, _) = events.0.lock().unwrap().remove(0);
            assert_eq!((outcome == Outcome::Accepted, reported), (status == 200, Some(status)));
        }
        assert_eq!(events.take(), []);
    }
}

/// A layer around the routers, and a stricter clone of it on a route.
#[tokio::test]
async fn nested_clone_counts_once() {
    let hand = Hand::default();
    let keys = ApiKeyLayer::new(store(Access::Full)).limit(hand.per_key(Limit::per_minute(2)));
    let cloned = keys.clone().require(avala::TASKS_READ);
    let service = ServiceBuilder::new().layer(keys.clone()).layer(cloned).service(Handler::default().service());
    for status in [200, 200, 429] {
        assert_eq!(ask(&service, request(KEY)).await.status, status);
    }
    // A limit of its own counts too.
    let (hand, events) = (Hand::default(), Events::default());
    let outer = events.of(ApiKeyLayer::new(store(Access::Full)));
    let own = outer.clone().limit(hand.per_key(Limit::per_minute(1)));
    let service = ServiceBuilder::new().layer(outer).layer(own).service(Handler::default().service());
    for (status, left) in [(200, "0"), (429, "0")] {
        let reply = ask(&service, request(KEY)).await;
        assert_eq!((reply.status, limit_headers(&reply.headers)[1]), (status, left));
        let [(outcome, reported, _)] = events.take()[..] else { panic!("one event") };
        assert_eq!((outcome == Outcome::Accepted, reported), (status == 200, Some(status)));
    }
}

/// Keys of an organization share a count.
#[tokio::test]
async fn organization_has_one_count() {
    use crate::support::manage::Manage;

    let keys = store(Access::Full);
    let new = || tower_api_key::NewKey::new("other", Access::Full).unwrap();
    let other = keys.manage().issue(&"acme".parse().unwrap(), new()).await.unwrap();
    let third = keys.manage().issue(&"globex".parse().unwrap(), new()).await.unwrap();
    let rule = LimitRule::per_organization(Limit::per_minute(2));
    let service = ApiKeyLayer::new(keys).limit(rule).layer(Handler::default().service());
    let (other, third) = (other.secret.expose_secret(), third.secret.expose_secret());
    for (key, status) in [(KEY, 200), (other, 200), (KEY, 429), (other, 429), (third, 200)] {
        assert_eq!(service.clone().oneshot(request(key)).await.unwrap().status(), status, "{key}");
    }
}
