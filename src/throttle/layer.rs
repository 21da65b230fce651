use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use tower_layer::Layer;

use super::headers::RateLimitHeaders;
use super::{Hit, SlidingWindow};
use crate::auth::{Anonymous, Gate, GateService, Rejector, reject_inside};
use crate::client::{ClientInfo, ClientNetwork, log_missing};
use crate::key::KeyId;
use crate::rejection::Responder;
use crate::rejection::reason::Rejection;
use crate::request::RequestHead;
use crate::time::{Clock, SystemClock};
use crate::{ApiKey, ApiKeyLayer};

/// Limits the requests of each client, or of each key, in any span of time.
///
/// A request beyond the limit gets the documented 429, with `Retry-After` in whole seconds. Every response has the state of
/// the limit, unless a handler or an inner layer of this type has set these headers:
///
/// | header | value |
/// |---|---|
/// | `X-RateLimit-Limit` | the number of requests in a window |
/// | `X-RateLimit-Remaining` | the number of requests that would be accepted now |
/// | `X-RateLimit-Reset` | when the next one is accepted, as Unix time |
///
/// Inside an [`ApiKeyLayer`] it rejects in the form of that layer, gRPC calls [too](ApiKeyLayer::grpc_responses), and that
/// layer's event reports it. Outside, call [`reject_as`](Self::reject_as). A clone shares the counts.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
/// use tower::ServiceBuilder;
/// use tower_api_key::throttle::{SlidingWindow, ThrottleLayer};
/// use tower_api_key::{ApiKeyLayer, MemoryStore};
///
/// let hundred_a_minute = SlidingWindow::new(NonZeroU32::new(100).unwrap(), Duration::from_secs(60));
/// let guard = ServiceBuilder::new()
///     .layer(ApiKeyLayer::new(MemoryStore::new()))
///     .layer(ThrottleLayer::per_key(hundred_a_minute));
/// ```
#[derive(Clone)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct ThrottleLayer {
    count: Arc<dyn Fn(RequestHead<'_>) -> Count + Send + Sync>,
    clock: Arc<dyn Clock>,
    rejector: Option<Rejector>,
}

/// The result of counting a request.
enum Count {
    Hit(Hit),
    /// The request has no limit.
    Unlimited,
    /// The request has nothing to count it by. The log names the mistake.
    Misconfigured,
}

impl ThrottleLayer {
    /// Counts by [`ClientInfo::network`], IPv6 by its /64. All clients without an [`address`](ClientInfo::address) share one
    /// count. Requires an outer [`ClientInfoLayer`](crate::transport::ClientInfoLayer): a request without a [`ClientInfo`] gets a
    /// 500, and the log names the missing layer.
    pub fn per_client(window: SlidingWindow<ClientNetwork>) -> Self {
        Self::new(move |request| match request.extensions().get::<ClientInfo>() {
            Some(client) => Count::Hit(window.hit(client.network())),
            None => {
                log_missing("a ThrottleLayer");
                Count::Misconfigured
            }
        })
    }

    /// Counts by the id of the API key. Requires an outer [`ApiKeyLayer`]: without it the response is 500, and the log names
    /// the missing layer. An anonymous request is not counted.
    pub fn per_key(window: SlidingWindow<KeyId>) -> Self {
        Self::new(move |request| {
            let extensions = request.extensions();
            if let Some(key) = extensions.get::<ApiKey>() {
                return Count::Hit(window.hit(key.id()));
            }
            if extensions.get::<Anonymous>().is_some() {
                return Count::Unlimited;
            }
            tracing::error!(
                "a ThrottleLayer that counts by key got a request without an API key: no ApiKeyLayer is outside \
                 it (in an axum Router, the layer that is added last runs first); answering 500"
            );
            Count::Misconfigured
        })
    }

    /// Counts by the value that this function returns. A request for which it returns `None` is not counted.
    ///
    /// Outside the [`ApiKeyLayer`], the key is still among the headers: do not count by it, or each invalid key gets a count
    /// of its own.
    ///
    /// ```
    /// # use std::num::NonZeroU32;
    /// # use std::time::Duration;
    /// use tower_api_key::ApiKey;
    /// use tower_api_key::throttle::{SlidingWindow, ThrottleLayer};
    ///
    /// # let window = SlidingWindow::new(NonZeroU32::new(100).unwrap(), Duration::from_secs(60));
    /// let per_organization = ThrottleLayer::by(window, |request| {
    ///     request.extensions().get::<ApiKey>().map(|key| key.organization().clone())
    /// });
    /// ```
    pub fn by<K, F>(window: SlidingWindow<K>, key: F) -> Self
    where
        K: Hash + Eq + Send + 'static,
        F: Fn(RequestHead<'_>) -> Option<K> + Send + Sync + 'static,
    {
        Self::new(move |request| key(request).map_or(Count::Unlimited, |key| Count::Hit(window.hit(key))))
    }

    /// Rejects in the form of this inner layer, and with one event in its hooks. Later changes to that layer do not apply.
    pub fn reject_as(self, keys: &ApiKeyLayer) -> Self {
        Self { rejector: Some(keys.rejector()), ..self }
    }

    /// Takes the time in `X-RateLimit-Reset` from this clock. The window has its own.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    fn new(count: impl Fn(RequestHead<'_>) -> Count + Send + Sync + 'static) -> Self {
        Self { count: Arc::new(count), clock: Arc::new(SystemClock), rejector: None }
    }

    fn reject<B>(&self, rejection: Rejection, request: &mut Request<B>) -> Response<Bytes> {
        if let Some(rejector) = &self.rejector {
            return rejector.reject(rejection, request);
        }
        let head = RequestHead::new(request);
        reject_inside(rejection, head).unwrap_or_else(|| Responder::documented().respond(rejection, head))
    }
}

impl<S> Layer<S> for ThrottleLayer {
    type Service = GateService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        GateService::new(inner, self.clone())
    }
}

impl Gate for ThrottleLayer {
    type Finish = Option<RateLimitHeaders>;

    fn enter<B>(&self, request: &mut Request<B>) -> (Option<Response<Bytes>>, Self::Finish) {
        let (headers, rejection) = match (self.count)(RequestHead::new(request)) {
            Count::Hit(hit) => (Some(RateLimitHeaders::new(hit, &*self.clock)), hit.rejection()),
            Count::Unlimited => (None, None),
            Count::Misconfigured => (None, Some(Rejection::Misconfigured)),
        };
        (rejection.map(|rejection| self.reject(rejection, request)), headers)
    }
}

impl fmt::Debug for ThrottleLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThrottleLayer").finish_non_exhaustive()
    }
}
