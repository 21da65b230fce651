use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::change::{Hook, Made, Request};
use super::{
    Change, ChangeEvent, ImportReport, ImportedKey, IssueRules, ManageError, RegenerateOptions, StoredCredential, actor,
};
use crate::key::{KeyDigest, KeyId, KeyRecord, KeySecret, OrganizationId, OrganizationPolicy};
use crate::manage::new_key::NewKey;
use crate::store::{
    BackendError, KeyBackend, KeyCounts, KeyUpdate, ListKeys, NewRecord, Organizations, Page, PolicyUpdate, Replacement,
};

/// Issues, lists, updates, revokes, regenerates, imports and purges the keys of a store.
///
/// A method that takes the organization of the caller does not find the key of another one. When a method has returned,
/// its effect is visible to every lookup that starts afterwards in this process, through a cache too.
///
/// A clone works on the same store by the same rules and calls the same hooks.
///
/// ```
/// use tower_api_key::manage::RegenerateOptions;
/// use tower_api_key::scope::avala;
/// use tower_api_key::{Access, KeyManager, MemoryStore, NewKey, OrganizationId};
///
/// # futures::executor::block_on(async {
/// let keys = KeyManager::new(MemoryStore::new());
/// let acme: OrganizationId = "acme".parse()?;
///
/// let issued = keys.issue(&acme, NewKey::new("nightly export", Access::scoped([avala::EXPORTS_CREATE]))?).await?;
/// println!("shown once: {}", issued.secret.expose_secret());
///
/// let regenerated = keys.regenerate(&acme, issued.record.id(), RegenerateOptions::new()).await?;
/// assert_ne!(regenerated.record.id(), issued.record.id());
/// let old = keys.get(&acme, issued.record.id()).await?;
/// assert_eq!(old.replaced_by(), Some(regenerated.record.id()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
#[doc(alias("rotate", "tenant"))]
pub struct KeyManager<B> {
    backend: B,
    rules: Arc<IssueRules>,
    hooks: Vec<Hook>,
    actor: Option<Arc<str>>,
}

/// A new key: its record, and the secret that is shown this once.
#[derive(Debug)]
#[non_exhaustive]
pub struct IssuedKey {
    /// What the store keeps.
    pub record: Arc<KeyRecord>,
    /// The key itself.
    pub secret: KeySecret,
}

impl<B> KeyManager<B> {
    /// Manages the keys of this store by the default rules.
    pub fn new(backend: B) -> Self {
        Self { backend, rules: Arc::default(), hooks: Vec::new(), actor: None }
    }

    /// Issues keys by these rules, in place of earlier ones.
    #[must_use]
    pub fn with_rules(mut self, rules: IssueRules) -> Self {
        self.rules = Arc::new(rules);
        self
    }

    /// Calls this hook with one event for each change that is asked of this manager: the audit trail of who may do what.
    /// A second hook is called after the first, also if the first panics.
    ///
    /// A hook runs on the caller's task when the change is made, has failed or was dropped by its caller. It must not
    /// block. It never sees a key. Lookups, lists and usage are not reported.
    ///
    /// ```
    /// use tower_api_key::{Access, KeyManager, MemoryStore, NewKey};
    ///
    /// # futures::executor::block_on(async {
    /// let keys = KeyManager::new(MemoryStore::new()).on_change(|event| {
    ///     eprintln!("{} of {:?}: {:?}", event.change().code(), event.organization(), event.key());
    /// #   assert_eq!(event.actor(), Some("ada@example.com"));
    /// });
    /// let keys = keys.on_behalf_of("ada@example.com");
    /// let issued = keys.issue(&"acme".parse()?, NewKey::new("ci", Access::Full)?).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn on_change(mut self, hook: impl Fn(&ChangeEvent<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// Returns a manager of the same keys whose events name this person or key as the actor.
    #[must_use]
    pub fn on_behalf_of(&self, actor: impl Into<Arc<str>>) -> Self
    where
        B: Clone,
    {
        Self { actor: Some(actor.into()), ..self.clone() }
    }

