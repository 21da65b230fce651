use std::sync::Arc;

use super::SlidingWindow;
use crate::ApiKeyLayer;
use crate::auth::Limiter;
use crate::client::{ClientInfo, ClientNetwork, log_missing};
use crate::rejection::reason::Rejection;
use crate::request::RequestHead;

impl ApiKeyLayer {
    /// Responds 429 to a client whose attempts fail more often than this window allows. Replaces an earlier window.
    ///
    /// An attempt fails when a credential is presented and the response would be 401. Attempts are counted by the client's
    /// network, so a [`ClientInfoLayer`](crate::transport::ClientInfoLayer) must be outside; without it, a failed attempt
    /// is a 500 and the log names the mistake.
    ///
    /// Only failures count, so a valid key is never throttled, and no client can lock out another's key; each attempt still
    /// costs a lookup. `CachedStore` keeps lookups off the database, and a
    /// [`ThrottleLayer`](super::ThrottleLayer) outside this layer limits valid keys as well. A throttled client does not
    /// learn that its key has expired.
    ///
    /// ```
    /// use std::num::NonZeroU32;
    /// use std::time::Duration;
    /// use tower_api_key::throttle::SlidingWindow;
    /// # use tower_api_key::{ApiKeyLayer, MemoryStore};
    ///
    /// let ten_a_minute = SlidingWindow::new(NonZeroU32::new(10).unwrap(), Duration::from_secs(60));
    /// ApiKeyLayer::new(MemoryStore::new()).throttle_failures(ten_a_minute);
    /// ```
    pub fn throttle_failures(self, window: SlidingWindow<ClientNetwork>) -> Self {
        self.failure_limiter(Arc::new(FailedAttempts(window)))
    }
}

/// Counts the failed attempts of each client. The layer asks it after a rejection, so a valid key is never throttled.
struct FailedAttempts(SlidingWindow<ClientNetwork>);

impl Limiter for FailedAttempts {
    fn try_acquire(&self, request: RequestHead<'_>) -> Result<(), Rejection> {
        match request.extensions().get::<ClientInfo>() {
            Some(client) => self.0.hit(client.network()).rejection().map_or(Ok(()), Err),
            None => {
                log_missing("an ApiKeyLayer that throttles failures");
                Err(Rejection::Misconfigured)
            }
        }
    }
}
