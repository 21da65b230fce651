//! Changes made through the cache: it forgets what each change is about, whatever becomes of the change.

use std::sync::Arc;
use std::time::Duration;

use super::CachedStore;
use crate::key::{KeyDigest, KeyId, KeyRecord, OrganizationId, OrganizationPolicy};
use crate::store::{
    BackendError, InsertRules, Inserted, Invalidation, KeyBackend, KeyCounts, KeyStore, KeyUpdate, KeyUsage, ListKeys,
    NewRecord, Organizations, Page, PolicyUpdate, Replacement,
};

impl<S: KeyBackend> KeyBackend for CachedStore<S> {
    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        self.get_ref().get(organization, id).await
    }

    async fn list(&self, organizations: Organizations<'_>, query: &ListKeys) -> Result<Page, BackendError> {
        self.get_ref().list(organizations, query).await
    }

    async fn counts(&self, organizations: Organizations<'_>) -> Result<KeyCounts, BackendError> {
        self.get_ref().counts(organizations).await
    }

    async fn insert(&self, record: NewRecord, rules: InsertRules) -> Result<Arc<KeyRecord>, BackendError> {
        // The key may be remembered as unknown.
        let _forget = self.forget_on_drop([Invalidation::Digest(record.digest)]);
        self.get_ref().insert(record, rules).await
    }

    async fn insert_many(&self, records: Vec<NewRecord>, rules: InsertRules) -> Result<Vec<Inserted>, BackendError> {
        let digests = records.iter().map(|record| Invalidation::Digest(record.digest));
        let _forget = self.forget_on_drop(digests.collect::<Vec<_>>());
        self.get_ref().insert_many(records, rules).await
    }

    async fn update(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        update: KeyUpdate,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        let _forget = self.forget_on_drop([Invalidation::Key(id)]);
        self.get_ref().update(organization, id, update).await
    }

    async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        let _forget = self.forget_on_drop([Invalidation::Key(id)]);
        self.get_ref().revoke(organization, id).await
    }

    async fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        replacement: Replacement,
        rules: InsertRules,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        let _forget = self.forget_on_drop([Invalidation::Key(id), Invalidation::Digest(replacement.digest)]);
        self.get_ref().replace(organization, id, replacement, rules).await
    }

    async fn purge(
        &self,
        organizations: Organizations<'_>,
        age: Duration,
        limit: usize,
    ) -> Result<Vec<KeyId>, BackendError> {
        // Nothing to forget when it fails or is dropped: a key that is purged was rejected before, and still is.
        let purged = self.get_ref().purge(organizations, age, limit).await?;
        purged.iter().for_each(|id| self.forget(&Invalidation::Key(*id)));
        Ok(purged)
    }

    async fn erase_organization(
        &self,
        organization: &OrganizationId,
        limit: usize,
    ) -> Result<Vec<KeyId>, BackendError> {
        let _forget = self.forget_on_drop([Invalidation::Organization(organization.clone())]);
        self.get_ref().erase_organization(organization, limit).await
    }

    async fn organization_policy(&self, organization: &OrganizationId) -> Result<OrganizationPolicy, BackendError> {
        self.get_ref().organization_policy(organization).await
    }

    async fn set_organization_policy(
        &self,
        organization: &OrganizationId,
        policy: OrganizationPolicy,
    ) -> Result<(), BackendError> {
        let _forget = self.forget_on_drop([Invalidation::Organization(organization.clone())]);
        self.get_ref().set_organization_policy(organization, policy).await
    }

    async fn update_organization_policy(
        &self,
        organization: &OrganizationId,
        update: PolicyUpdate,
    ) -> Result<OrganizationPolicy, BackendError> {
        let _forget = self.forget_on_drop([Invalidation::Organization(organization.clone())]);
        self.get_ref().update_organization_policy(organization, update).await
    }

    async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), BackendError> {
        // No decision depends on usage.
        self.get_ref().record_usage(usage).await
    }

    async fn recently_used(&self, limit: usize) -> Result<Vec<KeyDigest>, BackendError> {
        self.get_ref().recently_used(limit).await
    }
}

impl<S: KeyStore> CachedStore<S> {
    /// Forgets these when the returned guard is dropped: also after an error, which may hide a change that was made, and
    /// when the caller stopped waiting.
    const fn forget_on_drop<C: AsRef<[Invalidation]>>(&self, changes: C) -> ForgetOnDrop<'_, S, C> {
        ForgetOnDrop { cache: self, changes }
    }
}

#[must_use = "dropped at once, it forgets before the change is made"]
struct ForgetOnDrop<'a, S: KeyStore, C: AsRef<[Invalidation]>> {
    cache: &'a CachedStore<S>,
    changes: C,
}

impl<S: KeyStore, C: AsRef<[Invalidation]>> Drop for ForgetOnDrop<'_, S, C> {
    fn drop(&mut self) {
        self.changes.as_ref().iter().for_each(|change| self.cache.forget(change));
    }
}
