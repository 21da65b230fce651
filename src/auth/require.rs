use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use tower_layer::Layer;

use super::gate::{Gate, GateService};
use super::handler_rejection::HandlerRejection;
use super::identity::ApiKey;
use super::keyless::Keyless;
use super::origin::{Origin, Required};
use crate::rejection::Responder;
use crate::rejection::reason::Rejection;
use crate::request::RequestHead;
use crate::scope::Requirement;

/// Requires scopes of the keys and [identities](crate::ApiKeyLayer::accept_identity) that an outer
/// [`ApiKeyLayer`](crate::ApiKeyLayer) has accepted: one layer authenticates for a whole router, and each route has its own
/// requirement.
///
/// It responds and reports as that layer does. An anonymous request gets the 401. Without an outer layer the response is
/// 500 and the log names the mistake; the request never reaches the inner service.
///
/// In axum, add it to the handler. Around `get(...)` it would also cover the 405 for other methods, and clients without the
/// scope would get 403 instead of 405.
///
/// ```
/// use axum::{Router, handler::Handler, routing::{get, post}};
/// use tower_api_key::auth::RequireScopesLayer;
/// use tower_api_key::scope::avala;
/// use tower_api_key::{ApiKeyLayer, MemoryStore, Requirement};
///
/// async fn list_tasks() -> &'static str {
///     "[]"
/// }
///
/// async fn create_export() -> &'static str {
///     "{}"
/// }
///
/// let tasks = RequireScopesLayer::new(Requirement::any_of([avala::TASKS_READ, avala::PROJECTS_READ]));
/// let exports = RequireScopesLayer::new(avala::EXPORTS_CREATE);
/// let app: Router = Router::new()
///     .route("/tasks/", get(list_tasks.layer(tasks)))
///     .route("/exports/", post(create_export.layer(exports)))
///     .layer(ApiKeyLayer::new(MemoryStore::new()));
/// ```
#[derive(Clone)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct RequireScopesLayer {
    required: Arc<Required>,
}

impl RequireScopesLayer {
    /// Returns a layer that requires this of every key and identity.
    pub fn new(requirement: impl Into<Requirement>) -> Self {
        Self { required: Arc::new(Required { requirement: requirement.into(), and: None }) }
    }
}

impl<S> Layer<S> for RequireScopesLayer {
    type Service = GateService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        GateService::new(inner, self.clone())
    }
}

impl Gate for RequireScopesLayer {
    fn enter<B>(&self, request: &mut Request<B>) -> Option<Response<Bytes>> {
        if let Some(key) = request.extensions_mut().get_mut::<ApiKey>()
            && key.meets(&self.required.requirement)
        {
            key.note_required(&self.required);
            return None;
        }
        self.reject(RequestHead::new(request))
    }
}

impl RequireScopesLayer {
    fn reject(&self, request: RequestHead<'_>) -> Option<Response<Bytes>> {
        let extensions = request.extensions();
        if let Some(key) = extensions.get::<ApiKey>() {
            return key.require(&self.required.requirement, request).err().map(HandlerRejection::respond);
        }
        if let Some(keyless) = extensions.get::<Keyless>() {
            return match keyless.identity() {
                Some(identity) => {
                    let origin = Some(keyless.origin());
                    let required = Origin::require(origin, identity.access(), &self.required.requirement, request);
                    required.err().map(HandlerRejection::respond)
                }
                None => Some(keyless.reject(keyless.missing("a RequireScopesLayer"), request)),
            };
        }
        tracing::error!(
            "a RequireScopesLayer got a request without an API key: no ApiKeyLayer is outside it (in an axum Router, the \
             layer that is added last runs first); answering 500"
        );
        Some(Responder::documented().respond(Rejection::Misconfigured, request))
    }
}

impl fmt::Debug for RequireScopesLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireScopesLayer").field("requirement", &self.required.requirement).finish()
    }
}
