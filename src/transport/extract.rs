use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::Response as HttpResponse;
use http::request::Parts;

use crate::client::{ClientInfo, log_missing};
use crate::rejection::Responder;
use crate::rejection::reason::Rejection;
use crate::request::RequestHead;

/// Who is calling.
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_api_key::client::ClientInfo;
/// use tower_api_key::transport::ClientInfoLayer;
///
/// async fn whoami(client: ClientInfo) -> String {
///     client.address().map_or("unknown".to_owned(), |address| address.to_string())
/// }
///
/// let app: Router = Router::new().route("/whoami", get(whoami)).layer(ClientInfoLayer::new());
/// ```
impl<S: Sync> FromRequestParts<S> for ClientInfo {
    type Rejection = MissingClientInfo;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingClientInfo> {
        parts.extensions.get::<Self>().copied().ok_or_else(|| {
            log_missing("a handler");
            let response = Responder::documented().respond(Rejection::Misconfigured, RequestHead::of_parts(parts));
            MissingClientInfo { response: Box::new(response) }
        })
    }
}

/// A handler takes a [`ClientInfo`], and the request has none. The response is a 500, and the log names the mistake.
#[derive(Debug, thiserror::Error)]
#[error("a handler takes a ClientInfo, and the request has none")]
pub struct MissingClientInfo {
    response: Box<HttpResponse<Bytes>>,
}

impl IntoResponse for MissingClientInfo {
    fn into_response(self) -> Response {
        self.response.map(Body::from)
    }
}
