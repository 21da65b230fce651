use std::any::Any;
use std::error::Error;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use http::{HeaderName, StatusCode};

use super::event::{DecisionEvent, Facts, LookupKind, Outcome};
use super::nesting::{Hooks, Nesting, Outer};
use crate::error_chain::error_chain;
use crate::hooks::call_each;
use crate::key::KeyId;
use crate::rejection::Unmet;
use crate::rejection::reason::Rejection;
use crate::request::{MatchedRoute, RequestHead};
use crate::usage::UsageTracker;

/// Collects what the event of one request shows, and emits the event once: at [`finish`](Self::finish), or as cancelled
/// when the report is dropped before.
pub(crate) struct Report {
    /// Inner layers refer to it once the request is accepted.
    nesting: Arc<Nesting>,
}

impl Report {
    pub(crate) fn begin(
        hooks: Option<&Hooks>,
        expose_route: bool,
        request_id: Option<&HeaderName>,
        request: RequestHead<'_>,
    ) -> Self {
        Self::new(hooks.cloned().unwrap_or_default(), expose_route, None, request_id, request)
    }

    /// Begins the report of a layer inside others. Its hooks are called, except those that an outer layer calls.
    pub(crate) fn begin_inside(
        hooks: Option<&Hooks>,
        expose_route: bool,
        outer: Outer,
        request_id: Option<&HeaderName>,
        request: RequestHead<'_>,
    ) -> Self {
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
    ) -> Self {
        let facts = Facts {
            started: Instant::now(),
            method: request.method().clone(),
            path: request.target().path_and_query().cloned(),
            route: None,
            client: request.extensions().get().copied(),
            request_id: request_id.and_then(|name| request.headers().get(name)).cloned(),
            digest: None,
            environment: None,
            record: None,
            identity: None,
            lookup: LookupKind::None,
            legacy: None,
            store_error: None,
            is_logged: AtomicBool::new(false),
            accepted: Outcome::Accepted,
            expose_route,
            is_finished: AtomicBool::new(false),
        };
        Self { nesting: Arc::new(Nesting { facts, hooks, rejection: OnceLock::new(), outer }) }
    }

    /// Returns what inner layers must know of this one.
    pub(crate) const fn nesting(&self) -> &Arc<Nesting> {
        &self.nesting
    }

    /// Returns what is known of the request, to note more. `None` once inner layers refer to it.
    pub(crate) fn facts(&mut self) -> Option<&mut Facts> {
        Some(&mut Arc::get_mut(&mut self.nesting)?.facts)
    }

    /// Returns whether an outer layer has counted the request as a use of this key in this tracker.
    pub(crate) fn is_counted(&self, tracker: &UsageTracker, key: KeyId) -> bool {
        self.nesting.outer.as_ref().is_some_and(|outer| outer.has_counted(tracker, key))
    }

    /// Returns the route that the response gets.
    pub(crate) fn exposed_route(&self) -> Option<MatchedRoute> {
        let Facts { route, expose_route, .. } = &self.nesting.facts;
        route.as_ref().filter(|_| *expose_route).cloned()
    }

    /// Notes that this layer rejects the request.
    pub(crate) fn reject(&self, rejection: Rejection, unmet: Option<&Unmet>) {
        self.nesting.note_own(rejection, unmet);
    }

    /// Emits the event: with the rejection that was noted first, if there is one.
    pub(crate) fn finish(&self, status: Option<StatusCode>) {
        let rejected = self.nesting.rejection.get();
        self.finish_with(rejected.map(|(rejection, unmet)| (*rejection, unmet.as_deref())), status);
    }

    /// Emits the event of a request that is rejected for this reason, whatever was noted.
    pub(crate) fn finish_rejected(&self, rejection: Rejection, status: StatusCode) {
        self.finish_with(Some((rejection, None)), Some(status));
    }

    fn finish_with(&self, rejected: Option<(Rejection, Option<&Unmet>)>, status: Option<StatusCode>) {
        let Nesting { facts, outer, .. } = &*self.nesting;
        let (mut outcome, mut unmet) = (facts.accepted, None);
        if let Some((rejection, requirement)) = rejected {
            (outcome, unmet) = (Outcome::Rejected(rejection), requirement);
            if let Some(outer) = outer {
                outer.note(rejection, unmet);
            }
        }
        let reported = facts.is_finished.swap(true, Ordering::Relaxed);
        if !reported && let Some(panic) = self.emit(outcome, unmet, status).into_iter().next() {
            resume_unwind(panic);
        }
    }

    /// Calls each hook, and logs an outage that no hook has logged.
    fn emit(&self, outcome: Outcome, unmet: Option<&Unmet>, status: Option<StatusCode>) -> Vec<Box<dyn Any + Send>> {
        let Nesting { facts, hooks, .. } = &*self.nesting;
        let event = DecisionEvent::new(facts, unmet, outcome, status);
        let panics = call_each(hooks.iter(), |hook| hook.call(&event));
        if let Some(cause) = facts.store_error.as_ref().filter(|_| !facts.is_logged.load(Ordering::Relaxed)) {
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
        if self.nesting.facts.is_finished.load(Ordering::Relaxed) {
            return;
        }
        // This may run while a panic of the inner service unwinds, where a second panic would abort.
        for _ in self.emit(Outcome::Cancelled, None, None) {
            tracing::error!("a decision hook panicked on a cancelled request");
        }
    }
}
