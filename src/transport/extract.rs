use axum_core::body::Body;
use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use super::Client;
use super::client::log_missing;
use crate::rejection::Rejection;

/// Who is calling.
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_api_key::transport::{Client, ClientLayer};
///
/// async fn whoami(client: Client) -> String {
///     client.address().map_or("unknown".to_owned(), |address| address.to_string())
/// }
///
/// let app: Router = Router::new().route("/whoami", get(whoami)).layer(ClientLayer::new());
/// ```
impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = MissingClient;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingClient> {
        parts.extensions.get::<Self>().copied().ok_or_else(|| {
            log_missing("a handler");
            MissingClient
        })
    }
}

/// A handler asked for a [`Client`] and there is none. The reply is a 500, and the log says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a handler asked for a Client, and there is none")]
pub struct MissingClient;

impl IntoResponse for MissingClient {
    fn into_response(self) -> Response {
        Rejection::Misconfigured.to_response().map(Body::from)
    }
}
