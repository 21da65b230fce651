use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::MemoryStore;
use crate::key::{KeyId, KeyRecord, OrganizationId, OrganizationPolicy};
use crate::store::{
    BackendError, Cursor, Invalidation, KeyBackend, KeyUpdate, KeyUsage, ListKeys, NewRecord, Page, Replacement,
};

/// The records of the table, by id and by organization.
#[derive(Default)]
pub(super) struct Index {
    records: HashMap<KeyId, Arc<KeyRecord>>,
    organizations: HashMap<OrganizationId, Organization>,
}

#[derive(Default)]
struct Organization {
    policy: OrganizationPolicy,
    keys: BTreeSet<Cursor>,
}

impl Index {
    pub(super) fn policy(&self, organization: &OrganizationId) -> OrganizationPolicy {
        self.organizations.get(organization).map(|organization| organization.policy).unwrap_or_default()
    }

    pub(super) fn find_own(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        let own = self.records.get(&id).filter(|record| record.organization() == organization);
        own.cloned().ok_or(BackendError::NotFound)
    }
}

impl MemoryStore {
    pub(super) fn add_to(&self, index: &mut Index, record: KeyRecord) -> Result<Arc<KeyRecord>, BackendError> {
        if index.records.contains_key(&record.id()) || self.read(record.digest()).is_some() {
            return Err(BackendError::AlreadyExists);
        }
        let organization = index.organizations.entry(record.organization().clone()).or_default();
        organization.keys.insert(Cursor::after(&record));
        let record = record.with_policy(organization.policy);
        Ok(self.write(index, record))
    }

    /// Sets the policy of an organization and of each of its keys.
    pub(super) fn set_policy(&self, index: &mut Index, organization: &OrganizationId, policy: OrganizationPolicy) {
        let own = index.organizations.entry(organization.clone()).or_default();
        own.policy = policy;
        let ids: Vec<_> = own.keys.iter().map(Cursor::id).collect();
        let records: Vec<_> = ids.iter().filter_map(|id| index.records.get(id).cloned()).collect();
        for record in records {
            self.write(index, KeyRecord::clone(&record).with_policy(policy));
        }
    }

    /// Stores this record in place of an earlier one of its key.
    pub(super) fn write(&self, index: &mut Index, record: KeyRecord) -> Arc<KeyRecord> {
        let record = Arc::new(record);
        index.records.insert(record.id(), Arc::clone(&record));
        self.shared.table.replace(Arc::clone(&record));
        record
    }
}

// The clock is read before the index is locked, since a clock may be the caller's. Changes are published after the index
// is unlocked, since locals are dropped in the reverse of their order: a subscriber may read the store.
impl KeyBackend for MemoryStore {
    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        self.index().find_own(organization, id)
    }

    async fn list(&self, organization: &OrganizationId, query: &ListKeys) -> Result<Page, BackendError> {
        let now = self.now();
        let index = self.index();
        let Some(Organization { keys, .. }) = index.organizations.get(organization) else { return Ok(Page::default()) };
        let end = query.after().map_or(Bound::Unbounded, Bound::Excluded);
        let found = keys.range((Bound::Unbounded, end)).rev();
        let found = found.filter_map(|cursor| index.records.get(&cursor.id()));
        let found = found.filter(|record| query.status().is_none_or(|status| record.status(now) == status));
        Ok(Page::cut(found.take(query.limit() + 1).cloned().collect(), query.limit()))
    }

    async fn insert(&self, record: NewRecord) -> Result<Arc<KeyRecord>, BackendError> {
        self.add(record.into_record(self.now())?)
    }

    async fn update(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        update: KeyUpdate,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        let _publish = self.shared.changes.publish_on_drop([Invalidation::Key(id)]);
        let mut index = self.index();
        let record = update.apply(&*index.find_own(organization, id)?)?;
        Ok(self.write(&mut index, record))
    }

    async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        let now = self.now();
        let _publish = self.shared.changes.publish_on_drop([Invalidation::Key(id)]);
        let mut index = self.index();
        let record = index.find_own(organization, id)?;
        if record.is_revoked() {
            return Ok(record);
        }
        Ok(self.write(&mut index, KeyRecord::clone(&record).with_revoked_at(now)))
    }

    async fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        replacement: Replacement,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        let now = self.now();
        let changed = [Invalidation::Key(id), Invalidation::Digest(replacement.digest)];
        let _publish = self.shared.changes.publish_on_drop(changed);
        let mut index = self.index();
        let old = index.find_own(organization, id)?;
        if old.is_revoked() {
            return Err(BackendError::Conflict);
        }
        let new = self.add_to(&mut index, replacement.into_record(&old, now)?)?;
        self.write(&mut index, KeyRecord::clone(&old).with_replaced_by(now, new.id()));
        Ok(new)
    }

    async fn organization_policy(&self, organization: &OrganizationId) -> Result<OrganizationPolicy, BackendError> {
        Ok(self.index().policy(organization))
    }

    async fn set_organization_policy(
        &self,
        organization: &OrganizationId,
        policy: OrganizationPolicy,
    ) -> Result<(), BackendError> {
        let mut index = self.index();
        if index.policy(organization) != policy {
            self.set_policy(&mut index, organization, policy);
            drop(index);
            self.shared.changes.publish(&Invalidation::Organization(organization.clone()));
        }
        Ok(())
    }

    async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), BackendError> {
        let mut index = self.index();
        for KeyUsage { id, request_count, last_used_at } in usage {
            let Some(record) = index.records.get(id) else { continue };
            let last = record.last_used_at().map_or(*last_used_at, |known| known.max(*last_used_at));
            let count = record.request_count().saturating_add(*request_count);
            let record = KeyRecord::clone(record).with_usage(last, count);
            self.write(&mut index, record);
        }
        Ok(())
    }
}
