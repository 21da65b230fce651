use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use tower_layer::Layer;

use super::service::ThrottleService;
use crate::auth::{Attempt, Keyless, LimitCaller, Limiter, Rejector, reject_inside};
use crate::episode::Episode;
use crate::rejection::Responder;
use crate::rejection::reason::Rejection;
use crate::request::RequestHead;
use crate::time::{Clock, SystemClock};
use crate::{ApiKey, ApiKeyLayer};

/// Limits requests that no API key is needed for: signups, or all requests of a client, valid keys or not.
///
/// For the requests of valid keys, [`ApiKeyLayer::limit`] does the same inside that layer.
///
/// A request beyond the limit gets the documented 429, with `Retry-After` in whole seconds. Every response has the state of
/// the limit in its [headers](crate::auth::LimitHeaders), unless a handler or an inner layer has set them.
///
/// Inside an [`ApiKeyLayer`] it rejects in the form of that layer, gRPC calls [too](ApiKeyLayer::grpc_responses), and that
/// layer's event reports it. Outside, call [`reject_as`](Self::reject_as).
///
/// ```
/// use tower::ServiceBuilder;
/// use tower_api_key::throttle::{Limit, LimitRule, ThrottleLayer};
/// use tower_api_key::transport::ClientInfoLayer;
/// use tower_api_key::{ApiKeyLayer, MemoryStore};
///
/// let keys = ApiKeyLayer::new(MemoryStore::new());
/// let guard = ServiceBuilder::new()
///     .layer(ClientInfoLayer::new())
///     .layer(ThrottleLayer::new(LimitRule::per_client(Limit::per_minute(100))).reject_as(&keys))
///     .layer(keys);
/// ```
#[derive(Clone)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct ThrottleLayer {
    limiter: Arc<dyn Limiter>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    rejector: Option<Rejector>,
    /// What the log has of a limiter that gave no answer.
    outage: Arc<Episode>,
}

impl ThrottleLayer {
    /// Returns a layer that asks this limiter about each request.
    pub fn new(limiter: impl Limiter) -> Self {
        Self {
            limiter: Arc::new(limiter),
            clock: Arc::new(SystemClock),
            timeout: Duration::from_secs(1),
            rejector: None,
            outage: Arc::default(),
        }
    }

    /// Rejects in the form of this inner layer, and with one event in its hooks. Later changes to that layer do not apply.
    pub fn reject_as(self, keys: &ApiKeyLayer) -> Self {
        Self { rejector: Some(keys.rejector()), ..self }
    }

    /// Takes the time in `X-RateLimit-Reset` from this clock. The limiter has its own.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Sets how long a limiter may take before the response is 503: one second by default. The timer is tokio's.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    pub(super) fn try_acquire(&self, request: RequestHead<'_>) -> Attempt {
        let extensions = request.extensions();
        let caller = match (extensions.get::<ApiKey>(), extensions.get::<Keyless>()) {
            (Some(key), _) => LimitCaller::Key(key),
            (None, Some(keyless)) => keyless.identity().map_or(LimitCaller::Anonymous, LimitCaller::Identity),
            (None, None) => LimitCaller::Unknown,
        };
        self.limiter.try_acquire(request, caller)
    }

    pub(super) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    pub(super) fn outage(&self) -> &Episode {
        &self.outage
    }

    pub(super) const fn longest(&self) -> Duration {
        self.timeout
    }

    pub(super) fn reject<B>(&self, rejection: Rejection, request: &mut Request<B>) -> Response<Bytes> {
        if let Some(rejector) = &self.rejector {
            return rejector.reject(rejection, request);
        }
        let head = RequestHead::new(request);
        reject_inside(rejection, head).unwrap_or_else(|| Responder::documented().respond(rejection, head))
    }
}

impl<S> Layer<S> for ThrottleLayer {
    type Service = ThrottleService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ThrottleService::new(inner, self.clone())
    }
}

impl fmt::Debug for ThrottleLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThrottleLayer").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
