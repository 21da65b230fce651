//! The check of a request, from top to bottom.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};

use super::authorize::{Authorizer, RouteClass};
use super::config::{Config, ThreadConfig};
use super::enclosing::Enclosing;
use super::identity::ApiKey;
use super::keyless::Keyless;
use super::limit::{Limiter, log_answered};
use super::lookup::{Answer, Awaited, LookupError};
use super::origin::Origin;
use super::preflight::is_preflight;
use super::response_headers::{Caching, ResponseHeaders};
use super::waiting::{Next, Paused, WaitedFor, Waiting};
use crate::client::ClientInfo;
use crate::decision::{Denial, authenticate, authorize};
use crate::error_chain::error_chain;
use crate::identity::Identity;
use crate::key::{KeyDigest, KeyFormat, KeyRecord};
use crate::observe::{Facts, LookupKind, Outcome, Report, log_outage};
use crate::rejection::reason::Rejection;
use crate::rejection::{CredentialError, Outage, Unmet};
use crate::request::RequestHead;
use crate::scope::Access;

/// The check of one request. Carries the report of it, if the layer has a hook.
pub(super) struct Check<'a> {
    pub(super) config: &'a Config,
    /// The same, to be referred to after the check.
    pub(super) thread_config: &'a ThreadConfig,
    pub(super) report: Option<Report>,
    pub(super) headers: ResponseHeaders,
    pub(super) paused: Paused,
}

/// The inner service is next, unless something stops the request.
pub(super) type Progress = Result<(), Stop>;

/// What stops a request before the inner service is called.
pub(super) enum Stop {
    Rejected(Rejected),
    /// The inner service is next, and this is the response unless an inner CORS layer gives one.
    Preflight(Box<Response<Bytes>>),
    /// The store or a limiter must be awaited. [`Check::resume`] goes on.
    Waiting(Waiting),
}

/// Why a request is rejected.
pub(super) struct Rejected {
    pub(super) rejection: Rejection,
    /// The requirement that the key does not meet, where a hook or a renderer sees it.
    pub(super) unmet: Option<Box<Unmet>>,
}

impl<'a> Check<'a> {
    pub(super) fn new(thread_config: &'a ThreadConfig, report: Option<Report>, paused: Paused) -> Self {
        Self { config: thread_config, thread_config, report, headers: ResponseHeaders::default(), paused }
    }

    /// Goes through the steps that need no waiting.
    pub(super) fn begin<B>(&mut self, request: &mut Request<B>) -> Progress {
        let extensions = request.extensions();
        let has_identity = extensions.get::<ApiKey>().is_some() || extensions.get::<Keyless>().is_some();
        // Made, and dropped, only where there is one.
        let enclosing;
        let outer = if has_identity {
            enclosing = Enclosing::take(request.extensions_mut());
            enclosing.as_ref()
        } else {
            None
        };
        if self.config.hooks.is_some() || self.config.expose_route || outer.is_some() {
            self.begin_report(outer, request);
        }
        self.classify(outer, request).or_else(|stop| self.count_failure(stop, request))
    }

    #[inline(never)]
    fn begin_report<B>(&mut self, outer: Option<&Enclosing>, request: &Request<B>) {
        let Config { hooks, expose_route, responder, .. } = self.config;
        let head = RequestHead::new(request).with_path_from(self.config.path_from);
        let request_id = responder.request_id.as_ref();
        self.report = Some(match outer {
            None => Report::begin(hooks.as_ref(), *expose_route, request_id, head),
            Some(outer) => Report::begin_inside(hooks.as_ref(), *expose_route, outer.outer(), request_id, head),
        });
    }

    /// Goes on with a request whose waiting has ended.
    pub(super) fn resume<B>(&mut self, waited_for: WaitedFor, request: &mut Request<B>) -> Progress {
        match waited_for {
            WaitedFor::Lookup(awaited) => {
                self.found(awaited, request).or_else(|stop| self.count_failure(stop, request))
            }
            WaitedFor::Count(counted) => {
                if counted.answer.is_ok() {
                    log_answered(&self.config.limit_outage);
                }
                self.counted(counted, request)
            }
        }
    }

