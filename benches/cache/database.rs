//! A database of 10 connections, each of which answers a statement in 3 ms, for one key or many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::store::FindResult;
use tower_api_key::{Access, BoxError, KeyStore, MemoryStore};

#[derive(Clone)]
pub(crate) struct Database {
    keys: MemoryStore,
    max_batch: usize,
    connections: Arc<Semaphore>,
    statements: Arc<AtomicUsize>,
}

impl Database {
    pub(crate) const STATEMENT: Duration = Duration::from_millis(3);
    pub(crate) const CONNECTIONS: usize = 10;

    /// A database with this many keys, the first of which is [`text`] of 0.
    pub(crate) fn new(keys: u64, max_batch: usize) -> Self {
        let store = MemoryStore::new();
        for number in 0..keys {
            let digest = KeyDigest::hash(text(number).as_bytes());
            let organization = "acme".parse().expect("a name");
            let record = KeyRecord::new(KeyId::from_u128(number.into()), digest, organization, Access::Full);
            store.add(record).expect("each key is another");
        }
        let (connections, statements) = (Arc::new(Semaphore::new(Self::CONNECTIONS)), Arc::default());
        Self { keys: store, max_batch, connections, statements }
    }

    /// Returns the keys without the database in front of them.
    pub(crate) fn into_keys(self) -> MemoryStore {
        self.keys
    }

    pub(crate) fn statements(&self) -> usize {
        self.statements.load(Ordering::Relaxed)
    }

    async fn statement(&self) -> Result<(), BoxError> {
        let _connection = self.connections.acquire().await?;
        self.statements.fetch_add(1, Ordering::Relaxed);
        sleep(Self::STATEMENT).await;
        Ok(())
    }
}

impl KeyStore for Database {
    type Error = BoxError;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
        self.statement().await?;
        Ok(self.keys.find(digest).await?)
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> Result<Vec<FindResult<BoxError>>, BoxError> {
        self.statement().await?;
        Ok(self.keys.find_many(digests).await?.into_iter().map(|found| Ok(found?)).collect())
    }

    fn max_batch(&self) -> usize {
        self.max_batch
    }
}

/// A key as the crate issues them.
pub(crate) fn text(number: u64) -> String {
    let digest = KeyDigest::hash(&number.to_le_bytes());
    let digits: String = digest.as_bytes()[..20].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("avk_{digits}")
}
