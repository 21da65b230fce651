use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};

use super::challenge::Challenge;
use super::reason::Rejection;
use super::rejected::RejectedRequest;
use super::unmet::Unmet;
use super::{grpc, response};
use crate::caching::{CredentialHeaders, protect};
use crate::request::RequestHead;

/// Makes the response to every rejected request.
#[derive(Clone)]
pub(crate) struct Responder {
    pub(crate) challenge: Challenge,
    pub(crate) credentials: CredentialHeaders,
    /// The header with the id of a request.
    pub(crate) request_id: Option<HeaderName>,
    pub(crate) renderer: Option<Renderer>,
    /// Whether gRPC calls get a `grpc-status`.
    pub(crate) grpc: bool,
    /// Whether the rejection is put into the extensions of the response.
    pub(crate) expose: bool,
}

pub(crate) type Renderer = Arc<dyn Fn(&RejectedRequest<'_>) -> Response<Bytes> + Send + Sync>;

impl Responder {
    /// Returns a responder for requests that no layer with another form has authenticated.
    pub(crate) fn documented() -> Self {
        let (challenge, credentials) = (Challenge::avala().clone(), CredentialHeaders::default());
        Self { challenge, credentials, request_id: None, renderer: None, grpc: false, expose: false }
    }

    pub(crate) fn respond(&self, rejection: Rejection, request: RequestHead<'_>) -> Response<Bytes> {
        self.explain(rejection, None, request)
    }

    /// Responds to a request whose key does not meet a requirement.
    pub(crate) fn explain(
        &self,
        rejection: Rejection,
        unmet: Option<&Unmet>,
        request: RequestHead<'_>,
    ) -> Response<Bytes> {
        let grpc = if self.grpc { grpc::content_type(request.headers()) } else { None };
        let mut response = match (grpc, &self.renderer) {
            (Some(content_type), _) => grpc::response(rejection, content_type),
            (None, Some(render)) => {
                self.complete(rejection, render(&RejectedRequest::new(rejection, unmet, request, self)))
            }
            (None, None) => response::documented(&rejection, &self.challenge),
        };
        if self.expose {
            response.extensions_mut().insert(rejection);
        }
        response::suit_method(request.method(), &mut response);
        response
    }

    /// Adds required headers that the renderer omitted, and keeps the response from the other clients of a shared cache.
    fn complete(&self, rejection: Rejection, mut response: Response<Bytes>) -> Response<Bytes> {
        let unauthorized = response.status() == StatusCode::UNAUTHORIZED;
        let headers = response.headers_mut();
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        protect(headers, &self.credentials);
        if unauthorized && !headers.contains_key(WWW_AUTHENTICATE) {
            for value in self.challenge.headers(&rejection).get_all(WWW_AUTHENTICATE) {
                headers.append(WWW_AUTHENTICATE, value.clone());
            }
        }
        response
    }
}