    /// Returns a manager of the same keys without the type of their store.
    #[cfg(feature = "console")]
    pub(crate) fn erased(self) -> KeyManager<crate::store::DynKeyBackend>
    where
        B: KeyBackend,
    {
        let Self { backend, rules, hooks, actor } = self;
        KeyManager { backend: crate::store::DynKeyBackend::new(backend), rules, hooks, actor }
    }

    /// Returns the store. Changes that are made through it are not reported.
    pub const fn backend(&self) -> &B {
        &self.backend
    }

    /// Returns the rules for new keys.
    #[must_use]
    pub fn rules(&self) -> &IssueRules {
        &self.rules
    }
}

impl<B: KeyBackend> KeyManager<B> {
    /// Issues a new key. The secret in the answer is the only copy there is.
    ///
    /// # Errors
    /// Why the [rules](IssueRules) reject the key, such as [`ManageError::UnknownScope`], [`ManageError::ExpiryInPast`] or
    /// [`ManageError::TooManyKeys`]; [`ManageError::Random`] when there is no randomness, [`ManageError::Store`] when the
    /// store fails.
    pub async fn issue(&self, organization: &OrganizationId, key: NewKey) -> Result<IssuedKey, ManageError> {
        let request = self.request(Change::Issued, Some(organization));
        let issue = async {
            let format = self.rules.format_of(key.environment())?;
            let key = self.rules.granted(key)?.with_environment(format.environment().cloned());
            let secret = format.generate()?;
            let record = key.into_record(KeyId::random()?, StoredCredential::from_secret(&secret), organization);
            let record = NewRecord { created_by: self.kept_actor(), ..record };
            let record = self.backend.insert(record, self.rules.insert_rules()).await?;
            Ok(IssuedKey { record, secret })
        };
        request.run(issue, |issued| Made::key(&issued.record)).await
    }

    /// Takes over a key that was issued elsewhere, by its digest, with all that happened to it. Of the rules, the catalog
    /// and the most active keys apply.
    ///
    /// # Errors
    /// [`ManageError::UnknownScope`] when a scope is not in the catalog, [`ManageError::AlreadyExists`] when the digest
    /// is taken, also by a key that was purged, [`ManageError::TooManyKeys`], [`ManageError::Random`] when there is no
    /// randomness, [`ManageError::Store`] when the store fails.
    pub async fn import(
        &self,
        organization: &OrganizationId,
        key: impl Into<ImportedKey>,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        let key = key.into();
        let request = self.request(Change::Imported, Some(organization));
        let import = async {
            let record = self.imported(organization, key)?;
            Ok(self.backend.insert(record, self.rules.insert_rules()).await?)
        };
        request.run(import, |record| Made::key(record)).await
    }

    /// Takes over many keys in one step, each as [`import`](Self::import) does, and reports what became of each. A key that
    /// is rejected keeps none of the others from being imported. There is an event for each key.
    ///
    /// # Errors
    /// [`ManageError::Store`] when the store fails: then no key is imported, or all are.
    pub async fn import_many(
        &self,
        organization: &OrganizationId,
        keys: impl IntoIterator<Item = ImportedKey, IntoIter: Send> + Send,
    ) -> Result<ImportReport, ManageError> {
        let keys: Vec<_> = keys.into_iter().map(|key| (organization, key)).collect();
        self.import_each(keys).await
    }

    /// Takes over many keys in one step, each for an organization of its own, as [`import_many`](Self::import_many) does:
    /// for operators.
    ///
    /// # Errors
    /// [`ManageError::Store`] when the store fails: then no key is imported, or all are.
    pub async fn import_all(&self, keys: &[(OrganizationId, ImportedKey)]) -> Result<ImportReport, ManageError> {
        self.import_each(keys.iter().map(|(organization, key)| (organization, key.clone())).collect()).await
    }

