//! A store that publishes no change, as if each were made in another process.

use std::sync::Arc;
use std::time::Duration;

use tower_api_key::key::{KeyDigest, KeyId, KeyRecord, OrganizationPolicy};
use tower_api_key::store::{
    BackendError, Changes, FindResult, InsertRules, Inserted, KeyBackend, KeyCounts, KeyUpdate, KeyUsage, ListKeys,
    Lookup, NewRecord, Organizations, Page, Replacement, StoreId,
};
use tower_api_key::{KeyStore, OrganizationId};

/// The store in it, but for its [`changes`](KeyStore::changes).
#[derive(Clone)]
pub(crate) struct Silent<S>(pub(crate) S);

impl<S: KeyStore> KeyStore for Silent<S> {
    type Error = S::Error;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, S::Error> {
        self.0.find(digest).await
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        self.0.try_find(digest)
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> Result<Vec<FindResult<S::Error>>, S::Error> {
        self.0.find_many(digests).await
    }

    fn max_batch(&self) -> usize {
        self.0.max_batch()
    }

    fn id(&self) -> Option<StoreId> {
        self.0.id()
    }

    fn changes(&self) -> Option<&Changes> {
        None
    }
}

impl<S: KeyBackend> KeyBackend for Silent<S> {
    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        self.0.get(organization, id).await
    }

    async fn list(&self, organizations: Organizations<'_>, query: &ListKeys) -> Result<Page, BackendError> {
        self.0.list(organizations, query).await
    }

    async fn insert(&self, record: NewRecord, rules: InsertRules) -> Result<Arc<KeyRecord>, BackendError> {
        self.0.insert(record, rules).await
    }

    async fn counts(&self, organizations: Organizations<'_>) -> Result<KeyCounts, BackendError> {
        self.0.counts(organizations).await
    }

    async fn insert_many(&self, records: Vec<NewRecord>, rules: InsertRules) -> Result<Vec<Inserted>, BackendError> {
        self.0.insert_many(records, rules).await
    }

    async fn purge(
        &self,
        organizations: Organizations<'_>,
        age: Duration,
        limit: usize,
    ) -> Result<Vec<KeyId>, BackendError> {
        self.0.purge(organizations, age, limit).await
    }

    async fn erase_organization(
        &self,
        organization: &OrganizationId,
        limit: usize,
    ) -> Result<Vec<KeyId>, BackendError> {
        self.0.erase_organization(organization, limit).await
    }

    async fn update(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        update: KeyUpdate,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        self.0.update(organization, id, update).await
    }

    async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        self.0.revoke(organization, id).await
    }

    async fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        replacement: Replacement,
        rules: InsertRules,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        self.0.replace(organization, id, replacement, rules).await
    }

    async fn organization_policy(&self, organization: &OrganizationId) -> Result<OrganizationPolicy, BackendError> {
        self.0.organization_policy(organization).await
    }

    async fn set_organization_policy(
        &self,
        organization: &OrganizationId,
        policy: OrganizationPolicy,
    ) -> Result<(), BackendError> {
        self.0.set_organization_policy(organization, policy).await
    }

    async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), BackendError> {
        self.0.record_usage(usage).await
    }
}
