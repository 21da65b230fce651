use std::sync::{OnceLock, PoisonError};

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, Ordering};

/// What loom, which has none of its own, can see of `once_cell::race::OnceBox`: whoever finds the value sees all that
/// came before it was put there, and nothing more.
pub(crate) struct OnceBox<T> {
    value: OnceLock<Box<T>>,
    filled: AtomicBool,
    filling: Mutex<()>,
}

impl<T> Default for OnceBox<T> {
    fn default() -> Self {
        Self { value: OnceLock::new(), filled: AtomicBool::new(false), filling: Mutex::new(()) }
    }
}

impl<T> OnceBox<T> {
    pub(crate) fn with_value(value: Box<T>) -> Self {
        Self { value: value.into(), filled: AtomicBool::new(true), filling: Mutex::new(()) }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        if self.filled.load(Ordering::Acquire) { self.value.get().map(Box::as_ref) } else { None }
    }

    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> Box<T>) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        let _filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        let value = self.value.get_or_init(make);
        self.filled.store(true, Ordering::Release);
        value
    }
}
