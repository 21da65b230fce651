use std::sync::Arc;

use crate::key::OrganizationId;

/// A person whom the login of your service has authenticated, and whose keys the console manages.
///
/// Put it into the extensions of the request, in the middleware that checks your login:
///
/// ```
/// use http::Request;
/// use tower_api_key::console::Operator;
///
/// fn logged_in<B>(request: &mut Request<B>, email: &str) -> Result<(), tower_api_key::key::InvalidOrganization> {
///     request.extensions_mut().insert(Operator::new("acme".parse()?, email));
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// `None` for all.
    organization: Option<OrganizationId>,
    actor: Arc<str>,
}

impl Operator {
    /// Returns an operator of this organization alone. The actor is who the audit trail and `created_by` name, such as an
    /// e-mail address.
    #[must_use]
    pub fn new(organization: OrganizationId, actor: impl Into<Arc<str>>) -> Self {
        Self { organization: Some(organization), actor: actor.into() }
    }

    /// Returns an operator who manages the keys of every organization: for the staff of the service.
    ///
    /// Lists show all keys, each with its organization. Any other call names the organization in the query, as in
    /// `POST /?organization=acme`; a list may.
    #[must_use]
    pub fn of_all_organizations(actor: impl Into<Arc<str>>) -> Self {
        Self { organization: None, actor: actor.into() }
    }

    /// Returns the organization, or `None` for all.
    #[must_use]
    pub const fn organization(&self) -> Option<&OrganizationId> {
        self.organization.as_ref()
    }

    /// Returns who it is.
    #[must_use]
    pub fn actor(&self) -> &str {
        &self.actor
    }

    pub(super) fn shared_actor(&self) -> Arc<str> {
        Arc::clone(&self.actor)
    }
}
