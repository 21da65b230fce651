use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{CACHE_CONTROL, HeaderValue, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};

use super::finish::Finish;
use super::grpc;
use super::identity::{Anonymous, ApiKey, Origin};
use super::lookup::{Answer, Found, GuardedStore, LookupError};
use super::preflight::is_preflight;
use super::refusal::{Refusal, RequestHead};
use crate::decision::{Denial, RouteVerdict, authenticate, authorize};
use crate::error_chain::error_chain;
use crate::event::{Hook, LookupKind, Outcome, Report};
use crate::key::presented::CredentialSource;
use crate::key::{CredentialError, KeyDigest, KeyRecord};
use crate::rejection::{Challenge, Realm, Rejection, suit_method};
use crate::scope::{Access, Requirement};
use crate::store::StoreId;
use crate::time::Clock;
use crate::usage::UsageTracker;

pub(super) type RequireFn = Arc<dyn Fn(RequestHead<'_>) -> Requirement + Send + Sync>;
pub(super) type Renderer = Arc<dyn Fn(&Refusal<'_>) -> Response<Bytes> + Send + Sync>;

/// What a layer was configured with, and the steps that need it, in the order in which a request takes them.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(super) store: Arc<dyn GuardedStore>,
    pub(super) store_id: StoreId,
    pub(super) source: CredentialSource,
    pub(super) requirement: Requirement,
    pub(super) require_with: Option<RequireFn>,
    #[cfg(feature = "routes")]
    pub(super) routes: Option<Arc<crate::routes::RouteTable>>,
    pub(super) lookup_timeout: Option<Duration>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) realm: Realm,
    pub(super) challenge: Challenge,
    pub(super) renderer: Option<Renderer>,
    pub(super) hook: Option<Hook>,
    pub(super) usage: Option<UsageTracker>,
    pub(super) expose_rejection: bool,
    pub(super) cache_control: bool,
    pub(super) optional: bool,
    pub(super) preflight: bool,
    pub(super) grpc: bool,
    #[cfg(feature = "throttle")]
    pub(super) failures: Option<crate::throttle::FailedAttempts>,
}

/// The report of a request, where somebody asked for one.
pub(super) type Reporting = Option<Box<Report>>;

/// Where a request stands after what can be done without waiting.
pub(super) enum Step {
    Passed(Finish),
    Rejected(Rejection),
    /// It passed without a key, and this is the reply where nothing inside answers it.
    Preflight(Box<Response<Bytes>>),
    Waiting(Waiting),
}

/// A lookup that takes its time, and what its answer is judged by.
pub(super) struct Waiting {
    pub(super) lookup: BoxFuture<'static, Found>,
    digest: KeyDigest,
    route: RouteVerdict,
}

// What is always inlined is on the way of every request that passes: as calls, these steps would cost some 70 instructions
// more. What is rare stands apart, and returns little, so that the way stays short.
impl Settings {
    /// For a request that a layer on the same store let through: only what this layer asks for is left to check.
    #[cold]
    fn authorize_again<B>(&self, request: &mut Request<B>) -> Result<(), Rejection> {
        self.source.hide(request.headers_mut());
        let key = request.extensions().get::<ApiKey>().ok_or(Rejection::Misconfigured)?;
        let verdict = self.authorize(key.access(), &self.route(request), request);
        verdict.inspect_err(|&rejection| key.note(rejection))
    }

    /// Reads the credential and asks the store for what it can say at once.
    #[inline(always)]
    pub(super) fn begin<B>(self: &Arc<Self>, request: &mut Request<B>, report: &mut Reporting) -> Step {
        // Another layer has been here, or somebody pretends so.
        let outer = request.extensions().get::<ApiKey>();
        let foreign = outer.is_some();
        if outer.and_then(ApiKey::settings).is_some_and(|outer| outer.store_id == self.store_id) {
            return self.passed_if(self.authorize_again(request));
        }
        if let Some(hook) = &self.hook {
            *report = Some(Report::begin(hook, request));
        }
        let route = self.route(request);
        if matches!(route, RouteVerdict::Public) {
            self.enter_without_key(request, report, Outcome::Public);
            // Nobody's key was asked for, so that the reply may be cached.
            return Step::Passed(Finish::Nothing);
        }
        if self.preflight && is_preflight(request) {
            self.enter_without_key(request, report, Outcome::Preflight);
            return Step::Preflight(Box::new(self.refuse(CredentialError::Missing.into(), request)));
        }
        match self.source.take(request.headers_mut()) {
            Ok(digest) => {
                if foreign {
                    request.extensions_mut().remove::<ApiKey>();
                }
                self.look_up(&digest, &route, request, report)
            }
            Err(error) => self.passed_if(self.go_without(error, &route, request, report)),
        }
    }

