use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use tower_layer::Layer;

use crate::ApiKeyLayer;
use crate::auth::{Gate, GateService, Rejector};
use crate::client::{ClientInfo, log_missing};
use crate::rejection::reason::Rejection;

/// Rejects plain HTTP before any key is looked up: 403, "HTTPS is required." [`exempt`](Self::exempt) names the routes of
/// plain health probes.
///
/// It goes inside a [`ClientInfoLayer`](super::ClientInfoLayer), which knows whether the client is on HTTPS, and outside
/// the [`ApiKeyLayer`]. It responds as that layer does, and calls the hooks of
/// [`on_decision`](ApiKeyLayer::on_decision) for each request that it rejects. Treat a key sent over plain HTTP as
/// compromised: [`DecisionEvent::exposed`](crate::observe::DecisionEvent::exposed) has its digest, with which
/// [`KeyStore::find`](crate::KeyStore::find) finds its record. Revoke it.
///
/// `https` in the target of a request, such as `:scheme` of HTTP/2, is chosen by the client and proves nothing. Without a
/// [`ClientInfo`] the response is 500 and the log names the mistake; the request never reaches the inner service.
///
/// ```
/// use tower::ServiceBuilder;
/// use tower_api_key::transport::{ClientInfoLayer, RequireHttpsLayer};
/// use tower_api_key::{ApiKeyLayer, MemoryStore};
///
/// let keys = ApiKeyLayer::new(MemoryStore::new()).on_decision(|event| {
///     if let Some(digest) = event.exposed() {
///         eprintln!("a key was sent in the clear: {digest:?}");
///     }
/// });
/// let guard = ServiceBuilder::new()
///     .layer(ClientInfoLayer::new())
///     .layer(RequireHttpsLayer::new(&keys))
///     .layer(keys);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct RequireHttpsLayer {
    rejector: Rejector,
    exempt: Arc<[(Method, Box<str>)]>,
}

impl RequireHttpsLayer {
    /// Returns a layer that reads, responds and reports as this one does. Later changes to that layer do not apply.
    pub fn new(keys: &ApiKeyLayer) -> Self {
        Self { rejector: keys.rejector(), exempt: Arc::default() }
    }

    /// Accepts plain HTTP on this route, for a health probe without TLS. Exempt routes add up.
    ///
    /// The method and the path of the request must equal these exactly: no pattern, no other spelling, and no header
    /// changes them. A request that carries a key is rejected there too, so that no key is accepted in the clear. The
    /// route still needs a key, unless it is public.
    ///
    /// ```
    /// use http::Method;
    /// use tower_api_key::transport::RequireHttpsLayer;
    /// use tower_api_key::{ApiKeyLayer, MemoryStore};
    ///
    /// let keys = ApiKeyLayer::new(MemoryStore::new());
    /// let https = RequireHttpsLayer::new(&keys).exempt(Method::GET, "/health").exempt(Method::HEAD, "/health");
    /// ```
    pub fn exempt(self, method: Method, path: impl Into<Box<str>>) -> Self {
        let added = [(method, path.into())];
        Self { exempt: self.exempt.iter().cloned().chain(added).collect(), ..self }
    }

    fn is_exempt<B>(&self, request: &Request<B>) -> bool {
        let (asked, path) = (request.method(), request.uri().path());
        let listed = self.exempt.iter().any(|(method, exempt)| method == asked && **exempt == *path);
        listed && !self.rejector.has_credential(request.headers())
    }
}

impl<S> Layer<S> for RequireHttpsLayer {
    type Service = GateService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        GateService::new(inner, self.clone())
    }
}

impl Gate for RequireHttpsLayer {
    fn enter<B>(&self, request: &mut Request<B>) -> Option<Response<Bytes>> {
        let rejection = match request.extensions().get::<ClientInfo>() {
            Some(client) if client.is_https() || self.is_exempt(request) => return None,
            Some(_) => Rejection::HttpsRequired,
            None => {
                log_missing("a RequireHttpsLayer");
                Rejection::Misconfigured
            }
        };
        Some(self.rejector.reject(rejection, request))
    }
}
