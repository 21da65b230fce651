//! Extractors for axum handlers.

use std::fmt;

use axum::body::Body;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::Response as HttpResponse;
use http::request::Parts;

use super::caller::Caller;
use super::handler_rejection::HandlerRejection;
use super::identity::ApiKey;
use super::keyless::Keyless;
use crate::rejection::Responder;
use crate::rejection::reason::Rejection;
use crate::request::RequestHead;

/// The authenticated key of the request.
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
        find(parts, "an ApiKey")?.map_err(|keyless| MissingApiKey::of(keyless, "a handler that takes an ApiKey", parts))
    }
}

/// The authenticated key of the request, for a handler that also serves anonymous requests. `None` only where a layer
/// accepted the request without a key: a missing layer never looks like an anonymous client.
impl<S: Sync> OptionalFromRequestParts<S> for ApiKey {
    type Rejection = MissingApiKey;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, MissingApiKey> {
        Ok(find(parts, "an ApiKey")?.ok())
    }
}

/// The caller of the request: a key, or the identity of an outer authenticator.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = MissingApiKey;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingApiKey> {
        match find(parts, "a Caller")? {
            Ok(key) => Ok(Self::Key(key)),
            Err(keyless) => match keyless.identity() {
                Some(identity) => Ok(Self::Identity(identity.clone())),
                None => Err(MissingApiKey::of(keyless, "a handler that takes a Caller", parts)),
            },
        }
    }
}

/// The caller of the request, for a handler that also serves anonymous requests. `None` only where a layer accepted the
/// request with neither a key nor an identity.
impl<S: Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = MissingApiKey;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, MissingApiKey> {
        let key = find(parts, "a Caller")?;
        Ok(key.map_or_else(|keyless| keyless.identity().cloned().map(Self::Identity), |key| Some(Self::Key(key))))
    }
}

/// Returns the key, or the mark of a request that a layer accepted without one.
fn find(parts: &Parts, wanted: &str) -> Result<Result<ApiKey, Keyless>, MissingApiKey> {
    if let Some(key) = parts.extensions.get::<ApiKey>() {
        return Ok(Ok(key.clone()));
    }
    if let Some(keyless) = parts.extensions.get::<Keyless>() {
        return Ok(Err(keyless.clone()));
    }
    tracing::error!(
        "a handler takes {wanted}, and no ApiKeyLayer is outside it (a route that is added after the layer is not behind \
         it); answering 500"
    );
    let response = Responder::documented().respond(Rejection::Misconfigured, RequestHead::of_parts(parts));
    Err(MissingApiKey { rejection: Rejection::Misconfigured, response: Box::new(response), keyless: None })
}

/// A handler takes an [`ApiKey`](crate::ApiKey) or a [`Caller`], and the request has none.
///
/// On a public route, for an anonymous request, and for an [identity](Caller::Identity) where the handler takes a key, the
/// response is the 401 of the layer that accepted the request, in that
/// layer's form, and the layer's event reports the rejection. Otherwise the response is a 500, and the log names the
/// mistake: no layer is outside the handler, or the client has sent a key and the route is public.
#[derive(thiserror::Error)]
#[error("a handler takes an ApiKey or a Caller, and the request has none: {rejection}")]
pub struct MissingApiKey {
    rejection: Rejection,
    response: Box<HttpResponse<Bytes>>,
    keyless: Option<Box<Keyless>>,
}

impl MissingApiKey {
    fn of(keyless: Keyless, guard: &str, parts: &Parts) -> Self {
        let rejection = keyless.missing(guard);
        let response = keyless.render(rejection, RequestHead::of_parts(parts));
        Self { rejection, response: Box::new(response), keyless: Some(Box::new(keyless)) }
    }

    /// Returns the reason.
    #[must_use]
    pub const fn rejection(&self) -> Rejection {
        self.rejection
    }
}

impl IntoResponse for MissingApiKey {
    fn into_response(self) -> Response {
        // Not before: a handler may take a `Result` and respond itself.
        if let Some(keyless) = &self.keyless {
            keyless.note(self.rejection);
        }
        self.response.map(Body::from)
    }
}

impl IntoResponse for HandlerRejection {
    fn into_response(self) -> Response {
        self.respond().map(Body::from)
    }
}

impl fmt::Debug for MissingApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MissingApiKey").field("rejection", &self.rejection).finish_non_exhaustive()
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
    use crate::routes::RouteTable;
    use crate::{ApiKeyLayer, MemoryStore};

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
    fn extractor_without_key_responds_as_documented() {
        let router = || Router::new().route("/me", get(async |key: ApiKey| key.id().to_string()));
        assert_eq!(ask(router()), (500, r#"{"detail":"Internal server error."}"#.to_owned()));

        let table = RouteTable::builder().public(Method::GET, "/me").build().unwrap();
        let public = ApiKeyLayer::new(MemoryStore::new()).routes(table).layer(router());
        let missing = r#"{"detail":"Authentication credentials were not provided."}"#;
        assert_eq!(ask(Router::new().fallback_service(public)), (401, missing.to_owned()));
    }
}
