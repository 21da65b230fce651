use std::any::Any;
use std::error::Error;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use http::{HeaderName, StatusCode};

use super::event::{DecisionEvent, Facts, LookupKind, Outcome};
use super::nesting::{Hooks, Nesting, Outer};
use crate::BoxError;
use crate::error_chain::error_chain;
use crate::hooks::call_each;
use crate::key::KeyId;
use crate::rejection::reason::Rejection;
use crate::request::{MatchedRoute, RequestHead};
use crate::usage::UsageTracker;

/// Collects what the event of one request shows, and emits the event once: at [`finish`](Self::finish), or as cancelled
/// when the report is dropped before.
pub(crate) struct Report {
    finished: bool,
    /// Whether the response gets the route of the request.
    expose_route: bool,
    pub(crate) facts: Facts,
    pub(crate) rejection: Option<Rejection>,
    /// The outcome of a request that is not rejected.
    pub(crate) accepted: Outcome,
    nesting: Arc<Nesting>,
}

impl Report {
    pub(crate) fn begin(
        hooks: Option<&Hooks>,
        expose_route: bool,
        request_id: Option<&HeaderName>,
        request: RequestHead<'_>,
    ) -> Box<Self> {
        Self::new(hooks.cloned().unwrap_or_default(), expose_route, None, request_id, request)
    }

    /// Begins the report of a layer inside others. Its hooks are called, except those that an outer layer calls.
    pub(crate) fn begin_inside(
        hooks: Option<&Hooks>,
        expose_route: bool,
        outer: Outer,
        request_id: Option<&HeaderName>,
        request: RequestHead<'_>,
    ) -> Box<Self> {
        let own = hooks.into_iter().flat_map(|hooks| hooks.iter());
        let hooks = own.filter(|hook| !outer.calls(hook)).cloned().collect();
        Self::new(hooks, expose_route, Some(outer), request_id, request)
    }

    fn new(
        hooks: Hooks,
        expose_route: bool,
        outer: Option<Outer>,
        request_id: Option<&HeaderName>,
        request: RequestHead<'_>,
    ) -> Box<Self> {
        Box::new(Self {
            finished: false,
            expose_route,
            facts: Facts {
                started: Instant::now(),
                method: request.method().clone(),
                target: request.target().clone(),
                route: None,
                client: request.extensions().get().copied(),
                request_id: request_id.and_then(|name| request.headers().get(name)).cloned(),
                digest: None,
                format: None,
                record: None,
                identity: None,
                lookup: LookupKind::None,
                legacy: None,
                unmet: None,
                store_error: None,
                is_logged: AtomicBool::new(false),
            },
            rejection: None,
            accepted: Outcome::Accepted,
            nesting: Arc::new(Nesting { hooks, rejection: OnceLock::new(), outer }),
        })
    }

    /// Returns what inner layers must know of this one.
    pub(crate) const fn nesting(&self) -> &Arc<Nesting> {
        &self.nesting
    }

    /// Returns whether an outer layer has counted the request as a use of this key in this tracker.
    pub(crate) fn is_counted(&self, tracker: &UsageTracker, key: KeyId) -> bool {
        self.nesting.outer.as_ref().is_some_and(|outer| outer.has_counted(tracker, key))
    }

    /// Returns the route that the response gets.
    pub(crate) fn exposed_route(&self) -> Option<MatchedRoute> {
        self.facts.route.clone().filter(|_| self.expose_route)
    }

    /// Notes why the store gave no answer. If it is not logged yet, it is when no hook logs it.
    pub(crate) fn set_store_error(&mut self, cause: BoxError, is_logged: bool) {
        self.facts.store_error = Some(cause);
        self.facts.is_logged = is_logged.into();
    }

    pub(crate) fn finish(&mut self, status: Option<StatusCode>) {
        if self.rejection.is_none()
            && let Some((rejection, unmet)) = self.nesting.rejection.get()
        {
            (self.rejection, self.facts.unmet) = (Some(*rejection), unmet.clone());
        }
        let rejection = self.rejection;
        if let (Some(rejection), Some(outer)) = (rejection, &self.nesting.outer) {
            outer.note(rejection, self.facts.unmet.as_ref());
        }
        let outcome = rejection.map_or(self.accepted, Outcome::Rejected);
        let reported = std::mem::replace(&mut self.finished, true);
        if !reported && let Some(panic) = self.emit(outcome, status).into_iter().next() {
            resume_unwind(panic);
        }
    }

    /// Calls each hook, and logs an outage that no hook has logged.
    fn emit(&self, outcome: Outcome, status: Option<StatusCode>) -> Vec<Box<dyn Any + Send>> {
        let event = DecisionEvent::new(&self.facts, outcome, status);
        let panics = call_each(self.nesting.hooks.iter(), |hook| hook.call(&event));
        if let Some(cause) = self.facts.store_error.as_ref().filter(|_| !self.facts.is_logged.load(Ordering::Relaxed)) {
            log_outage(&**cause);
        }
        panics
    }
}

/// Logs the cause; the client only sees a 503.
pub(crate) fn log_outage(cause: &(dyn Error + 'static)) {
    tracing::warn!("no answer from the key store, answering 503: {}", error_chain(cause));
}

impl Drop for Report {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // This may run while a panic of the inner service unwinds, where a second panic would abort.
        for _ in self.emit(Outcome::Cancelled, None) {
            tracing::error!("a decision hook panicked on a cancelled request");
        }
    }
}
