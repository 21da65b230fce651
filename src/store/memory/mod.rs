//! Keys in the memory of one process.

mod backend;
#[cfg(all(test, loom_model))]
mod loom;
mod replace_all;
mod table;

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use self::backend::Index;
use self::table::DigestTable;
use super::{BackendError, Changes, Invalidation, KeyStore, Lookup, StoreId};
use crate::key::{KeyDigest, KeyRecord};
use crate::sync::{Mutex, MutexGuard};
use crate::time::{Clock, SystemClock};

pub use self::replace_all::DuplicateKey;

/// Keys in the memory of one process: for tests, examples and keys that come from a configuration.
///
/// [`replace_all`](Self::replace_all) replaces all of them at once, and [`KeyFile`](crate::store::KeyFile) keeps them as a
/// file has them. A clone is a handle to the same keys. A lookup takes the read lock of one of 64 shards. A change is visible to every
/// lookup that starts after the change returned.
///
/// ```
/// use tower_api_key::{Access, KeyManager, MemoryStore, NewKey};
///
/// # futures::executor::block_on(async {
/// let keys = KeyManager::new(MemoryStore::new());
/// let issued = keys.issue(&"acme".parse()?, NewKey::new("ci", Access::Full)?).await?;
/// println!("shown once: {}", issued.secret.expose_secret());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    id: StoreId,
    clock: Box<dyn Clock>,
    changes: Changes,
    /// What requests read.
    table: DigestTable,
    /// What management reads. Locked during each change, so that changes happen one after the other.
    index: Mutex<Index>,
}

impl MemoryStore {
    /// Returns an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder of an empty store.
    pub fn builder() -> MemoryStoreBuilder {
        MemoryStoreBuilder { clock: Box::new(SystemClock) }
    }

    /// Adds a record: for keys that come from a configuration.
    ///
    /// The organization then has the stricter of its policy and the record's, so that no key can do more than its record
    /// grants.
    ///
    /// # Errors
    /// [`BackendError::AlreadyExists`] when the digest or the id is taken.
    pub fn add(&self, record: KeyRecord) -> Result<Arc<KeyRecord>, BackendError> {
        let (digest, organization) = (*record.digest(), record.organization().clone());
        let mut index = self.index();
        let policy = index.policy(&organization);
        let stricter = policy.stricter(record.policy());
        let mut added = self.add_to(&mut index, record)?;
        if stricter != policy {
            self.set_policy(&mut index, &organization, stricter);
            added = index.find_own(&organization, added.id())?;
        }
        drop(index);
        self.shared.changes.publish(&Invalidation::Digest(digest));
        if stricter != policy {
            self.shared.changes.publish(&Invalidation::Organization(organization));
        }
        Ok(added)
    }

    fn read(&self, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        self.shared.table.find(digest)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.shared.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> SystemTime {
        self.shared.clock.now()
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("id", &self.shared.id).finish_non_exhaustive()
    }
}

impl KeyStore for MemoryStore {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        Ok(self.read(digest))
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        self.read(digest).into()
    }

    fn id(&self) -> Option<StoreId> {
        Some(self.shared.id)
    }

    fn changes(&self) -> Option<&Changes> {
        Some(&self.shared.changes)
    }
}

/// Builds a [`MemoryStore`].
#[must_use]
pub struct MemoryStoreBuilder {
    clock: Box<dyn Clock>,
}

impl MemoryStoreBuilder {
    /// Dates created and revoked keys by this clock, in place of the system's.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Box::new(clock) }
    }

    /// Returns the empty store.
    #[must_use]
    pub fn build(self) -> MemoryStore {
        let shared = Shared {
            id: StoreId::new(),
            clock: self.clock,
            changes: Changes::new(),
            table: DigestTable::new(),
            index: Mutex::default(),
        };
        MemoryStore { shared: Arc::new(shared) }
    }
}

impl fmt::Debug for MemoryStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStoreBuilder").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(loom_model))]
mod tests {
    use std::sync::Mutex;

    use futures::executor::block_on;

    use super::*;
    use crate::key::{KeyId, OrganizationId, OrganizationPolicy};
    use crate::scope::Access;
    use crate::store::{KeyBackend, KeyUpdate, KeyUsage, Subscriber};

    const KEY: KeyId = KeyId::from_u128(1);

    #[test]
    fn change_published_can_read_the_store() {
        let (store, acme) = (MemoryStore::new(), "acme".parse::<OrganizationId>().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (reader, log) = (store.clone(), Arc::clone(&seen));
        let subscriber: Arc<Subscriber> = Arc::new(move |change: &Invalidation| {
            // Waits for ever if the change still holds a lock.
            drop(reader.index());
            log.lock().unwrap().push(change.clone());
        });
        store.changes().unwrap().subscribe(&subscriber);

        let digest = KeyDigest::hash(b"key");
        store.add(KeyRecord::new(KEY, digest, acme.clone(), Access::Full)).unwrap();
        block_on(async {
            store.update(&acme, KEY, KeyUpdate::new().with_scopes([])).await.unwrap();
            store.set_organization_policy(&acme, OrganizationPolicy::default().with_disabled(true)).await.unwrap();
            store.record_usage(&[KeyUsage::new(KEY, 1, SystemTime::UNIX_EPOCH)]).await.unwrap();
            store.revoke(&acme, KEY).await.unwrap();
        });
        let key = Invalidation::Key(KEY);
        let changes = [Invalidation::Digest(digest), key.clone(), Invalidation::Organization(acme), key];
        assert_eq!(*seen.lock().unwrap(), changes);
    }
}
