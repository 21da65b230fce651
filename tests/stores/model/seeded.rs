//! Faults that the model must find.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use tower_api_key::client::AllowedNetworks;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::store::{DynKeyBackend, Lookup, StoreId};
use tower_api_key::{Access, BoxError, KeyStore};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seed {
    None,
    /// Serves a revoked key as it was.
    Unrevoked,
    /// Takes the expiry off.
    NeverExpires,
    /// A key without scopes may do everything.
    NoScopesIsFull,
    /// Forgets that an organization is disabled.
    Enabled,
    /// Serves a key with the access that it had when it was served first.
    Unnarrowed,
    /// Serves a suspended key as if it were not.
    Resumed,
    /// Forgets the networks of a key.
    Anywhere,
    /// The cache learns of no change.
    Deaf,
    /// The cache keeps a key for an hour.
    Undying,
    /// Does not know a key that it could not look up.
    OutageIsUnknown,
    /// In front of the layer: keeps the first of several keys.
    FirstOfMany,
    /// In front of the layer: takes hyphens for underscores.
    Underscores,
    /// In front of the layer: trims a key.
    Trimmed,
}

impl Seed {
    pub(crate) const ALL: [Self; 13] = [
        Self::Unrevoked,
        Self::NeverExpires,
        Self::NoScopesIsFull,
        Self::Enabled,
        Self::Unnarrowed,
        Self::Resumed,
        Self::Anywhere,
        Self::Deaf,
        Self::Undying,
        Self::OutageIsUnknown,
        Self::FirstOfMany,
        Self::Underscores,
        Self::Trimmed,
    ];

    /// What is in front of the layer does this.
    pub(crate) fn spoil(self, headers: &mut http::HeaderMap) {
        const NAME: &str = "x-avala-api-key";
        match self {
            Self::FirstOfMany => {
                if let Some(first) = headers.get(NAME).cloned() {
                    headers.insert(NAME, first);
                }
            }
            Self::Underscores => {
                if let Some(value) = headers.remove("x_avala_api_key") {
                    headers.append(NAME, value);
                }
            }
            Self::Trimmed => {
                for value in headers.iter_mut().filter(|(name, _)| *name == NAME).map(|(_, value)| value) {
                    *value = http::HeaderValue::from_bytes(value.as_bytes().trim_ascii()).unwrap();
                }
            }
            _ => {}
        }
    }
}

pub(crate) struct SeededStore {
    store: DynKeyBackend,
    seed: Seed,
    first: Mutex<HashMap<KeyId, Access>>,
}

impl SeededStore {
    pub(crate) fn new(store: DynKeyBackend, seed: Seed) -> Self {
        Self { store, seed, first: Mutex::default() }
    }

    fn spoiled(&self, record: Arc<KeyRecord>) -> Arc<KeyRecord> {
        let spoiled = KeyRecord::clone(&record);
        Arc::new(match self.seed {
            Seed::Unrevoked => spoiled.with_revoked_at(None::<SystemTime>),
            Seed::NeverExpires => spoiled.with_expires_at(None::<SystemTime>),
            Seed::NoScopesIsFull if spoiled.access() == &Access::scoped([]) => spoiled.with_access(Access::Full),
            Seed::Enabled => {
                let policy = spoiled.policy().with_disabled(false);
                spoiled.with_policy(policy)
            }
            Seed::Unnarrowed => {
                let first = self.first.lock().unwrap().entry(spoiled.id()).or_insert(spoiled.access().clone()).clone();
                spoiled.with_access(first)
            }
            Seed::Resumed => spoiled.with_suspended(false),
            Seed::Anywhere => spoiled.with_networks(AllowedNetworks::ANYWHERE),
            _ => return record,
        })
    }
}

impl KeyStore for SeededStore {
    type Error = BoxError;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
        match self.store.find(digest).await {
            Ok(found) => Ok(found.map(|record| self.spoiled(record))),
            Err(_) if self.seed == Seed::OutageIsUnknown => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        match self.store.try_find(digest) {
            Lookup::Found(record) => Lookup::Found(self.spoiled(record)),
            other => other,
        }
    }

    fn id(&self) -> Option<StoreId> {
        self.store.id()
    }
}
