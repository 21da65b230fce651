//! The check of a request, from top to bottom.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};

use super::authorize::RouteClass;
use super::config::Config;
use super::identity::{Anonymous, ApiKey, Origin};
use super::lookup::{Answer, Awaited, LookupError, Waiting};
use super::preflight::is_preflight;
use super::response_headers::ResponseHeaders;
use crate::decision::{Denial, authenticate, authorize};
use crate::error_chain::error_chain;
use crate::key::{KeyDigest, KeyRecord};
use crate::observe::{LookupKind, Outcome, Report};
use crate::rejection::CredentialError;
use crate::rejection::reason::Rejection;
use crate::request::RequestHead;
use crate::scope::Access;

/// The check of one request. Carries the report of it, if the layer has a hook.
pub(super) struct Check<'a> {
    config: &'a Arc<Config>,
    pub(super) report: Option<Box<Report>>,
}

/// How far a request has come.
pub(super) enum Progress {
    /// The inner service is next.
    Accepted(ResponseHeaders),
    Rejected(Rejection),
    /// The inner service is next, and this is the response unless an inner CORS layer gives one.
    Preflight(Box<Response<Bytes>>),
    /// The store must be awaited. [`Check::resume`] goes on.
    Waiting(Waiting),
}

impl<'a> Check<'a> {
    pub(super) const fn new(config: &'a Arc<Config>, report: Option<Box<Report>>) -> Self {
        Self { config, report }
    }

    /// Goes through the steps that need no waiting.
    pub(super) fn begin<B>(&mut self, request: &mut Request<B>) -> Progress {
        if self.is_authenticated(request) {
            return self.authorize_again(request).into();
        }
        if let Some(hooks) = &self.config.hooks {
            self.report = Some(Report::begin(hooks, request));
        }
        self.classify(request)
    }

    /// Goes on with a request whose lookup has ended.
    pub(super) fn resume<B>(&mut self, awaited: Awaited, request: &mut Request<B>) -> Progress {
        match awaited.found {
            Ok(Some(record)) => self.decide(&awaited.digest, awaited.route, record, request),
            Ok(None) => Progress::Rejected(Denial::Unknown.into()),
            Err(error) => Progress::Rejected(self.unavailable(*error)),
        }
    }

    /// Returns whether an outer layer on the same store has authenticated the request.
    fn is_authenticated<B>(&self, request: &Request<B>) -> bool {
        let outer = request.extensions().get::<ApiKey>().and_then(ApiKey::config);
        outer.is_some_and(|outer| outer.store_id == self.config.store_id)
    }

    /// Only the requirement of this layer is left to check. The outer layer reports.
    #[cold]
    fn authorize_again<B>(&self, request: &mut Request<B>) -> Result<ResponseHeaders, Rejection> {
        self.config.source.hide(request.headers_mut());
        let key = request.extensions().get::<ApiKey>().ok_or(Rejection::Misconfigured)?;
        let authorized = self.authorize(key.access(), self.route(request), request);
        authorized.inspect_err(|&rejection| key.note(rejection))?;
        Ok(self.response_headers())
    }

    /// Step 1: public routes and CORS preflights need no key.
    fn classify<B>(&mut self, request: &mut Request<B>) -> Progress {
        let route = self.route(request);
        if matches!(route, RouteClass::Public(_)) {
            self.enter_without_key(request, Outcome::Public);
            return Progress::Accepted(ResponseHeaders::Unchanged);
        }
        if self.config.preflight && is_preflight(request) {
            self.enter_without_key(request, Outcome::Preflight);
            return Progress::Preflight(Box::new(self.respond(CredentialError::Missing.into(), request)));
        }
        self.read_credential(route, request)
    }

    /// Step 2: the one credential of the request, which leaves it here, as does an identity from elsewhere.
    fn read_credential<B>(&mut self, route: RouteClass, request: &mut Request<B>) -> Progress {
        let digest = self.config.source.take(request.headers_mut());
        let foreign = request.extensions_mut().remove::<ApiKey>();
        match digest {
            Ok(digest) => self.look_up(&digest, route, request),
            Err(CredentialError::Missing) => self.go_without(foreign.as_ref(), route, request).into(),
            Err(error) => Progress::Rejected(error.into()),
        }
    }

    /// Step 2 for a request without a credential.
    #[cold]
    fn go_without<B>(
        &mut self,
        foreign: Option<&ApiKey>,
        route: RouteClass,
        request: &mut Request<B>,
    ) -> Result<ResponseHeaders, Rejection> {
        // An outer layer on another store has removed the credential. To report it as missing would hide the mistake.
        if foreign.and_then(ApiKey::config).is_some_and(|outer| outer.source.hides(&self.config.source)) {
            tracing::error!(
                "an ApiKeyLayer is inside another one on a different store, which removes the key header: call \
                 keep_header() on the outer one, or build both on one store; answering 500"
            );
            return Err(Rejection::Misconfigured);
        }
        // An anonymous request may do what a key without a scope may do.
        if self.config.anonymous && self.authorize(&Access::scoped([]), route, request).is_ok() {
            self.enter_without_key(request, Outcome::Anonymous);
            return Ok(self.response_headers());
        }
        Err(CredentialError::Missing.into())
    }

