//! Changes made through the cache: each is followed by an invalidation, whatever became of it.

use std::sync::Arc;

use super::CachedStore;
use super::ledger::Subject;
use crate::key::{KeyId, KeyRecord, OrganizationId, OrganizationPolicy};
use crate::scope::ScopeSet;
use crate::store::KeyStore;
use crate::store::manager::{Expiry, IssuePolicy, KeyManager, ListKeys, ManageError, NewKey, Page, StoredCredential};
use crate::usage::KeyUsage;

impl<S: KeyManager> KeyManager for CachedStore<S> {
    fn issue_policy(&self) -> &IssuePolicy {
        self.get_ref().issue_policy()
    }

    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        self.get_ref().get(organization, id).await
    }

    async fn list(&self, organization: &OrganizationId, query: &ListKeys) -> Result<Page, ManageError> {
        self.get_ref().list(organization, query).await
    }

    async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        let _after = self.after([Subject::Key(id)]);
        self.get_ref().revoke(organization, id).await
    }

    async fn narrow(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        scopes: ScopeSet,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        let _after = self.after([Subject::Key(id)]);
        self.get_ref().narrow(organization, id, scopes).await
    }

    async fn policy(&self, organization: &OrganizationId) -> Result<OrganizationPolicy, ManageError> {
        self.get_ref().policy(organization).await
    }

    async fn set_policy(&self, organization: &OrganizationId, policy: OrganizationPolicy) -> Result<(), ManageError> {
        let _after = self.after([Subject::Organization(organization.clone())]);
        self.get_ref().set_policy(organization, policy).await
    }

    async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), ManageError> {
        // Nothing that a request is judged by.
        self.get_ref().record_usage(usage).await
    }

    async fn insert(
        &self,
        organization: &OrganizationId,
        key: NewKey,
        credential: StoredCredential,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        // It may be remembered as unknown.
        let _after = self.after([Subject::Digest(credential.digest)]);
        self.get_ref().insert(organization, key, credential).await
    }

    async fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expiry: Expiry,
        credential: StoredCredential,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        let _after = self.after([Subject::Key(id), Subject::Digest(credential.digest)]);
        self.get_ref().replace(organization, id, expiry, credential).await
    }
}

impl<S: KeyStore> CachedStore<S> {
    /// Invalidates when it is dropped: also after an error, which may hide a change that was made, and when the
    /// caller stopped waiting.
    fn after<const N: usize>(&self, subjects: [Subject; N]) -> Invalidation<'_, S, N> {
        Invalidation { cache: self, subjects }
    }
}

struct Invalidation<'a, S: KeyStore, const N: usize> {
    cache: &'a CachedStore<S>,
    subjects: [Subject; N],
}

impl<S: KeyStore, const N: usize> Drop for Invalidation<'_, S, N> {
    fn drop(&mut self) {
        for subject in &self.subjects {
            self.cache.shared.entries.invalidate(subject.clone());
        }
    }
}
