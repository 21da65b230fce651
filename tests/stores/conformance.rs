//! Every store of this crate keeps every promise of a store.
#![cfg(feature = "test-kit")]

use std::time::{Duration, SystemTime};

use tower_api_key::test_kit::{Conformance, Fault, FaultyStore, ManualClock};
use tower_api_key::{BoxError, IssuePolicy, KeyRecord, MemoryStore, SharedStore, scope::avala};

#[tokio::test]
async fn memory_store_conforms() {
    Conformance::of(async || MemoryStore::new()).run().await.unwrap();
}

#[tokio::test]
async fn memory_store_with_clock_conforms() {
    let clock = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    let store = async || MemoryStore::with(IssuePolicy::default(), clock.clone());
    Conformance::of(store).with_clock(clock.clone()).run().await.unwrap();
}

/// A catalogue limits what is issued, never what is kept.
#[tokio::test]
async fn memory_store_with_catalog_conforms() {
    let clock = ManualClock::new(SystemTime::now());
    let policy = IssuePolicy::default().with_catalogue(avala::catalogue());
    let store = async || MemoryStore::with(policy.clone(), clock.clone());
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
    Conformance::of(async || SharedStore::new(MemoryStore::new())).run().await.unwrap();
}

/// One store for all checks, as one that opens the same database each time.
#[tokio::test]
async fn store_that_is_not_empty_conforms() {
    let clock = ManualClock::new(SystemTime::now());
    let store = MemoryStore::with(IssuePolicy::default(), clock.clone());
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
        let store = FaultyStore::new(MemoryStore::with(IssuePolicy::default(), clock.clone()));
        store.set_fault(Fault::Slow(Duration::from_millis(5)));
        store
    };
    Conformance::of(store).with_clock(clock.clone()).run().await.unwrap();
}

#[cfg(feature = "cache")]
#[tokio::test]
async fn cached_store_in_outage_conforms() {
    use tower_api_key::CachedStore;

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

    use tower_api_key::SqliteStore;
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

    #[cfg(feature = "cache")]
    #[tokio::test(flavor = "multi_thread")]
    async fn cached_sqlite_store_conforms() {
        use tower_api_key::CachedStore;

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
    use tower_api_key::PostgresStore;
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
