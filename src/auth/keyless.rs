use bytes::Bytes;
use http::Response;

use super::origin::Origin;
use crate::identity::Identity;
use crate::rejection::CredentialError;
use crate::rejection::reason::Rejection;
use crate::request::RequestHead;

/// Marks a request that a layer accepted without a key.
#[derive(Clone)]
pub(crate) struct Keyless {
    origin: Origin,
    /// Whether the layer has removed a credential that it did not read.
    removed: bool,
    /// Who an outer authenticator has established.
    identity: Option<Identity>,
}

impl Keyless {
    pub(super) const fn anonymous(origin: Origin, removed: bool) -> Self {
        Self { origin, removed, identity: None }
    }

    pub(super) const fn identified(origin: Origin, identity: Identity) -> Self {
        Self { origin, removed: false, identity: Some(identity) }
    }

    pub(super) const fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(crate) const fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    pub(super) const fn has_removed_credential(&self) -> bool {
        self.removed
    }

    /// Returns why this guard rejects a request without a key. To report a key as missing that was sent and removed would
    /// hide the mistake.
    pub(super) fn missing(&self, guard: &str) -> Rejection {
        if !self.removed {
            return CredentialError::Missing.into();
        }
        tracing::error!(
            "{guard} is inside an ApiKeyLayer for which the route is public or the request a preflight, and which removes \
             the key: list the route with a requirement instead; answering 500"
        );
        Rejection::Misconfigured
    }

    /// Rejects the request after all, in the form of the layer that accepted it.
    pub(crate) fn reject(&self, rejection: Rejection, request: RequestHead<'_>) -> Response<Bytes> {
        self.origin.reject(rejection, request)
    }

    /// Returns the response to a rejected request, in the form of the layer that accepted it, without a report.
    #[cfg(feature = "axum")]
    pub(super) fn render(&self, rejection: Rejection, request: RequestHead<'_>) -> Response<Bytes> {
        self.origin.explain(rejection, None, request)
    }

    /// Reports to the layer that accepted the request that it is rejected after all.
    #[cfg(feature = "axum")]
    pub(super) fn note(&self, rejection: Rejection) {
        self.origin.note(rejection);
    }
}
