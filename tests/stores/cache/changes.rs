//! After a change was made in this process, no request is answered from before it.

use std::time::Duration;

use futures::future::join_all;
use tokio::task::JoinSet;
use tower_api_key::key::{KeyFormat, OrganizationPolicy};
use tower_api_key::manage::{IssueRules, IssuedKey, ManageError, StoredCredential};
use tower_api_key::scope::{ScopeCatalog, avala};
use tower_api_key::store::{CachedStore, Expiry, KeyBackend, KeyUpdate, KeyUsage};
use tower_api_key::{Access, ApiKeyLayer, KeyStore, MemoryStore, NewKey, OrganizationId};

use super::probe::ChangeFault;
use super::world::{World, acme, ask, begin, find, issue, unknown_digest};
use crate::support::manage::Manage;
use crate::support::reply::{INVALID, Reply};

const FORBIDDEN: &str = r#"{"detail":"You do not have permission to perform this action."}"#;

/// Everything that takes something away from a key, or that makes the cache forget what another process changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Revoke,
    Regenerate,
    Update,
    Disable,
    ByDigest,
    ById,
    ByOrganization,
    Flush,
}

impl Change {
    const THROUGH_THE_CACHE: [Self; 4] = [Self::Revoke, Self::Regenerate, Self::Update, Self::Disable];
    const ALL: [Self; 8] = [
        Self::Revoke,
        Self::Regenerate,
        Self::Update,
        Self::Disable,
        Self::ByDigest,
        Self::ById,
        Self::ByOrganization,
        Self::Flush,
    ];

    async fn apply(self, world: &World, key: &IssuedKey) -> Result<(), ManageError> {
        let World { store, cache, .. } = world;
        let (acme, id, keys) = (acme(), key.record.id(), cache.manage());
        match self {
            Self::Revoke => keys.revoke(&acme, id).await.map(drop),
            Self::Regenerate => keys.regenerate(&acme, id, Expiry::SameLifetime).await.map(drop),
            Self::Update => {
                let update = KeyUpdate::new().with_scopes([avala::DATASETS_WRITE]);
                keys.update(&acme, id, update).await.map(drop)
            }
            Self::Disable => {
                keys.set_organization_policy(&acme, OrganizationPolicy::default().with_disabled(true)).await
            }
            Self::ByDigest | Self::ById | Self::ByOrganization | Self::Flush => {
                store.elsewhere().revoke(&acme, id).await?;
                match self {
                    Self::ByDigest => cache.invalidate(key.record.digest()),
                    Self::ById => cache.invalidate_key(id),
                    Self::ByOrganization => cache.invalidate_organization(&acme),
                    _ => cache.flush(),
                }
                Ok(())
            }
        }
    }

    /// Whether it is about this key alone.
    fn is_about_one_key(self) -> bool {
        !matches!(self, Self::Disable | Self::ByOrganization | Self::Flush)
    }

    fn assert_rejected(self, reply: &Reply) {
        let expected = if self == Self::Update { (403, FORBIDDEN) } else { (401, INVALID) };
        assert_eq!((reply.status, reply.body.as_str()), expected, "{self:?}");
    }
}

/// A request for what the change takes away.
async fn request(world: &World, key: &IssuedKey) -> Reply {
    let layer = ApiKeyLayer::new(world.cache.clone()).without_lookup_timeout().require(avala::DATASETS_READ);
    ask(layer, key.secret.expose_secret()).await
}

/// Cases: 78, 80, 81, 83.
#[tokio::test]
async fn request_after_change_reads_the_store() {
    for change in Change::ALL {
        let world = World::new();
        let key = world.cached_key().await;
        assert_eq!((request(&world, &key).await.status, world.store.lookups()), (200, 1), "{change:?}");
        change.apply(&world, &key).await.unwrap();
        for _ in 0..10 {
            change.assert_rejected(&request(&world, &key).await);
        }
        assert_eq!(world.store.lookups(), 2, "{change:?}: one lookup, and its answer is remembered");
    }
}

#[tokio::test]
async fn change_evicts_only_its_own_keys() {
    for change in Change::ALL {
        let world = World::new();
        let key = world.cached_key().await;
        let colleague = world.cached_key().await;
        let elsewhere = issue(world.store.elsewhere(), &"elsewhere".parse().unwrap()).await;
        find(&world.cache, elsewhere.record.digest()).await.unwrap();
        change.apply(&world, &key).await.unwrap();
        assert!(!world.remembers(&key), "{change:?}");
        assert_eq!(world.remembers(&colleague), change.is_about_one_key(), "{change:?}");
        assert_eq!(world.remembers(&elsewhere), change != Change::Flush, "{change:?}");
    }
}

