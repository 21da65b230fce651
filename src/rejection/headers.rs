//! Prepared headers of the documented responses.

use std::sync::LazyLock;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

pub(super) static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers
});

pub(super) static OUTAGE_HEADERS: LazyLock<HeaderMap> =
    LazyLock::new(|| headers_with(RETRY_AFTER, HeaderValue::from_static("1")));

/// Returns the headers of every response, and this one.
pub(super) fn headers_with(name: HeaderName, value: HeaderValue) -> HeaderMap {
    let mut headers = HEADERS.clone();
    headers.insert(name, value);
    headers
}