    fn found<B>(&mut self, awaited: Awaited, request: &mut Request<B>) -> Progress {
        if awaited.found.is_ok() {
            self.log_recovery();
        }
        if awaited.legacy.is_some() {
            self.note_legacy(&awaited);
        }
        match awaited.found {
            Ok(Some(record)) => self.decide(&awaited.digest, self.limiter(), record, request),
            Ok(None) => Err(Stop::Rejected(Denial::Unknown.into())),
            Err(error) => Err(Stop::Rejected(self.unavailable(*error).into())),
        }
    }

    /// Step 1: public routes and CORS preflights need no key.
    fn classify<B>(&mut self, outer: Option<&Enclosing>, request: &mut Request<B>) -> Progress {
        if let Some(routes) = &self.config.routes
            && self.classify_by(&**routes, request)
        {
            self.enter_without_key(request, Outcome::Public);
            return Ok(());
        }
        if self.config.preflight && is_preflight(request) {
            self.enter_without_key(request, Outcome::Preflight);
            return Err(Stop::Preflight(Box::new(self.respond(CredentialError::Missing.into(), request))));
        }
        match outer.and_then(|outer| Some((outer, outer.key_for(self.config)?))) {
            None => self.read_credential(outer, request),
            Some((outer, key)) => self.go_on_inside(outer, key, request),
        }
    }

    /// Notes the class of the route. Returns whether it is public.
    fn classify_by<B>(&mut self, routes: &dyn Authorizer, request: &Request<B>) -> bool {
        let route = routes.classify(self.head(request));
        self.paused.route = route;
        let config = self.config;
        if let Some(facts) = self.facts() {
            facts.route = config.pattern(route.entry()).cloned();
        }
        matches!(route, RouteClass::Public(_))
    }

    /// Step 2 inside an outer layer that has found the record that this one would find: the credential is not read again, and
    /// the store is not asked again.
    #[cold]
    fn go_on_inside<B>(&mut self, outer: &Enclosing, key: &ApiKey, request: &mut Request<B>) -> Progress {
        self.config.source.hide(request.headers_mut());
        let record = key.record();
        if let Some(facts) = self.facts() {
            facts.digest = Some(*record.digest());
        }
        let limiter = self.limiter().filter(|_| !outer.has_counted(self.config));
        self.decide(record.digest(), limiter, Arc::clone(record), request)
    }

    /// Step 2: the one credential of the request, which leaves it here.
    #[inline]
    fn read_credential<B>(&mut self, outer: Option<&Enclosing>, request: &mut Request<B>) -> Progress {
        let source = &self.config.source;
        if !source.formats.is_empty()
            && let Some(facts) = self.facts()
        {
            facts.environment = source.format(request.headers()).and_then(KeyFormat::environment).cloned();
        }
        match source.take_alone(request.headers_mut()) {
            Some(Ok(value)) => {
                let digest = value.digest();
                drop(value);
                self.look_up(&digest, request)
            }
            Some(Err(error)) => self.unreadable(error, outer, request),
            None => self.read_one_of_many(outer, request),
        }
    }

    /// Step 2 where the credential can be in several places, or may be a legacy key.
    #[cold]
    fn read_one_of_many<B>(&mut self, outer: Option<&Enclosing>, request: &mut Request<B>) -> Progress {
        let Config { source, legacy, .. } = self.config;
        let candidate =
            legacy.as_ref().and_then(|legacy| source.with_key(request.headers(), |key| legacy.candidate(key)));
        match (source.take_one_of_many(request.headers_mut()), candidate) {
            (Ok(_), Some(candidate)) => self.look_up_legacy(candidate, request),
            (Ok(digest), None) => self.look_up(&digest, request),
            (Err(error), _) => self.unreadable(error, outer, request),
        }
    }

