//! Every store of this crate keeps every promise of a store.
#![cfg(feature = "test-kit")]

use std::time::{Duration, SystemTime};

use tower_api_key::key::KeyRecord;
use tower_api_key::store::DynKeyBackend;
use tower_api_key::test_kit::{Conformance, Fault, FaultyStore, ManualClock};
use tower_api_key::{BoxError, MemoryStore};

#[tokio::test]
async fn memory_store_conforms() {
    Conformance::of(async || MemoryStore::new()).run().await.unwrap();
}

#[tokio::test]
async fn memory_store_with_clock_conforms() {
    let clock = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    let store = async || MemoryStore::builder().clock(clock.clone()).build();
    Conformance::of(store).with_clock(clock.clone()).run().await.unwrap();
}

#[tokio::test]
async fn memory_store_with_configured_keys_conforms() {
    let keep = async |store: &MemoryStore, key: KeyRecord| -> Result<(), BoxError> {
        store.add(key)?;
        Ok(())
    };
    Conformance::of_store(async || MemoryStore::new(), keep).run().await.unwrap();
}

#[tokio::test]
async fn shared_store_conforms() {
    let inner = MemoryStore::new();
    let shared = Conformance::of(async || DynKeyBackend::new(inner.clone()));
    shared.with_inner(inner.clone()).run().await.unwrap();
}

/// One store for all checks, as one that opens the same database each time.
#[tokio::test]
async fn store_that_is_not_empty_conforms() {
    let clock = ManualClock::new(SystemTime::now());
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let suite = Conformance::of(async || store.clone()).with_clock(clock);
    suite.run().await.unwrap();
    suite.run().await.unwrap();
}

#[tokio::test]
async fn faulty_store_in_outage_conforms() {
    Conformance::of(async || FaultyStore::new(MemoryStore::new()))
        .with_outage(async |store| store.set_fault(Fault::Error))
        .run()
        .await
        .unwrap();
}

/// Every call waits once before it does anything.
#[tokio::test(start_paused = true)]
async fn slow_store_conforms() {
    let clock = ManualClock::new(SystemTime::now());
    let store = async || {
        let store = FaultyStore::new(MemoryStore::builder().clock(clock.clone()).build());
        store.set_fault(Fault::Slow(Duration::from_millis(5)));
        store
    };
    Conformance::of(store).with_clock(clock.clone()).run().await.unwrap();
}

#[cfg(feature = "cache")]
#[tokio::test]
async fn cached_store_in_outage_conforms() {
    use tower_api_key::store::CachedStore;

    Conformance::of(async || CachedStore::new(FaultyStore::new(MemoryStore::new())))
        .with_outage(async |store| store.get_ref().set_fault(Fault::Error))
        .run()
        .await
        .unwrap();
}

/// A file of its own for each check, so that each can be closed.
#[cfg(feature = "sqlite")]
mod sqlite {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tower_api_key::store::SqliteStore;
    use tower_api_key::test_kit::Conformance;

    use crate::support::sqlite::Dir;

    async fn store(dir: &Dir) -> SqliteStore {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let file = dir.path().join(format!("{}.db", NEXT.fetch_add(1, Ordering::Relaxed)));
        let store = SqliteStore::connect(&format!("sqlite:{}", file.display())).await.unwrap();
        store.migrate().await.unwrap();
        store
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sqlite_store_conforms() {
        let dir = Dir::new();
        let outage = async |store: &SqliteStore| store.pool().close().await;
        Conformance::of(async || store(&dir).await).with_outage(outage).run().await.unwrap();
    }

    /// A catalog limits what is issued, never what is kept.
    #[tokio::test(flavor = "multi_thread")]
    async fn sqlite_store_with_catalog_conforms() {
        let dir = Dir::new();
        let store = async || store(&dir).await.with_catalog(tower_api_key::scope::avala::catalog());
        Conformance::of(store).run().await.unwrap();
    }

    #[cfg(feature = "cache")]
    #[tokio::test(flavor = "multi_thread")]
    async fn cached_sqlite_store_conforms() {
        use tower_api_key::store::CachedStore;

        let dir = Dir::new();
        Conformance::of(async || CachedStore::new(store(&dir).await))
            .with_outage(async |store| store.get_ref().pool().close().await)
            .run()
            .await
            .unwrap();
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use tower_api_key::store::PostgresStore;
    use tower_api_key::test_kit::Conformance;

    use crate::support::postgres::Schema;

    /// One schema for all checks, and a pool of its own for each.
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs Postgres"]
    async fn postgres_store_conforms() {
        let schema = Schema::new().await;
        schema.store().await;
        let store = async || PostgresStore::connect(&schema.url()).await.unwrap();
        let outage = async |store: &PostgresStore| store.pool().close().await;
        Conformance::of(store).with_outage(outage).run().await.unwrap();
    }
}
