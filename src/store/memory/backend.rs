use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::MemoryStore;
use crate::key::{KeyDigest, KeyId, KeyRecord, OrganizationId, OrganizationPolicy};
use crate::store::{
    BackendError, Cursor, InsertRules, Inserted, Invalidation, KeyBackend, KeyCounts, KeyUpdate, KeyUsage, ListKeys,
    NewRecord, Organizations, Page, PolicyUpdate, Replaced, Replacement,
};

/// The records of the table, by id and by organization.
#[derive(Default)]
pub(super) struct Index {
    pub(super) records: HashMap<KeyId, Arc<KeyRecord>>,
    pub(super) organizations: HashMap<OrganizationId, Organization>,
}

#[derive(Default)]
pub(super) struct Organization {
    pub(super) policy: OrganizationPolicy,
    pub(super) keys: BTreeSet<Cursor>,
}

impl Organization {
    /// Returns the places after this one, the newest first.
    fn after(&self, place: Option<Cursor>) -> impl Iterator<Item = &Cursor> {
        let end = place.map_or(Bound::Unbounded, Bound::Excluded);
        self.keys.range((Bound::Unbounded, end)).rev()
    }
}

impl Index {
    pub(super) fn policy(&self, organization: &OrganizationId) -> OrganizationPolicy {
        self.organizations.get(organization).map(|organization| organization.policy).unwrap_or_default()
    }

    pub(super) fn find_own(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        let own = self.records.get(&id).filter(|record| record.organization() == organization);
        own.cloned().ok_or(BackendError::NotFound)
    }

