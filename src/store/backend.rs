use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

use super::{BackendError, KeyStore, KeyUpdate, ListKeys, NewRecord, Page, Replacement};
use crate::key::{KeyId, KeyRecord, OrganizationId, OrganizationPolicy};

/// What management needs of a store. People call a [`KeyManager`](crate::KeyManager), which is built on one: a change that
/// is made on the backend itself follows no issue rules and calls no hooks.
///
/// A backend works on digests only and never sees a key. Every method takes the organization of the caller: the key of
/// another organization is [not found](BackendError::NotFound). When a method has returned, its effect is visible to
/// every lookup that starts afterwards in this process. Every method must be cancel-safe: a dropped change is made
/// completely or not at all.
///
/// The conformance suite of the feature `test-kit` checks these promises.
pub trait KeyBackend: KeyStore {
    /// Returns the record of one key.
    ///
    /// # Errors
    /// [`BackendError::NotFound`] when the organization has no such key, [`BackendError::Store`] when the store fails.
    fn get(
        &self,
        organization: &OrganizationId,
        id: KeyId,
    ) -> impl Future<Output = Result<Arc<KeyRecord>, BackendError>> + Send;

    /// Returns a page of the organization's keys, the newest first.
    ///
    /// # Errors
    /// [`BackendError::Store`] when the store fails.
    fn list(
        &self,
        organization: &OrganizationId,
        query: &ListKeys,
    ) -> impl Future<Output = Result<Page, BackendError>> + Send;

    /// Stores a new key and returns its record, which carries the policy of its organization.
    ///
    /// # Errors
    /// [`BackendError::ExpiryInPast`] when the key would have expired already, [`BackendError::AlreadyExists`] when the
    /// digest or the id is taken, [`BackendError::Store`] when the store fails.
    fn insert(&self, record: NewRecord) -> impl Future<Output = Result<Arc<KeyRecord>, BackendError>> + Send;

    /// Changes a key as [`KeyUpdate::apply`] does, in one step.
    ///
    /// # Errors
    /// Those of [`KeyUpdate::apply`], [`BackendError::NotFound`] when the organization has no such key,
    /// [`BackendError::Store`] when the store fails.
    fn update(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        update: KeyUpdate,
    ) -> impl Future<Output = Result<Arc<KeyRecord>, BackendError>> + Send;

    /// Revokes a key for good. Revoking it again changes nothing and returns the same record.
    ///
    /// # Errors
    /// [`BackendError::NotFound`] when the organization has no such key, [`BackendError::Store`] when the store fails:
    /// then the key may or may not be revoked, and the caller must try again.
    fn revoke(
        &self,
        organization: &OrganizationId,
        id: KeyId,
    ) -> impl Future<Output = Result<Arc<KeyRecord>, BackendError>> + Send;

    /// Stores the replacement of a key and revokes the old one in the same step. Returns the new record.
    ///
    /// # Errors
    /// [`BackendError::Conflict`] when the old key is already revoked or replaced; of several callers at once, one
    /// succeeds. [`BackendError::NotFound`] when the organization has no such key, [`BackendError::ExpiryInPast`] when
    /// the new key would have expired already, [`BackendError::AlreadyExists`] when the new digest or id is taken,
    /// [`BackendError::Store`] when the store fails. After any error but the last, the old key is as it was.
    fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        replacement: Replacement,
    ) -> impl Future<Output = Result<Arc<KeyRecord>, BackendError>> + Send;

    /// Returns the organization's policy, or the default if none was set.
    ///
    /// # Errors
    /// [`BackendError::Store`] when the store fails.
    fn organization_policy(
        &self,
        organization: &OrganizationId,
    ) -> impl Future<Output = Result<OrganizationPolicy, BackendError>> + Send;

    /// Sets the policy of an organization, for the keys it has and for those it will have.
    ///
    /// A change is published as [`Invalidation::Organization`](super::Invalidation::Organization), in this process and to
    /// others. The policy that the organization has already is reported to no other process. In this process it may be
    /// published, since another process may have set it a moment ago: when the call returns, no lookup finds an older policy.
    ///
    /// # Errors
    /// [`BackendError::Store`] when the store fails.
    fn set_organization_policy(
        &self,
        organization: &OrganizationId,
        policy: OrganizationPolicy,
    ) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// Adds to how often keys were used, and when last, in one step for all of them.
    ///
    /// A later time in the store stays, and a key that is gone is skipped. By default nothing is kept.
    ///
    /// # Errors
    /// [`BackendError::Store`] when the store fails.
    fn record_usage(&self, usage: &[KeyUsage]) -> impl Future<Output = Result<(), BackendError>> + Send {
        let _ = usage;
        async { Ok(()) }
    }
}

/// How often a key was used since the last report.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyUsage {
    /// The key.
    pub id: KeyId,
    /// How many requests it authenticated.
    pub request_count: u64,
    /// When the last of them came.
    pub last_used_at: SystemTime,
}

impl KeyUsage {
    /// Returns a report of this many requests with this key, the last of them at this time.
    #[must_use]
    pub const fn new(id: KeyId, request_count: u64, last_used_at: SystemTime) -> Self {
        Self { id, request_count, last_used_at }
    }
}

impl<B: KeyBackend> KeyBackend for Arc<B> {
    fn get(
        &self,
        organization: &OrganizationId,
        id: KeyId,
    ) -> impl Future<Output = Result<Arc<KeyRecord>, BackendError>> + Send {
        B::get(self, organization, id)
    }

    fn list(
        &self,
        organization: &OrganizationId,
        query: &ListKeys,
    ) -> impl Future<Output = Result<Page, BackendError>> + Send {
        B::list(self, organization, query)
    }

    fn insert(&self, record: NewRecord) -> impl Future<Output = Result<Arc<KeyRecord>, BackendError>> + Send {
        B::insert(self, record)
    }

    fn update(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        update: KeyUpdate,
    ) -> impl Future<Output = Result<Arc<KeyRecord>, BackendError>> + Send {
        B::update(self, organization, id, update)
    }

    fn revoke(
        &self,
        organization: &OrganizationId,
        id: KeyId,
    ) -> impl Future<Output = Result<Arc<KeyRecord>, BackendError>> + Send {
        B::revoke(self, organization, id)
    }

    fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        replacement: Replacement,
    ) -> impl Future<Output = Result<Arc<KeyRecord>, BackendError>> + Send {
        B::replace(self, organization, id, replacement)
    }

    fn organization_policy(
        &self,
        organization: &OrganizationId,
    ) -> impl Future<Output = Result<OrganizationPolicy, BackendError>> + Send {
        B::organization_policy(self, organization)
    }

    fn set_organization_policy(
        &self,
        organization: &OrganizationId,
        policy: OrganizationPolicy,
    ) -> impl Future<Output = Result<(), BackendError>> + Send {
        B::set_organization_policy(self, organization, policy)
    }

    fn record_usage(&self, usage: &[KeyUsage]) -> impl Future<Output = Result<(), BackendError>> + Send {
        B::record_usage(self, usage)
    }
}
