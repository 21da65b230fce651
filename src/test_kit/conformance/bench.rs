//! What every check works with: a store, two organizations, and calls that must succeed.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::super::ManualClock;
use super::hooks::{self, Hooks};
use super::verdict::{Expecting, Problem, Verdict, expect, expect_same};
use crate::BoxError;
use crate::key::{KeyDigest, KeyId, KeyRecord, KeySecret, OrganizationId, OrganizationPolicy};
use crate::manage::manager::KeyManager;
use crate::manage::new_key::NewKey;
use crate::manage::{IssuedKey, RegenerateOptions, StoredCredential};
use crate::scope::{Access, ScopeSet};
use crate::store::{
    BackendError, Expiry, InsertRules, KeyBackend, KeyCounts, KeyStore, KeyUpdate, ListKeys, Lookup, NewRecord, Page,
    Replacement,
};
use crate::time::Timestamp;

pub(super) const HOUR: Duration = Duration::from_secs(3600);

pub(super) struct Bench<'a, S> {
    pub(super) store: Arc<S>,
    /// Manages the keys of the store.
    pub(super) manager: KeyManager<Arc<S>>,
    /// The organization that a check works in.
    pub(super) own: OrganizationId,
    /// Another one.
    pub(super) other: OrganizationId,
    hooks: &'a Hooks<'a, S>,
}

impl<'a, S: KeyStore> Bench<'a, S> {
    pub(super) async fn open(hooks: &'a Hooks<'a, S>) -> Verdict<Self> {
        let store = Arc::new(hooks.fresh.fresh().await);
        let (own, other) = match &hooks.organization {
            Some(organization) => (organization.make(&store).await, organization.make(&store).await),
            None => two_organizations()?,
        };
        Ok(Self { manager: KeyManager::new(Arc::clone(&store)), store, own, other, hooks })
    }

    /// Returns the record of a new key of the own organization.
    pub(super) fn key(&self, access: Access) -> Verdict<KeyRecord> {
        let id = KeyId::random().expecting("randomness")?;
        let credential = new_credential()?;
        let record = KeyRecord::new(id, credential.digest, self.own.clone(), access);
        Ok(record.with_name("conformance").with_hint(credential.hint).with_created_at(self.now()))
    }

    pub(super) async fn try_keep(&self, record: &KeyRecord) -> Result<(), BoxError> {
        self.hooks.keep.keep(&self.store, record.clone()).await
    }

    pub(super) async fn keep(&self, record: KeyRecord) -> Verdict<KeyRecord> {
        self.try_keep(&record).await.expecting(&format!("to keep {record:?}"))?;
        Ok(record)
    }

    pub(super) async fn find(&self, digest: &KeyDigest) -> Verdict<Option<Arc<KeyRecord>>> {
        self.store.find(digest).await.expecting("`find` to answer")
    }

    pub(super) async fn found(&self, digest: &KeyDigest) -> Verdict<Arc<KeyRecord>> {
        self.find(digest).await?.ok_or_else(|| Problem::new("`find` to find the key", "None"))
    }

    /// Expects the key to be as it was when this record of it was found.
    pub(super) async fn expect_as_before(&self, digest: &KeyDigest, before: &KeyRecord) -> Verdict {
        let found = self.found(digest).await?;
        expect_same("the key to be as it was", &format!("{before:?}"), &format!("{found:?}"))
    }

    /// Returns what a batch finds of each of these digests, in their order.
    pub(super) async fn find_many(&self, digests: &[KeyDigest]) -> Verdict<Vec<Option<Arc<KeyRecord>>>> {
        let results = self.store.find_many(digests).await.expecting("`find_many` to answer")?;
        expect_same("the number of results of `find_many`", &digests.len(), &results.len())?;
        results.into_iter().map(|result| result.expecting("`find_many` to answer for each digest")).collect()
    }

    /// Returns each answer that a request may get: that of `try_find`, if it has one, that of `find`, that of a batch, and
    /// that of `try_find` after them.
    pub(super) async fn answers(&self, digest: &KeyDigest) -> Verdict<Vec<(&'static str, Arc<KeyRecord>)>> {
        let before = self.found_at_once(digest)?.map(|record| ("`try_find`", record));
        let awaited = ("`find`", self.found(digest).await?);
        let batched = self.find_many(&[*digest]).await?.pop().flatten();
        let batched = batched.ok_or_else(|| Problem::new("`find_many` to find the key", "None"))?;
        let after = self.found_at_once(digest)?.map(|record| ("`try_find` after `find`", record));
        Ok(before.into_iter().chain([awaited, ("`find_many`", batched)]).chain(after).collect())
    }

