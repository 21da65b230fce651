#[cfg(all(test, loom_model))]
mod model;

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::ops::Bound;
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use super::digest_hash::DigestHasher;
use super::manager::{
    Cursor, Expiry, IssuePolicy, KeyManager, ListKeys, ManageError, NewKey, Page, StoredCredential, check_narrowing,
};
use super::{KeyStore, Lookup, StoreId};
use crate::key::{KeyDigest, KeyId, KeyRecord, OrganizationId, OrganizationPolicy};
use crate::scope::{Access, ScopeSet};
use crate::sync::{Mutex, MutexGuard, RwLock};
use crate::time::{Clock, SystemClock};
use crate::usage::KeyUsage;

const SHARDS: usize = 64;

/// Keys in the memory of one process: for tests, examples and sets of keys that come from a configuration.
///
/// A clone is a handle to the same keys. Lookups take the read lock of one of 64 shards. A change is visible to
/// every lookup that starts after it returned.
///
/// ```
/// use tower_api_key::{Access, KeyManager, MemoryStore, NewKey};
///
/// # futures::executor::block_on(async {
/// let keys = MemoryStore::new();
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
    issue_policy: IssuePolicy,
    clock: Box<dyn Clock>,
    /// What requests read.
    shards: [RwLock<HashSet<ByDigest, BuildHasherDefault<DigestHasher>>>; SHARDS],
    /// What people manage. Held during every change, so that changes happen one after the other.
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    /// The same records as in the shards, found by their ids.
    records: HashSet<ById>,
    organizations: HashMap<OrganizationId, Organization>,
}

#[derive(Default)]
struct Organization {
    policy: OrganizationPolicy,
    keys: BTreeSet<Cursor>,
}

impl MemoryStore {
    /// An empty store that issues keys in the documented format.
    #[must_use]
    pub fn new() -> Self {
        Self::with(IssuePolicy::default(), SystemClock)
    }

