use std::mem;
use std::sync::LazyLock;

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, HeaderMap, HeaderValue};

use super::preflight::is_answered;

/// What is done to the response of the inner service.
pub(super) enum Finish {
    Nothing,
    /// It is kept out of shared caches, unless it says itself how it may be cached.
    CacheControl,
    /// It is replaced by this one if it does not answer a preflight.
    Unanswered(Box<Response<Bytes>>),
}

static PRIVATE: LazyLock<HeaderMap> =
    LazyLock::new(|| HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static("private"))]));

impl Finish {
    /// What to say instead of a response with these headers.
    pub(super) fn apply(&mut self, headers: &mut HeaderMap) -> Option<Box<Response<Bytes>>> {
        match mem::replace(self, Self::Nothing) {
            Self::Unanswered(refusal) if !is_answered(headers) => return Some(refusal),
            // A copy of a map that is ready costs less than the first header of a new one.
            Self::CacheControl if headers.is_empty() => *headers = PRIVATE.clone(),
            Self::CacheControl => {
                headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private"));
            }
            Self::Nothing | Self::Unanswered(_) => {}
        }
        None
    }
}
