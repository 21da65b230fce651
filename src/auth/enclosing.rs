use std::sync::Arc;

use http::Extensions;

use super::config::Config;
use super::identity::ApiKey;
use super::keyless::Keyless;
use super::origin::Origin;
use crate::observe::Outer;

/// What the nearest [`ApiKeyLayer`](crate::ApiKeyLayer) outside has made of a request.
pub(super) enum Enclosing {
    /// It has authenticated the request.
    Authenticated(ApiKey, Origin),
    /// It has accepted the request without a key.
    Keyless(Keyless),
}

impl Enclosing {
    /// Takes the identity of the nearest outer layer out of the extensions of a request, and drops one that no layer has
    /// established.
    pub(super) fn take(extensions: &mut Extensions) -> Option<Self> {
        let (key, keyless) = (extensions.remove::<ApiKey>(), extensions.remove::<Keyless>());
        // A layer that accepts a request without a key removes the key of an outer one, so that a key is the nearer one.
        if let Some(key) = key
            && let Some(origin) = key.origin().cloned()
        {
            return Some(Self::Authenticated(key, origin));
        }
        keyless.map(Self::Keyless)
    }

    fn origin(&self) -> &Origin {
        match self {
            Self::Authenticated(_, origin) => origin,
            Self::Keyless(keyless) => keyless.origin(),
        }
    }

    /// Returns what the outer layers do for the request, which an inner one need not do.
    pub(super) fn outer(&self) -> Outer {
        match self {
            Self::Authenticated(key, origin) => origin.outer(Some(key.id())),
            Self::Keyless(keyless) => keyless.origin().outer(None),
        }
    }

    /// Returns the key, if this configuration would find the same record.
    pub(super) fn key_for(&self, inner: &Config) -> Option<&ApiKey> {
        match self {
            Self::Authenticated(key, origin) if inner.finds_as(origin.config()) => Some(key),
            _ => None,
        }
    }

    /// Returns whether the outer layer has counted the request against the limit of this configuration.
    pub(super) fn has_counted(&self, inner: &Config) -> bool {
        self.origin()
            .config()
            .limit
            .as_ref()
            .zip(inner.limit.as_ref())
            .is_some_and(|(outer, inner)| Arc::ptr_eq(outer, inner))
    }

    /// Returns whether the outer layer has removed the credential that this configuration would have read. To report that
    /// one as missing would hide the mistake, so the mistake is logged.
    pub(super) fn has_removed_credential_of(&self, inner: &Config) -> bool {
        let removed = match self {
            Self::Authenticated(..) => true,
            Self::Keyless(keyless) => keyless.has_removed_credential(),
        };
        let removed = removed && self.origin().config().source.hides(&inner.source);
        if removed {
            match self {
                Self::Authenticated(..) => tracing::error!(
                    "an ApiKeyLayer is inside another one with a different store, source or format, which removes the \
                     key: call keep_header() on the outer one, or make one a clone of the other; answering 500"
                ),
                Self::Keyless(_) => tracing::error!(
                    "an ApiKeyLayer is inside another one for which the route is public or the request a preflight, and \
                     which removes the key: call keep_header() on the outer one, or list the route with a requirement; \
                     answering 500"
                ),
            }
        }
        removed
    }
}
