use std::future::ready;

use futures::{StreamExt, stream};

use super::CachedStore;
use super::batch::Answer;
use super::refresh::AT_ONCE;
use crate::store::{BackendError, KeyBackend};

impl<S: KeyBackend> CachedStore<S> {
    /// Looks up to `keys` keys up that were [used last](KeyBackend::recently_used), before the first request, so that those
    /// do not wait. Returns how many the cache knows now.
    ///
    /// Call it before the server accepts connections. A failed lookup is left to the request that needs it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_api_key::BoxError> {
    /// use tower_api_key::MemoryStore;
    /// use tower_api_key::store::CachedStore;
    ///
    /// let keys = CachedStore::new(MemoryStore::new());
    /// assert_eq!(keys.warm(10_000).await?, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`BackendError::Store`] when the store cannot list its keys.
    pub async fn warm(&self, keys: usize) -> Result<usize, BackendError> {
        let store = self.get_ref();
        let digests = if self.off { Vec::new() } else { store.recently_used(keys).await? };
        digests.iter().for_each(|digest| self.shared.entries.uses().mark(digest));
        let batches = stream::iter(digests.chunks(store.max_batch().max(1)));
        let answers = batches.map(|batch| self.shared.look_up_all(batch)).buffer_unordered(AT_ONCE);
        let is_known = |answer: &Answer| matches!(answer, Ok(Some(_)));
        Ok(answers.fold(0, |known, found| ready(known + found.iter().filter(|answer| is_known(answer)).count())).await)
    }
}
