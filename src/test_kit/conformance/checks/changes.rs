//! What a store publishes in the process. A store without `changes` passes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::super::bench::{Bench, HOUR};
use super::super::interleave::{LEADS, dropped_after};
use super::super::verdict::{Expecting, Verdict, expect};
use crate::key::{KeyDigest, KeyRecord, OrganizationPolicy};
use crate::scope::{Access, avala};
use crate::store::{Changes, Expiry, Invalidation, KeyBackend, KeyStore, PolicyUpdate, Subscriber};

pub(super) async fn publishes_every_change_if_it_publishes<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let Some(changes) = bench.store.changes() else { return Ok(()) };
    let published = Published::by(changes);

    let key = bench.add(Access::scoped([avala::TASKS_READ])).await?;
    published.expect("`insert` to publish the digest", |change| concerns_digest(change, key.digest()))?;

    published.clear();
    bench.update(key.id(), []).await?;
    published.expect("`update` to publish the key", |change| concerns_key(change, &key))?;

    published.clear();
    let new = bench.regenerate(key.id(), Expiry::Never).await?.record;
    published.expect("`replace` to publish the old key", |change| concerns_key(change, &key))?;
    published.expect("`replace` to publish the new digest", |change| concerns_digest(change, new.digest()))?;

    published.clear();
    bench.set_policy(OrganizationPolicy::default().with_max_key_age(HOUR)).await?;
    for key in [&key, &new] {
        published.expect("`set_organization_policy` to publish each key", |change| concerns_key(change, key))?;
    }

    published.clear();
    let disable = PolicyUpdate::new().with_disabled(true);
    let updated = bench.store.update_organization_policy(&bench.own, disable).await;
    updated.expecting("`update_organization_policy` to change the policy")?;
    for key in [&key, &new] {
        published.expect("`update_organization_policy` to publish each key", |change| concerns_key(change, key))?;
    }

    published.clear();
    bench.revoke(new.id()).await?;
    published.expect("`revoke` to publish the key", |change| concerns_key(change, &new))?;

    let key = bench.add(Access::Full).await?;
    published.clear();
    bench.store.erase_organization(&bench.own, 100).await.expecting("`erase_organization` to delete")?;
    published.expect("`erase_organization` to publish each key", |change| concerns_key(change, &key))
}

/// The change may have been made although its caller did not wait.
pub(super) async fn publishes_a_dropped_change_if_it_publishes<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let Some(changes) = bench.store.changes() else { return Ok(()) };
    for polls in LEADS {
        let key = bench.add(Access::Full).await?;
        let published = Published::by(changes);
        dropped_after(bench.store.revoke(&bench.own, key.id()), polls).await;
        if bench.get(key.id()).await?.is_revoked() {
            // A change without a waiting caller is published soon after it is made.
            for _ in 0..100 {
                if published.has(|change| concerns_key(change, &key)) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            published.expect("a dropped `revoke` to publish the key", |change| concerns_key(change, &key))?;
        }
    }
    Ok(())
}

/// What was published since the last [`clear`](Self::clear).
pub(super) struct Published {
    seen: Arc<Mutex<Vec<Invalidation>>>,
    _subscriber: Arc<Subscriber>,
}

impl Published {
    pub(super) fn by(changes: &Changes) -> Self {
        let seen = Arc::<Mutex<Vec<Invalidation>>>::default();
        let log = Arc::clone(&seen);
        let subscriber: Arc<Subscriber> = Arc::new(move |change: &Invalidation| {
            log.lock().unwrap_or_else(PoisonError::into_inner).push(change.clone());
        });
        changes.subscribe(&subscriber);
        Self { seen, _subscriber: subscriber }
    }

    fn clear(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn has(&self, is_expected: impl Fn(&Invalidation) -> bool) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().any(is_expected)
    }

    pub(super) fn expect(&self, expected: &str, is_expected: impl Fn(&Invalidation) -> bool) -> Verdict {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        expect(seen.iter().any(is_expected), expected, &seen)
    }
}

/// Returns whether a cache that follows this change forgets a known key.
fn concerns_key(change: &Invalidation, key: &KeyRecord) -> bool {
    match change {
        Invalidation::Digest(digest) => digest == key.digest(),
        Invalidation::Key(id) => *id == key.id(),
        Invalidation::Organization(organization) => organization == key.organization(),
        Invalidation::All => true,
    }
}

/// Returns whether a cache that follows this change forgets that there is no key with this digest.
fn concerns_digest(change: &Invalidation, digest: &KeyDigest) -> bool {
    *change == Invalidation::Digest(*digest) || *change == Invalidation::All
}
