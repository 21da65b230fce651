//! A store as people write one over a table of their own: rows in a list, and nothing broken.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use tower_api_key::test_kit::ManualClock;
use tower_api_key::{
    Access, BoxError, Cursor, Expiry, KeyDigest, KeyId, KeyRecord, KeyUsage, ListKeys, ManageError, NewKey,
    OrganizationId, OrganizationPolicy, Page, ScopeSet, StoredCredential,
};

pub(crate) type Managed<T = Arc<KeyRecord>> = Result<T, ManageError>;
pub(crate) type Found = Result<Option<Arc<KeyRecord>>, BoxError>;

/// A clone is a handle to the same rows.
#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) clock: ManualClock,
    pub(crate) down: Arc<AtomicBool>,
    pub(crate) read: fn(KeyRecord) -> KeyRecord,
    pub(crate) write: fn(KeyRecord) -> KeyRecord,
    rows: Arc<Mutex<Vec<KeyRecord>>>,
    policies: Arc<Mutex<HashMap<OrganizationId, OrganizationPolicy>>>,
}

impl Table {
    pub(crate) fn new(clock: ManualClock) -> Self {
        let same = |record| record;
        Self { clock, down: Arc::default(), read: same, write: same, rows: Arc::default(), policies: Arc::default() }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    pub(crate) fn is_up(&self) -> Result<(), ManageError> {
        if self.down.load(Ordering::Relaxed) { Err(ManageError::store("the table is gone")) } else { Ok(()) }
    }

    /// Every row, in the order in which they were inserted.
    pub(crate) fn rows(&self) -> Vec<KeyRecord> {
        self.locked().iter().map(|row| self.decode(row)).collect()
    }

    pub(crate) fn find(&self, digest: &KeyDigest) -> Found {
        self.is_up()?;
        Ok(self.rows().into_iter().find(|row| row.digest() == digest).map(Arc::new))
    }

    pub(crate) fn get(&self, organization: &OrganizationId, id: KeyId) -> Managed {
        self.is_up()?;
        let own = |row: &KeyRecord| row.id() == id && row.organization() == organization;
        self.rows().into_iter().find(own).map(Arc::new).ok_or(ManageError::NotFound)
    }

    /// The newest first; of those of one second, in the order of their ids.
    pub(crate) fn sorted(&self, belongs: impl Fn(&KeyRecord) -> bool) -> Vec<Arc<KeyRecord>> {
        let mut rows: Vec<_> = self.rows().into_iter().filter(belongs).map(Arc::new).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(Cursor::at(row)));
        rows
    }

    pub(crate) fn list(&self, organization: &OrganizationId, query: &ListKeys) -> Managed<Page> {
        self.page(self.sorted(|row| row.organization() == organization), query)
    }

    /// The page that the query asks for, out of these rows.
    pub(crate) fn page(&self, mut rows: Vec<Arc<KeyRecord>>, query: &ListKeys) -> Managed<Page> {
        self.is_up()?;
        let now = self.now();
        rows.retain(|row| query.after().is_none_or(|after| Cursor::at(row) < after));
        rows.retain(|row| query.status().is_none_or(|status| row.status(now) == status));
        Ok(Page::cut(rows, query.limit()))
    }

    pub(crate) fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Managed {
        let now = self.now();
        self.update(organization, id, |row| Ok(if row.is_revoked() { row } else { row.with_revoked_at(now) }))
    }

    pub(crate) fn narrow(&self, organization: &OrganizationId, id: KeyId, scopes: &ScopeSet) -> Managed {
        self.update(organization, id, |row| {
            if row.is_revoked() {
                return Err(ManageError::Conflict);
            }
            if row.access().scopes().is_some_and(|have| !have.contains_all(scopes)) {
                return Err(ManageError::WouldWiden);
            }
            Ok(row.with_access(Access::Scoped(scopes.clone())))
        })
    }

    pub(crate) fn policy(&self, organization: &OrganizationId) -> Managed<OrganizationPolicy> {
        self.is_up()?;
        Ok(self.policies.lock().unwrap().get(organization).copied().unwrap_or_default())
    }

