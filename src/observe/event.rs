use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode};

use crate::BoxError;
use crate::client::ClientInfo;
use crate::identity::Identity;
use crate::key::{Environment, KeyDigest, KeyRecord};
use crate::rejection::Unmet;
use crate::rejection::reason::Rejection;
use crate::request::MatchedRoute;
use crate::scope::{Requirement, Scope};

/// What a layer decided about a request, for an audit trail or for metrics.
///
/// The hooks of [`ApiKeyLayer::on_decision`](crate::ApiKeyLayer::on_decision) get exactly one event for each request: when
/// the response head is there, or when the request is dropped. An event holds no key.
pub struct DecisionEvent<'a> {
    facts: &'a Facts,
    unmet: Option<&'a Unmet>,
    outcome: Outcome,
    status: Option<StatusCode>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The inner service was called and has answered.
    Accepted,
    /// The inner service was called and has answered, on a public route.
    Public,
    /// The inner service was called without a key and has answered, where [anonymous
    /// requests](crate::ApiKeyLayer::allow_anonymous) are accepted.
    Anonymous,
    /// An inner CORS layer has answered a [preflight](crate::ApiKeyLayer::allow_preflight).
    Preflight,
    /// The request was rejected.
    Rejected(Rejection),
    /// The request was dropped before there was a response, by a disconnect or an outer timeout.
    Cancelled,
}

impl Outcome {
    /// Returns a short word for logs and metrics, stable between releases: of a rejection, its
    /// [code](crate::Rejection::code). Not for clients.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Public => "public",
            Self::Anonymous => "anonymous",
            Self::Preflight => "preflight",
            Self::Rejected(rejection) => rejection.code(),
            Self::Cancelled => "cancelled",
        }
    }
}

/// How the store answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LookupKind {
    /// It was not asked.
    None,
    /// From memory, without waiting.
    Immediate,
    /// It had to be awaited.
    Awaited,
}

/// What the verifier of [legacy keys](crate::ApiKeyLayer::legacy_keys) made of a key that the store had no record of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LegacyCheck {
    /// The old table has the key, which is imported now. The key may be rejected anyway, such as an expired one.
    Imported,
    /// The old table does not have the key, or did not have it a moment ago.
    NotFound,
    /// The verifier failed, did not answer in time, or was too busy.
    Failed,
}

impl LegacyCheck {
    /// Returns a short word for logs and metrics, stable between releases.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::NotFound => "not_found",
            Self::Failed => "failed",
        }
    }
}

impl<'a> DecisionEvent<'a> {
    pub(super) const fn new(
        facts: &'a Facts,
        unmet: Option<&'a Unmet>,
        outcome: Outcome,
        status: Option<StatusCode>,
    ) -> Self {
        Self { facts, unmet, outcome, status }
    }

    /// Returns how the request ended.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Returns the record of the key that was presented, accepted or not. `None` when there is none.
    #[must_use]
    pub fn key(&self) -> Option<&KeyRecord> {
        self.facts.record.as_deref()
    }

    /// Returns who an outer authenticator has established, for a request without a key, accepted or not. See
    /// [`ApiKeyLayer::accept_identity`](crate::ApiKeyLayer::accept_identity).
    #[must_use]
    pub const fn identity(&self) -> Option<&Identity> {
        self.facts.identity.as_ref()
    }

