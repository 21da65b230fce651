//! A store that publishes no change, as if each were made in another process.

use std::sync::Arc;

use tower_api_key::key::{KeyDigest, KeyId, KeyRecord, OrganizationPolicy};
use tower_api_key::store::{
    BackendError, Changes, KeyBackend, KeyUpdate, KeyUsage, ListKeys, Lookup, NewRecord, Page, Replacement, StoreId,
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

    async fn list(&self, organization: &OrganizationId, query: &ListKeys) -> Result<Page, BackendError> {
        self.0.list(organization, query).await
    }

    async fn insert(&self, record: NewRecord) -> Result<Arc<KeyRecord>, BackendError> {
        self.0.insert(record).await
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
    ) -> Result<Arc<KeyRecord>, BackendError> {
        self.0.replace(organization, id, replacement).await
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