    /// An empty store with its own rules for new keys and its own clock, which dates what it creates and
    /// revokes.
    #[must_use]
    pub fn with(issue_policy: IssuePolicy, clock: impl Clock) -> Self {
        let shared = Shared {
            id: StoreId::new(),
            issue_policy,
            clock: Box::new(clock),
            shards: std::array::from_fn(|_| RwLock::default()),
            index: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Adds a record: for keys that come from a configuration. Its policy becomes that of its organization.
    ///
    /// # Errors
    /// [`ManageError::AlreadyExists`] when a key with this digest or id is there.
    pub fn add(&self, record: KeyRecord) -> Result<Arc<KeyRecord>, ManageError> {
        self.add_to(&mut self.index(), record)
    }

    fn add_to(&self, index: &mut Index, record: KeyRecord) -> Result<Arc<KeyRecord>, ManageError> {
        if index.records.contains(&record.id()) || self.read(record.digest()).is_some() {
            return Err(ManageError::AlreadyExists);
        }
        let organization = index.organizations.entry(record.organization().clone()).or_default();
        organization.keys.insert(Cursor::at(&record));
        let record = record.with_policy(organization.policy);
        Ok(self.write(index, record))
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.shared.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> SystemTime {
        self.shared.clock.now()
    }

    fn shard(&self, digest: &KeyDigest) -> &RwLock<HashSet<ByDigest, BuildHasherDefault<DigestHasher>>> {
        // Not among the bytes that place a record within its shard.
        &self.shared.shards[usize::from(digest.as_bytes()[8]) % SHARDS]
    }

    fn read(&self, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        let shard = self.shard(digest).read().unwrap_or_else(PoisonError::into_inner);
        shard.get(digest).map(|ByDigest(record)| Arc::clone(record))
    }

    fn write(&self, index: &mut Index, record: KeyRecord) -> Arc<KeyRecord> {
        let record = Arc::new(record);
        index.records.replace(ById(Arc::clone(&record)));
        let mut shard = self.shard(record.digest()).write().unwrap_or_else(PoisonError::into_inner);
        shard.replace(ByDigest(Arc::clone(&record)));
        record
    }
}

impl Index {
    fn find_own(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        let ById(record) = self.records.get(&id).ok_or(ManageError::NotFound)?;
        if record.organization() == organization { Ok(Arc::clone(record)) } else { Err(ManageError::NotFound) }
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

    fn find_now(&self, digest: &KeyDigest) -> Lookup {
        self.read(digest).into()
    }

    fn store_id(&self) -> Option<StoreId> {
        Some(self.shared.id)
    }
}

// The clock and the source of randomness are asked before a lock is taken: they are not ours.
impl KeyManager for MemoryStore {
    fn issue_policy(&self) -> &IssuePolicy {
        &self.shared.issue_policy
    }

    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        self.index().find_own(organization, id)
    }

    async fn list(&self, organization: &OrganizationId, query: &ListKeys) -> Result<Page, ManageError> {
        let now = self.now();
        let index = self.index();
        let Some(Organization { keys, .. }) = index.organizations.get(organization) else { return Ok(Page::default()) };
        let end = query.after().map_or(Bound::Unbounded, Bound::Excluded);
        let found = keys.range((Bound::Unbounded, end)).rev();
        let found = found.filter_map(|cursor| index.find_own(organization, cursor.id()).ok());
        let found = found.filter(|record| query.status().is_none_or(|status| record.status(now) == status));
        Ok(Page::cut(found.take(query.limit() + 1).collect(), query.limit()))
    }

    async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        let now = self.now();
        let mut index = self.index();
        let record = index.find_own(organization, id)?;
        if record.is_revoked() {
            return Ok(record);
        }
        Ok(self.write(&mut index, Arc::unwrap_or_clone(record).with_revoked_at(now)))
    }

    async fn narrow(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        scopes: ScopeSet,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        let mut index = self.index();
        let record = index.find_own(organization, id)?;
        check_narrowing(&record, &scopes)?;
        Ok(self.write(&mut index, Arc::unwrap_or_clone(record).with_access(Access::Scoped(scopes))))
    }

    async fn policy(&self, organization: &OrganizationId) -> Result<OrganizationPolicy, ManageError> {
        Ok(self.index().organizations.get(organization).map(|organization| organization.policy).unwrap_or_default())
    }

    async fn set_policy(&self, organization: &OrganizationId, policy: OrganizationPolicy) -> Result<(), ManageError> {
        let mut index = self.index();
        let own = index.organizations.entry(organization.clone()).or_default();
        own.policy = policy;
        let ids: Vec<_> = own.keys.iter().map(Cursor::id).collect();
        for id in ids {
            let record = index.find_own(organization, id)?;
            self.write(&mut index, Arc::unwrap_or_clone(record).with_policy(policy));
        }
        Ok(())
    }

    async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), ManageError> {
        let mut index = self.index();
        for KeyUsage { id, requests, last_used_at } in usage {
            let Some(ById(record)) = index.records.get(id) else { continue };
            let last = record.last_used_at().map_or(*last_used_at, |known| known.max(*last_used_at));
            let requests = record.requests().saturating_add(*requests);
            let record = KeyRecord::clone(record).with_usage(last, requests);
            self.write(&mut index, record);
        }
        Ok(())
    }

    async fn insert(
        &self,
        organization: &OrganizationId,
        key: NewKey,
        credential: StoredCredential,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        let record = key.into_record(KeyId::random()?, organization.clone(), credential, self.now());
        self.add(record)
    }

    async fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expiry: Expiry,
        credential: StoredCredential,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        let (new_id, now) = (KeyId::random()?, self.now());
        let mut index = self.index();
        let old = index.find_own(organization, id)?;
        if old.is_revoked() {
            return Err(ManageError::Conflict);
        }
        let new = self.add_to(&mut index, credential.into_replacement(new_id, &old, expiry, now))?;
        self.write(&mut index, Arc::unwrap_or_clone(old).with_replaced_by(now, new_id));
        Ok(new)
    }
}

/// A record that is found by its digest, so that the digest is stored once.
struct ByDigest(Arc<KeyRecord>);

impl Borrow<KeyDigest> for ByDigest {
    fn borrow(&self) -> &KeyDigest {
        self.0.digest()
    }
}

impl PartialEq for ByDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.digest() == other.0.digest()
    }
}

impl Eq for ByDigest {}

impl Hash for ByDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.digest().hash(state);
    }
}

/// A record that is found by its id.
struct ById(Arc<KeyRecord>);

impl Borrow<KeyId> for ById {
    fn borrow(&self) -> &KeyId {
        self.0.key_id()
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}

impl Eq for ById {}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id().hash(state);
    }
}