/// Usage is written all the time, and no decision depends on it.
#[tokio::test]
async fn usage_report_evicts_nothing() {
    let world = World::new();
    let key = world.cached_key().await;
    let usage = KeyUsage::new(key.record.id(), 3, key.record.created_at());
    world.cache.record_usage(&[usage]).await.unwrap();
    let stored = world.cache.get(&acme(), key.record.id()).await.unwrap();
    assert_eq!(stored.last_used_at(), Some(key.record.created_at()));
    assert!(world.remembers(&key));
}

/// What only reads, and what is rejected because the key belongs to another organization, changes nothing.
#[tokio::test]
async fn change_by_other_organization_evicts_nothing() {
    let world = World::new();
    let key = world.cached_key().await;
    let other: OrganizationId = "other".parse().unwrap();
    let id = key.record.id();
    assert!(matches!(world.cache.manage().revoke(&other, id).await, Err(ManageError::NotFound)));
    assert!(matches!(world.cache.manage().get(&other, id).await, Err(ManageError::NotFound)));
    assert!(matches!(world.cache.manage().regenerate(&other, id, Expiry::Never).await, Err(ManageError::NotFound)));
    assert_eq!(request(&world, &key).await.status, 200);
    assert_eq!(world.cache.get(&acme(), id).await.unwrap().id(), id);
    assert_eq!(world.cache.list((&acme()).into(), &Default::default()).await.unwrap().keys.len(), 1);
    assert_eq!(world.cache.organization_policy(&acme()).await.unwrap(), OrganizationPolicy::default());
}

/// Cases: 79.
#[tokio::test]
async fn lookup_from_before_change_is_not_cached() {
    for change in Change::ALL {
        let world = World::new();
        let key = world.key().await;
        world.store.hold();
        let early = begin(request(&world, &key));
        change.apply(&world, &key).await.unwrap();
        world.store.release();
        assert_eq!(early.await.status, 200, "{change:?}: it was there before the change");
        assert!(!world.remembers(&key), "{change:?}");
        change.assert_rejected(&request(&world, &key).await);
        assert_eq!(world.store.lookups(), 2, "{change:?}");
    }
}

/// Cases: 79.
/// Whichever of the two lookups ends first.
#[tokio::test]
async fn request_after_change_joins_no_older_lookup() {
    for change in Change::ALL {
        for newer_first in [true, false] {
            let world = World::new();
            let key = world.key().await;
            world.store.hold();
            let early: Vec<_> = (0..3).map(|_| begin(request(&world, &key))).collect();
            assert_eq!(world.store.lookups(), 1);
            change.apply(&world, &key).await.unwrap();
            let mut late: Vec<_> = (0..3).map(|_| begin(request(&world, &key))).collect();
            assert_eq!(world.store.lookups(), 2, "{change:?}: those from after it share one of their own");

            assert!(world.store.release_one(usize::from(newer_first)));
            let (early, late) = if newer_first {
                let late = join_all(late).await;
                assert!(world.store.release_one(0));
                (join_all(early).await, late)
            } else {
                let early = join_all(early).await;
                // Its end is not the end of the newer one.
                late.push(begin(request(&world, &key)));
                assert_eq!(world.store.lookups(), 2, "{change:?}");
                assert!(world.store.release_one(0));
                (early, join_all(late).await)
            };
            assert!(early.iter().all(|reply| reply.status == 200), "{change:?}: they were there before the change");
            late.iter().for_each(|reply| change.assert_rejected(reply));

            change.assert_rejected(&request(&world, &key).await);
            assert_eq!(world.store.lookups(), 2, "{change:?}: the newer answer is remembered");
        }
    }
}

/// Cases: 79.
/// The change is made and the store returns an error, or does not return before the caller gives up.
#[tokio::test]
async fn change_of_unknown_outcome_evicts() {
    for change in Change::THROUGH_THE_CACHE {
        for fault in [ChangeFault::Fails, ChangeFault::NeverReturns] {
            let world = World::new();
            let (cached, under_way) = (world.cached_key().await, world.key().await);
            world.store.hold();
            let early = begin(request(&world, &under_way));
            world.store.fail_changes(fault);
            for key in [&cached, &under_way] {
                match fault {
                    ChangeFault::Fails => assert!(change.apply(&world, key).await.is_err()),
                    ChangeFault::NeverReturns => drop(begin(change.apply(&world, key))),
                }
            }
            world.store.release();
            assert_eq!(early.await.status, 200, "{change:?} {fault:?}");
            for key in [&cached, &under_way] {
                change.assert_rejected(&request(&world, key).await);
            }
        }
    }
}

/// Cases: 84.
#[tokio::test]
async fn issue_of_unknown_outcome_evicts() {
    for fault in [ChangeFault::Fails, ChangeFault::NeverReturns] {
        let world = World::new();
        assert_eq!(world.request("new").await.status, 401);
        world.store.fail_changes(fault);
        let (acme, key) = (acme(), NewKey::new("new", Access::Full).unwrap());
        let keys = world.cache.manage();
        let import = keys.import(&acme, (key, StoredCredential::from_plaintext(b"new")));
        match fault {
            ChangeFault::Fails => assert!(import.await.is_err()),
            ChangeFault::NeverReturns => drop(begin(import)),
        }
        assert_eq!(world.request("new").await.status, 200, "{fault:?}");
    }
}

