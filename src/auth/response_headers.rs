use std::sync::LazyLock;

use http::header::{CACHE_CONTROL, HeaderMap, HeaderValue};

/// What the layer does to the headers of an accepted response.
#[derive(Clone, Copy)]
pub(super) enum ResponseHeaders {
    Unchanged,
    /// `Cache-Control: private`, unless the handler has set that header.
    Private,
}

impl ResponseHeaders {
    pub(super) fn apply(self, headers: &mut HeaderMap) {
        match self {
            Self::Unchanged => {}
            Self::Private => keep_private(headers),
        }
    }
}

static PRIVATE: LazyLock<HeaderMap> =
    LazyLock::new(|| HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static("private"))]));

fn keep_private(headers: &mut HeaderMap) {
    if headers.is_empty() {
        // A copy of a prepared map costs less than the first header of a new one.
        *headers = PRIVATE.clone();
    } else {
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private"));
    }
}
