//! The primitives that loom replaces when it tries every order of events: `--cfg loom_model`.

#[cfg(loom_model)]
pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(loom_model)]
pub(super) use loom::sync::{Arc, Mutex, RwLock};
#[cfg(not(loom_model))]
pub(super) use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom_model))]
pub(super) use std::sync::{Arc, Mutex, RwLock};
