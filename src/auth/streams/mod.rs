//! Streams that outlive the check of their request: they end when their key does.

#[cfg(feature = "console")]
mod again;
mod body;
mod driver;
mod ended;
mod form;
mod layer;
mod registry;
mod terms;
mod watched;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::layer::ApiKeyLayer;

pub use self::body::{EndStreamsBody, StreamEnded};
pub use self::ended::KeyEnded;
pub use self::layer::{EndStreamsFuture, EndStreamsLayer, EndStreamsService};

pub(super) use self::registry::OpenStreams;

impl ApiKeyLayer {
    /// Sets how often the keys of open streams are looked up: every 500 ms by default, and at least every millisecond. A
    /// change that the store [publishes](crate::KeyStore::changes) is noticed at once, whatever the interval.
    ///
    /// Call it before the layer is cloned: a clone keeps the interval that it has.
    pub fn check_streams_every(self, interval: Duration) -> Self {
        let interval = interval.max(Duration::from_millis(1));
        self.with(|config| config.streams = Arc::new(config.streams.with_interval(interval)))
    }

    /// Sets how long streams stay open while the store gives no answer: 30 seconds by default, since the last answer. A key
    /// that expires meanwhile ends its streams on time.
    ///
    /// Call it before the layer is cloned: a clone keeps the time that it has.
    pub fn keep_streams_in_outage(self, time: Duration) -> Self {
        self.with(|config| config.streams = Arc::new(config.streams.with_outage(time)))
    }

    /// Checks the keys of all open streams of this layer and of its clones, in one task. Runs until it is dropped: give it to
    /// a [`Background`](crate::background::Background).
    ///
    /// Without it, the first open stream spawns that task, and it ends with the last one.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use tower_api_key::background::Background;
    /// use tower_api_key::{ApiKeyLayer, MemoryStore};
    ///
    /// let layer = ApiKeyLayer::new(MemoryStore::new());
    /// let background = Background::new();
    /// background.run(layer.watch_streams());
    /// // Serve. When the server has ended:
    /// background.shutdown().await;
    /// # }
    /// ```
    ///
    /// # Panics
    /// On a runtime other than tokio's, or one without its timer.
    pub fn watch_streams(&self) -> impl Future<Output = Infallible> + Send + use<> {
        Arc::clone(&self.config().get().streams).drive()
    }
}
