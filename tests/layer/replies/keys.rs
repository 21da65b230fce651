//! One key for each reason to accept or reject a request.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tower_api_key::key::{KeyFormat, OrganizationPolicy};
use tower_api_key::scope::avala;
use tower_api_key::store::{Expiry, KeyBackend};
use tower_api_key::{Access, ApiKeyLayer, MemoryStore, NewKey, OrganizationId};

use crate::support::awaited::Awaited;
use crate::support::clock::Hands;
use crate::support::manage::Manage;

/// The time of all stores and layers. The keys that expire do so at this moment.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(2_000_000_000)
}

pub(crate) struct Keys {
    pub(crate) store: MemoryStore,
    /// Whether the store has to be awaited.
    awaited: bool,
    /// May read datasets, and nothing else.
    pub(crate) good: String,
    pub(crate) unknown: String,
    pub(crate) revoked: String,
    pub(crate) regenerated: String,
    pub(crate) expired: String,
    pub(crate) too_old: String,
    pub(crate) revoked_and_expired: String,
    pub(crate) disabled: String,
    pub(crate) disabled_and_expired: String,
}

impl Keys {
    pub(crate) async fn new(awaited: bool) -> Self {
        let clock = Hands::at(now());
        let store = MemoryStore::builder().clock(clock.clone()).build();
        let issue = async |organization: &OrganizationId, expires_at: Option<SystemTime>| {
            clock.set(expires_at.unwrap_or_else(now) - Duration::from_secs(1));
            let new = NewKey::new("key", Access::scoped([avala::DATASETS_READ])).unwrap().with_expires_at(expires_at);
            let issued = store.manage().issue(organization, new).await.unwrap();
            clock.set(now());
            (issued.secret.expose_secret().to_owned(), issued.record.id())
        };
        let [acme, old, closed] = ["acme", "old", "closed"].map(|id| id.parse().unwrap());
        let (good, _) = issue(&acme, None).await;
        let (expired, _) = issue(&acme, Some(now())).await;
        let (too_old, _) = issue(&old, None).await;
        let (disabled, _) = issue(&closed, None).await;
        let (disabled_and_expired, _) = issue(&closed, Some(now())).await;
        let (revoked, id) = issue(&acme, None).await;
        store.revoke(&acme, id).await.unwrap();
        let (revoked_and_expired, id) = issue(&acme, Some(now())).await;
        store.revoke(&acme, id).await.unwrap();
        let (regenerated, id) = issue(&acme, None).await;
        store.manage().regenerate(&acme, id, Expiry::Never).await.unwrap();

        let policy = OrganizationPolicy::default();
        store.set_organization_policy(&old, policy.with_max_key_age(Duration::ZERO)).await.unwrap();
        store.set_organization_policy(&closed, policy.with_disabled(true)).await.unwrap();
        let unknown = KeyFormat::AVALA.generate().unwrap().expose_secret().to_owned();
        Self {
            store,
            awaited,
            good,
            unknown,
            revoked,
            regenerated,
            expired,
            too_old,
            revoked_and_expired,
            disabled,
            disabled_and_expired,
        }
    }

    pub(crate) fn layer(&self) -> ApiKeyLayer {
        let store = self.store.clone();
        let layer = if self.awaited { ApiKeyLayer::new(Awaited(store)) } else { ApiKeyLayer::new(store) };
        layer.clock(now)
    }
}
