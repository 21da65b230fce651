//! Changes made through the cache: it forgets what each change is about, whatever becomes of the change.

use std::sync::Arc;

use super::CachedStore;
use crate::key::{KeyId, KeyRecord, OrganizationId, OrganizationPolicy};
use crate::store::{
    BackendError, Invalidation, KeyBackend, KeyStore, KeyUpdate, KeyUsage, ListKeys, NewRecord, Page, Replacement,
};

impl<S: KeyBackend> KeyBackend for CachedStore<S> {
    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        self.get_ref().get(organization, id).await
    }

    async fn list(&self, organization: &OrganizationId, query: &ListKeys) -> Result<Page, BackendError> {
        self.get_ref().list(organization, query).await
    }

    async fn insert(&self, record: NewRecord) -> Result<Arc<KeyRecord>, BackendError> {
        // The key may be remembered as unknown.
        let _forget = self.forget_on_drop([Invalidation::Digest(record.digest)]);
        self.get_ref().insert(record).await
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
    ) -> Result<Arc<KeyRecord>, BackendError> {
        let _forget = self.forget_on_drop([Invalidation::Key(id), Invalidation::Digest(replacement.digest)]);
        self.get_ref().replace(organization, id, replacement).await
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

    async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), BackendError> {
        // No decision depends on usage.
        self.get_ref().record_usage(usage).await
    }
}

impl<S: KeyStore> CachedStore<S> {
    /// Forgets these when the returned guard is dropped: also after an error, which may hide a change that was made, and
    /// when the caller stopped waiting.
    const fn forget_on_drop<const N: usize>(&self, changes: [Invalidation; N]) -> ForgetOnDrop<'_, S, N> {
        ForgetOnDrop { cache: self, changes }
    }
}

#[must_use = "dropped at once, it forgets before the change is made"]
struct ForgetOnDrop<'a, S: KeyStore, const N: usize> {
    cache: &'a CachedStore<S>,
    changes: [Invalidation; N],
}

impl<S: KeyStore, const N: usize> Drop for ForgetOnDrop<'_, S, N> {
    fn drop(&mut self) {
        self.changes.iter().for_each(|change| self.cache.forget(change));
    }
}