    /// Step 2 where no credential can be looked up.
    #[cold]
    fn unreadable<B>(
        &mut self,
        error: CredentialError,
        outer: Option<&Enclosing>,
        request: &mut Request<B>,
    ) -> Progress {
        match error {
            CredentialError::Missing => self.go_without(outer, request),
            error => Err(Stop::Rejected(error.into())),
        }
    }

    /// Step 2 for a request without a credential.
    #[cold]
    fn go_without<B>(&mut self, outer: Option<&Enclosing>, request: &mut Request<B>) -> Progress {
        if outer.is_some_and(|outer| outer.has_removed_credential_of(self.config)) {
            return Err(Stop::Rejected(Rejection::Misconfigured.into()));
        }
        let counted = outer.is_some_and(|outer| outer.has_counted(self.config));
        let limiter = self.limiter().filter(|_| !counted);
        if let Some(identity) = self.config.identify.as_ref().and_then(|identify| identify(request.extensions())) {
            if let Some(facts) = self.facts() {
                facts.identity = Some(identity.clone());
            }
            return match limiter {
                Some(limiter) => self.count(limiter, Next::Identity(identity), request),
                None => self.accept_identity(identity, request),
            };
        }
        // An anonymous request may do what a key without a scope may do.
        if self.config.anonymous && self.authorize(&Access::scoped([]), request).is_ok() {
            return match limiter {
                Some(limiter) => self.count(limiter, Next::Anonymous, request),
                None => self.enter_anonymous(request),
            };
        }
        Err(Stop::Rejected(CredentialError::Missing.into()))
    }

    /// Step 5 for a request with the identity of an outer authenticator: the same requirements as of a key.
    pub(super) fn accept_identity<B>(&mut self, identity: Identity, request: &mut Request<B>) -> Progress {
        self.require(identity.access(), request)?;
        request.extensions_mut().insert(Keyless::identified(self.reporting_origin(), identity));
        self.set_caching();
        Ok(())
    }

    pub(super) fn enter_anonymous<B>(&mut self, request: &mut Request<B>) -> Progress {
        self.enter_without_key(request, Outcome::Anonymous);
        self.set_caching();
        Ok(())
    }

    /// Step 3: what the store can answer at once, or else a lookup to wait for.
    // Inlined, since most requests take it from one of its callers.
    #[inline(always)]
    pub(super) fn look_up<B>(&mut self, digest: &KeyDigest, request: &mut Request<B>) -> Progress {
        match self.try_find(digest) {
            Answer::Found(record) => self.decide(digest, self.limiter(), record, request),
            Answer::NotFound => Err(Stop::Rejected(Denial::Unknown.into())),
            Answer::Pending => Err(Stop::Waiting(Waiting::for_store(self, *digest))),
            Answer::Failed(error) => Err(Stop::Rejected(self.unavailable(*error).into())),
        }
    }

    #[inline]
    pub(super) fn try_find(&mut self, digest: &KeyDigest) -> Answer {
        let answer = self.config.store.try_find(digest);
        if let Some(facts) = self.facts() {
            facts.digest = Some(*digest);
            facts.lookup = if matches!(answer, Answer::Pending) { LookupKind::Awaited } else { LookupKind::Immediate };
        }
        answer
    }

