//! One event for each request: what was decided about it, and about which key.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::{Method, Request, StatusCode};

use crate::key::{KeyDigest, KeyRecord};
use crate::rejection::Rejection;
use crate::store::BoxError;

/// What a layer decided about a request, for an audit trail or for metrics.
///
/// A hook set with [`ApiKeyLayer::on_decision`](crate::ApiKeyLayer::on_decision) sees exactly one for each
/// request, when the response head is there or when the request is dropped. It holds no key.
pub struct DecisionEvent<'a> {
    report: &'a Report,
    outcome: Outcome,
    status: Option<StatusCode>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The inner service was called and has answered.
    Accepted,
    /// The inner service was called and has answered, on a route that asks for no key.
    Public,
    /// The inner service was called without a key and has answered, where a key is
    /// [optional](crate::ApiKeyLayer::optional).
    Anonymous,
    /// A CORS layer further in has answered a [preflight](crate::ApiKeyLayer::allow_preflight).
    Preflight,
    /// The request was refused.
    Rejected(Rejection),
    /// The request was dropped before there was a response, by a disconnect or a timeout further out.
    Cancelled,
}

impl Outcome {
    /// A short word for logs and metrics, stable between releases: of a rejection, its
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

impl DecisionEvent<'_> {
    /// How the request ended.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The record of the key that was presented, whether or not it passed. `None` when there is none.
    #[must_use]
    pub fn key(&self) -> Option<&KeyRecord> {
        self.report.record.as_deref()
    }

    /// The digest of the key that was presented, known or not. `None` when no credential could be read.
    #[must_use]
    pub const fn digest(&self) -> Option<&KeyDigest> {
        self.report.digest.as_ref()
    }

    /// The digest of a key that crossed the network in the clear, known or not: the request was refused since it came
    /// over plain HTTP.
    #[must_use]
    pub fn exposed(&self) -> Option<&KeyDigest> {
        self.digest().filter(|_| self.outcome == Outcome::Rejected(Rejection::HttpsRequired))
    }

    /// The method of the request.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.report.method
    }

    /// The path of the request, as the layer saw it and as the client chose it: escape it before you print it.
    /// The query is left out, since people put secrets there.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.report.path
    }

    /// The status of the response, unless there is none: the request was dropped, or the inner service failed.
    #[must_use]
    pub const fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// How the store answered.
    #[must_use]
    pub const fn lookup(&self) -> LookupKind {
        self.report.lookup
    }

    /// Why the store gave no answer. For operators: never show it to a client.
    #[must_use]
    pub fn store_error(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        self.report.store_error.as_deref()
    }

    /// From the call of the layer to the end: with an accepted request, the time of the inner service too.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.report.started.elapsed()
    }
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

pub(crate) type Hook = Arc<dyn Fn(&DecisionEvent<'_>) + Send + Sync>;

/// What layers further in decided about a request that the reporting layer let through.
pub(crate) type InnerVerdict = Arc<OnceLock<Rejection>>;

/// Gathers what the event of one request will say, and emits it once: at [`finish`](Self::finish), or as
/// cancelled when it is dropped before.
pub(crate) struct Report {
    hook: Option<Hook>,
    started: Instant,
    method: Method,
    path: Box<str>,
    pub(crate) digest: Option<KeyDigest>,
    pub(crate) record: Option<Arc<KeyRecord>>,
    pub(crate) lookup: LookupKind,
    pub(crate) store_error: Option<BoxError>,
    pub(crate) rejection: Option<Rejection>,
    /// What the event will say of a request that is not refused.
    pub(crate) passed: Outcome,
    pub(crate) inner_verdict: InnerVerdict,
}

impl Report {
    pub(crate) fn begin<B>(hook: &Hook, request: &Request<B>) -> Box<Self> {
        Box::new(Self {
            hook: Some(Arc::clone(hook)),
            started: Instant::now(),
            method: request.method().clone(),
            path: request.uri().path().into(),
            digest: None,
            record: None,
            lookup: LookupKind::None,
            store_error: None,
            rejection: None,
            passed: Outcome::Accepted,
            inner_verdict: InnerVerdict::default(),
        })
    }

    pub(crate) fn finish(mut self: Box<Self>, status: Option<StatusCode>) {
        let rejection = self.rejection.or_else(|| self.inner_verdict.get().copied());
        let outcome = rejection.map_or(self.passed, Outcome::Rejected);
        if let Some(hook) = self.hook.take() {
            hook(&DecisionEvent { report: &self, outcome, status });
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(hook) = self.hook.take() {
            let event = DecisionEvent { report: self, outcome: Outcome::Cancelled, status: None };
            // This may run while a panic of the inner service unwinds, where a second panic would abort.
            if catch_unwind(AssertUnwindSafe(|| hook(&event))).is_err() {
                log::error!("the decision hook panicked on a cancelled request");
            }
        }
    }
}