/// Cases: 79.
/// The cache does not learn of the change, but of something else in between, so that there are two lookups of the same
/// key. What the newer one found was true at a later time.
#[tokio::test]
async fn older_answer_does_not_replace_newer_one() {
    let world = World::new();
    let key = world.key().await;
    world.store.hold();
    let older = begin(request(&world, &key));
    world.store.elsewhere().revoke(&acme(), key.record.id()).await.unwrap();
    world.cache.invalidate(&unknown_digest(0));
    let newer = begin(request(&world, &key));
    assert!(world.store.release_one(1));
    assert_eq!(newer.await.status, 401);
    world.store.release();
    assert_eq!(older.await.status, 200);
    assert_eq!(request(&world, &key).await.status, 401, "a key that was seen revoked came back");
}

/// Cases: 81.
#[tokio::test]
async fn regenerated_key_replaces_old_key_at_once() {
    let world = World::new();
    let old = world.cached_key().await;
    let new = world.cache.manage().regenerate(&acme(), old.record.id(), Expiry::SameLifetime).await.unwrap();
    assert_eq!(request(&world, &old).await.body, INVALID);
    assert_eq!(request(&world, &new).await.status, 200);
}

/// Cases: 83.
#[tokio::test]
async fn disabled_organization_works_again_when_enabled() {
    let world = World::new();
    let keys = [world.cached_key().await, world.cached_key().await];
    for (disabled, status) in [(true, 401), (false, 200), (true, 401)] {
        let policy = OrganizationPolicy::default().with_disabled(disabled);
        world.cache.set_organization_policy(&acme(), policy).await.unwrap();
        for key in &keys {
            assert_eq!(request(&world, key).await.status, status);
        }
    }
}

/// Cases: 82.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn regenerates_and_revoke_leave_at_most_one_key() {
    let world = World::with(|cache| cache.time_to_live(Duration::from_secs(3600)));
    for with_revoke in [false, true] {
        for _ in 0..20 {
            let old = world.cached_key().await;
            let mut tasks = JoinSet::new();
            for number in 0..100 {
                let (keys, id) = (world.cache.manage(), old.record.id());
                tasks.spawn(async move {
                    if with_revoke && number == 50 {
                        keys.revoke(&acme(), id).await.map(|_| None)
                    } else {
                        keys.regenerate(&acme(), id, Expiry::SameLifetime).await.map(Some)
                    }
                });
            }
            let mut made = Vec::new();
            for done in tasks.join_all().await {
                match done {
                    Ok(new) => made.extend(new),
                    Err(error) => assert!(matches!(error, ManageError::Conflict), "{error}"),
                }
            }
            assert_eq!(request(&world, &old).await.body, INVALID);
            assert!(made.len() == 1 || with_revoke && made.is_empty(), "{} keys were made", made.len());
            for new in &made {
                assert_eq!(request(&world, new).await.status, 200);
            }
        }
    }
}

/// The cache is a store of its own to a second layer, and all handles to it are the same one.
#[test]
fn cache_handles_share_a_store_id() {
    let world = World::new();
    assert_eq!(world.cache.clone().id(), world.cache.id());
    assert_ne!(World::new().cache.id(), world.cache.id());
    assert!(world.cache.id().is_some());
    assert_ne!(world.cache.id(), world.store.elsewhere().id());
}

#[tokio::test]
async fn manager_over_cache_follows_its_rules() {
    let rules = IssueRules::default()
        .with_format(KeyFormat::new("acme_").unwrap())
        .with_catalog(ScopeCatalog::new([avala::TASKS_READ]));
    let keys = CachedStore::new(MemoryStore::new()).manage().with_rules(rules);
    let new = |scope| NewKey::new("new", Access::scoped([scope])).unwrap();
    let issued = keys.issue(&acme(), new(avala::TASKS_READ)).await.unwrap();
    assert!(issued.secret.expose_secret().starts_with("acme_"));
    let rejected = keys.issue(&acme(), new(avala::DATASETS_READ)).await.unwrap_err();
    assert!(matches!(rejected, ManageError::UnknownScope(_)), "{rejected}");
}

/// Changed here or elsewhere.
#[tokio::test]
async fn policy_is_that_of_the_inner_store() {
    let world = World::new();
    let disabled = OrganizationPolicy::default().with_disabled(true);
    world.store.elsewhere().set_organization_policy(&acme(), disabled).await.unwrap();
    assert_eq!(world.cache.organization_policy(&acme()).await.unwrap(), disabled);
    world.cache.set_organization_policy(&acme(), OrganizationPolicy::default()).await.unwrap();
    assert_eq!(world.store.elsewhere().organization_policy(&acme()).await.unwrap(), OrganizationPolicy::default());
}