    /// Step 4: the decision about the key, and the limit.
    // Inlined, as is `authorize`: every accepted request takes them, and none is called from one place only.
    #[inline(always)]
    pub(super) fn decide<B>(
        &mut self,
        digest: &KeyDigest,
        limiter: Option<&dyn Limiter>,
        record: Arc<KeyRecord>,
        request: &mut Request<B>,
    ) -> Progress {
        if let Some(facts) = self.facts() {
            facts.record = Some(Arc::clone(&record)).filter(|record| record.digest() == digest);
        }
        let mut read = None;
        let now = || *read.insert(self.config.clock.now());
        if let Err(denial) = authenticate(digest, &record, now, || self.client(request)) {
            return Err(Stop::Rejected(self.denied(denial, &record).into()));
        }
        if let Some(usage) = &self.config.usage {
            let counted = self.report.as_ref().is_some_and(|report| report.is_counted(usage, record.id()));
            if !counted {
                usage.count(record.id(), read.unwrap_or_else(|| self.config.clock.now()));
            }
        }
        if let Some(limiter) = limiter {
            let key = ApiKey::authenticated(record, self.origin());
            return self.count_key(limiter, (key, read), request);
        }
        self.require(record.access(), request)?;
        self.enter(ApiKey::authenticated(record, self.reporting_origin()), request)
    }

    /// Step 5 for a key whose request a limiter has counted.
    pub(super) fn accept<B>(&mut self, mut key: ApiKey, request: &mut Request<B>) -> Progress {
        self.require(key.access(), request)?;
        if let Some(report) = &self.report {
            key.report_to(report.nesting());
        }
        self.enter(key, request)
    }

    /// An accepted request carries the identity of its key.
    #[inline]
    fn enter<B>(&mut self, key: ApiKey, request: &mut Request<B>) -> Progress {
        request.extensions_mut().insert(key);
        self.set_caching();
        Ok(())
    }

    /// Step 5: the requirements of the route and of this layer.
    #[inline]
    fn require<B>(&self, access: &Access, request: &Request<B>) -> Result<(), Rejected> {
        self.authorize(access, request).map_err(|rejection| self.explain(rejection, access, request))
    }

    /// Returns the address of the client, which an outer layer has put there.
    #[cold]
    fn client<B>(&self, request: &Request<B>) -> Option<IpAddr> {
        let client = request.extensions().get::<ClientInfo>();
        if client.is_none() {
            self.config.missing_client.call_once(|| {
                tracing::error!(
                    "a key that is limited to networks was used, and its request has no ClientInfo: put a \
                     ClientInfoLayer outside of the ApiKeyLayer; answering 403 to every such key"
                );
            });
        }
        client?.address()
    }

