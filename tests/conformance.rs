//! Every store of this crate keeps every promise of a store.
#![cfg(feature = "test-kit")]

use std::time::{Duration, SystemTime};

use tower_api_key::test_kit::{Conformance, Fault, FaultyStore, ManualClock};
use tower_api_key::{BoxError, IssuePolicy, KeyRecord, MemoryStore, SharedStore, scope::avala};

#[tokio::test]
async fn memory_store() {
    Conformance::of(async || MemoryStore::new()).run().await.unwrap();
}

#[tokio::test]
async fn memory_store_with_a_clock_of_its_own() {
    let clock = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    let store = async || MemoryStore::with(IssuePolicy::default(), clock.clone());
    Conformance::of(store).with_clock(clock.clone()).run().await.unwrap();
}

/// A catalogue limits what is issued, never what is kept.
#[tokio::test]
async fn memory_store_with_a_catalogue() {
    let clock = ManualClock::new(SystemTime::now());
    let policy = IssuePolicy::default().with_catalogue(avala::catalogue());
    let store = async || MemoryStore::with(policy.clone(), clock.clone());
    Conformance::of(store).with_clock(clock.clone()).run().await.unwrap();
}

#[tokio::test]
async fn memory_store_with_keys_from_a_configuration() {
    let keep = async |store: &MemoryStore, key: KeyRecord| -> Result<(), BoxError> {
        store.add(key)?;
        Ok(())
    };
    Conformance::of_store(async || MemoryStore::new(), keep).run().await.unwrap();
}

#[tokio::test]
async fn shared_store() {
    Conformance::of(async || SharedStore::new(MemoryStore::new())).run().await.unwrap();
}

/// One store for all checks, as one that opens the same database each time.
#[tokio::test]
async fn a_store_that_is_not_empty() {
    let clock = ManualClock::new(SystemTime::now());
    let store = MemoryStore::with(IssuePolicy::default(), clock.clone());
    let suite = Conformance::of(async || store.clone()).with_clock(clock);
    suite.run().await.unwrap();
    suite.run().await.unwrap();
}

#[tokio::test]
async fn faulty_store_in_an_outage() {
    Conformance::of(async || FaultyStore::new(MemoryStore::new()))
        .with_outage(async |store| store.set_fault(Fault::Error))
        .run()
        .await
        .unwrap();
}

/// Every call waits once before it does anything.
#[tokio::test(start_paused = true)]
async fn faulty_store_that_is_slow() {
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
async fn cached_store_in_an_outage() {
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
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tower_api_key::SqliteStore;
    use tower_api_key::test_kit::Conformance;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("conformance-{name}-{}", std::process::id()));
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }

        async fn store(&self) -> SqliteStore {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let file = self.0.join(format!("{}.db", NEXT.fetch_add(1, Ordering::Relaxed)));
            let store = SqliteStore::connect(&format!("sqlite:{}", file.display())).await.unwrap();
            store.migrate().await.unwrap();
            store
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sqlite_store() {
        let dir = Dir::new("sqlite");
        let outage = async |store: &SqliteStore| store.pool().close().await;
        Conformance::of(async || dir.store().await).with_outage(outage).run().await.unwrap();
    }

    #[cfg(feature = "cache")]
    #[tokio::test(flavor = "multi_thread")]
    async fn cached_store_over_sqlite() {
        use tower_api_key::CachedStore;

        let dir = Dir::new("cached-sqlite");
        Conformance::of(async || CachedStore::new(dir.store().await))
            .with_outage(async |store| store.get_ref().pool().close().await)
            .run()
            .await
            .unwrap();
    }
}

#[cfg(feature = "postgres")]
#[path = "pg"]
mod postgres {
    use tower_api_key::PostgresStore;
    use tower_api_key::test_kit::Conformance;

    #[expect(dead_code, reason = "shared with tests that need more of it")]
    mod schema;
    #[expect(dead_code, reason = "shared with tests that need more of it")]
    mod sql;

    /// One schema for all checks, and a pool of its own for each.
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs Postgres"]
    async fn postgres_store() {
        let schema = schema::Schema::new().await;
        schema.store().await;
        let store = async || PostgresStore::connect(&schema.url()).await.unwrap();
        let outage = async |store: &PostgresStore| store.pool().close().await;
        Conformance::of(store).with_outage(outage).run().await.unwrap();
    }
}
