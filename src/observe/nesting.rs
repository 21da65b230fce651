//! What the layers around one request do for it, so that none of them does it twice.

use std::any::TypeId;
use std::sync::{Arc, OnceLock};

use super::DecisionEvent;
use super::event::Facts;
use crate::key::KeyId;
use crate::rejection::Unmet;
use crate::rejection::reason::Rejection;
use crate::usage::UsageTracker;

/// The hooks of a layer, which are called with the event of each request.
pub(crate) type Hooks = Arc<[Hook]>;

/// A hook, and what makes it the same hook as another one.
#[derive(Clone)]
pub(crate) struct Hook {
    call: Arc<dyn Fn(&DecisionEvent<'_>) + Send + Sync>,
    /// The type of a hook without state, such as a function: each value of the type is the same hook.
    stateless: Option<TypeId>,
}

impl Hook {
    pub(crate) fn new<F>(hook: F) -> Self
    where
        F: Fn(&DecisionEvent<'_>) + Send + Sync + 'static,
    {
        Self { stateless: (size_of::<F>() == 0).then(TypeId::of::<F>), call: Arc::new(hook) }
    }

    pub(super) fn call(&self, event: &DecisionEvent<'_>) {
        (self.call)(event);
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.call, &other.call) || (self.stateless.is_some() && self.stateless == other.stateless)
    }
}

/// What one layer reports about a request, and the layers around it.
pub(crate) struct Nesting {
    pub(super) facts: Facts,
    pub(super) hooks: Hooks,
    /// Why this layer rejected the request, or an inner layer or a handler after this one had accepted it.
    pub(super) rejection: OnceLock<(Rejection, Option<Box<Unmet>>)>,
    pub(super) outer: Option<Outer>,
}

impl Nesting {
    /// Notes in every layer that an inner layer or a handler has rejected the request.
    pub(crate) fn note(&self, rejection: Rejection, unmet: Option<&Unmet>) {
        self.note_own(rejection, unmet);
        if let Some(outer) = &self.outer {
            outer.note(rejection, unmet);
        }
    }

    /// Notes that the request is rejected, in this layer alone.
    pub(super) fn note_own(&self, rejection: Rejection, unmet: Option<&Unmet>) {
        // The first rejection counts. There is no second one, since a rejected request goes no further in.
        let _ = self.rejection.set((rejection, unmet.cloned().map(Box::new)));
    }
}

/// What the layers outside a layer do for a request.
pub(crate) struct Outer {
    /// The use of a key that the nearest of them has counted.
    counted: Option<(UsageTracker, KeyId)>,
    /// `None` if it reports nothing and is itself the outermost layer.
    nesting: Option<Arc<Nesting>>,
}

impl Outer {
    pub(crate) const fn new(counted: Option<(UsageTracker, KeyId)>, nesting: Option<Arc<Nesting>>) -> Self {
        Self { counted, nesting }
    }

    pub(super) fn note(&self, rejection: Rejection, unmet: Option<&Unmet>) {
        if let Some(nesting) = &self.nesting {
            nesting.note(rejection, unmet);
        }
    }

    /// Returns whether this tracker has counted the request as a use of this key.
    pub(super) fn has_counted(&self, tracker: &UsageTracker, key: KeyId) -> bool {
        let counted = self.counted.as_ref().is_some_and(|(counting, id)| *id == key && counting.is_same(tracker));
        counted || self.further_out().is_some_and(|outer| outer.has_counted(tracker, key))
    }

    /// Returns whether this hook will get the event of an outer layer.
    pub(super) fn calls(&self, hook: &Hook) -> bool {
        let own = self.nesting.iter().flat_map(|nesting| nesting.hooks.iter()).any(|own| own.is_same(hook));
        own || self.further_out().is_some_and(|outer| outer.calls(hook))
    }

    fn further_out(&self) -> Option<&Self> {
        self.nesting.as_ref()?.outer.as_ref()
    }
}
