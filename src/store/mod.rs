//! Where keys are kept: lookups for requests, and management for people.

#[cfg(feature = "cache")]
mod cache;
mod digest_hash;
mod listing;
mod manager;
mod memory;
mod new_key;
mod shared;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::key::{KeyDigest, KeyRecord};

#[cfg(feature = "cache")]
pub use self::cache::{CacheConfig, CacheError, CachedStore};
pub use self::manager::{
    Cursor, Expiry, InvalidCursor, InvalidKey, IssuePolicy, IssuedKey, KeyManager, ListKeys, ManageError, NewKey, Page,
    StoredCredential,
};
pub use self::memory::MemoryStore;
pub use self::shared::SharedStore;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use self::sql::{BadRow, RowProblem, SchemaError, SqlError, SqlStore};
#[cfg(feature = "postgres")]
pub use self::sql::{Postgres, PostgresStore};
#[cfg(feature = "sqlite")]
pub use self::sql::{Sqlite, SqliteStore};

/// Any error that a store may end with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Finds the record of a key by its digest.
///
/// A store states facts: it returns the record of an expired or revoked key too, and the decision judges. It
/// never sees the key itself. When it cannot tell, it returns an error; the client then gets a 503, never a 401.
///
/// Only [`find`](Self::find) must be written, as an `async fn`:
///
/// ```
/// use std::sync::Arc;
/// use tower_api_key::{Access, BoxError, KeyDigest, KeyId, KeyRecord, KeyStore};
/// # struct Row { id: i64, tenant: String, admin: bool }
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
///         Ok(Some(Arc::new(KeyRecord::new(id, *digest, row.tenant.parse()?, access))))
///     }
/// }
/// ```
pub trait KeyStore: Send + Sync + 'static {
    /// Why a lookup failed. It reaches the log and the event, never the client.
    type Error: Into<BoxError>;

    /// The record with this digest, or `None` when there is none.
    ///
    /// The future may be dropped at any await. A panic is caught and treated as an error.
    ///
    /// # Errors
    /// When the store cannot tell. Never use `Ok(None)` for that.
    fn find(&self, digest: &KeyDigest) -> impl Future<Output = Result<Option<Arc<KeyRecord>>, Self::Error>> + Send;

    /// The same without waiting, for a store that has the answer in memory. It must not block. A request that
    /// is answered here costs no boxed future and no timer.
    fn find_now(&self, digest: &KeyDigest) -> Lookup {
        let _ = digest;
        Lookup::Later
    }

    /// Tells handles to the same keys from handles to others, so that a second layer on the same store need not
    /// look a key up again. `None`, the default, is the same as nothing else.
    fn store_id(&self) -> Option<StoreId> {
        None
    }
}

/// What a store can say without waiting.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a store gives one of these three answers")]
pub enum Lookup {
    /// The record with this digest.
    Found(Arc<KeyRecord>),
    /// There is no record with this digest.
    NotFound,
    /// Ask [`KeyStore::find`].
    Later,
}

impl From<Option<Arc<KeyRecord>>> for Lookup {
    fn from(record: Option<Arc<KeyRecord>>) -> Self {
        record.map_or(Self::NotFound, Self::Found)
    }
}

/// Names a set of keys within this process. Clones of one store share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreId(u64);

impl StoreId {
    /// An id that no other store of this process has.
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

    fn find_now(&self, digest: &KeyDigest) -> Lookup {
        S::find_now(self, digest)
    }

    fn store_id(&self) -> Option<StoreId> {
        S::store_id(self)
    }
}