    async fn import_each(&self, keys: Vec<(&OrganizationId, ImportedKey)>) -> Result<ImportReport, ManageError> {
        let (mut requests, mut checked) = (Vec::with_capacity(keys.len()), Vec::with_capacity(keys.len()));
        for (organization, key) in keys {
            requests.push(self.request(Change::Imported, Some(organization)));
            checked.push(self.imported(organization, key));
        }
        let records = checked.iter().flatten().cloned().collect();
        let stored = self.backend.insert_many(records, self.rules.insert_rules()).await;
        let stored = match stored.map_err(ManageError::from) {
            Ok(stored) => stored,
            Err(error) => {
                requests.iter_mut().for_each(|request| request.report(Err(&error)));
                return Err(error);
            }
        };
        let mut stored = stored.into_iter();
        let mut next = || {
            let missing = || Err(BackendError::store("the store returned too few results"));
            stored.next().unwrap_or_else(missing).map_err(ManageError::from)
        };
        let keys: Vec<_> = checked.into_iter().map(|checked| checked.and_then(|_| next())).collect();
        for (request, key) in requests.iter_mut().zip(&keys) {
            request.report(key.as_ref().map(|record| Made::key(record)));
        }
        Ok(ImportReport { keys })
    }

    /// Returns the record of one key.
    ///
    /// # Errors
    /// [`ManageError::NotFound`] when the organization has no such key, [`ManageError::Store`] when the store fails.
    pub async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        Ok(self.backend.get(organization, id).await?)
    }

    /// Returns a page of the organization's keys, the newest first.
    ///
    /// # Errors
    /// [`ManageError::Store`] when the store fails.
    pub async fn list(&self, organization: &OrganizationId, query: &ListKeys) -> Result<Page, ManageError> {
        Ok(self.backend.list(organization.into(), query).await?)
    }

    /// Returns a page of the keys of every organization, the newest first: for operators.
    ///
    /// # Errors
    /// [`ManageError::Store`] when the store fails.
    pub async fn list_all(&self, query: &ListKeys) -> Result<Page, ManageError> {
        Ok(self.backend.list(Organizations::All, query).await?)
    }

    /// Returns how many keys the organization has, by status.
    ///
    /// # Errors
    /// [`ManageError::Store`] when the store fails.
    pub async fn counts(&self, organization: &OrganizationId) -> Result<KeyCounts, ManageError> {
        Ok(self.backend.counts(organization.into()).await?)
    }

    /// Returns how many keys every organization has, by status: for operators.
    ///
    /// # Errors
    /// [`ManageError::Store`] when the store fails.
    pub async fn counts_all(&self) -> Result<KeyCounts, ManageError> {
        Ok(self.backend.counts(Organizations::All).await?)
    }

    /// Returns whose key this is, for a key that was found somewhere: `None` if it is of no organization here. The key is
    /// hashed, and never kept or logged. For operators: it finds the key of any organization. A purged key that was
    /// imported is found as a [tombstone](KeyRecord::tombstone).
    ///
    /// # Errors
    /// [`ManageError::Store`] when the store fails.
    pub async fn identify(&self, presented: &[u8]) -> Result<Option<Arc<KeyRecord>>, ManageError> {
        let found = self.backend.find(&KeyDigest::hash(presented)).await;
        found.map_err(|error| ManageError::Store(error.into()))
    }

    /// Changes a key, in one step. No update gives a key more access, more networks or more time. A revoked key cannot be
    /// changed; a suspended or expired one can.
    ///
    /// Requests that begin after the call has returned see the change, behind a cache too. Other processes see it as soon
    /// as a revocation.
    ///
    /// # Errors
    /// Those of [`KeyUpdate::apply`], [`ManageError::NotFound`] when the organization has no such key,
    /// [`ManageError::Store`] when the store fails.
    pub async fn update(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        update: KeyUpdate,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        let update = match update.scopes().map(|scopes| self.rules.aliases().read_set(scopes)) {
            Some(scopes) => update.with_scopes(scopes),
            None => update,
        };
        let request = self.request(Change::Updated, Some(organization)).of_key(id).with_update(&update);
        let change = async { Ok(self.backend.update(organization, id, update.clone()).await?) };
        request.run(change, |record| Made::key(record)).await
    }

    /// Revokes a key for good. Revoking it again changes nothing and returns the same record.
    ///
    /// # Errors
    /// [`ManageError::NotFound`] when the organization has no such key, [`ManageError::Store`] when the store fails: then
    /// the key may or may not be revoked, and the caller must try again.
    pub async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        let request = self.request(Change::Revoked, Some(organization)).of_key(id);
        let revoke = async { Ok(self.backend.revoke(organization, id).await?) };
        request.run(revoke, |record| Made::key(record)).await
    }

    /// Revokes a key that was found somewhere, whichever organization it is of. Returns its record; `None` if it is of no
    /// organization here. The key is hashed, and never kept or logged.
    ///
    /// # Errors
    /// [`ManageError::Store`] when the store fails: then the caller must try again.
    pub async fn revoke_plaintext(&self, presented: &[u8]) -> Result<Option<Arc<KeyRecord>>, ManageError> {
        let Some(found) = self.identify(presented).await? else { return Ok(None) };
        match self.revoke(found.organization(), found.id()).await {
            Ok(revoked) => Ok(Some(revoked)),
            // A tombstone, or a key that was purged meanwhile.
            Err(ManageError::NotFound) => self.identify(presented).await,
            Err(error) => Err(error),
        }
    }

    /// Replaces a key by a new one with a new id and the same name, access, networks, environment and metadata. The old key
    /// is revoked when this returns, or works until the end of an [overlap](RegenerateOptions::with_overlap). Works on an
    /// expired key, and so restores access.
    ///
    /// # Errors
    /// [`ManageError::Conflict`] when the key is already revoked or replaced, or is suspended; of several callers at once,
    /// one succeeds. Why the [rules](IssueRules) reject the new expiry or one more active key. [`ManageError::NotFound`]
    /// when the organization has no such key, [`ManageError::Random`] when there is no randomness, [`ManageError::Store`]
    /// when the store fails.
    #[doc(alias = "rotate")]
    pub async fn regenerate(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        options: impl Into<RegenerateOptions>,
    ) -> Result<IssuedKey, ManageError> {
        let options = options.into();
        let request = self.request(Change::Regenerated, Some(organization)).of_key(id);
        let regenerate = async {
            let format = if self.rules.has_one_format() {
                self.rules.format()
            } else {
                // The environment of a key never changes.
                self.rules.format_like(self.backend.get(organization, id).await?.environment())
            };
            let secret = format.generate()?;
            let StoredCredential { digest, hint } = StoredCredential::from_secret(&secret);
            let replacement = Replacement {
                id: KeyId::random()?,
                digest,
                hint,
                environment: format.environment().cloned(),
                created_by: self.kept_actor(),
                expiry: options.expiry(),
                overlap: options.overlap(),
            };
            let record = self.backend.replace(organization, id, replacement, self.rules.insert_rules()).await?;
            Ok(IssuedKey { record, secret })
        };
        request.run(regenerate, |issued| Made::key(&issued.record)).await
    }

    /// Deletes the organization's keys that were revoked or have expired at least this long ago, with their usage.
    /// Returns how many.
    ///
    /// Keys are deleted in batches, so that lookups and changes go on meanwhile. A purge that fails or is dropped has
    /// deleted some of the keys, and the next one goes on. An imported key leaves a [tombstone](KeyRecord::tombstone), so
    /// that neither a second import nor the verification of legacy keys can revive it.
    ///
    /// # Errors
    /// [`ManageError::Store`] when the store fails.
    pub async fn purge(&self, organization: &OrganizationId, age: Duration) -> Result<usize, ManageError> {
        self.purge_of(organization.into(), Some(organization), age).await
    }

    /// Purges the keys of every organization, as [`purge`](Self::purge) does: for operators.
    ///
    /// # Errors
    /// [`ManageError::Store`] when the store fails.
    pub async fn purge_all(&self, age: Duration) -> Result<usize, ManageError> {
        self.purge_of(Organizations::All, None, age).await
    }

    /// Deletes all keys of an organization, active ones too, with their usage and the policy. Returns how many. For an
    /// organization that is deleted, or asks for its data to be.
    ///
    /// Requests with its keys are rejected when this returns. Keys are deleted in batches: an erasure that fails or is
    /// dropped has deleted some of them, and must be repeated. An imported key leaves a
    /// [tombstone](KeyRecord::tombstone), which does not name the organization.
    ///
    /// # Errors
    /// [`ManageError::Store`] when the store fails.
    pub async fn erase(&self, organization: &OrganizationId) -> Result<usize, ManageError> {
        let request = self.request(Change::Erased, Some(organization));
        let erase = in_batches(|| self.backend.erase_organization(organization, BATCH));
        request.run(erase, |count| Made { count: Some(*count), record: None }).await
    }

    /// Returns the organization's policy, or the default if none was set.
    ///
    /// # Errors
    /// [`ManageError::Store`] when the store fails.
    pub async fn organization_policy(&self, organization: &OrganizationId) -> Result<OrganizationPolicy, ManageError> {
        Ok(self.backend.organization_policy(organization).await?)
    }

    /// Sets the policy of an organization, for the keys it has and for those it will have.
    ///
    /// # Errors
    /// [`ManageError::Store`] when the store fails.
    pub async fn set_organization_policy(
        &self,
        organization: &OrganizationId,
        policy: OrganizationPolicy,
    ) -> Result<(), ManageError> {
        let request = self.request(Change::PolicyChanged, Some(organization)).with_policy(policy);
        let set = async { Ok(self.backend.set_organization_policy(organization, policy).await?) };
        request.run(set, |()| Made::default()).await
    }

    /// Changes parts of the policy of an organization in one step, and returns the policy: of two changes at once, none takes
    /// back the other.
    ///
    /// # Errors
    /// [`ManageError::Store`] when the store fails.
    pub async fn update_organization_policy(
        &self,
        organization: &OrganizationId,
        update: PolicyUpdate,
    ) -> Result<OrganizationPolicy, ManageError> {
        let mut request = self.request(Change::PolicyChanged, Some(organization));
        let updated = self.backend.update_organization_policy(organization, update).await.map_err(ManageError::from);
        if let Ok(policy) = updated {
            request = request.with_policy(policy);
        }
        request.report(updated.as_ref().map(|_| Made::default()));
        updated
    }

    async fn purge_of(
        &self,
        organizations: Organizations<'_>,
        one: Option<&OrganizationId>,
        age: Duration,
    ) -> Result<usize, ManageError> {
        let request = self.request(Change::Purged, one);
        let purge = in_batches(|| self.backend.purge(organizations, age, BATCH));
        request.run(purge, |count| Made { count: Some(*count), record: None }).await
    }

    fn imported(&self, organization: &OrganizationId, mut key: ImportedKey) -> Result<NewRecord, ManageError> {
        key.key = self.rules.known(key.key)?;
        Ok(key.into_record(KeyId::random()?, organization, self.kept_actor().as_ref()))
    }

    fn kept_actor(&self) -> Option<Arc<str>> {
        self.actor.as_deref().map(actor::kept)
    }

    fn request<'a>(&'a self, change: Change, organization: Option<&'a OrganizationId>) -> Request<'a> {
        Request::new(&self.hooks, change, organization, self.actor.as_deref())
    }
}

/// How many keys are deleted in one step.
const BATCH: usize = 500;

/// Deletes batch after batch until one is not full. Returns how many keys were deleted.
async fn in_batches<F>(mut batch: impl FnMut() -> F + Send) -> Result<usize, ManageError>
where
    F: Future<Output = Result<Vec<KeyId>, BackendError>> + Send,
{
    let mut count = 0;
    loop {
        let deleted = batch().await?.len();
        count += deleted;
        if deleted < BATCH {
            return Ok(count);
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for KeyManager<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyManager")
            .field("backend", &self.backend)
            .field("rules", &self.rules)
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}
