use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};

use crate::BoxError;
use crate::key::{KeyDigest, KeyRecord};
use crate::rejection::reason::Rejection;

/// What a layer decided about a request, for an audit trail or for metrics.
///
/// The hooks of [`ApiKeyLayer::on_decision`](crate::ApiKeyLayer::on_decision) get exactly one event for each request: when
/// the response head is there, or when the request is dropped. An event holds no key.
pub struct DecisionEvent<'a> {
    facts: &'a Facts,
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

impl<'a> DecisionEvent<'a> {
    pub(super) const fn new(facts: &'a Facts, outcome: Outcome, status: Option<StatusCode>) -> Self {
        Self { facts, outcome, status }
    }

    /// How the request ended.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Returns the record of the key that was presented, accepted or not. `None` when there is none.
    #[must_use]
    pub fn key(&self) -> Option<&KeyRecord> {
        self.facts.record.as_deref()
    }

    /// Returns whether the key was regenerated and works until the end of an overlap: its user still has to change to the
    /// new key.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        self.key().is_some_and(|key| key.replaced_by().is_some() && !key.is_revoked())
    }

    /// The digest of the key that was presented, known or not. `None` when no credential could be read.
    #[must_use]
    pub const fn digest(&self) -> Option<&KeyDigest> {
        self.facts.digest.as_ref()
    }

    /// The digest of a key that crossed the network in the clear, known or not: the request was rejected since it came
    /// over plain HTTP.
    #[must_use]
    pub fn exposed(&self) -> Option<&KeyDigest> {
        self.digest().filter(|_| self.outcome == Outcome::Rejected(Rejection::HttpsRequired))
    }

    /// The method of the request.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.facts.method
    }

    /// The path of the request, as the layer saw it and as the client chose it: escape it before you print it.
    /// The query is left out, since people put secrets there.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.facts.path
    }

    /// The status of the response, unless there is none: the request was dropped, or the inner service failed.
    #[must_use]
    pub const fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// How the store answered.
    #[must_use]
    pub const fn lookup(&self) -> LookupKind {
        self.facts.lookup
    }

    /// Why the store gave no answer. For operators: never show it to a client.
    #[must_use]
    pub fn store_error(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        self.facts.store_error.as_deref()
    }

    /// From the call of the layer to the end: with an accepted request, the time of the inner service too.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.facts.started.elapsed()
    }
}

/// What is known of a request, for its event.
pub(crate) struct Facts {
    pub(super) started: Instant,
    pub(super) method: Method,
    pub(super) path: Box<str>,
    pub(crate) digest: Option<KeyDigest>,
    pub(crate) record: Option<Arc<KeyRecord>>,
    pub(crate) lookup: LookupKind,
    pub(crate) store_error: Option<BoxError>,
}

impl fmt::Debug for DecisionEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecisionEvent")
            .field("outcome", &self.outcome)
            .field("status", &self.status)
            .field("key", &self.key().map(KeyRecord::id))
            .field("digest", &self.digest())
            .field("method", self.method())
            .field("path", &self.path())
            .field("lookup", &self.lookup())
            .field("store_error", &self.store_error())
            .finish()
    }
}
