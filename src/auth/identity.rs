use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};

use super::settings::Settings;
use crate::event::InnerVerdict;
use crate::key::{KeyId, KeyRecord, OrganizationId};
use crate::rejection::Rejection;
use crate::scope::{Access, Requirement, Scope};

/// The key that a request was let in with: what handlers see of it. Never the secret.
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
pub struct ApiKey {
    record: Arc<KeyRecord>,
    /// `None` for one that no layer has judged.
    pub(super) origin: Option<Origin>,
}

/// A request that a layer let in without a key, on purpose.
#[derive(Clone)]
pub(crate) struct Anonymous {
    pub(super) origin: Origin,
}

/// The layer that let the request in: what stands further in answers and reports as it does.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) settings: Arc<Settings>,
    pub(super) inner_verdict: Option<InnerVerdict>,
}

impl ApiKey {
    /// A key that no layer has judged, to call a handler with in a unit test.
    ///
    /// An [`ApiKeyLayer`](crate::ApiKeyLayer) removes it from a request like any identity that is not its own;
    /// a [`RequireScopesLayer`](crate::RequireScopesLayer) takes its word for what it may do.
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{Access, ApiKey, KeyDigest, KeyId, KeyRecord};
    ///
    /// let record = KeyRecord::new(KeyId::from_u128(1), KeyDigest::of(b"any"), "acme".parse()?, Access::Full);
    /// let request = Request::builder().extension(ApiKey::for_test(record)).body(())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn for_test(record: impl Into<Arc<KeyRecord>>) -> Self {
        Self { record: record.into(), origin: None }
    }

    pub(super) fn judged(record: Arc<KeyRecord>, origin: Origin) -> Self {
        Self { record, origin: Some(origin) }
    }

    /// The name of the key in lists, logs and management calls.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.record.id()
    }

    /// The organization it belongs to: what a handler must narrow its queries to.
    #[must_use]
    pub fn organization(&self) -> &OrganizationId {
        self.record.organization()
    }

    /// What it may do.
    #[must_use]
    pub fn access(&self) -> &Access {
        self.record.access()
    }

    /// Whether it may do what this scope opens.
    #[must_use]
    pub fn allows(&self, scope: &Scope) -> bool {
        self.access().allows(scope)
    }

    /// Whether it meets a requirement that only the handler can know.
    #[must_use]
    pub fn meets(&self, requirement: &Requirement) -> bool {
        requirement.is_met_by(self.access())
    }

    /// Everything the store knows about it.
    #[must_use]
    pub const fn record(&self) -> &Arc<KeyRecord> {
        &self.record
    }

    /// The settings of the layer that judged it.
    pub(super) fn settings(&self) -> Option<&Arc<Settings>> {
        self.origin.as_ref().map(|origin| &origin.settings)
    }

    /// Tells the layer that reports about this request that it was refused after all.
    pub(super) fn note(&self, rejection: Rejection) {
        if let Some(origin) = &self.origin {
            origin.note(rejection);
        }
    }

    /// Refuses a request with this key after all, as the layer that let it in would have.
    pub(crate) fn refuse<B>(&self, rejection: Rejection, request: &Request<B>) -> Response<Bytes> {
        match &self.origin {
            Some(origin) => origin.refuse(rejection, request),
            None => rejection.response_to(request.method()),
        }
    }
}

impl Anonymous {
    /// Refuses a request without a key after all, as the layer that let it in would have.
    pub(crate) fn refuse<B>(&self, rejection: Rejection, request: &Request<B>) -> Response<Bytes> {
        self.origin.refuse(rejection, request)
    }
}

impl Origin {
    fn note(&self, rejection: Rejection) {
        if let Some(verdict) = &self.inner_verdict {
            // The first word counts; there is no second one, since a refused request goes no further.
            let _ = verdict.set(rejection);
        }
    }

    fn refuse<B>(&self, rejection: Rejection, request: &Request<B>) -> Response<Bytes> {
        self.note(rejection);
        self.settings.refuse(rejection, request)
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
    fn a_handler_is_told_what_the_record_says() {
        let either = Requirement::any_of([TASKS_READ, PROJECTS_READ]);
        for (access, tasks, projects, meets_either, meets_full) in [
            (Access::Full, true, true, true, true),
            (Access::scoped([TASKS_READ]), true, false, true, false),
            (Access::scoped([]), false, false, false, false),
        ] {
            let (id, organization) = (KeyId::from_u128(7), OrganizationId::new("acme").unwrap());
            let record = KeyRecord::new(id, KeyDigest::of(b"key"), organization.clone(), access.clone());
            let key = ApiKey::for_test(record);
            assert_eq!((key.id(), key.organization(), key.access()), (id, &organization, &access));
            assert_eq!((key.allows(&TASKS_READ), key.allows(&PROJECTS_READ)), (tasks, projects), "{access:?}");
            assert_eq!(key.meets(&either), meets_either, "{access:?}");
            assert_eq!(key.meets(&Requirement::full_access()), meets_full, "{access:?}");
        }
    }
}
