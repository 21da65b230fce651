//! The limiters, each configured to count by the text of one header and to show its state in headers.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use barnacle_rs::{BarnacleKey, BarnacleLayer, Identity, RedisBarnacleStore};
use governor::middleware::RateLimitingMiddleware;
use http::{HeaderMap, HeaderValue, StatusCode};
use redis::Script;
use redis::aio::MultiplexedConnection;
use tower_api_key::throttle::{Limit, LimitHeaders, LimitRule, RedisLimits, Subject, ThrottleLayer};
use tower_governor::GovernorError;
use tower_governor::governor::{GovernorConfig, GovernorConfigBuilder};
use tower_governor::key_extractor::KeyExtractor;

use crate::case::KEY;

/// More than a run sends.
const REQUESTS: u32 = 100_000_000;

fn client(headers: &HeaderMap) -> Option<&str> {
    headers.get(KEY)?.to_str().ok()
}

fn rule() -> LimitRule {
    LimitRule::by(Limit::per_day(REQUESTS), |request, _| Some(Subject::text(client(request.headers())?)))
}

pub(crate) fn ours(headers: LimitHeaders) -> ThrottleLayer {
    ThrottleLayer::new(rule().headers(headers))
}

pub(crate) fn ours_in_redis(url: &str) -> ThrottleLayer {
    ThrottleLayer::new(rule().store(RedisLimits::new(url).expect("a URL of Redis").with_prefix("limiters")))
}

#[derive(Clone)]
pub(crate) struct ByHeader;

impl KeyExtractor for ByHeader {
    type Key = String;

    fn extract<T>(&self, request: &http::Request<T>) -> Result<String, GovernorError> {
        client(request.headers()).map(str::to_owned).ok_or(GovernorError::UnableToExtractKey)
    }
}

/// A configuration of tower_governor, before it is asked for headers.
pub(crate) fn governor() -> GovernorConfigBuilder<ByHeader, governor::middleware::NoOpMiddleware> {
    let mut config = GovernorConfigBuilder::default().key_extractor(ByHeader);
    config.per_nanosecond(1).burst_size(REQUESTS);
    config
}

pub(crate) fn finish<M>(config: &mut GovernorConfigBuilder<ByHeader, M>) -> GovernorConfig<ByHeader, M>
where
    M: RateLimitingMiddleware<governor::clock::QuantaInstant>,
{
    config.finish().expect("a limit")
}

/// A limiter in Redis as people write it: a counter for each client that expires with its window.
#[derive(Clone)]
pub(crate) struct ByHand {
    connection: MultiplexedConnection,
    script: std::sync::Arc<Script>,
}

impl ByHand {
    pub(crate) async fn connect(url: &str) -> Self {
        let client = redis::Client::open(url).expect("a URL of Redis");
        let connection = client.get_multiplexed_async_connection().await.expect("Redis");
        let script = Script::new(
            "local count = redis.call('INCR', KEYS[1])
             if count == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
             return { count, redis.call('TTL', KEYS[1]) }",
        );
        Self { connection, script: script.into() }
    }
}

/// For `from_fn_with_state` of axum.
pub(crate) async fn by_hand(State(limiter): State<ByHand>, request: Request, next: Next) -> Response {
    let Some(client) = client(request.headers()) else { return StatusCode::UNAUTHORIZED.into_response() };
    let key = format!("limiters:by-hand:{client}");
    let mut connection = limiter.connection.clone();
    let counted: Result<(u32, u64), _> = limiter.script.key(key).arg(86_400).invoke_async(&mut connection).await;
    let Ok((count, reset)) = counted else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let mut response = match count <= REQUESTS {
        true => next.run(request).await,
        false => StatusCode::TOO_MANY_REQUESTS.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert("x-ratelimit-limit", REQUESTS.into());
    headers.insert("x-ratelimit-remaining", REQUESTS.saturating_sub(count).into());
    headers.insert("x-ratelimit-reset", HeaderValue::from(reset));
    response
}

pub(crate) fn barnacle(url: &str) -> BarnacleLayer {
    let limit = barnacle_rs::Limit::new(REQUESTS, std::time::Duration::from_secs(86_400));
    let layer = BarnacleLayer::builder().with_store(RedisBarnacleStore::from_url(url).expect("a URL of Redis"));
    let layer = layer.with_limits([limit]).with_identifier(|parts, &()| {
        let client = client(&parts.headers)?;
        Some(Identity::new(BarnacleKey::Custom(format!("limiters:{client}"))))
    });
    layer.with_state(()).build().expect("a layer")
}