    pub(crate) fn set_policy(&self, organization: &OrganizationId, policy: OrganizationPolicy) -> Managed<()> {
        self.is_up()?;
        self.policies.lock().unwrap().insert(organization.clone(), policy);
        Ok(())
    }

    pub(crate) fn record_usage(&self, usage: &[KeyUsage]) -> Managed<()> {
        self.is_up()?;
        for KeyUsage { id, requests, last_used_at, .. } in usage {
            if let Some(row) = self.locked().iter_mut().find(|row| row.id() == *id) {
                let last = row.last_used_at().max(Some(*last_used_at));
                *row = row.clone().with_usage(last, row.requests() + requests);
            }
        }
        Ok(())
    }

    pub(crate) fn insert(&self, organization: &OrganizationId, key: NewKey, credential: StoredCredential) -> Managed {
        self.is_up()?;
        let record = key.into_record(KeyId::random()?, organization.clone(), credential, self.now());
        let mut rows = self.locked();
        self.push(&mut rows, record)
    }

    pub(crate) fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expiry: Expiry,
        credential: StoredCredential,
    ) -> Managed {
        let old = self.get(organization, id)?;
        if old.is_revoked() {
            return Err(ManageError::Conflict);
        }
        let (new, now) = (self.successor(&old, expiry, credential)?, self.now());
        let mut rows = self.locked();
        let new = self.push(&mut rows, new)?;
        let row = rows.iter_mut().find(|row| row.id() == id).unwrap();
        *row = row.clone().with_replaced_by(now, new.id());
        Ok(new)
    }

    /// The record of the key that takes the place of an old one.
    pub(crate) fn successor(
        &self,
        old: &KeyRecord,
        expiry: Expiry,
        credential: StoredCredential,
    ) -> Managed<KeyRecord> {
        let now = self.now();
        let organization = old.organization().clone();
        let new = KeyRecord::new(KeyId::random()?, credential.digest, organization, old.access().clone());
        let new = new.with_name(old.name()).with_hint(credential.hint).with_created_at(now);
        Ok(new.with_expires_at(expiry.resolve(old, now)))
    }

    /// Changes a row while nobody else does.
    pub(crate) fn update(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        change: impl FnOnce(KeyRecord) -> Managed<KeyRecord>,
    ) -> Managed {
        self.is_up()?;
        let mut rows = self.locked();
        let row = rows.iter_mut().find(|row| row.id() == id && row.organization() == organization);
        let row = row.ok_or(ManageError::NotFound)?;
        *row = change(row.clone())?;
        Ok(Arc::new(self.decode(row)))
    }

    /// Writes a whole row over one with the same digest, or behind the others.
    pub(crate) fn put(&self, record: KeyRecord) -> Arc<KeyRecord> {
        let record = (self.write)(record);
        let stored = Arc::new(self.decode(&record));
        let mut rows = self.locked();
        rows.retain(|row| row.digest() != record.digest());
        rows.push(record);
        stored
    }

    /// Adds a row, whatever others there are.
    pub(crate) fn put_beside(&self, record: KeyRecord) -> Arc<KeyRecord> {
        let stored = Arc::new(self.decode(&record));
        self.locked().push(record);
        stored
    }

    pub(crate) fn delete(&self, id: KeyId) {
        self.locked().retain(|row| row.id() != id);
    }

    fn push(&self, rows: &mut Vec<KeyRecord>, record: KeyRecord) -> Managed {
        if rows.iter().any(|row| row.digest() == record.digest()) {
            return Err(ManageError::AlreadyExists);
        }
        rows.push((self.write)(record));
        Ok(Arc::new(self.decode(&rows[rows.len() - 1])))
    }

    fn decode(&self, row: &KeyRecord) -> KeyRecord {
        let policy = self.policies.lock().unwrap().get(row.organization()).copied().unwrap_or_default();
        (self.read)(row.clone().with_policy(policy))
    }

    fn locked(&self) -> MutexGuard<'_, Vec<KeyRecord>> {
        self.rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