    /// Returns the records of these organizations after this place, the newest first.
    fn listed(
        &self,
        organizations: Organizations<'_>,
        after: Option<Cursor>,
    ) -> Box<dyn Iterator<Item = &Arc<KeyRecord>> + '_> {
        match organizations {
            Organizations::One(organization) => {
                let organization = self.organizations.get(organization);
                let places = organization.into_iter().flat_map(move |organization| organization.after(after));
                Box::new(places.filter_map(|place| self.records.get(&place.id())))
            }
            Organizations::All => {
                let mut all: Vec<_> = self.organizations.values().flat_map(|own| own.after(after)).collect();
                all.sort_unstable_by(|a, b| b.cmp(a));
                Box::new(all.into_iter().filter_map(|place| self.records.get(&place.id())))
            }
        }
    }

    /// Returns how many keys of an organization count as active.
    fn active(&self, organization: &OrganizationId, now: SystemTime) -> u64 {
        let records = self.listed(organization.into(), None);
        records.filter(|record| InsertRules::counts(record, now)).count() as u64
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

    fn insert_into(
        &self,
        index: &mut Index,
        record: NewRecord,
        rules: InsertRules,
        now: SystemTime,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        let record = record.into_record(now, rules)?;
        let policy = index.policy(record.organization());
        if rules.max_active().is_some() && InsertRules::counts(&record.clone().with_policy(policy), now) {
            let active = index.active(record.organization(), now);
            rules.check_active(active, active + 1)?;
        }
        self.add_to(index, record)
    }

    /// Deletes up to `limit` of these keys. With fewer, nothing is left of them, and `finish` is called.
    fn delete(
        &self,
        organizations: Organizations<'_>,
        limit: usize,
        is_deleted: impl Fn(&KeyRecord) -> bool,
        finish: impl FnOnce(&mut Index),
    ) -> Result<Vec<KeyId>, BackendError> {
        let mut index = self.index();
        let records = index.listed(organizations, None);
        let records: Vec<_> = records.filter(|record| is_deleted(record)).take(limit).cloned().collect();
        for record in &records {
            index.records.remove(&record.id());
            if let Some(organization) = index.organizations.get_mut(record.organization()) {
                organization.keys.remove(&Cursor::after(record));
            }
            if record.is_imported() {
                self.shared.table.replace(Arc::new(KeyRecord::tombstone(record.id(), *record.digest())));
            } else {
                self.shared.table.remove(record.digest());
            }
        }
        if records.len() < limit {
            finish(&mut index);
        }
        drop(index);
        let ids: Vec<_> = records.iter().map(|record| record.id()).collect();
        ids.iter().for_each(|id| self.shared.changes.publish(&Invalidation::Key(*id)));
        Ok(ids)
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

    async fn list(&self, organizations: Organizations<'_>, query: &ListKeys) -> Result<Page, BackendError> {
        let now = self.now();
        let index = self.index();
        let found = index.listed(organizations, query.after()).filter(|record| query.matches(record, now));
        Ok(Page::cut(found.take(query.limit() + 1).cloned().collect(), query.limit()))
    }

    async fn counts(&self, organizations: Organizations<'_>) -> Result<KeyCounts, BackendError> {
        let now = self.now();
        let mut counts = KeyCounts::default();
        self.index().listed(organizations, None).for_each(|record| counts.add(record.status(now)));
        Ok(counts)
    }

    async fn insert(&self, record: NewRecord, rules: InsertRules) -> Result<Arc<KeyRecord>, BackendError> {
        let now = self.now();
        let _publish = self.shared.changes.publish_on_drop([Invalidation::Digest(record.digest)]);
        self.insert_into(&mut self.index(), record, rules, now)
    }

    async fn insert_many(&self, records: Vec<NewRecord>, rules: InsertRules) -> Result<Vec<Inserted>, BackendError> {
        let now = self.now();
        let digests = records.iter().map(|record| Invalidation::Digest(record.digest));
        let _publish = self.shared.changes.publish_on_drop(digests.collect::<Vec<_>>());
        let mut index = self.index();
        Ok(records.into_iter().map(|record| self.insert_into(&mut index, record, rules, now)).collect())
    }

    async fn update(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        update: KeyUpdate,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        let now = self.now();
        let _publish = self.shared.changes.publish_on_drop([Invalidation::Key(id)]);
        let mut index = self.index();
        let record = update.apply(&*index.find_own(organization, id)?, now)?;
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
        rules: InsertRules,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        let now = self.now();
        let changed = [Invalidation::Key(id), Invalidation::Digest(replacement.digest)];
        let _publish = self.shared.changes.publish_on_drop(changed);
        let mut index = self.index();
        let before = index.find_own(organization, id)?;
        let Replaced { old, new } = replacement.apply(&before, now, rules)?;
        if rules.max_active().is_some() {
            let active = index.active(organization, now);
            let counts = |key| u64::from(InsertRules::counts(key, now));
            rules.check_active(active, active + counts(&old) + counts(&new) - counts(&before))?;
        }
        let new = self.add_to(&mut index, new)?;
        self.write(&mut index, old);
        Ok(new)
    }

    async fn purge(
        &self,
        organizations: Organizations<'_>,
        age: Duration,
        limit: usize,
    ) -> Result<Vec<KeyId>, BackendError> {
        let now = self.now();
        // Before the earliest time, nothing has ended.
        let Some(latest) = now.checked_sub(age) else { return Ok(Vec::new()) };
        self.delete(organizations, limit, |record| record.ended_at(now).is_some_and(|ended| ended <= latest), |_| ())
    }

    async fn erase_organization(
        &self,
        organization: &OrganizationId,
        limit: usize,
    ) -> Result<Vec<KeyId>, BackendError> {
        let forget = |index: &mut Index| drop(index.organizations.remove(organization));
        self.delete(organization.into(), limit, |_| true, forget)
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

    async fn update_organization_policy(
        &self,
        organization: &OrganizationId,
        update: PolicyUpdate,
    ) -> Result<OrganizationPolicy, BackendError> {
        let mut index = self.index();
        let before = index.policy(organization);
        let policy = update.apply(before);
        if policy != before {
            self.set_policy(&mut index, organization, policy);
            drop(index);
            self.shared.changes.publish(&Invalidation::Organization(organization.clone()));
        }
        Ok(policy)
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

    async fn recently_used(&self, limit: usize) -> Result<Vec<KeyDigest>, BackendError> {
        let index = self.index();
        let mut used: Vec<_> = index.records.values().filter(|record| !record.is_revoked()).collect();
        used.retain(|record| record.last_used_at().is_some());
        used.sort_unstable_by_key(|record| (Reverse(record.last_used_at()), record.id()));
        Ok(used.into_iter().take(limit).map(|record| *record.digest()).collect())
    }
}
