use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{
    BackendError, InsertRules, KeyCounts, KeyStore, KeyUpdate, ListKeys, NewRecord, Organizations, Page, PolicyUpdate,
    Replacement,
};
use crate::key::{KeyDigest, KeyId, KeyRecord, OrganizationId, OrganizationPolicy};

/// What management needs of a store. People call a [`KeyManager`](crate::KeyManager), which is built on one: a change that
/// is made on the backend itself follows no issue rules and calls no hooks.
///
/// A backend works on digests only and never sees a key. A method that takes the organization of the caller does
/// not find the key of [another one](BackendError::NotFound). When a method has returned, its effect is visible to
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

    /// Returns a page of keys that [match](ListKeys::matches), the newest first; of those created in one second, the one
    /// with the highest id. Tombstones are not listed.
    ///
    /// # Errors
    /// [`BackendError::Store`] when the store fails.
    fn list(
        &self,
        organizations: Organizations<'_>,
        query: &ListKeys,
    ) -> impl Future<Output = Result<Page, BackendError>> + Send;

    /// Returns how many keys there are, by status. Tombstones are not counted.
    ///
    /// # Errors
    /// [`BackendError::Store`] when the store fails.
    fn counts(&self, organizations: Organizations<'_>) -> impl Future<Output = Result<KeyCounts, BackendError>> + Send;

    /// Stores a key as [`NewRecord::into_record`] makes it, and returns its record, which carries the policy of its
    /// organization. The [bound](InsertRules::check_active) on active keys holds for any number of calls at once.
    ///
    /// # Errors
    /// Those of [`InsertRules`], [`BackendError::AlreadyExists`] when the digest or the id is taken, also by a tombstone,
    /// [`BackendError::Store`] when the store fails.
    fn insert(
        &self,
        record: NewRecord,
        rules: InsertRules,
    ) -> impl Future<Output = Result<Arc<KeyRecord>, BackendError>> + Send;

    /// Stores many keys in one step, each as [`insert`](Self::insert) does. Returns what became of each, in their order:
    /// one that is rejected keeps none of the others from being stored.
    ///
    /// # Errors
    /// [`BackendError::Store`] when the store fails: then none is stored, or all are.
    fn insert_many(
        &self,
        records: Vec<NewRecord>,
        rules: InsertRules,
    ) -> impl Future<Output = Result<Vec<Inserted>, BackendError>> + Send;

    /// Changes a key as [`KeyUpdate::apply`] does, in one step, and returns its record. Of two updates at once, none takes
    /// back the other, and an update never takes back a revocation.
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

    /// Stores the replacement of a key and changes the old one in the same step, as [`Replacement::apply`] does. Returns
    /// the new record.
    ///
    /// # Errors
    /// Those of [`Replacement::apply`]: of several callers at once, one succeeds. [`BackendError::TooManyKeys`] by the
    /// rules. [`BackendError::NotFound`] when the organization has no such key, [`BackendError::AlreadyExists`] when the
    /// new digest or id is taken, [`BackendError::Store`] when the store fails.
    fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        replacement: Replacement,
        rules: InsertRules,
    ) -> impl Future<Output = Result<Arc<KeyRecord>, BackendError>> + Send;

    /// Deletes up to `limit` keys that [ended](KeyRecord::ended_at) at least this long ago, with their usage, in one step.
    /// Returns their ids; fewer than `limit` means that none is left.
    ///
    /// An imported key leaves a [tombstone](KeyRecord::tombstone): lookups find it revoked, and its digest stays taken.
    ///
    /// # Errors
    /// [`BackendError::Store`] when the store fails.
    fn purge(
        &self,
        organizations: Organizations<'_>,
        age: Duration,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<KeyId>, BackendError>> + Send;

    /// Deletes up to `limit` keys of an organization, whatever their status, as [`purge`](Self::purge) does. The call
    /// that finds no more keys deletes the policy of the organization too.
    ///
    /// # Errors
    /// [`BackendError::Store`] when the store fails.
    fn erase_organization(
        &self,
        organization: &OrganizationId,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<KeyId>, BackendError>> + Send;

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

    /// Changes parts of the policy of an organization in one step, and returns the policy: of two changes at once, none takes
    /// back the other. A change is published as by [`set_organization_policy`](Self::set_organization_policy).
    ///
    /// By default the policy is read and then set, which are two steps. A store that waits in between, or that more than one
    /// process changes, overrides it.
    ///
    /// # Errors
    /// [`BackendError::Store`] when the store fails.
    fn update_organization_policy(
        &self,
        organization: &OrganizationId,
        update: PolicyUpdate,
    ) -> impl Future<Output = Result<OrganizationPolicy, BackendError>> + Send {
        async move {
            let policy = update.apply(self.organization_policy(organization).await?);
            self.set_organization_policy(organization, policy).await?;
            Ok(policy)
        }
    }

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

    /// Returns the digests of up to `limit` keys that are not revoked, the last used first, as of the last
    /// [report](Self::record_usage). For a cache to warm up with. By default none.
    ///
    /// # Errors
    /// [`BackendError::Store`] when the store fails.
    fn recently_used(&self, limit: usize) -> impl Future<Output = Result<Vec<KeyDigest>, BackendError>> + Send {
        let _ = limit;
        async { Ok(Vec::new()) }
    }
}

/// What became of one of [many keys](KeyBackend::insert_many).
pub type Inserted = Result<Arc<KeyRecord>, BackendError>;

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
        organizations: Organizations<'_>,
        query: &ListKeys,
    ) -> impl Future<Output = Result<Page, BackendError>> + Send {
        B::list(self, organizations, query)
    }

    fn counts(&self, organizations: Organizations<'_>) -> impl Future<Output = Result<KeyCounts, BackendError>> + Send {
        B::counts(self, organizations)
    }

    fn insert(
        &self,
        record: NewRecord,
        rules: InsertRules,
    ) -> impl Future<Output = Result<Arc<KeyRecord>, BackendError>> + Send {
        B::insert(self, record, rules)
    }

    fn insert_many(
        &self,
        records: Vec<NewRecord>,
        rules: InsertRules,
    ) -> impl Future<Output = Result<Vec<Inserted>, BackendError>> + Send {
        B::insert_many(self, records, rules)
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
        rules: InsertRules,
    ) -> impl Future<Output = Result<Arc<KeyRecord>, BackendError>> + Send {
        B::replace(self, organization, id, replacement, rules)
    }

    fn purge(
        &self,
        organizations: Organizations<'_>,
        age: Duration,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<KeyId>, BackendError>> + Send {
        B::purge(self, organizations, age, limit)
    }

    fn erase_organization(
        &self,
        organization: &OrganizationId,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<KeyId>, BackendError>> + Send {
        B::erase_organization(self, organization, limit)
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

    fn update_organization_policy(
        &self,
        organization: &OrganizationId,
        update: PolicyUpdate,
    ) -> impl Future<Output = Result<OrganizationPolicy, BackendError>> + Send {
        B::update_organization_policy(self, organization, update)
    }

    fn record_usage(&self, usage: &[KeyUsage]) -> impl Future<Output = Result<(), BackendError>> + Send {
        B::record_usage(self, usage)
    }

    fn recently_used(&self, limit: usize) -> impl Future<Output = Result<Vec<KeyDigest>, BackendError>> + Send {
        B::recently_used(self, limit)
    }
}
