use http::header::HeaderMap;

use super::config::ThreadConfig;
use super::limit::ShownLimit;
use crate::caching::{CredentialHeaders, protect, protect_and};

/// What the layer does to the headers of an accepted response.
pub(super) enum ResponseHeaders {
    Unchanged,
    /// Keeps it from the other clients of a shared cache. Has the configuration where that names other credential headers
    /// than the default.
    Private(Option<ThreadConfig>),
}

impl ResponseHeaders {
    #[inline]
    pub(super) fn apply(&self, headers: &mut HeaderMap, limit: Option<&ShownLimit>) {
        if !matches!((self, limit), (Self::Unchanged, None)) {
            self.change(headers, limit);
        }
    }

    fn change(&self, headers: &mut HeaderMap, limit: Option<&ShownLimit>) {
        match (self, limit) {
            (Self::Unchanged, None) => {}
            (Self::Unchanged, Some(limit)) => limit.apply(headers, 0),
            (Self::Private(config), None) => protect(headers, credentials(config.as_ref())),
            (Self::Private(config), Some(limit)) => {
                let prepared = if headers.is_empty() { limit.with_private() } else { None };
                match prepared {
                    Some(prepared) => *headers = prepared,
                    None => protect_and(headers, credentials(config.as_ref()), |headers| limit.apply(headers, 1)),
                }
            }
        }
    }
}

fn credentials(config: Option<&ThreadConfig>) -> &CredentialHeaders {
    config.map_or(&CredentialHeaders::AVALA, |config| &config.responder.credentials)
}
