use std::panic::resume_unwind;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use http::{Request, StatusCode};

use super::event::{DecisionEvent, Facts, LookupKind, Outcome};
use crate::hooks::call_each;
use crate::rejection::reason::Rejection;

/// The hooks of a layer, which are called with the event of each request.
pub(crate) type Hooks = Arc<[Arc<dyn Fn(&DecisionEvent<'_>) + Send + Sync>]>;

/// Why an inner layer or handler rejected a request that the reporting layer accepted.
pub(crate) type InnerRejection = Arc<OnceLock<Rejection>>;

/// Collects what the event of one request shows, and emits the event once: at [`finish`](Self::finish), or as cancelled
/// when the report is dropped before.
pub(crate) struct Report {
    hooks: Option<Hooks>,
    pub(crate) facts: Facts,
    pub(crate) rejection: Option<Rejection>,
    /// The outcome of a request that is not rejected.
    pub(crate) accepted: Outcome,
    pub(crate) inner_rejection: InnerRejection,
}

impl Report {
    pub(crate) fn begin<B>(hooks: &Hooks, request: &Request<B>) -> Box<Self> {
        Box::new(Self {
            hooks: Some(Arc::clone(hooks)),
            facts: Facts {
                started: Instant::now(),
                method: request.method().clone(),
                path: request.uri().path().into(),
                digest: None,
                record: None,
                lookup: LookupKind::None,
                store_error: None,
            },
            rejection: None,
            accepted: Outcome::Accepted,
            inner_rejection: InnerRejection::default(),
        })
    }

    pub(crate) fn finish(&mut self, status: Option<StatusCode>) {
        let rejection = self.rejection.or_else(|| self.inner_rejection.get().copied());
        let outcome = rejection.map_or(self.accepted, Outcome::Rejected);
        if let Some(hooks) = self.hooks.take() {
            let event = DecisionEvent::new(&self.facts, outcome, status);
            if let Some(panic) = call_each(hooks.iter(), |hook| hook(&event)).into_iter().next() {
                resume_unwind(panic);
            }
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let Some(hooks) = self.hooks.take() else { return };
        let event = DecisionEvent::new(&self.facts, Outcome::Cancelled, None);
        // This may run while a panic of the inner service unwinds, where a second panic would abort.
        for _ in call_each(hooks.iter(), |hook| hook(&event)) {
            tracing::error!("a decision hook panicked on a cancelled request");
        }
    }
}