    fn found_at_once(&self, digest: &KeyDigest) -> Verdict<Option<Arc<KeyRecord>>> {
        match self.store.try_find(digest) {
            Lookup::Found(record) => Ok(Some(record)),
            Lookup::Pending => Ok(None),
            Lookup::NotFound => Err(Problem::new("`try_find` to find the key, or to leave it to `find`", "NotFound")),
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        self.hooks.clock.as_ref().map_or_else(SystemTime::now, ManualClock::now)
    }

    /// Lets the second pass in which keys are dated.
    pub(super) async fn tick(&self) -> Verdict {
        self.pass(Duration::from_secs(1)).await
    }

    /// Lets this time pass. A store that reads another clock than this process gets a little more.
    async fn pass(&self, time: Duration) -> Verdict {
        if let Some(clock) = &self.hooks.clock {
            clock.advance(time);
            return Ok(());
        }
        let (began, time) = (Instant::now(), time + Duration::from_millis(100));
        tokio::time::sleep(time).await;
        let waited = began.elapsed();
        expect(waited >= time, "a tokio timer that is not paused, or a ManualClock", &waited)
    }

    /// Returns a whole second that is one or two seconds away: an expiry that a store accepts, and that a check can wait
    /// for.
    pub(super) fn soon(&self) -> SystemTime {
        Timestamp::floor(self.now()).saturating_add(Duration::from_secs(2)).system_time()
    }

    /// Waits for this time.
    pub(super) async fn reach(&self, time: SystemTime) -> Verdict {
        self.pass(time.duration_since(self.now()).unwrap_or_default()).await
    }

    /// Keeps a key that is expired when this returns.
    pub(super) async fn keep_expired(&self) -> Verdict<KeyRecord> {
        let key = self.key(Access::Full)?;
        let expired = key.clone().with_expires_at(self.now() - HOUR);
        match self.try_keep(&expired).await {
            // Kept by `insert`, which takes no expired key.
            Err(error) if matches!(error.downcast_ref(), Some(BackendError::ExpiryInPast)) => {
                let key = self.keep(key.with_expires_at(self.soon())).await?;
                self.reach(key.expires_at().unwrap_or_else(|| self.now())).await?;
                Ok(key)
            }
            kept => kept.expecting(&format!("to keep {expired:?}")).map(|()| expired),
        }
    }

    /// Causes the outage that the caller of the suite has described.
    pub(super) async fn break_store(&self) {
        if let Some(outage) = &self.hooks.outage {
            outage.break_store(&self.store).await;
        }
    }

    /// Returns the store that this one wraps, if the caller of the suite has named it.
    pub(super) fn inner(&self) -> Option<&dyn hooks::Inner> {
        self.hooks.inner.as_deref()
    }
}

impl<S: KeyBackend> Bench<'_, S> {
    pub(super) async fn add(&self, access: Access) -> Verdict<Arc<KeyRecord>> {
        self.add_until(None, access).await
    }

    pub(super) async fn add_until(
        &self,
        expires_at: impl Into<Option<SystemTime>>,
        access: Access,
    ) -> Verdict<Arc<KeyRecord>> {
        self.insert(NewRecord { expires_at: expires_at.into(), ..new_record(&self.own, access)? }).await
    }

    /// Adds a key that is expired when this returns.
    pub(super) async fn add_expired(&self) -> Verdict<Arc<KeyRecord>> {
        let soon = self.soon();
        let key = self.add_until(soon, Access::Full).await?;
        self.reach(soon).await?;
        Ok(key)
    }

    pub(super) async fn add_many(&self, number: usize) -> Verdict<Vec<Arc<KeyRecord>>> {
        let mut keys = Vec::new();
        for _ in 0..number {
            keys.push(self.add(Access::Full).await?);
        }
        Ok(keys)
    }

