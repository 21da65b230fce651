use std::future::Future;
use std::time::Duration;

use futures::Stream;

use super::Invalidation;
use crate::BoxError;

/// Follows the changes that other processes make to the keys, so that a cache can forget them.
///
/// A store of your own implements it, and [`CachedStore::watch`](crate::store::CachedStore::watch) does the rest: it forgets
/// everything whenever [`listen`](Self::listen) succeeds, since changes before that were missed, and calls `listen` again
/// when the stream ends or fails. Until then entries serve to the end of their time to live.
///
/// ```
/// use futures::{Stream, stream};
/// use tower_api_key::BoxError;
/// use tower_api_key::store::{ChangeFeed, Invalidation};
///
/// struct Table;
///
/// impl ChangeFeed for Table {
///     type Error = BoxError;
///
///     async fn listen(&self) -> Result<impl Stream<Item = Result<Invalidation, BoxError>> + Send, BoxError> {
///         // Subscribe to the messages of your database here.
///         Ok(stream::empty())
///     }
/// }
/// ```
pub trait ChangeFeed: Send + Sync + 'static {
    /// Why the feed cannot be followed, or no longer. The error reaches the log.
    type Error: Into<BoxError>;

    /// Begins to listen, and returns the changes that are made from then on.
    ///
    /// The stream must end or fail when it may have missed a change. It is dropped at any time.
    ///
    /// # Errors
    /// When the feed cannot be followed now.
    fn listen(
        &self,
    ) -> impl Future<Output = Result<impl Stream<Item = Result<Invalidation, Self::Error>> + Send, Self::Error>> + Send;

    /// Returns how long to wait after this error before listening again: a quarter of a second by default.
    fn retry_after(&self, error: &Self::Error) -> Duration {
        let _ = error;
        Duration::from_millis(250)
    }
}
