//! Extractors for axum handlers.

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use crate::auth::{Anonymous, ApiKey};
use crate::key::CredentialError;
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
    type Rejection = MissingApiKey;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingApiKey> {
        find(parts)?.ok_or(MissingApiKey(CredentialError::Missing.into()))
    }
}

/// The key that the request was let in with, for a handler that also serves requests without one. `None` only
/// where a layer let the request in without a key on purpose: a forgotten layer never looks like an anonymous
/// client.
impl<S: Sync> OptionalFromRequestParts<S> for ApiKey {
    type Rejection = MissingApiKey;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, MissingApiKey> {
        find(parts)
    }
}

fn find(parts: &Parts) -> Result<Option<ApiKey>, MissingApiKey> {
    let key = parts.extensions.get::<ApiKey>().cloned();
    if key.is_some() || parts.extensions.get::<Anonymous>().is_some() {
        return Ok(key);
    }
    log::error!(
        "a handler asked for an ApiKey, but no ApiKeyLayer stands outside it (a route that is added after the layer is \
         not behind it); answering 500"
    );
    Err(MissingApiKey(Rejection::Misconfigured))
}

/// A handler asked for an [`ApiKey`] and there is none. The reply is the documented 401 on a route that asks for
/// no key, and otherwise a 500: no layer stands outside the handler, and the log says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a handler asked for an ApiKey, and there is none: {}", .0.detail())]
pub struct MissingApiKey(Rejection);

impl MissingApiKey {
    /// What the client hears.
    #[must_use]
    pub const fn rejection(&self) -> Rejection {
        self.0
    }
}

impl IntoResponse for MissingApiKey {
    fn into_response(self) -> Response {
        self.0.to_response().map(Body::from)
    }
}

#[cfg(all(test, feature = "routes"))]
mod tests {
    use axum::Router;
    use axum::body::to_bytes;
    use axum::routing::get;
    use futures::executor::block_on;
    use http::{Method, Request};
    use tower::ServiceExt;
    use tower_layer::Layer;

    use super::*;
    use crate::{ApiKeyLayer, MemoryStore, Otherwise, RouteTable};

    fn ask(app: Router) -> (u16, String) {
        block_on(async {
            let response = app.oneshot(Request::get("/me").body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(response.headers()["content-type"], "application/json");
            let status = response.status().as_u16();
            let body = to_bytes(response.into_body(), 1_000).await.unwrap();
            (status, String::from_utf8(body.into()).unwrap())
        })
    }

    #[test]
    fn a_handler_that_asks_for_a_key_replies_as_documented_where_there_is_none() {
        let router = || Router::new().route("/me", get(async |key: ApiKey| key.id().to_string()));
        assert_eq!(ask(router()), (500, r#"{"detail":"Internal server error."}"#.to_owned()));

        let table = RouteTable::builder(Otherwise::Deny).public(Method::GET, "/me").build().unwrap();
        let public = ApiKeyLayer::new(MemoryStore::new()).routes(table).layer(router());
        let missing = r#"{"detail":"Authentication credentials were not provided."}"#;
        assert_eq!(ask(Router::new().fallback_service(public)), (401, missing.to_owned()));
    }
}
