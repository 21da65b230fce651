//! The primitives that loom replaces when it tries every order of events: `--cfg loom_model`.

#[cfg(loom_model)]
mod once_box;

#[cfg(loom_model)]
pub(crate) use self::once_box::OnceBox;
#[cfg(loom_model)]
pub(crate) use loom::sync::{Mutex, MutexGuard, RwLock, atomic};
#[cfg(not(loom_model))]
pub(crate) use once_cell::race::OnceBox;
#[cfg(not(loom_model))]
pub(crate) use std::sync::{Mutex, MutexGuard, RwLock, atomic};
