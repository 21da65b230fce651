//! Extractors for axum handlers.

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use crate::auth::ApiKey;
use crate::rejection::Rejection;

/// The key that the request was let in with.
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_api_key::{ApiKey, ApiKeyLayer, MemoryStore};
///
/// async fn whoami(key: ApiKey) -> String {
///     format!("{} of {}", key.id(), key.organization())
/// }
///
/// let app: Router = Router::new().route("/whoami", get(whoami)).layer(ApiKeyLayer::new(MemoryStore::new()));
/// ```
impl<S: Sync> FromRequestParts<S> for ApiKey {
    type Rejection = MissingLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingLayer> {
        parts.extensions.get::<Self>().cloned().ok_or_else(MissingLayer::new)
    }
}

/// The key that the request was let in with, for a handler that also serves requests without one. Where no
/// layer has judged the request, this fails as [`ApiKey`] does: a forgotten layer never looks like an anonymous
/// client.
impl<S: Sync> OptionalFromRequestParts<S> for ApiKey {
    type Rejection = MissingLayer;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, MissingLayer> {
        <Self as FromRequestParts<S>>::from_request_parts(parts, state).await.map(Some)
    }
}

/// A handler asked for an [`ApiKey`] where no layer has judged the request: the answer is 500, and the log says
/// why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a handler asked for an ApiKey, but no ApiKeyLayer stands outside it")]
#[non_exhaustive]
pub struct MissingLayer;

impl MissingLayer {
    fn new() -> Self {
        log::error!("{Self}; a route that is added after the layer is not behind it; answering 500");
        Self
    }
}

impl IntoResponse for MissingLayer {
    fn into_response(self) -> Response {
        Rejection::Misconfigured.to_response().map(Body::from)
    }
}
