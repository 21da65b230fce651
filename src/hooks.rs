//! Calls several hooks, none of which keeps the others from their call.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls every hook, also after one that panicked. Returns the panics.
pub(crate) fn call_each<H>(hooks: impl IntoIterator<Item = H>, call: impl Fn(H)) -> Vec<Box<dyn Any + Send>> {
    let panics = hooks.into_iter().filter_map(|hook| catch_unwind(AssertUnwindSafe(|| call(hook))).err());
    panics.collect()
}
