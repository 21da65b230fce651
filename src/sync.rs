//! The primitives that loom replaces when it tries every interleaving: `--cfg loom_model`.

#[cfg(loom_model)]
pub(crate) use loom::sync::{Mutex, MutexGuard, RwLock, atomic};
#[cfg(not(loom_model))]
pub(crate) use std::sync::{Mutex, MutexGuard, RwLock, atomic};
