//! Where keys are kept: lookups for requests, and what management needs.
//!
//! [`KeyStore`] is what a layer asks. [`KeyBackend`] is what a [`KeyManager`](crate::KeyManager) works on. The stores
//! of this crate are both: [`MemoryStore`](crate::MemoryStore), [`SqliteStore`] and
//! [`PostgresStore`] with the features of these names, and
//! [`CachedStore`] in front of one of them with the feature `cache`.
//!
//! ```
//! use tower_api_key::key::KeyDigest;
//! use tower_api_key::{Access, KeyManager, KeyStore, MemoryStore, NewKey};
//!
//! # futures::executor::block_on(async {
//! let store = MemoryStore::new();
//! let keys = KeyManager::new(store.clone());
//! let issued = keys.issue(&"acme".parse()?, NewKey::new("ci", Access::Full)?).await?;
//! let digest = KeyDigest::hash(issued.secret.expose_secret().as_bytes());
//! assert_eq!(store.find(&digest).await?, Some(issued.record));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod backend;
#[cfg(feature = "cache")]
mod cache;
mod changes;
mod digest_hash;
mod dyn_backend;
mod error;
mod feed;
mod insert_rules;
mod key_file;
mod listing;
pub(crate) mod memory;
mod new_record;
mod policy_update;
mod replacement;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
mod update;
pub(crate) mod usage_counters;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::BoxError;
use crate::key::{KeyDigest, KeyRecord};

pub use self::backend::{Inserted, KeyBackend, KeyUsage};
#[cfg(feature = "cache")]
pub use self::cache::{CacheError, CachedStore, CachedStoreBuilder};
pub use self::changes::{Changes, Invalidation, PublishOnDrop, Subscriber};
pub use self::dyn_backend::DynKeyBackend;
pub use self::error::BackendError;
pub use self::feed::{ChangeFeed, FeedEvent};
pub use self::insert_rules::InsertRules;
pub use self::key_file::{KeyFile, KeyFileError};
pub use self::listing::{Cursor, InvalidCursor, KeyCounts, ListKeys, Organizations, Page};
pub use self::memory::{DuplicateKey, MemoryStoreBuilder};
pub use self::new_record::{ImportedFacts, NewRecord};
pub use self::policy_update::PolicyUpdate;
pub use self::replacement::{Expiry, Replaced, Replacement};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use self::sql::{CheckedRows, InvalidRow, RowErrorKind, SchemaError, SqlError, SqlFeedError, SqlStore};
#[cfg(feature = "postgres")]
pub use self::sql::{Postgres, PostgresStore};
#[cfg(feature = "sqlite")]
pub use self::sql::{Sqlite, SqliteStore};
pub use self::update::KeyUpdate;
pub use self::usage_counters::UsageSink;