    pub(super) async fn insert(&self, record: NewRecord) -> Verdict<Arc<KeyRecord>> {
        self.store.insert(record, InsertRules::new()).await.expecting("`insert` to store a new key")
    }

    pub(super) async fn get(&self, id: KeyId) -> Verdict<Arc<KeyRecord>> {
        self.store.get(&self.own, id).await.expecting("`get` to return the key")
    }

    pub(super) async fn revoke(&self, id: KeyId) -> Verdict<Arc<KeyRecord>> {
        self.store.revoke(&self.own, id).await.expecting("`revoke` to return the key")
    }

    /// Limits a key to these scopes.
    pub(super) async fn update(&self, id: KeyId, scopes: impl Into<ScopeSet>) -> Verdict<Arc<KeyRecord>> {
        self.store.update(&self.own, id, limit_to(scopes)).await.expecting("`update` to return the key")
    }

    pub(super) async fn suspend(&self, id: KeyId, suspended: bool) -> Verdict<Arc<KeyRecord>> {
        let update = KeyUpdate::new().with_suspended(suspended);
        self.store.update(&self.own, id, update).await.expecting("`update` to suspend or resume the key")
    }

    pub(super) async fn purge(&self, age: Duration, limit: usize) -> Verdict<Vec<KeyId>> {
        self.store.purge((&self.own).into(), age, limit).await.expecting("`purge` to delete keys")
    }

    pub(super) async fn counts(&self) -> Verdict<KeyCounts> {
        self.store.counts((&self.own).into()).await.expecting("`counts` to count")
    }

    pub(super) async fn regenerate(&self, id: KeyId, options: impl Into<RegenerateOptions>) -> Verdict<IssuedKey> {
        self.manager.regenerate(&self.own, id, options).await.expecting("`regenerate` to return a new key")
    }

    pub(super) async fn set_policy(&self, policy: OrganizationPolicy) -> Verdict {
        let set = self.store.set_organization_policy(&self.own, policy).await;
        set.expecting("`set_organization_policy` to set the policy")
    }

    pub(super) async fn list(&self, query: &ListKeys) -> Verdict<Page> {
        self.store.list((&self.own).into(), query).await.expecting("`list` to return a page")
    }

    /// Returns all keys of the own organization. No check makes more than fit on a page.
    pub(super) async fn all(&self) -> Verdict<Vec<Arc<KeyRecord>>> {
        Ok(self.list(&ListKeys::new()).await?.keys)
    }

    /// Returns how many keys of the own organization are not revoked.
    pub(super) async fn live(&self) -> Verdict<usize> {
        Ok(self.all().await?.iter().filter(|key| !key.is_revoked()).count())
    }
}

pub(super) fn limit_to(scopes: impl Into<ScopeSet>) -> KeyUpdate {
    KeyUpdate::new().with_scopes(scopes)
}

pub(super) fn new_key(access: Access) -> Verdict<NewKey> {
    NewKey::new("conformance", access).expecting("a key that may be issued")
}

pub(super) fn new_credential() -> Verdict<StoredCredential> {
    Ok(StoredCredential::from_secret(&KeySecret::generate().expecting("randomness")?))
}

/// A new key of this organization, as `insert` takes it.
pub(super) fn new_record(organization: &OrganizationId, access: Access) -> Verdict<NewRecord> {
    let StoredCredential { digest, hint } = new_credential()?;
    let record = NewRecord::new(KeyId::random().expecting("randomness")?, digest, organization.clone(), access);
    Ok(NewRecord { hint, name: "conformance".into(), ..record })
}

/// A replacement of a key that revokes it at once and never expires.
pub(super) fn new_replacement() -> Verdict<Replacement> {
    let StoredCredential { digest, hint } = new_credential()?;
    let replacement = Replacement::new(KeyId::random().expecting("randomness")?, digest);
    Ok(Replacement { hint, expiry: Expiry::Never, ..replacement })
}

/// Two names that differ only in the case of letters. A database may take them for the same.
fn two_organizations() -> Verdict<(OrganizationId, OrganizationId)> {
    let name = format!("conformance-{}", KeyId::random().expecting("randomness")?);
    let organization = |name: &str| OrganizationId::new(name).expecting("an organization");
    Ok((organization(&name)?, organization(&name.to_uppercase())?))
}
