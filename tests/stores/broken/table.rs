//! A store as people write one over a table of their own: rows in a list, and nothing broken.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tower_api_key::key::{KeyDigest, KeyId, KeyRecord, OrganizationPolicy};
use tower_api_key::store::{
    BackendError, Changes, Cursor, InsertRules, Inserted, Invalidation, KeyCounts, KeyUpdate, KeyUsage, ListKeys,
    NewRecord, Page, Replaced, Replacement,
};
use tower_api_key::test_kit::ManualClock;
use tower_api_key::{BoxError, OrganizationId};

pub(crate) type Managed<T = Arc<KeyRecord>> = Result<T, BackendError>;
pub(crate) type Found = Result<Option<Arc<KeyRecord>>, BoxError>;

pub(crate) type FoundMany = Result<Vec<Found>, BoxError>;

pub(crate) type IsPublished = fn(&Invalidation) -> bool;

/// A clone is a handle to the same rows.
#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) clock: ManualClock,
    pub(crate) down: Arc<AtomicBool>,
    pub(crate) read: fn(KeyRecord) -> KeyRecord,
    pub(crate) write: fn(KeyRecord) -> KeyRecord,
    /// Where changes are published, if they are, and which of them.
    pub(crate) changes: Option<(Arc<Changes>, IsPublished)>,
    rows: Arc<Mutex<Vec<KeyRecord>>>,
    tombstones: Arc<Mutex<Vec<KeyRecord>>>,
    policies: Arc<Mutex<HashMap<OrganizationId, OrganizationPolicy>>>,
}

impl Table {
    pub(crate) fn new(clock: ManualClock) -> Self {
        let same = |record| record;
        Self {
            clock,
            down: Arc::default(),
            read: same,
            write: same,
            changes: None,
            rows: Arc::default(),
            tombstones: Arc::default(),
            policies: Arc::default(),
        }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    pub(crate) fn is_up(&self) -> Result<(), BackendError> {
        if self.down.load(Ordering::Relaxed) { Err(BackendError::store("the table is gone")) } else { Ok(()) }
    }

    /// Every row, in the order in which they were inserted.
    pub(crate) fn rows(&self) -> Vec<KeyRecord> {
        self.locked().iter().map(|row| self.decode(row)).collect()
    }

    pub(crate) fn find(&self, digest: &KeyDigest) -> Found {
        self.is_up()?;
        let tombstones = self.tombstones.lock().unwrap().clone();
        Ok(self.rows().into_iter().chain(tombstones).find(|row| row.digest() == digest).map(Arc::new))
    }

    pub(crate) fn get(&self, organization: &OrganizationId, id: KeyId) -> Managed {
        self.is_up()?;
        let own = |row: &KeyRecord| row.id() == id && row.organization() == organization;
        self.rows().into_iter().find(own).map(Arc::new).ok_or(BackendError::NotFound)
    }

    /// The newest first; of those of one second, in the order of their ids.
    pub(crate) fn sorted(&self, belongs: impl Fn(&KeyRecord) -> bool) -> Vec<Arc<KeyRecord>> {
        let mut rows: Vec<_> = self.rows().into_iter().filter(belongs).map(Arc::new).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(Cursor::after(row)));
        rows
    }

    /// The rows of one organization, or of all.
    pub(crate) fn of(&self, organization: Option<&OrganizationId>) -> Vec<Arc<KeyRecord>> {
        self.sorted(|row| organization.is_none_or(|own| row.organization() == own))
    }

    pub(crate) fn list(&self, organization: Option<&OrganizationId>, query: &ListKeys) -> Managed<Page> {
        self.page(self.of(organization), query)
    }

    pub(crate) fn counts(&self, organization: Option<&OrganizationId>) -> Managed<KeyCounts> {
        self.is_up()?;
        let mut counts = KeyCounts::default();
        self.of(organization).iter().for_each(|row| counts.add(row.status(self.now())));
        Ok(counts)
    }

    /// The page that the query asks for, out of these rows.
    pub(crate) fn page(&self, mut rows: Vec<Arc<KeyRecord>>, query: &ListKeys) -> Managed<Page> {
        self.is_up()?;
        let now = self.now();
        rows.retain(|row| query.after().is_none_or(|after| Cursor::after(row) < after));
        rows.retain(|row| query.matches(row, now));
        Ok(Page::cut(rows, query.limit()))
    }

    pub(crate) fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Managed {
        let now = self.now();
        self.change(organization, id, |row| Ok(if row.is_revoked() { row } else { row.with_revoked_at(now) }))
    }

    pub(crate) fn update(&self, organization: &OrganizationId, id: KeyId, update: &KeyUpdate) -> Managed {
        let now = self.now();
        self.change(organization, id, |row| update.apply(&row, now))
    }

    pub(crate) fn organization_policy(&self, organization: &OrganizationId) -> Managed<OrganizationPolicy> {
        self.is_up()?;
        Ok(self.policies.lock().unwrap().get(organization).copied().unwrap_or_default())
    }

    pub(crate) fn set_organization_policy(
        &self,
        organization: &OrganizationId,
        policy: OrganizationPolicy,
    ) -> Managed<()> {
        self.is_up()?;
        self.policies.lock().unwrap().insert(organization.clone(), policy);
        self.publish(&Invalidation::Organization(organization.clone()));
        Ok(())
    }