/// Finds the record of a key by its digest.
///
/// A store states facts: it returns the record of an expired or revoked key too, and the decision rejects it. A store
/// never sees the key itself. When a store cannot answer, it returns an error; the client then gets a 503, never a 401.
///
/// Only [`find`](Self::find) must be written, as an `async fn`:
///
/// ```
/// use std::sync::Arc;
/// use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
/// use tower_api_key::{Access, BoxError, KeyStore};
/// # struct Row { id: i64, digest: [u8; 32], tenant: String, admin: bool }
/// # struct Database;
/// # impl Database { async fn row(&self, _: &[u8; 32]) -> Result<Option<Row>, std::io::Error> { Ok(None) } }
///
/// struct MyTable(Database);
///
/// impl KeyStore for MyTable {
///     type Error = BoxError;
///
///     async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
///         let Some(row) = self.0.row(digest.as_bytes()).await? else { return Ok(None) };
///         let access = if row.admin { Access::Full } else { Access::scoped([]) };
///         let id = KeyId::from_u128(row.id.try_into()?);
///         // The digest of the row, not the one that was asked for: the decision compares the two.
///         let digest = KeyDigest::from_bytes(row.digest);
///         Ok(Some(Arc::new(KeyRecord::new(id, digest, row.tenant.parse()?, access))))
///     }
/// }
/// ```
pub trait KeyStore: Send + Sync + 'static {
    /// Why a lookup failed. The error reaches the log and the event, never the client.
    type Error: Into<BoxError> + Send;

    /// Returns the record with this digest, or `None` when there is none.
    ///
    /// Must be cancel-safe: the layer drops the future after its `lookup_timeout`. A panic is caught and treated as an
    /// error.
    ///
    /// # Errors
    /// When the store cannot answer. Never use `Ok(None)` for that.
    fn find(&self, digest: &KeyDigest) -> impl Future<Output = Result<Option<Arc<KeyRecord>>, Self::Error>> + Send;

    /// Returns what the store can answer from memory. Must not block.
    ///
    /// A request that is answered here costs no boxed future and no timer. By default every lookup is
    /// [pending](Lookup::Pending).
    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        let _ = digest;
        Lookup::Pending
    }

    /// Returns for each digest what [`find`](Self::find) returns, in the order of the digests. A digest may occur twice.
    ///
    /// For caches, which look up many keys at once. The provided method calls `find` for one after the other. Write it,
    /// together with [`max_batch`](Self::max_batch), if the store can look up many keys for the price of a few, as with
    /// one SQL statement. It must take any number of digests, and be cancel-safe. A panic is treated as an error of the
    /// whole batch.
    ///
    /// # Errors
    /// When the store cannot answer for any digest. What fails for one digest alone, such as an invalid row, is the result
    /// of that digest.
    fn find_many(
        &self,
        digests: &[KeyDigest],
    ) -> impl Future<Output = Result<Vec<FindResult<Self::Error>>, Self::Error>> + Send {
        async move {
            let mut results = Vec::with_capacity(digests.len());
            for digest in digests {
                results.push(self.find(digest).await);
            }
            Ok(results)
        }
    }

    /// Returns how many digests a caller should pass to [`find_many`](Self::find_many) at once: 1, the default, for a
    /// store that gains nothing by it.
    fn max_batch(&self) -> usize {
        1
    }

    /// Identifies the key set, so that nested layers can share a lookup. `None`, the default, never matches.
    fn id(&self) -> Option<StoreId> {
        None
    }

    /// Returns where the store publishes its changes, for caches in front of it. `None`, the default, if it does not.
    fn changes(&self) -> Option<&Changes> {
        None
    }

    /// Returns where a layer counts the requests of each key, for a store that keeps usage. `None`, the default, if the
    /// store keeps none, or only for a tracker that is named.
    fn usage_sink(&self) -> Option<&UsageSink> {
        None
    }

    /// Returns what [`Background::of`](crate::background::Background::of) runs for the store until it shuts down, such as
    /// the refresh of a cache. `None`, the default, if there is nothing to run. Nothing begins before the first poll.
    fn background_work(&self) -> Option<BackgroundWork> {
        None
    }
}

/// What a store does [in the background](KeyStore::background_work).
pub type BackgroundWork = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a lookup of one of [many digests](KeyStore::find_many) found.
pub type FindResult<E> = Result<Option<Arc<KeyRecord>>, E>;

/// What a store can answer without waiting.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a store gives one of these three answers")]
pub enum Lookup {
    /// The record with this digest.
    Found(Arc<KeyRecord>),
    /// There is no record with this digest.
    NotFound,
    /// Await [`KeyStore::find`].
    Pending,
}

impl From<Option<Arc<KeyRecord>>> for Lookup {
    fn from(record: Option<Arc<KeyRecord>>) -> Self {
        record.map_or(Self::NotFound, Self::Found)
    }
}

/// Identifies a set of keys within this process. Clones of one store share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreId(u64);

impl StoreId {
    /// Returns an id that no other store of this process has.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each call gives another id")]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl<S: KeyStore> KeyStore for Arc<S> {
    type Error = S::Error;

    fn find(&self, digest: &KeyDigest) -> impl Future<Output = Result<Option<Arc<KeyRecord>>, S::Error>> + Send {
        S::find(self, digest)
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        S::try_find(self, digest)
    }

    fn find_many(
        &self,
        digests: &[KeyDigest],
    ) -> impl Future<Output = Result<Vec<FindResult<S::Error>>, S::Error>> + Send {
        S::find_many(self, digests)
    }

    fn max_batch(&self) -> usize {
        S::max_batch(self)
    }

    fn id(&self) -> Option<StoreId> {
        S::id(self)
    }

    fn changes(&self) -> Option<&Changes> {
        S::changes(self)
    }

    fn usage_sink(&self) -> Option<&UsageSink> {
        S::usage_sink(self)
    }

    fn background_work(&self) -> Option<BackgroundWork> {
        S::background_work(self)
    }
}