    /// For a request whose credential cannot be looked up.
    #[cold]
    fn go_without<B>(
        self: &Arc<Self>,
        error: CredentialError,
        route: &RouteVerdict,
        request: &mut Request<B>,
        report: &mut Reporting,
    ) -> Result<(), Rejection> {
        let outer = request.extensions_mut().remove::<ApiKey>();
        if error != CredentialError::Missing {
            return Err(error.into());
        }
        // A layer that stands further out may have taken our credential away. Then the stack can never work, and to
        // call the key missing would send its owner looking in the wrong place.
        if outer.as_ref().and_then(ApiKey::settings).is_some_and(|outer| outer.source.hides(&self.source)) {
            log::error!(
                "an ApiKeyLayer stands inside another one on a different store, which removes the key header: let the \
                 outer one keep_header(), or build both on one store; answering 500"
            );
            return Err(Rejection::Misconfigured);
        }
        // What a key without a single scope may do, a request without a key may do where one is optional.
        if self.optional && self.authorize(&Access::scoped([]), route, request).is_ok() {
            self.enter_without_key(request, report, Outcome::Anonymous);
            return Ok(());
        }
        Err(error.into())
    }

    #[inline(always)]
    fn look_up<B>(
        self: &Arc<Self>,
        digest: &KeyDigest,
        route: &RouteVerdict,
        request: &mut Request<B>,
        report: &mut Reporting,
    ) -> Step {
        if let Some(report) = report {
            report.digest = Some(*digest);
            report.lookup = LookupKind::Immediate;
        }
        match self.store.find_now(digest) {
            Answer::Found(record) => self.passed_if(self.conclude(digest, route, record, request, report)),
            Answer::NotFound => Step::Rejected(Denial::Unknown.into()),
            Answer::Later => {
                if let Some(report) = report {
                    report.lookup = LookupKind::Awaited;
                }
                let lookup = Arc::clone(&self.store).find(*digest, self.lookup_timeout);
                Step::Waiting(Waiting { lookup, digest: *digest, route: *route })
            }
            Answer::Failed(error) => Step::Rejected(unavailable(*error, report)),
        }
    }

    fn passed_if(&self, verdict: Result<(), Rejection>) -> Step {
        match verdict {
            Ok(()) => Step::Passed(self.finish()),
            Err(rejection) => Step::Rejected(rejection),
        }
    }

    /// What is done to the response to a good key.
    pub(super) const fn finish(&self) -> Finish {
        if self.cache_control { Finish::CacheControl } else { Finish::Nothing }
    }

    /// Judges what the store said after a while.
    pub(super) fn conclude_waiting<B>(
        self: &Arc<Self>,
        waiting: &Waiting,
        found: Found,
        request: &mut Request<B>,
        report: &mut Reporting,
    ) -> Result<(), Rejection> {
        let record = found.map_err(|error| unavailable(*error, report))?.ok_or(Denial::Unknown)?;
        self.conclude(&waiting.digest, &waiting.route, record, request, report)
    }

    /// Judges what the store said, and lets the request carry the identity of its key.
    #[inline(always)]
    fn conclude<B>(
        self: &Arc<Self>,
        digest: &KeyDigest,
        route: &RouteVerdict,
        record: Arc<KeyRecord>,
        request: &mut Request<B>,
        report: &mut Reporting,
    ) -> Result<(), Rejection> {
        if let Some(report) = report {
            report.record = Some(Arc::clone(&record)).filter(|record| record.digest() == digest);
        }
        let mut read = None;
        authenticate(digest, &record, || *read.insert(self.clock.now()))?;
        self.authorize(record.access(), route, request)?;
        if let Some(usage) = &self.usage {
            usage.count(&record, read.unwrap_or_else(|| self.clock.now()));
        }
        request.extensions_mut().insert(ApiKey::judged(record, self.origin(report)));
        Ok(())
    }

    /// Why the request is refused in the end: one failed attempt too many is throttled.
    #[cfg_attr(not(feature = "throttle"), expect(clippy::unused_self, unused_variables, reason = "there is no limit"))]
    fn throttle<B>(&self, rejection: Rejection, request: &Request<B>) -> Rejection {
        #[cfg(feature = "throttle")]
        if let Some(failures) = &self.failures {
            return failures.judge(rejection, request);
        }
        rejection
    }

