use std::fmt;
use std::sync::Arc;

use super::change::{Hook, Request};
use super::{Change, ChangeEvent, IssueRules, ManageError, StoredCredential};
use crate::key::{KeyId, KeyRecord, KeySecret, OrganizationId, OrganizationPolicy};
use crate::manage::new_key::NewKey;
use crate::store::{Expiry, KeyBackend, KeyUpdate, ListKeys, NewRecord, Page, Replacement};

/// Issues, lists, updates, revokes and regenerates the keys of a store.
///
/// Every method takes the organization of the caller: the key of another one is not found. When a method has returned,
/// its effect is visible to every lookup that starts afterwards in this process, through a cache too.
///
/// A clone works on the same store by the same rules and calls the same hooks.
///
/// ```
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
/// let regenerated = keys.regenerate(&acme, issued.record.id(), Default::default()).await?;
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
    ///     eprintln!("{} of {}: {:?}", event.change().code(), event.organization(), event.key());
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
    /// [`ManageError::UnknownScope`] when a scope is not in the catalog, [`ManageError::ExpiryInPast`] when the key would
    /// have expired already, [`ManageError::Random`] when there is no randomness, [`ManageError::Store`] when the store
    /// fails.
    pub async fn issue(&self, organization: &OrganizationId, key: NewKey) -> Result<IssuedKey, ManageError> {
        let request = self.request(Change::Issued, organization);
        let issue = async {
            self.rules.check(&key)?;
            let secret = self.rules.format().generate()?;
            let record = self.insert(organization, key, StoredCredential::from_secret(&secret)).await?;
            Ok(IssuedKey { record, secret })
        };
        request.run(issue, |issued| Some(&issued.record)).await
    }

    /// Takes over a key that was issued elsewhere, by its digest.
    ///
    /// # Errors
    /// [`ManageError::UnknownScope`] when a scope is not in the catalog, [`ManageError::ExpiryInPast`] when the key would
    /// have expired already, [`ManageError::AlreadyExists`] when the digest is taken, [`ManageError::Random`] when there
    /// is no randomness, [`ManageError::Store`] when the store fails.
    pub async fn import(
        &self,
        organization: &OrganizationId,
        key: NewKey,
        credential: StoredCredential,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        let request = self.request(Change::Imported, organization);
        let import = async {
            self.rules.check(&key)?;
            self.insert(organization, key, credential).await
        };
        request.run(import, |record| Some(record)).await
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
        Ok(self.backend.list(organization, query).await?)
    }

    /// Changes a key, in one step. No update gives a key more access.
    ///
    /// # Errors
    /// [`ManageError::WouldWiden`] when the update asks for a scope that the key lacks, [`ManageError::Conflict`] when
    /// the key is revoked, [`ManageError::TooManyScopes`] for more than
    /// [`ScopeSet::MAX_LEN`](crate::scope::ScopeSet::MAX_LEN), [`ManageError::NotFound`] when the organization has no
    /// such key, [`ManageError::Store`] when the store fails.
    pub async fn update(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        update: KeyUpdate,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        let request = self.request(Change::Updated, organization).of_key(id).with_update(&update);
        let change = async { Ok(self.backend.update(organization, id, update.clone()).await?) };
        request.run(change, |record| Some(record)).await
    }

    /// Revokes a key for good. Revoking it again changes nothing and returns the same record.
    ///
    /// # Errors
    /// [`ManageError::NotFound`] when the organization has no such key, [`ManageError::Store`] when the store fails: then
    /// the key may or may not be revoked, and the caller must try again.
    pub async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        let request = self.request(Change::Revoked, organization).of_key(id);
        let revoke = async { Ok(self.backend.revoke(organization, id).await?) };
        request.run(revoke, |record| Some(record)).await
    }

    /// Replaces a key by a new one with a new id and the same name and access. The old key is dead when this returns.
    /// Works on an expired key, and so restores access.
    ///
    /// # Errors
    /// [`ManageError::Conflict`] when the key is already revoked or replaced; of several callers at once, one succeeds.
    /// [`ManageError::NotFound`] when the organization has no such key, [`ManageError::ExpiryInPast`] when the new key
    /// would have expired already: the old key goes on working then. [`ManageError::Random`] when there is no
    /// randomness, [`ManageError::Store`] when the store fails.
    #[doc(alias = "rotate")]
    pub async fn regenerate(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expiry: Expiry,
    ) -> Result<IssuedKey, ManageError> {
        let request = self.request(Change::Regenerated, organization).of_key(id);
        let regenerate = async {
            let secret = self.rules.format().generate()?;
            let StoredCredential { digest, hint } = StoredCredential::from_secret(&secret);
            let replacement = Replacement { id: KeyId::random()?, digest, hint, expiry };
            let record = self.backend.replace(organization, id, replacement).await?;
            Ok(IssuedKey { record, secret })
        };
        request.run(regenerate, |issued| Some(&issued.record)).await
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
        let request = self.request(Change::PolicyChanged, organization).with_policy(policy);
        let set = async { Ok(self.backend.set_organization_policy(organization, policy).await?) };
        request.run(set, |()| None).await
    }

    async fn insert(
        &self,
        organization: &OrganizationId,
        key: NewKey,
        credential: StoredCredential,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        let StoredCredential { digest, hint } = credential;
        let id = KeyId::random()?;
        let (name, access, expires_at) = key.into_parts();
        let record = NewRecord { id, digest, hint, organization: organization.clone(), name, access, expires_at };
        Ok(self.backend.insert(record).await?)
    }

    fn request<'a>(&'a self, change: Change, organization: &'a OrganizationId) -> Request<'a> {
        Request::new(&self.hooks, change, organization, self.actor.as_deref())
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
