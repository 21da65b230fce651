//! A store that counts how often it is asked.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::yield_now;
use tower_api_key::{KeyDigest, KeyRecord, KeyStore, Lookup, MemoryStore};

pub(crate) struct Counting {
    keys: MemoryStore,
    /// Whether it never has the answer at once.
    awaited: bool,
    find: AtomicUsize,
    find_now: AtomicUsize,
}

impl Counting {
    pub(crate) fn new(keys: MemoryStore, awaited: bool) -> Arc<Self> {
        Arc::new(Self { keys, awaited, find: AtomicUsize::new(0), find_now: AtomicUsize::new(0) })
    }

    /// How many keys were looked up since this was asked last. Each is asked for at once, and again where that
    /// gave no answer.
    pub(crate) fn take_lookups(&self) -> usize {
        let (find, find_now) = (self.find.swap(0, Ordering::SeqCst), self.find_now.swap(0, Ordering::SeqCst));
        assert_eq!(find, if self.awaited { find_now } else { 0 }, "{find_now} lookups");
        find_now
    }
}

impl KeyStore for Counting {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        self.find.fetch_add(1, Ordering::SeqCst);
        yield_now().await;
        self.keys.find(digest).await
    }

    fn find_now(&self, digest: &KeyDigest) -> Lookup {
        self.find_now.fetch_add(1, Ordering::SeqCst);
        if self.awaited { Lookup::Later } else { self.keys.find_now(digest) }
    }
}
