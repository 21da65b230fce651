//! A clock that a test moves, and requests from anywhere.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, Request, Response};
use tower::{Service, ServiceExt};
use tower_api_key::ApiKeyLayer;
use tower_api_key::key::KeyDigest;
use tower_api_key::observe::Outcome;
use tower_api_key::throttle::{Limit, LimitRule, Limits, MemoryLimits};
use tower_api_key::transport::Connection;

use crate::support::reply::Reply;
use crate::support::request::request;

pub(crate) const MINUTE: u64 = 60_000;
/// Unix time at the start of each test.
pub(crate) const START: u64 = 1_700_000_000;

/// The time in milliseconds, for windows and for the time of day.
#[derive(Clone, Default)]
pub(crate) struct Hand(Arc<AtomicU64>);

impl Hand {
    pub(crate) fn set(&self, millis: u64) {
        self.0.store(millis, Ordering::SeqCst);
    }

    fn since_start(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    /// Counts by this clock.
    pub(crate) fn limits(&self) -> MemoryLimits {
        let (start, hand) = (Instant::now(), self.clone());
        MemoryLimits::new().with_clock(move || start + hand.since_start())
    }

    pub(crate) fn per_client(&self, requests: u32) -> LimitRule {
        LimitRule::per_client(Limit::per_minute(requests)).store(self.limits())
    }

    pub(crate) fn per_key(&self, limits: impl Into<Limits>) -> LimitRule {
        LimitRule::per_key(limits).store(self.limits())
    }

    pub(crate) fn time_of_day(&self) -> impl Fn() -> SystemTime + Send + Sync + 'static {
        let hand = self.clone();
        move || UNIX_EPOCH + Duration::from_secs(START) + hand.since_start()
    }
}

/// A request with this key, over a connection from this address.
pub(crate) fn from(address: &str, key: &str) -> Request<String> {
    let mut request = request(key);
    request.extensions_mut().insert(Connection::plain(address.parse().unwrap()));
    request
}

/// Limit, remaining, reset and `Retry-After`: each once, or an empty text.
pub(crate) fn limit_headers(headers: &HeaderMap) -> [&str; 4] {
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after"].map(|name| {
        let mut values = headers.get_all(name).iter();
        let value = values.next().map_or("", |value| value.to_str().unwrap());
        assert!(values.next().is_none(), "{name} is repeated");
        value
    })
}

pub(crate) fn throttled(seconds: u64) -> String {
    format!(r#"{{"detail":"Request was throttled. Expected available in {seconds} seconds."}}"#)
}

#[derive(Clone, Default)]
pub(crate) struct Events(pub(crate) Arc<Mutex<Vec<Event>>>);

/// Outcome, status, and the digest of the key.
pub(crate) type Event = (Outcome, Option<u16>, Option<KeyDigest>);

impl Events {
    pub(crate) fn of(&self, keys: ApiKeyLayer) -> ApiKeyLayer {
        let events = Arc::clone(&self.0);
        keys.on_decision(move |event| {
            let status = event.status().map(|status| status.as_u16());
            events.lock().unwrap().push((event.outcome(), status, event.digest().copied()));
        })
    }

    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

pub(crate) async fn ask<S>(service: &S, request: Request<String>) -> Reply
where
    S: Service<Request<String>, Error = Infallible> + Clone,
    S::Response: IntoReply,
{
    service.clone().oneshot(request).await.unwrap().into_reply().await
}

/// A response with any body.
pub(crate) trait IntoReply {
    async fn into_reply(self) -> Reply;
}

impl<B> IntoReply for Response<B>
where
    B: http_body::Body<Data = bytes::Bytes, Error: std::fmt::Debug>,
{
    async fn into_reply(self) -> Reply {
        Reply::of(self).await
    }
}
