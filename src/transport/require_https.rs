use bytes::Bytes;
use http::{Request, Response};
use tower_layer::Layer;

use crate::ApiKeyLayer;
use crate::auth::{Gate, GateService, Rejector};
use crate::client::{ClientInfo, log_missing};
use crate::rejection::reason::Rejection;

/// Rejects plain HTTP before any key is looked up: 403, "HTTPS is required."
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
}

impl RequireHttpsLayer {
    /// Returns a layer that reads, responds and reports as this one does. Later changes to that layer do not apply.
    pub fn new(keys: &ApiKeyLayer) -> Self {
        Self { rejector: keys.rejector() }
    }
}

impl<S> Layer<S> for RequireHttpsLayer {
    type Service = GateService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        GateService::new(inner, self.clone())
    }
}

impl Gate for RequireHttpsLayer {
    type Finish = ();

    fn enter<B>(&self, request: &mut Request<B>) -> (Option<Response<Bytes>>, ()) {
        let rejection = match request.extensions().get::<ClientInfo>() {
            Some(client) if client.is_https() => return (None, ()),
            Some(_) => Rejection::HttpsRequired,
            None => {
                log_missing("a RequireHttpsLayer");
                Rejection::Misconfigured
            }
        };
        (Some(self.rejector.reject(rejection, request)), ())
    }
}