    pub(crate) fn record_usage(&self, usage: &[KeyUsage]) -> Managed<()> {
        self.is_up()?;
        for KeyUsage { id, request_count, last_used_at, .. } in usage {
            if let Some(row) = self.locked().iter_mut().find(|row| row.id() == *id) {
                let last = row.last_used_at().max(Some(*last_used_at));
                *row = row.clone().with_usage(last, row.request_count() + request_count);
            }
        }
        Ok(())
    }

    pub(crate) fn insert(&self, record: NewRecord, rules: InsertRules) -> Managed {
        self.is_up()?;
        let record = record.into_record(self.now(), rules)?;
        let active = self.active(record.organization());
        rules.check_active(active, active + u64::from(InsertRules::counts(&record, self.now())))?;
        self.push(&mut self.locked(), record)
    }

    pub(crate) fn insert_many(&self, records: Vec<NewRecord>, rules: InsertRules) -> Managed<Vec<Inserted>> {
        self.is_up()?;
        Ok(records.into_iter().map(|record| self.insert(record, rules)).collect())
    }

    pub(crate) fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        replacement: Replacement,
        rules: InsertRules,
    ) -> Managed {
        let (before, now) = (self.get(organization, id)?, self.now());
        let Replaced { old, new } = replacement.apply(&before, now, rules)?;
        let (counts, active) = (|key| u64::from(InsertRules::counts(key, now)), self.active(organization));
        rules.check_active(active, active + counts(&old) + counts(&new) - counts(&before))?;
        let mut rows = self.locked();
        let new = self.push(&mut rows, new)?;
        *rows.iter_mut().find(|row| row.id() == id).unwrap() = old;
        self.publish(&Invalidation::Key(id));
        Ok(new)
    }

    /// How many keys of an organization count as active.
    pub(crate) fn active(&self, organization: &OrganizationId) -> u64 {
        let counts = |row: &&Arc<KeyRecord>| InsertRules::counts(row, self.now());
        self.of(Some(organization)).iter().filter(counts).count() as u64
    }

    pub(crate) fn purge(
        &self,
        organization: Option<&OrganizationId>,
        age: Duration,
        limit: usize,
    ) -> Managed<Vec<KeyId>> {
        self.is_up()?;
        let latest = self.now() - age;
        let ended = |row: &&Arc<KeyRecord>| row.ended_at(self.now()).is_some_and(|ended| ended <= latest);
        Ok(self.bury(self.of(organization).iter().filter(ended).take(limit)))
    }

    pub(crate) fn erase(&self, organization: &OrganizationId, limit: usize) -> Managed<Vec<KeyId>> {
        self.is_up()?;
        let erased = self.bury(self.of(Some(organization)).iter().take(limit));
        if erased.len() < limit {
            self.policies.lock().unwrap().remove(organization);
        }
        Ok(erased)
    }

    /// Deletes these rows. An imported one leaves a tombstone.
    pub(crate) fn bury<'a>(&self, rows: impl Iterator<Item = &'a Arc<KeyRecord>>) -> Vec<KeyId> {
        let mut ids = Vec::new();
        for row in rows {
            self.delete(row.id());
            if row.is_imported() {
                self.tombstones.lock().unwrap().push(KeyRecord::tombstone(row.id(), *row.digest()));
            }
            self.publish(&Invalidation::Key(row.id()));
            ids.push(row.id());
        }
        ids
    }

    /// Changes a row in one step.
    pub(crate) fn change(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        change: impl FnOnce(KeyRecord) -> Managed<KeyRecord>,
    ) -> Managed {
        self.is_up()?;
        let mut rows = self.locked();
        let row = rows.iter_mut().find(|row| row.id() == id && row.organization() == organization);
        let row = row.ok_or(BackendError::NotFound)?;
        *row = change(row.clone())?;
        self.publish(&Invalidation::Key(id));
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
    pub(crate) fn put_another(&self, record: KeyRecord) -> Arc<KeyRecord> {
        let stored = Arc::new(self.decode(&record));
        self.locked().push(record);
        stored
    }

    pub(crate) fn delete(&self, id: KeyId) {
        self.locked().retain(|row| row.id() != id);
    }

    fn push(&self, rows: &mut Vec<KeyRecord>, record: KeyRecord) -> Managed {
        let tombstones = self.tombstones.lock().unwrap();
        let mut taken = rows.iter().chain(&*tombstones);
        if taken.any(|row| row.digest() == record.digest() || row.id() == record.id()) {
            return Err(BackendError::AlreadyExists);
        }
        let digest = *record.digest();
        rows.push((self.write)(record));
        self.publish(&Invalidation::Digest(digest));
        Ok(Arc::new(self.decode(&rows[rows.len() - 1])))
    }

    /// The same rows, without anything being published.
    pub(crate) fn silent(&self) -> Self {
        Self { changes: None, ..self.clone() }
    }

    /// Publishes a change, if the table publishes such changes.
    pub(crate) fn publish(&self, change: &Invalidation) {
        if let Some((changes, _)) = self.changes.as_ref().filter(|(_, is_published)| is_published(change)) {
            changes.publish(change);
        }
    }

    fn decode(&self, row: &KeyRecord) -> KeyRecord {
        let policy = self.policies.lock().unwrap().get(row.organization()).copied().unwrap_or_default();
        (self.read)(row.clone().with_policy(policy))
    }

    fn locked(&self) -> MutexGuard<'_, Vec<KeyRecord>> {
        self.rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
