use std::sync::Arc;

use crate::key::OrganizationId;
use crate::scope::{Access, Requirement, Scope};

/// Who an outer authenticator has established: the user of a session, the subject of a JWT or of a client certificate.
///
/// [`ApiKeyLayer::accept_identity`](crate::ApiKeyLayer::accept_identity) takes a function that returns one for a request.
///
/// ```
/// use tower_api_key::Access;
/// use tower_api_key::auth::Identity;
/// use tower_api_key::scope::avala;
///
/// let ada = Identity::new("acme".parse()?, Access::scoped([avala::DATASETS_READ]), "ada@example.com");
/// assert_eq!(ada.actor(), "ada@example.com");
/// assert!(ada.allows(&avala::DATASETS_READ));
/// # Ok::<(), tower_api_key::key::InvalidOrganization>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    organization: OrganizationId,
    access: Access,
    actor: Arc<str>,
}

impl Identity {
    /// Returns the identity of this actor, such as a user id or an email address, who may do this in the organization.
    #[must_use]
    pub fn new(organization: OrganizationId, access: Access, actor: impl Into<Arc<str>>) -> Self {
        Self { organization, access, actor: actor.into() }
    }

    /// Returns the organization, to which a handler must limit its queries.
    #[must_use]
    pub const fn organization(&self) -> &OrganizationId {
        &self.organization
    }

    /// Returns what the actor may do.
    #[must_use]
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// Returns who is calling.
    #[must_use]
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// Returns whether the actor has this scope or full access.
    #[must_use]
    pub fn allows(&self, scope: &Scope) -> bool {
        self.access.allows(scope)
    }

    /// Returns whether the actor meets a requirement that only the handler can know.
    #[must_use]
    pub fn meets(&self, requirement: &Requirement) -> bool {
        requirement.is_met_by(&self.access)
    }
}
