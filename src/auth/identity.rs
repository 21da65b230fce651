use std::fmt;
use std::sync::Arc;

use super::handler_rejection::HandlerRejection;
use super::origin::{Origin, Required};
use crate::key::{KeyDigest, KeyId, KeyRecord, OrganizationId};
use crate::observe::Nesting;
use crate::rejection::reason::Rejection;
use crate::request::RequestHead;
use crate::scope::{Access, Requirement, Scope};

/// The authenticated key of a request, without its secret.
///
/// The layer puts it into the extensions of the request. With the `axum` feature it is also an extractor.
///
/// ```
/// use http::Request;
/// use tower_api_key::{ApiKey, scope::avala};
///
/// fn handler(request: &Request<()>) -> String {
///     let key = request.extensions().get::<ApiKey>().expect("behind an ApiKeyLayer");
///     format!("{} may write: {}", key.organization(), key.allows(&avala::DATASETS_WRITE))
/// }
/// ```
#[derive(Clone)]
#[doc(alias = "tenant")]
pub struct ApiKey {
    record: Arc<KeyRecord>,
    /// `None` for a key that no layer has authenticated.
    origin: Option<Origin>,
}

impl ApiKey {
    /// Returns a key of this organization that no layer has authenticated, to call a handler in a unit test.
    ///
    /// An [`ApiKeyLayer`](crate::ApiKeyLayer) removes it from a request like any identity that is not its own; a
    /// [`RequireScopesLayer`](super::RequireScopesLayer) trusts its access.
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{Access, ApiKey};
    ///
    /// let key = ApiKey::for_test("acme", Access::Full);
    /// assert_eq!(key.organization().as_str(), "acme");
    /// let request = Request::builder().extension(key).body(())?;
    /// # Ok::<(), http::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the text is not an [`OrganizationId`].
    #[must_use]
    pub fn for_test(organization: &'static str, access: Access) -> Self {
        let organization = OrganizationId::from_static(organization);
        let digest = KeyDigest::hash(b"ApiKey::for_test");
        Self::for_test_of(KeyRecord::new(KeyId::from_u128(1), digest, organization, access))
    }

    /// Returns a key with this record that no layer has authenticated, for a handler that reads more of it.
    #[must_use]
    pub fn for_test_of(record: impl Into<Arc<KeyRecord>>) -> Self {
        Self { record: record.into(), origin: None }
    }

    pub(super) const fn authenticated(record: Arc<KeyRecord>, origin: Origin) -> Self {
        Self { record, origin: Some(origin) }
    }

    /// Returns the id of the key, for lists, logs and management calls.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.record.id()
    }

    /// Returns the organization of the key, to which a handler must limit its queries.
    #[must_use]
    pub fn organization(&self) -> &OrganizationId {
        self.record.organization()
    }

    /// Returns what the key may do.
    #[must_use]
    pub fn access(&self) -> &Access {
        self.record.access()
    }

    /// Returns whether the key has this scope or full access.
    #[must_use]
    pub fn allows(&self, scope: &Scope) -> bool {
        self.access().allows(scope)
    }

    /// Returns whether the key meets a requirement that only the handler can know.
    #[must_use]
    pub fn meets(&self, requirement: &Requirement) -> bool {
        requirement.is_met_by(self.access())
    }

    /// Returns the pattern of the route table's line that decided about the request. `None` without a table, and where no
    /// line names the route.
    #[must_use]
    pub fn matched_route(&self) -> Option<&str> {
        Origin::pattern(self.origin.as_ref())
    }

    /// Returns the record of the key.
    #[must_use]
    pub const fn record(&self) -> &Arc<KeyRecord> {
        &self.record
    }

    /// Returns the layer that authenticated it.
    pub(super) const fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// Reports what inner layers and handlers make of the accepted request.
    pub(super) fn report_to(&mut self, nesting: &Arc<Nesting>) {
        if let Some(origin) = &mut self.origin {
            origin.report_to(nesting);
        }
    }

    /// Notes what an inner layer requires of the key.
    pub(super) fn note_required(&mut self, required: &Arc<Required>) {
        if let Some(origin) = &mut self.origin {
            origin.note_required(required);
        }
    }

    /// Requires this of the key in a handler, where the requirement depends on the body or on a database.
    ///
    /// ```
    /// use axum::Json;
    /// use http::request::Parts;
    /// use tower_api_key::auth::HandlerRejection;
    /// use tower_api_key::{ApiKey, Requirement, scope::avala};
    ///
    /// async fn update(key: ApiKey, head: Parts, Json(publish): Json<bool>) -> Result<&'static str, HandlerRejection> {
    ///     if publish {
    ///         key.require(&Requirement::from(avala::EXPORTS_CREATE), &head)?;
    ///     }
    ///     Ok("updated")
    /// }
    /// ```
    ///
    /// # Errors
    /// When the key does not meet the requirement. A handler returns the error: it responds 403 in the form of the layer,
    /// and the events of the layer report it.
    pub fn require<'a>(
        &self,
        requirement: &Requirement,
        request: impl Into<RequestHead<'a>>,
    ) -> Result<(), HandlerRejection> {
        Origin::require(self.origin.as_ref(), self.access(), requirement, request.into())
    }

    /// Rejects the request in a handler, for another reason than a [requirement](Self::require). A handler returns the value:
    /// it responds in the form of the layer that authenticated the key, and the events of the layer report it.
    pub fn reject<'a>(&self, rejection: impl Into<Rejection>, request: impl Into<RequestHead<'a>>) -> HandlerRejection {
        Origin::rejected(self.origin.as_ref(), rejection.into(), None, request.into())
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ApiKey").field(&self.record).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyDigest;
    use crate::scope::avala::{PROJECTS_READ, TASKS_READ};

    #[test]
    fn api_key_shows_record() {
        let either = Requirement::any_of([TASKS_READ, PROJECTS_READ]);
        for (access, tasks, projects, meets_either, meets_full) in [
            (Access::Full, true, true, true, true),
            (Access::scoped([TASKS_READ]), true, false, true, false),
            (Access::scoped([]), false, false, false, false),
        ] {
            let (id, organization) = (KeyId::from_u128(7), OrganizationId::new("acme").unwrap());
            let record = KeyRecord::new(id, KeyDigest::hash(b"key"), organization.clone(), access.clone());
            let key = ApiKey::for_test_of(record);
            assert_eq!((key.id(), key.organization(), key.access()), (id, &organization, &access));
            assert_eq!((key.allows(&TASKS_READ), key.allows(&PROJECTS_READ)), (tasks, projects), "{access:?}");
            assert_eq!(key.meets(&either), meets_either, "{access:?}");
            assert_eq!(key.meets(&Requirement::full_access()), meets_full, "{access:?}");
        }
    }
}
