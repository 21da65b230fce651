use std::any::Any;
use std::error::Error;
use std::sync::Arc;

use crate::BoxError;
use crate::error_chain::panic_text;

/// Why a lookup through a [`CachedStore`](super::CachedStore) failed. All requests that waited for the lookup share it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The store failed.
    #[error(transparent)]
    Store(Arc<dyn Error + Send + Sync>),
    /// The store panicked.
    #[error("the key store panicked: {0}")]
    Panicked(Arc<str>),
    /// Newer lookups of first-seen keys took the place of this one.
    #[error("too many first-seen keys at once: no lookup was made")]
    Crowded,
}

impl CacheError {
    pub(super) fn of_panic(panic: &(dyn Any + Send)) -> Self {
        Self::Panicked(panic_text(panic).into())
    }

    pub(super) fn of(error: impl Into<BoxError>) -> Self {
        Self::Store(error.into().into())
    }
}