    pub(super) fn limiter(&self) -> Option<&'a dyn Limiter> {
        self.config.limit.as_deref()
    }

    /// Returns whether a valid key with this access may make this request.
    #[inline(always)]
    fn authorize<B>(&self, access: &Access, request: &Request<B>) -> Result<(), Rejection> {
        if let Some(routes) = &self.config.routes {
            routes.authorize(self.paused.route, access)?;
        }
        if let Some(require_fn) = &self.config.require_fn {
            authorize(access, &require_fn(self.head(request)))?;
        }
        Ok(authorize(access, &self.config.requirement)?)
    }

    /// Adds which requirement a valid key does not meet, if a hook or a renderer can see it.
    #[cold]
    fn explain<B>(&self, rejection: Rejection, access: &Access, request: &Request<B>) -> Rejected {
        let config = self.config;
        let is_seen = self.report.is_some() || config.responder.renderer.is_some();
        if !is_seen || rejection != Rejection::Denied(Denial::InsufficientScope) {
            return rejection.into();
        }
        let of_table = || config.routes.as_ref().and_then(|routes| routes.unmet(self.paused.route, access));
        let of_function = || config.require_fn.as_ref().map(|require_fn| require_fn(self.head(request)));
        let of_function = || of_function().filter(|requirement| !requirement.is_met_by(access));
        let unmet = of_table().or_else(of_function).unwrap_or_else(|| config.requirement.clone());
        Rejected { rejection, unmet: Some(Box::new(Unmet::new(&unmet, access))) }
    }

    /// A request that is accepted without a key carries none: neither the credential nor an identity from elsewhere.
    #[cold]
    fn enter_without_key<B>(&mut self, request: &mut Request<B>, outcome: Outcome) {
        let source = &self.config.source;
        let removed = !source.keep && source.is_presented(request.headers());
        source.hide(request.headers_mut());
        if let Some(facts) = self.facts() {
            facts.accepted = outcome;
        }
        request.extensions_mut().insert(Keyless::anonymous(self.reporting_origin(), removed));
    }

    fn origin(&self) -> Origin {
        Origin::new(Arc::clone(self.thread_config), self.paused.route, None)
    }

    fn reporting_origin(&self) -> Origin {
        let nesting = self.report.as_ref().map(|report| Arc::clone(report.nesting()));
        Origin::new(Arc::clone(self.thread_config), self.paused.route, nesting)
    }

    /// Returns what the event will show, if there is a hook and the request is not accepted yet.
    pub(super) fn facts(&mut self) -> Option<&mut Facts> {
        self.report.as_mut()?.facts()
    }

    #[inline]
    fn set_caching(&mut self) {
        let config = self.config;
        if config.cache_control {
            let names_others = !config.responder.credentials.is_default();
            self.headers.caching = Caching::Private(names_others.then(|| Arc::clone(self.thread_config)));
        }
    }

    /// Logs how many requests failed in an outage that has ended.
    fn log_recovery(&self) {
        if let Some(ended) = self.config.outage.succeed() {
            tracing::info!(
                "the key store answers again: {} requests got no answer in {:.1?}",
                ended.failures,
                ended.length
            );
        }
    }

    /// Logs the cause once in each outage, or leaves that to the hooks; the client only sees a 503.
    #[cold]
    pub(super) fn unavailable(&mut self, error: LookupError) -> Rejection {
        let LookupError { outage, cause } = error;
        if matches!(outage, Outage::VerifierFailed | Outage::VerifierTimedOut | Outage::VerifierBusy) {
            return self.unverified(outage, cause);
        }
        let is_new = self.config.outage.fail(&error_chain(&*cause));
        match self.facts() {
            Some(facts) => facts.set_store_error(cause, !is_new),
            None if is_new => log_outage(&*cause),
            None => {}
        }
        outage.into()
    }

    /// Logs the mistake of a store that returns the record of another key; the client only sees a 503.
    #[cold]
    fn denied(&mut self, denial: Denial, record: &KeyRecord) -> Rejection {
        if denial == Denial::OtherKey {
            tracing::error!(
                "the key store returned the record of key {} for another key, answering 503: `find` must select by the \
                 digest it is given, and build the record with the digest of the row",
                record.id()
            );
            if let Some(facts) = self.facts() {
                facts.set_store_error(denial.into(), true);
            }
        }
        denial.into()
    }

    /// Rejects the request: reports the reason, and makes the response.
    #[cold]
    pub(super) fn reject<B>(&mut self, rejected: Rejected, request: &Request<B>) -> Response<Bytes> {
        let Rejected { rejection, unmet } = rejected;
        self.note_rejected(rejection, unmet.as_deref());
        let mut response = self.config.responder.explain(rejection, unmet.as_deref(), self.head(request));
        if let Some(limit) = &self.headers.limit {
            limit.apply(response.headers_mut(), 0);
        }
        response
    }

    pub(super) fn note_rejected(&mut self, rejection: Rejection, unmet: Option<&Unmet>) {
        if let Some(report) = &self.report {
            report.reject(rejection, unmet);
        }
    }

    fn respond<B>(&self, rejection: Rejection, request: &Request<B>) -> Response<Bytes> {
        self.config.responder.respond(rejection, self.head(request))
    }

    pub(super) fn head<'r, B>(&self, request: &'r Request<B>) -> RequestHead<'r>
    where
        'a: 'r,
    {
        let head = RequestHead::new(request).with_path_from(self.config.path_from);
        head.with_matched_route(self.config.pattern(self.paused.route.entry()))
    }
}

impl From<Rejected> for Stop {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }
}

impl<R: Into<Rejection>> From<R> for Rejected {
    fn from(rejection: R) -> Self {
        Self { rejection: rejection.into(), unmet: None }
    }
}
