use http::header::{ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, ORIGIN};
use http::{Method, Request};

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