    /// Refuses a request of this layer: reports why, and makes the reply.
    pub(super) fn reject<B>(
        &self,
        rejection: Rejection,
        request: &Request<B>,
        report: &mut Reporting,
    ) -> Response<Bytes> {
        let rejection = self.throttle(rejection, request);
        if let Some(report) = report {
            report.rejection = Some(rejection);
        }
        self.refuse(rejection, request)
    }

    /// The reply to a refused request.
    pub(crate) fn refuse<B>(&self, rejection: Rejection, request: &Request<B>) -> Response<Bytes> {
        let refusal = Refusal { rejection, head: RequestHead::of(request), challenge: &self.challenge };
        let grpc = if self.grpc { grpc::content_type(request.headers()) } else { None };
        let mut response = match (grpc, &self.renderer) {
            (Some(content_type), _) => grpc::response(rejection, content_type),
            (None, Some(render)) => self.complete(render(&refusal)),
            (None, None) => refusal.response(),
        };
        if self.expose_rejection {
            response.extensions_mut().insert(rejection);
        }
        suit_method(request.method(), &mut response);
        response
    }

    /// What the table asks of a request, where there is a table.
    #[cfg_attr(not(feature = "routes"), expect(clippy::unused_self, unused_variables, reason = "there is no table"))]
    fn route<B>(&self, request: &Request<B>) -> RouteVerdict {
        #[cfg(feature = "routes")]
        if let Some(routes) = &self.routes {
            return routes.verdict(request);
        }
        RouteVerdict::AnyKey
    }

    /// Whether a valid key with this access may make this request.
    #[inline(always)]
    fn authorize<B>(&self, access: &Access, route: &RouteVerdict, request: &Request<B>) -> Result<(), Rejection> {
        if !matches!(route, RouteVerdict::AnyKey) {
            self.authorize_route(access, *route)?;
        }
        if let Some(require_with) = &self.require_with {
            authorize(access, &require_with(RequestHead::of(request)))?;
        }
        Ok(authorize(access, &self.requirement)?)
    }

    fn authorize_route(&self, access: &Access, route: RouteVerdict) -> Result<(), Rejection> {
        match route {
            RouteVerdict::Public | RouteVerdict::AnyKey => Ok(()),
            RouteVerdict::FullAccess => Ok(authorize(access, &Requirement::full_access())?),
            RouteVerdict::Lines(line, other) => self.authorize_lines(access, [Some(line), other]),
            RouteVerdict::NotFound => Err(Rejection::NotFound),
        }
    }

    /// Whether a valid key with this access meets these lines of the table.
    #[cfg_attr(not(feature = "routes"), expect(clippy::unused_self, unused_variables, reason = "there is no table"))]
    fn authorize_lines(&self, access: &Access, lines: [Option<usize>; 2]) -> Result<(), Rejection> {
        #[cfg(feature = "routes")]
        if let Some(routes) = &self.routes {
            let mut asked = lines.into_iter().flatten().filter_map(|line| routes.requirement(line));
            return Ok(asked.try_for_each(|requirement| authorize(access, requirement))?);
        }
        Err(Rejection::Misconfigured)
    }

    /// A request that passes without a key carries none: neither the credential nor an identity from further out.
    #[cold]
    fn enter_without_key<B>(self: &Arc<Self>, request: &mut Request<B>, report: &mut Reporting, passed: Outcome) {
        self.source.hide(request.headers_mut());
        if let Some(report) = report {
            report.passed = passed;
        }
        let origin = self.origin(report);
        request.extensions_mut().remove::<ApiKey>();
        request.extensions_mut().insert(Anonymous { origin });
    }

    #[inline]
    fn origin(self: &Arc<Self>, report: &Reporting) -> Origin {
        let inner_verdict = report.as_ref().map(|report| Arc::clone(&report.inner_verdict));
        Origin { settings: Arc::clone(self), inner_verdict }
    }

    /// What a renderer may have left out and no refusal may go without.
    fn complete(&self, mut response: Response<Bytes>) -> Response<Bytes> {
        let unauthorized = response.status() == StatusCode::UNAUTHORIZED;
        let headers = response.headers_mut();
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        if unauthorized {
            headers.entry(WWW_AUTHENTICATE).or_insert_with(|| self.challenge.value().clone());
        }
        response
    }
}

/// Says why there is no answer to those who may know.
fn unavailable(error: LookupError, report: &mut Reporting) -> Rejection {
    let LookupError { outage, cause } = error;
    log::warn!("no answer from the key store, answering 503: {}", error_chain(&*cause));
    if let Some(report) = report {
        report.store_error = Some(cause);
    }
    outage.into()
}
