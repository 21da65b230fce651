//! Wrappers that hide something of the store that they wrap.

use std::convert::Infallible;
use std::sync::Arc;

use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::store::{BackgroundWork, Changes, FindResult, Lookup, StoreId, UsageSink};
use tower_api_key::test_kit::{Conformance, FaultyStore};
use tower_api_key::{BoxError, KeyStore, MemoryStore};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Each lookup is awaited.
    Pending,
    /// No key is known without waiting.
    NotFound,
    /// Only one digest is looked up at a time.
    NoBatches,
    NoId,
    /// The wrapper has an id of its own.
    OtherId,
    NoChanges,
    /// The wrapper has subscribers of its own.
    OtherChanges,
    OtherSink,
    NoBackgroundWork,
}

/// A store with work to do.
struct Working(MemoryStore);

impl KeyStore for Working {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        self.0.find(digest).await
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        self.0.try_find(digest)
    }

    fn id(&self) -> Option<StoreId> {
        self.0.id()
    }

    fn changes(&self) -> Option<&Changes> {
        self.0.changes()
    }

    fn background_work(&self) -> Option<BackgroundWork> {
        Some(Box::pin(async {}))
    }
}

struct Wrapper {
    inner: FaultyStore<Working>,
    fault: Fault,
    id: StoreId,
    changes: Changes,
    sink: UsageSink,
}

impl KeyStore for Wrapper {
    type Error = BoxError;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
        self.inner.find(digest).await
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> Result<Vec<FindResult<BoxError>>, BoxError> {
        self.inner.find_many(digests).await
    }

    fn max_batch(&self) -> usize {
        if self.fault == Fault::NoBatches { 1 } else { self.inner.max_batch() }
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        match self.fault {
            Fault::Pending => Lookup::Pending,
            Fault::NotFound => Lookup::NotFound,
            _ => self.inner.try_find(digest),
        }
    }

    fn id(&self) -> Option<StoreId> {
        match self.fault {
            Fault::NoId => None,
            Fault::OtherId => Some(self.id),
            _ => self.inner.id(),
        }
    }

    fn changes(&self) -> Option<&Changes> {
        match self.fault {
            Fault::NoChanges => None,
            Fault::OtherChanges => Some(&self.changes),
            _ => self.inner.changes(),
        }
    }

    fn usage_sink(&self) -> Option<&UsageSink> {
        match self.fault {
            Fault::OtherSink => Some(&self.sink),
            _ => self.inner.usage_sink(),
        }
    }

    fn background_work(&self) -> Option<BackgroundWork> {
        if self.fault == Fault::NoBackgroundWork { None } else { self.inner.background_work() }
    }
}

async fn failed(fault: Fault) -> Vec<&'static str> {
    let inner = FaultyStore::new(Working(MemoryStore::new()));
    inner.set_max_batch(3);
    let wrap = async || Wrapper {
        inner: inner.clone(),
        fault,
        id: StoreId::new(),
        changes: Changes::new(),
        sink: UsageSink::new(),
    };
    let keep = async |store: &Wrapper, record: KeyRecord| {
        store.inner.get_ref().0.add(record).map(drop).map_err(BoxError::from)
    };
    let suite = Conformance::of_store(wrap, keep).with_inner(inner.clone());
    let of_wrappers = suite.checks().filter(|check| check.starts_with("forwards_"));
    let expected = [
        "forwards_try_find",
        "forwards_max_batch",
        "forwards_the_id",
        "forwards_changes",
        "forwards_the_usage_sink",
        "forwards_background_work",
    ];
    assert_eq!(of_wrappers.collect::<Vec<_>>(), expected);
    suite.run().await.map_or_else(|failures| failures.names(), |()| vec![])
}

#[tokio::test]
async fn wrapper_that_hides_the_store_is_caught() {
    assert_eq!(failed(Fault::None).await, [""; 0]);
    assert_eq!(failed(Fault::Pending).await, ["forwards_try_find"]);
    let not_found = failed(Fault::NotFound).await;
    assert!(not_found.contains(&"forwards_try_find") && not_found.contains(&"try_find_agrees_with_find"));
    assert_eq!(failed(Fault::NoBatches).await, ["forwards_max_batch"]);
    for fault in [Fault::NoId, Fault::OtherId] {
        assert_eq!(failed(fault).await, ["forwards_the_id"]);
    }
    for fault in [Fault::NoChanges, Fault::OtherChanges] {
        assert_eq!(failed(fault).await, ["forwards_changes"]);
    }
    assert_eq!(failed(Fault::OtherSink).await, ["forwards_the_usage_sink"]);
    assert_eq!(failed(Fault::NoBackgroundWork).await, ["forwards_background_work"]);
}
