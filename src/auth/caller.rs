use http::Extensions;

use super::handler_rejection::HandlerRejection;
use super::identity::ApiKey;
use super::keyless::Keyless;
use super::origin::Origin;
use crate::identity::Identity;
use crate::key::OrganizationId;
use crate::rejection::reason::Rejection;
use crate::request::RequestHead;
use crate::scope::{Access, Requirement, Scope};

/// Who makes a request: a key, or the identity of an outer authenticator.
///
/// With the `axum` feature it is an extractor: a request with neither, as on a public route, gets the 401. An
/// `Option<Caller>` is `None` for such a request. Without axum, [`of`](Self::of) reads it.
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use axum::{Router, routing::get};
/// use tower_api_key::auth::{Caller, Identity};
/// use tower_api_key::{Access, ApiKeyLayer, MemoryStore};
///
/// /// What the login of the service puts into the extensions of a request.
/// #[derive(Clone)]
/// struct User {
///     email: String,
/// }
///
/// async fn whoami(caller: Caller) -> String {
///     match &caller {
///         Caller::Key(key) => format!("the key {} of {}", key.id(), caller.organization()),
///         Caller::Identity(user) => format!("{} of {}", user.actor(), caller.organization()),
///     }
/// }
///
/// let layer = ApiKeyLayer::new(MemoryStore::new()).accept_identity(|extensions| {
///     let user = extensions.get::<User>()?;
///     Some(Identity::new("acme".parse().ok()?, Access::Full, &*user.email))
/// });
/// let app: Router = Router::new().route("/whoami", get(whoami)).layer(layer);
/// # }
/// ```
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a handler gives an answer for each kind of caller")]
pub enum Caller {
    /// The holder of a valid key.
    Key(ApiKey),
    /// Who an outer authenticator has established. The request has no key.
    Identity(Identity),
}

impl Caller {
    /// Returns the caller that the nearest outer [`ApiKeyLayer`](crate::ApiKeyLayer) has accepted. `None` for a request
    /// with neither a key nor an identity: a public route, a preflight, an anonymous request.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        if let Some(key) = extensions.get::<ApiKey>() {
            return Some(Self::Key(key.clone()));
        }
        extensions.get::<Keyless>()?.identity().cloned().map(Self::Identity)
    }

    /// Returns the organization, to which a handler must limit its queries.
    #[must_use]
    pub fn organization(&self) -> &OrganizationId {
        match self {
            Self::Key(key) => key.organization(),
            Self::Identity(identity) => identity.organization(),
        }
    }

    /// Returns what the caller may do.
    #[must_use]
    pub fn access(&self) -> &Access {
        match self {
            Self::Key(key) => key.access(),
            Self::Identity(identity) => identity.access(),
        }
    }

    /// Returns whether the caller has this scope or full access.
    #[must_use]
    pub fn allows(&self, scope: &Scope) -> bool {
        self.access().allows(scope)
    }

    /// Returns whether the caller meets a requirement that only the handler can know.
    #[must_use]
    pub fn meets(&self, requirement: &Requirement) -> bool {
        requirement.is_met_by(self.access())
    }

    /// Requires this of the caller in a handler, as [`ApiKey::require`] does of a key.
    ///
    /// # Errors
    /// When the caller does not meet the requirement. A handler returns the error: it responds 403 in the form of the layer,
    /// and the events of the layer report it.
    pub fn require<'a>(
        &self,
        requirement: &Requirement,
        request: impl Into<RequestHead<'a>>,
    ) -> Result<(), HandlerRejection> {
        let request = request.into();
        match self {
            Self::Key(key) => key.require(requirement, request),
            Self::Identity(identity) => Origin::require(origin(request), identity.access(), requirement, request),
        }
    }

    /// Rejects the request in a handler, as [`ApiKey::reject`] does.
    pub fn reject<'a>(&self, rejection: impl Into<Rejection>, request: impl Into<RequestHead<'a>>) -> HandlerRejection {
        let request = request.into();
        match self {
            Self::Key(key) => key.reject(rejection, request),
            Self::Identity(_) => Origin::rejected(origin(request), rejection.into(), None, request),
        }
    }
}

/// Returns the layer that accepted a request with an identity.
fn origin<'a>(request: RequestHead<'a>) -> Option<&'a Origin> {
    request.extensions().get::<Keyless>().map(Keyless::origin)
}
