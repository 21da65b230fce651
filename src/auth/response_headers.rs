use http::header::HeaderMap;

use crate::caching::{CredentialHeaders, protect};

/// What the layer does to the headers of an accepted response.
pub(super) enum ResponseHeaders {
    Unchanged,
    /// Keeps it from the other clients of a shared cache.
    Private(CredentialHeaders),
}

impl ResponseHeaders {
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        match self {
            Self::Unchanged => {}
            Self::Private(credentials) => protect(headers, credentials),
        }
    }
}
