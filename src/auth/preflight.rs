use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, ORIGIN, TRANSFER_ENCODING,
};
use http::{Method, Request, Response};

use super::ResponseBody;

/// Whether a browser asks for leave to send another request: the CORS preflight of the Fetch standard, and not
/// any other `OPTIONS`.
pub(super) fn is_preflight<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether a CORS layer has answered. A handler that got hold of a preflight has not.
pub(super) fn is_answered(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("access-control-allow-"))
}

/// Removes the body of a response to a preflight. No browser reads one, and a handler that got hold of the preflight has
/// written it without a key.
pub(super) fn without_body<B>(response: Response<B>) -> Response<ResponseBody<B>> {
    let (mut head, _) = response.into_parts();
    for header in [CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING] {
        head.headers.remove(header);
    }
    Response::from_parts(head, ResponseBody::own(Bytes::new()))
}
