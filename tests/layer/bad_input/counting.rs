//! A store that counts how often it is asked.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::yield_now;
use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::store::Lookup;
use tower_api_key::{KeyStore, MemoryStore};

pub(crate) struct Counting {
    keys: MemoryStore,
    /// Whether it never has the answer at once.
    awaited: bool,
    find: AtomicUsize,
    try_find: AtomicUsize,
}

impl Counting {
    pub(crate) fn new(keys: MemoryStore, awaited: bool) -> Arc<Self> {
        Arc::new(Self { keys, awaited, find: AtomicUsize::new(0), try_find: AtomicUsize::new(0) })
    }

    /// How many keys were looked up since this was asked last. Each is asked for at once, and again where that
    /// gave no answer.
    pub(crate) fn take_lookups(&self) -> usize {
        let (find, try_find) = (self.find.swap(0, Ordering::SeqCst), self.try_find.swap(0, Ordering::SeqCst));
        assert_eq!(find, if self.awaited { try_find } else { 0 }, "{try_find} lookups");
        try_find
    }
}

impl KeyStore for Counting {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        self.find.fetch_add(1, Ordering::SeqCst);
        yield_now().await;
        self.keys.find(digest).await
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        self.try_find.fetch_add(1, Ordering::SeqCst);
        if self.awaited { Lookup::Pending } else { self.keys.try_find(digest) }
    }
}