    /// Returns whether the key was regenerated and works until the end of an overlap: its user still has to change to the
    /// new key.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        self.key().is_some_and(|key| key.replaced_by().is_some() && !key.is_revoked())
    }

    /// Returns the digest of the key that was presented, known or not. `None` when no credential could be read.
    #[must_use]
    pub const fn digest(&self) -> Option<&KeyDigest> {
        self.facts.digest.as_ref()
    }

    /// Returns the [environment](crate::key::KeyFormat::with_environment) of the presented key's format, known or not,
    /// if the layer [requires formats](crate::ApiKeyLayer::require_formats); otherwise that of a known key's record.
    #[must_use]
    pub fn environment(&self) -> Option<&str> {
        self.facts.environment.as_ref().or_else(|| self.key()?.environment()).map(Environment::as_str)
    }

    /// Returns the digest of a key that crossed the network in the clear, known or not: the request was rejected since it came
    /// over plain HTTP.
    #[must_use]
    pub fn exposed(&self) -> Option<&KeyDigest> {
        self.digest().filter(|_| self.outcome == Outcome::Rejected(Rejection::HttpsRequired))
    }

    /// Returns the client, if a [`ClientInfoLayer`](crate::transport::ClientInfoLayer) is outside the layer.
    #[must_use]
    pub const fn client(&self) -> Option<ClientInfo> {
        self.facts.client
    }

    /// Returns the id of the request: the value of the [configured](crate::ApiKeyLayer::request_id_header) header, if that
    /// is visible ASCII. A client may have chosen it.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.facts.request_id.as_ref()?.to_str().ok()
    }

    /// Returns the requirement that the key does not meet, if the request was rejected for that reason.
    #[must_use]
    pub fn requirement(&self) -> Option<&Requirement> {
        self.unmet.map(Unmet::requirement)
    }

    /// Returns the scopes that the key lacks, if the request was rejected for that reason. Of scopes of which any one would
    /// do, it returns all.
    #[must_use]
    pub fn missing_scopes(&self) -> &[Scope] {
        self.unmet.map_or(&[], Unmet::missing)
    }

    /// Returns the method of the request.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.facts.method
    }

    /// Returns the path of the request, as the layer saw it and as the client chose it: escape it before you print it.
    /// The query is left out, since people put secrets there.
    #[must_use]
    pub fn path(&self) -> &str {
        self.facts.path.as_ref().map_or("", PathAndQuery::path)
    }

    /// Returns the pattern of the route table's line that decided about the request, for a label of a metric. `None`
    /// without a table, and where no line names the route.
    #[must_use]
    pub fn matched_route(&self) -> Option<&str> {
        self.facts.route.as_ref().map(MatchedRoute::as_str)
    }

    /// Returns the status of the response, unless there is none: the request was dropped, or the inner service failed.
    #[must_use]
    pub const fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Returns how the store answered.
    #[must_use]
    pub const fn lookup(&self) -> LookupKind {
        self.facts.lookup
    }

    /// Returns what the verifier of legacy keys made of the key, if the request was answered through the old table. When no
    /// event has [`LegacyCheck::Imported`] any more, the old table can go.
    #[must_use]
    pub const fn legacy(&self) -> Option<LegacyCheck> {
        self.facts.legacy
    }

    /// Returns why the store gave no answer. For operators: never show it to a client.
    #[must_use]
    pub fn store_error(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        self.facts.store_error.as_deref()
    }

    /// Notes that a hook has logged why the store gave no answer, so that the layer does not log it again.
    pub(super) fn set_logged(&self) {
        self.facts.is_logged.store(true, Ordering::Relaxed);
    }

    /// Returns the time from the call of the layer to the end: with an accepted request, the time of the inner service too.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.facts.started.elapsed()
    }
}

/// What is known of a request, for its event.
pub(crate) struct Facts {
    pub(super) started: Instant,
    pub(super) method: Method,
    /// The path as it was read, which shares its text with the request. `None` for a target without one.
    pub(super) path: Option<PathAndQuery>,
    pub(crate) route: Option<MatchedRoute>,
    pub(super) client: Option<ClientInfo>,
    pub(super) request_id: Option<HeaderValue>,
    pub(crate) digest: Option<KeyDigest>,
    /// The environment of the presented key's format.
    pub(crate) environment: Option<Environment>,
    pub(crate) record: Option<Arc<KeyRecord>>,
    pub(crate) identity: Option<Identity>,
    pub(crate) lookup: LookupKind,
    pub(crate) legacy: Option<LegacyCheck>,
    pub(crate) store_error: Option<BoxError>,
    /// Whether a hook has logged why the store gave no answer.
    pub(super) is_logged: AtomicBool,
    /// The outcome of a request that is not rejected.
    pub(crate) accepted: Outcome,
    /// Whether the response gets the route of the request.
    pub(super) expose_route: bool,
    /// Whether the event was emitted.
    pub(super) is_finished: AtomicBool,
}

impl Facts {
    /// Notes why the store gave no answer. If it is not logged yet, it is when no hook logs it.
    pub(crate) fn set_store_error(&mut self, cause: BoxError, is_logged: bool) {
        self.store_error = Some(cause);
        self.is_logged = is_logged.into();
    }
}

impl fmt::Debug for DecisionEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecisionEvent")
            .field("outcome", &self.outcome)
            .field("status", &self.status)
            .field("key", &self.key().map(KeyRecord::id))
            .field("identity", &self.identity())
            .field("digest", &self.digest())
            .field("environment", &self.environment())
            .field("client", &self.client())
            .field("request_id", &self.request_id())
            .field("missing_scopes", &self.missing_scopes())
            .field("method", self.method())
            .field("path", &self.path())
            .field("matched_route", &self.matched_route())
            .field("lookup", &self.lookup())
            .field("legacy", &self.legacy())
            .field("store_error", &self.store_error())
            .finish()
    }
}
