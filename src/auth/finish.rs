use std::sync::LazyLock;

use http::header::{CACHE_CONTROL, HeaderMap, HeaderValue};

/// What is done to the response of the inner service.
#[derive(Clone, Copy)]
pub(super) enum Finish {
    Nothing,
    /// It is kept out of shared caches, unless it says itself how it may be cached.
    CacheControl,
}

impl Finish {
    #[inline]
    pub(super) fn apply(self, headers: &mut HeaderMap) {
        match self {
            Self::Nothing => {}
            Self::CacheControl => keep_private(headers),
        }
    }
}

static PRIVATE: LazyLock<HeaderMap> =
    LazyLock::new(|| HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static("private"))]));

fn keep_private(headers: &mut HeaderMap) {
    if headers.is_empty() {
        // A copy of a map that is ready costs less than the first header of a new one.
        *headers = PRIVATE.clone();
    } else {
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private"));
    }
}
