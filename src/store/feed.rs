use std::future::Future;
use std::time::Duration;

use futures::Stream;

use super::Invalidation;
use crate::BoxError;

/// Follows the changes that other processes make to the keys, so that a cache can forget them.
///
/// A store of your own implements it, and [`CachedStore::watch`](crate::store::CachedStore::watch) does the rest: it forgets
/// everything whenever [`listen`](Self::listen) succeeds, since changes before that were missed, and calls `listen` again
/// when the stream ends, fails, or is silent. Until then entries serve to the end of their time to live.
///
/// A connection that has died silently looks like one without changes. The stream must therefore report that it is
/// [alive](FeedEvent::Alive), well within each [`silence_limit`](Self::silence_limit): send a message of your own through the
/// channel that the changes take, and report it when it arrives. A stream that never does is logged, and listened to anew.
/// [`own_table`](crate::guide::own_table) has a feed over LISTEN and NOTIFY of Postgres.
///
/// ```
/// use futures::{Stream, stream};
/// use tower_api_key::BoxError;
/// use tower_api_key::store::{ChangeFeed, FeedEvent};
///
/// struct Table;
///
/// impl ChangeFeed for Table {
///     type Error = BoxError;
///
///     async fn listen(&self) -> Result<impl Stream<Item = Result<FeedEvent, BoxError>> + Send, BoxError> {
///         // Subscribe to the messages of your database here, also to the ones that you send to yourself.
///         Ok(stream::empty())
///     }
/// }
/// ```
pub trait ChangeFeed: Send + Sync + 'static {
    /// Why the feed cannot be followed, or no longer. The error reaches the log.
    type Error: Into<BoxError>;

    /// Begins to listen, and returns the changes that are made from then on.
    ///
    /// The stream must end, fail or report [`Invalidation::All`] when it may have missed a change. It is dropped at any time.
    ///
    /// # Errors
    /// When the feed cannot be followed now.
    fn listen(
        &self,
    ) -> impl Future<Output = Result<impl Stream<Item = Result<FeedEvent, Self::Error>> + Send, Self::Error>> + Send;

    /// Returns how long to wait after this error before listening again: a quarter of a second by default.
    fn retry_after(&self, error: &Self::Error) -> Duration {
        let _ = error;
        Duration::from_millis(250)
    }

    /// Returns how long the feed may report nothing, neither a change nor that it is alive, before it counts as lost: 15
    /// seconds by default. It is also the longest that [`listen`](Self::listen) may take.
    fn silence_limit(&self) -> Duration {
        Duration::from_secs(15)
    }
}

/// What a [`ChangeFeed`] reports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a watcher must handle each of these")]
pub enum FeedEvent {
    /// What a change made obsolete.
    Change(Invalidation),
    /// Every change up to now has been reported.
    Alive,
}

impl From<Invalidation> for FeedEvent {
    fn from(change: Invalidation) -> Self {
        Self::Change(change)
    }
}
