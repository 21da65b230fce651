use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Acquired, Hit};
use crate::BoxError;

/// Counts hits, in this process or for several.
///
/// A store must never allow more than a limit in any span of its window. Counting must be atomic: of two hits at once, one
/// that is allowed counts for the other.
pub trait LimitStore: Send + Sync + 'static {
    /// Why a hit could not be counted.
    type Error: Into<BoxError>;

    /// Counts a hit without waiting, or returns `None` if it must be awaited. Must not block.
    fn try_acquire(&self, hit: &Hit) -> Option<Acquired> {
        let _ = hit;
        None
    }

    /// Counts a hit in all of its limits, if each of them allows it. A future that is dropped may have counted it. It needs a
    /// timeout of its own, well below the [`lookup_timeout`](crate::ApiKeyLayer::lookup_timeout) of a layer.
    fn acquire(&self, hit: &Hit) -> impl Future<Output = Result<Acquired, Self::Error>> + Send;
}

/// A [`LimitStore`] of any type.
pub(super) trait AnyStore: Send + Sync {
    fn try_acquire(&self, hit: &Hit) -> Option<Acquired>;
    fn acquire(self: Arc<Self>, hit: Arc<Hit>) -> BoxFuture<'static, Result<Acquired, BoxError>>;
}

impl<S: LimitStore> AnyStore for S {
    fn try_acquire(&self, hit: &Hit) -> Option<Acquired> {
        LimitStore::try_acquire(self, hit)
    }

    fn acquire(self: Arc<Self>, hit: Arc<Hit>) -> BoxFuture<'static, Result<Acquired, BoxError>> {
        async move { LimitStore::acquire(&*self, &hit).await.map_err(Into::into) }.boxed()
    }
}
