use http::header::HeaderMap;

use super::config::ThreadConfig;
use super::limit::ShownLimit;
use crate::caching::{CredentialHeaders, protect, protect_and};

/// What the layer does to the headers of an accepted response.
#[derive(Default)]
pub(super) struct ResponseHeaders {
    pub(super) caching: Caching,
    /// The state of the limit, which a rejected request shows too.
    pub(super) limit: Option<ShownLimit>,
}

/// Whether a shared cache may keep an accepted response.
#[derive(Default)]
pub(super) enum Caching {
    /// As the inner service decides.
    #[default]
    Unchanged,
    /// Not for other clients. Has the configuration where that names other credential headers than the default.
    Private(Option<ThreadConfig>),
}

impl ResponseHeaders {
    #[inline]
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        if !matches!(self, Self { caching: Caching::Unchanged, limit: None }) {
            self.change(headers);
        }
    }

    fn change(&self, headers: &mut HeaderMap) {
        match (&self.caching, &self.limit) {
            (Caching::Unchanged, None) => {}
            (Caching::Unchanged, Some(limit)) => limit.apply(headers, 0),
            (Caching::Private(config), None) => protect(headers, credentials(config.as_ref())),
            (Caching::Private(config), Some(limit)) => {
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
