use std::sync::Arc;
use std::time::SystemTime;

use super::new_key::NewKey;
use super::{ManageError, StoredCredential};
use crate::key::{KeyDigest, KeyId, KeyRecord, OrganizationId};
use crate::store::{ImportedFacts, NewRecord};

/// A key that was issued elsewhere, with all that happened to it: its maximum age counts from its real creation, and a
/// revoked key stays revoked.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tower_api_key::manage::{ImportedKey, StoredCredential};
/// use tower_api_key::{Access, KeyManager, MemoryStore, NewKey};
///
/// # futures::executor::block_on(async {
/// let year = Duration::from_secs(365 * 24 * 60 * 60);
/// let key = NewKey::new("nightly export", Access::Full)?;
/// let credential = StoredCredential::from_plaintext(b"old_00112233445566778899aabbccddeeff");
/// let key = ImportedKey::new(key, credential).with_created_at(SystemTime::now() - year).with_created_by("ada");
/// let record = KeyManager::new(MemoryStore::new()).import(&"acme".parse()?, key).await?;
/// assert!(record.created_at() < SystemTime::now() - year / 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedKey {
    pub(super) key: NewKey,
    pub(super) credential: StoredCredential,
    created_by: Option<Arc<str>>,
    facts: ImportedFacts,
}

impl ImportedKey {
    /// Returns a key that was never used or revoked, and counts as created when it is imported.
    #[must_use]
    pub fn new(key: NewKey, credential: StoredCredential) -> Self {
        Self { key, credential, created_by: None, facts: ImportedFacts::default() }
    }

    /// Sets when the key was created.
    #[must_use]
    pub fn with_created_at(mut self, time: SystemTime) -> Self {
        self.facts.created_at = Some(time);
        self
    }

    /// Sets who created the key, in place of the actor of the manager.
    #[must_use]
    pub fn with_created_by(mut self, actor: impl Into<Arc<str>>) -> Self {
        self.created_by = Some(actor.into());
        self
    }

    /// Imports the key as suspended.
    #[must_use]
    pub fn with_suspended(mut self, suspended: bool) -> Self {
        self.facts.suspended = suspended;
        self
    }

    /// Sets when the key was revoked: it is imported so that it is known, and stays revoked.
    #[must_use]
    pub fn with_revoked_at(mut self, time: impl Into<Option<SystemTime>>) -> Self {
        self.facts.revoked_at = time.into();
        self
    }

    /// Sets when a request last used the key, and how many requests have used it. Stores keep no number without a time.
    #[must_use]
    pub fn with_usage(mut self, last_used_at: impl Into<Option<SystemTime>>, request_count: u64) -> Self {
        self.facts.last_used_at = last_used_at.into();
        self.facts.request_count = request_count;
        self
    }

    /// Returns the digest of the key.
    #[must_use]
    pub const fn digest(&self) -> &KeyDigest {
        &self.credential.digest
    }

    /// Returns this key of an organization as a store takes it.
    pub(super) fn into_record(self, id: KeyId, organization: &OrganizationId, actor: Option<&Arc<str>>) -> NewRecord {
        let created_by = self.created_by.map(|actor| super::actor::kept(&actor)).or_else(|| actor.cloned());
        let record = self.key.into_record(id, self.credential, organization);
        NewRecord { created_by, imported: Some(self.facts), ..record }
    }
}

impl From<(NewKey, StoredCredential)> for ImportedKey {
    fn from((key, credential): (NewKey, StoredCredential)) -> Self {
        Self::new(key, credential)
    }
}

/// What became of each key of a batch, in the order of the batch.
#[derive(Debug)]
#[non_exhaustive]
pub struct ImportReport {
    /// The record of each key, or why it was rejected.
    pub keys: Vec<Result<Arc<KeyRecord>, ManageError>>,
}

impl ImportReport {
    /// Returns how many keys were imported.
    #[must_use]
    pub fn imported(&self) -> usize {
        self.keys.iter().flatten().count()
    }

    /// Returns the place in the batch of each key that was rejected, and why.
    pub fn rejected(&self) -> impl Iterator<Item = (usize, &ManageError)> {
        self.keys.iter().enumerate().filter_map(|(place, key)| Some((place, key.as_ref().err()?)))
    }
}
