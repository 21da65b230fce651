//! A store that never has the answer at once.

use std::sync::Arc;

use tower_api_key::KeyStore;
use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::store::{FindResult, StoreId};

/// Answers as the store in it does, but only when it is awaited, and not at the first poll.
pub(crate) struct Awaited<S>(pub(crate) S);

impl<S: KeyStore> KeyStore for Awaited<S> {
    type Error = S::Error;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, S::Error> {
        tokio::task::yield_now().await;
        self.0.find(digest).await
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> Result<Vec<FindResult<S::Error>>, S::Error> {
        tokio::task::yield_now().await;
        self.0.find_many(digests).await
    }

    fn max_batch(&self) -> usize {
        self.0.max_batch()
    }

    fn id(&self) -> Option<StoreId> {
        self.0.id()
    }
}