    /// Step 3: what the store can answer at once, or else a lookup to wait for.
    fn look_up<B>(&mut self, digest: &KeyDigest, route: RouteClass, request: &mut Request<B>) -> Progress {
        let answer = self.config.store.try_find(digest);
        if let Some(report) = &mut self.report {
            report.facts.digest = Some(*digest);
            report.facts.lookup =
                if matches!(answer, Answer::Pending) { LookupKind::Awaited } else { LookupKind::Immediate };
        }
        match answer {
            Answer::Found(record) => self.decide(digest, route, record, request),
            Answer::NotFound => Progress::Rejected(Denial::Unknown.into()),
            Answer::Pending => {
                Progress::Waiting(Arc::clone(&self.config.store).find(*digest, route, self.config.lookup_timeout))
            }
            Answer::Failed(error) => Progress::Rejected(self.unavailable(*error)),
        }
    }

    /// Steps 4 and 5: the decision about the key, and the requirements of the route and of this layer. An accepted
    /// request carries the identity of its key.
    // Inlined, as is `authorize`: every accepted request takes both, and neither is called from one place only.
    #[inline(always)]
    fn decide<B>(
        &mut self,
        digest: &KeyDigest,
        route: RouteClass,
        record: Arc<KeyRecord>,
        request: &mut Request<B>,
    ) -> Progress {
        if let Some(report) = &mut self.report {
            report.facts.record = Some(Arc::clone(&record)).filter(|record| record.digest() == digest);
        }
        let mut read = None;
        if let Err(denial) = authenticate(digest, &record, || *read.insert(self.config.clock.now())) {
            return Progress::Rejected(denial.into());
        }
        if let Err(rejection) = self.authorize(record.access(), route, request) {
            return Progress::Rejected(rejection);
        }
        if let Some(usage) = &self.config.usage {
            usage.count(record.id(), read.unwrap_or_else(|| self.config.clock.now()));
        }
        request.extensions_mut().insert(ApiKey::authenticated(record, self.origin()));
        Progress::Accepted(self.response_headers())
    }

    /// Returns the class of the route. Without a table, every route is unlisted, and the table is not asked.
    fn route<B>(&self, request: &Request<B>) -> RouteClass {
        let routes = self.config.routes.as_ref();
        routes.map_or(RouteClass::Unlisted(None), |routes| routes.classify(RequestHead::new(request)))
    }

    /// Returns whether a valid key with this access may make this request.
    #[inline(always)]
    fn authorize<B>(&self, access: &Access, route: RouteClass, request: &Request<B>) -> Result<(), Rejection> {
        if let Some(routes) = &self.config.routes {
            routes.authorize(route, access)?;
        }
        if let Some(require_fn) = &self.config.require_fn {
            authorize(access, &require_fn(RequestHead::new(request)))?;
        }
        Ok(authorize(access, &self.config.requirement)?)
    }

    /// A request that is accepted without a key carries none: neither the credential nor an identity from elsewhere.
    #[cold]
    fn enter_without_key<B>(&mut self, request: &mut Request<B>, outcome: Outcome) {
        self.config.source.hide(request.headers_mut());
        if let Some(report) = &mut self.report {
            report.accepted = outcome;
        }
        let origin = self.origin();
        request.extensions_mut().remove::<ApiKey>();
        request.extensions_mut().insert(Anonymous::new(origin));
    }

    fn origin(&self) -> Origin {
        let inner_rejection = self.report.as_ref().map(|report| Arc::clone(&report.inner_rejection));
        Origin::new(Arc::clone(self.config), inner_rejection)
    }

    fn response_headers(&self) -> ResponseHeaders {
        if self.config.cache_control { ResponseHeaders::Private } else { ResponseHeaders::Unchanged }
    }

    /// Logs the cause; the client only sees a 503.
    #[cold]
    fn unavailable(&mut self, error: LookupError) -> Rejection {
        let LookupError { outage, cause } = error;
        tracing::warn!("no answer from the key store, answering 503: {}", error_chain(&*cause));
        if let Some(report) = &mut self.report {
            report.facts.store_error = Some(cause);
        }
        outage.into()
    }

    /// Rejects the request: counts a failed attempt, reports the reason, and makes the response.
    #[cold]
    pub(super) fn reject<B>(&mut self, rejection: Rejection, request: &Request<B>) -> Response<Bytes> {
        let rejection = self.count_failure(rejection, request);
        if let Some(report) = &mut self.report {
            report.rejection = Some(rejection);
        }
        self.respond(rejection, request)
    }

    /// Returns the reason for the rejection: a client with too many failed attempts is throttled.
    fn count_failure<B>(&self, rejection: Rejection, request: &Request<B>) -> Rejection {
        match &self.config.failures {
            Some(limiter) if is_failed_attempt(rejection) => {
                limiter.try_acquire(RequestHead::new(request)).err().unwrap_or(rejection)
            }
            _ => rejection,
        }
    }

    fn respond<B>(&self, rejection: Rejection, request: &Request<B>) -> Response<Bytes> {
        self.config.responder.respond(rejection, RequestHead::new(request))
    }
}

/// Returns whether a credential was presented and rejected. A request without one attempts nothing.
fn is_failed_attempt(rejection: Rejection) -> bool {
    rejection.status() == StatusCode::UNAUTHORIZED && rejection != Rejection::Credential(CredentialError::Missing)
}

impl From<Result<ResponseHeaders, Rejection>> for Progress {
    fn from(result: Result<ResponseHeaders, Rejection>) -> Self {
        match result {
            Ok(headers) => Self::Accepted(headers),
            Err(rejection) => Self::Rejected(rejection),
        }
    }
}
