//! The headers that show a limit.

use std::time::{Duration, UNIX_EPOCH};

use allocation_counter::measure;
use futures::FutureExt;
use http::header::HeaderName;
use http::{HeaderMap, Request, Response};
use tower::{Layer, Service, ServiceBuilder, service_fn};
use tower_api_key::auth::{Attempt, LimitCaller, Limiter};
use tower_api_key::request::RequestHead;
use tower_api_key::throttle::{Limit, LimitHeaders, LimitRule, LimitState, Limits, ThrottleLayer};
use tower_api_key::{Access, ApiKeyLayer};
use tower_http::cors::{Any, CorsLayer};

use super::world::{Hand, ask, limit_headers};
use crate::support::handler::Handler;
use crate::support::keys::KEY;
use crate::support::request::request;
use crate::support::store::store;

/// The names and values of all headers of limits.
fn shown(headers: &HeaderMap) -> Vec<String> {
    let of_limits = |name: &HeaderName| name.as_str().contains("ratelimit") || name == "retry-after";
    let lines = headers.iter().filter(|(name, _)| of_limits(name));
    lines.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
}

/// draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4.
/// Cases: 253.
#[tokio::test]
async fn limit_is_shown_in_the_headers_of_choice() {
    let x = ["x-ratelimit-limit: 2", "x-ratelimit-remaining: 1", "x-ratelimit-reset: 1700000060"];
    let draft = [r#"ratelimit: "60s";r=1;t=60"#, r#"ratelimit-policy: "60s";q=2;w=60, "86400s";q=5000;w=86400"#];
    let limits = [Limit::per_minute(2), Limit::per_day(5_000)];
    for (headers, expected) in [
        (LimitHeaders::XRateLimit, x.to_vec()),
        (LimitHeaders::RateLimit, draft.to_vec()),
        (LimitHeaders::Both, [&x[..], &draft].concat()),
        (LimitHeaders::None, vec![]),
    ] {
        let hand = Hand::default();
        let keys = ApiKeyLayer::new(store(Access::Full)).clock(hand.time_of_day());
        let service = keys.limit(hand.per_key(limits).headers(headers)).layer(Handler::default().service());
        assert_eq!(shown(&ask(&service, request(KEY)).await.headers), expected);
        ask(&service, request(KEY)).await;
        let limited = shown(&ask(&service, request(KEY)).await.headers);
        assert_eq!((limited.len(), &*limited[0]), (expected.len() + 1, "retry-after: 60"), "{limited:?}");
    }
}

/// The longest numbers there can be.
/// Cases: 253.
#[tokio::test]
async fn longest_numbers_fit_the_headers() {
    struct Longest;
    impl Limiter for Longest {
        fn try_acquire(&self, _: RequestHead<'_>, _: LimitCaller<'_>) -> Attempt {
            let longest = Limit::new(u32::MAX, Duration::MAX);
            let state = LimitState::new(longest, u32::MAX, Duration::MAX);
            Attempt::Allowed(state.with_headers(LimitHeaders::Both).with_policies(Limits::from([longest; 4])))
        }
    }
    let service = ThrottleLayer::new(Longest).clock(|| UNIX_EPOCH).layer(Handler::default().service());
    let policy = [r#""3153600000s";q=4294967295;w=3153600000"#; 4].join(", ");
    assert_eq!(
        shown(&ask(&service, request(KEY)).await.headers),
        [
            "x-ratelimit-limit: 4294967295",
            "x-ratelimit-remaining: 4294967295",
            "x-ratelimit-reset: 999999999999999",
            r#"ratelimit: "3153600000s";r=4294967295;t=999999999999999"#,
            &format!("ratelimit-policy: {policy}"),
        ]
    );
}

/// A handler that sets headers of one kind keeps them.
#[tokio::test]
async fn handler_headers_are_kept_by_kind() {
    let handler = service_fn(async |_: Request<String>| {
        let response = Response::builder().header("ratelimit", "own");
        Ok::<_, std::convert::Infallible>(response.body(String::new()).unwrap())
    });
    let keys = ApiKeyLayer::new(store(Access::Full));
    let rule = LimitRule::per_key(Limit::per_minute(2)).headers(LimitHeaders::Both);
    let shown = shown(&ask(&keys.limit(rule).layer(handler), request(KEY)).await.headers);
    assert_eq!((shown.len(), &*shown[0]), (4, "ratelimit: own"), "{shown:?}");
}

/// Besides what the map of headers takes to grow. The time stands still, and this thread has written it before.
/// Cases: 253.
#[test]
fn header_values_take_at_most_one_allocation() {
    let full = |reserved: usize| {
        let mut response = Response::new(String::new());
        response.headers_mut().reserve(reserved);
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/plain"));
        response
    };
    let empty = |_: usize| Response::new(String::new());
    let keys = ApiKeyLayer::new(store(Access::Full)).clock(|| UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let hand = Hand::default();
    let rule = |headers| hand.per_key([Limit::per_minute(1_000), Limit::per_day(5_000)]).headers(headers);
    for (headers, taken) in [(LimitHeaders::XRateLimit, 0), (LimitHeaders::RateLimit, 1), (LimitHeaders::Both, 1)] {
        let limited = keys.clone().limit(rule(headers));
        let more = |response: fn(usize) -> Response<String>, reserved| {
            allocations(&limited, response, reserved) - allocations(&keys, response, reserved)
        };
        // A map with room, and one that is empty.
        assert_eq!([more(full, 16), more(empty, 0)], [taken; 2], "{headers:?}");
    }
    let hidden = keys.clone().limit(rule(LimitHeaders::None));
    assert_eq!(allocations(&hidden, full, 16), allocations(&keys, full, 16));
}

/// The allocations of an accepted request after a few earlier ones.
fn allocations(keys: &ApiKeyLayer, response: fn(usize) -> Response<String>, reserved: usize) -> u64 {
    let ready =
        service_fn(move |_: Request<String>| std::future::ready(Ok::<_, std::convert::Infallible>(response(reserved))));
    let mut service = keys.layer(ready);
    let mut allocations = 0;
    for _ in 0..3 {
        let request = request(KEY);
        allocations = measure(|| drop(service.call(request).now_or_never())).count_total;
    }
    allocations
}

/// The recipe of the guide: a script of another origin may read them.
/// Cases: 253.
#[tokio::test]
async fn exposed_headers_are_readable_across_origins() {
    let names = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after"];
    let cors = CorsLayer::new().allow_origin(Any).expose_headers(names.map(HeaderName::from_static));
    let keys = ApiKeyLayer::new(store(Access::Full)).limit(LimitRule::per_key(Limit::per_minute(1)));
    let service = ServiceBuilder::new().layer(cors).layer(keys).service(Handler::default().service());
    for status in [200, 429] {
        let mut request = request(KEY);
        request.headers_mut().insert("origin", "https://app.example".parse().unwrap());
        let reply = ask(&service, request).await;
        assert_eq!((reply.status, limit_headers(&reply.headers)[0]), (status, "1"));
        assert_eq!(reply.headers["access-control-expose-headers"], names.join(","));
    }
}
