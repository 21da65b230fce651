//! `MemoryStore`, by itself and inside a `DynKeyBackend`: issuing, listing, revoking, regenerating, updating, and what
//! the next request sees of it.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::iter;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::executor::block_on;
use http::{Request, Response};
use proptest::prelude::*;
use tokio::task::{JoinSet, yield_now};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::key::{KeyDigest, KeyFormat, KeyHint, KeyId, KeyRecord, KeyStatus, OrganizationPolicy};
use tower_api_key::manage::{InvalidNewKey, IssueRules, IssuedKey, ManageError, StoredCredential};
use tower_api_key::scope::{ScopeSet, avala};
use tower_api_key::store::{
    BackendError, DynKeyBackend, Expiry, Invalidation, KeyBackend, KeyUpdate, ListKeys, Lookup, Subscriber,
};
use tower_api_key::{Access, ApiKeyLayer, KeyManager, KeyStore, MemoryStore, NewKey, OrganizationId, Scope};

use crate::support::clock::Hands;
use crate::support::manage::Manage;
use crate::support::request::request;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const SECOND: Duration = Duration::from_secs(1);

/// Runs each of these tests on a store of either kind.
macro_rules! on_both_stores {
    ($($test:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Fixture::of(|keys| keys)).await;
            })*
        }
        mod shared {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Fixture::of(tower_api_key::store::DynKeyBackend::new)).await;
            })*
        }
    };
}

on_both_stores! {
    issued_key_has_what_was_asked_for
    issued_keys_are_unique
    key_name_is_kept_byte_for_byte
    key_with_lost_secret_can_be_revoked
    import_takes_a_key_by_its_digest
    digest_is_unique_over_all_organizations
    list_is_by_status_and_newest_first
    key_of_other_organization_is_not_found
    revoke_is_immediate_final_and_idempotent
    regenerated_key_replaces_old_key_at_once
    regenerate_restores_expired_but_not_revoked_key
    regenerated_key_expires_as_asked
    expiry_in_the_past_changes_nothing
    narrowing_only_removes_scopes
    policy_applies_to_old_and_new_keys
}

async fn issued_key_has_what_was_asked_for<K: Manage>(Fixture { keys, hands, acme, .. }: Fixture<K>) {
    let access = Access::scoped([avala::DATASETS_READ, Scope::from_static("invoices.read")]);
    hands.set(moment() + Duration::from_millis(900));
    let new = NewKey::new("nightly export", access.clone()).unwrap();
    let new = new.with_expires_at(moment() + DAY + Duration::from_millis(999));
    let IssuedKey { record, secret, .. } = keys.manage().issue(&acme, new).await.unwrap();
    assert!(KeyFormat::AVALA.matches(secret.expose_secret().as_bytes()));
    assert_eq!(record.digest(), &secret.digest());
    assert_eq!(record.hint(), &secret.hint());
    assert_eq!((record.name(), record.organization(), record.access()), ("nightly export", &acme, &access));
    assert_eq!((record.created_at(), record.expires_at()), (moment(), Some(moment() + DAY)), "in whole seconds");
    assert_eq!((record.revoked_at(), record.replaced_by(), record.last_used_at()), (None, None, None));
    assert_eq!(record.policy(), OrganizationPolicy::default());

    let expected = format!("{record:?}");
    assert_eq!(format!("{:?}", keys.get(&acme, record.id()).await.unwrap()), expected);
    assert_eq!(format!("{:?}", find(&keys, secret.expose_secret()).await.unwrap()), expected);
    assert_eq!(status(&keys, &hands, secret.expose_secret()).await, 200);
    assert!(find(&keys, &secret.expose_secret()[1..]).await.is_none());
}

/// Cases: 67.
async fn issued_keys_are_unique<K: Manage>(fixture: Fixture<K>) {
    let (mut secrets, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..1000 {
        let issued = fixture.issue().await;
        assert!(ids.insert(issued.record.id()) && secrets.insert(issued.secret.expose_secret().to_owned()));
    }
}

/// Cases: 69.
async fn key_name_is_kept_byte_for_byte<K: Manage>(Fixture { keys, acme, .. }: Fixture<K>) {
    for name in ["'; drop table keys; --", "<b>bold</b>", "\u{202e}rtl", "a\u{308}", "日本", &"é".repeat(100), " x "]
    {
        let issued = keys.manage().issue(&acme, NewKey::new(name, Access::Full).unwrap()).await.unwrap();
        assert_eq!(keys.get(&acme, issued.record.id()).await.unwrap().name(), name);
    }
}

/// Cases: 70.
async fn key_with_lost_secret_can_be_revoked<K: Manage>(fixture: Fixture<K>) {
    let Fixture { keys, acme, hands, .. } = &fixture;
    let secret = fixture.issue().await.secret.expose_secret().to_owned();
    let listed = keys.list(acme.into(), &ListKeys::new()).await.unwrap().keys;
    let [lost] = &listed[..] else { panic!("{listed:?}") };
    keys.revoke(acme, lost.id()).await.unwrap();
    assert_eq!(status(keys, hands, &secret).await, 401);
}

/// Cases: 158.
async fn import_takes_a_key_by_its_digest<K: Manage>(Fixture { keys, hands, acme, .. }: Fixture<K>) {
    let new = || NewKey::new("of old", Access::scoped([avala::TASKS_READ])).unwrap();
    let old = "0123456789abcdef0123456789abcdef01234567";
    let record = keys.manage().import(&acme, (new(), StoredCredential::from_plaintext(old.as_bytes()))).await.unwrap();
    assert_eq!((record.hint().as_str(), record.name()), ("...4567", "of old"));
    assert_eq!(record.access(), &Access::scoped([avala::TASKS_READ]));
    assert_eq!(record.created_at(), moment());
    assert_eq!(status(&keys, &hands, old).await, 200);

    // What looks like a prefix may be a part of the secret.
    let odd = StoredCredential::from_plaintext(b"abcdefghijklmno_qrstuvwx");
    let record = keys.manage().import(&acme, (new(), odd)).await.unwrap();
    assert_eq!(keys.get(&acme, record.id()).await.unwrap().hint().as_str(), "...uvwx");

    // Only the digest is known, and what a list shall show.
    let digest = KeyDigest::hash(b"avala_sk_only-its-owner-knows-it");
    let credential = StoredCredential::from_digest(digest).with_hint(KeyHint::from_stored("avala_sk_...s-it"));
    let record = keys.manage().import(&acme, (new(), credential)).await.unwrap();
    assert_eq!((record.digest(), record.hint().as_str()), (&digest, "avala_sk_...s-it"));
    assert_eq!(status(&keys, &hands, "avala_sk_only-its-owner-knows-it").await, 200);
    assert_eq!(status(&keys, &hands, "avala_sk_only-its-owner-knows-i").await, 401);
}

async fn digest_is_unique_over_all_organizations<K: Manage>(fixture: Fixture<K>) {
    let Fixture { keys, acme, globex, .. } = &fixture;
    let first = fixture.issue().await;
    let before = format!("{:?}", keys.get(acme, first.record.id()).await.unwrap());
    for organization in [acme, globex] {
        let new = NewKey::new("again", Access::Full).unwrap();
        let again = keys.manage().import(organization, (new, StoredCredential::from_secret(&first.secret))).await;
        assert!(matches!(again, Err(ManageError::AlreadyExists)), "{again:?}");
    }
    assert_eq!(format!("{:?}", keys.get(acme, first.record.id()).await.unwrap()), before);
    assert_eq!(ids(keys, globex, &ListKeys::new()).await, []);

    // Revoking it does not make room: a dead key cannot come back as another one.
    keys.revoke(acme, first.record.id()).await.unwrap();
    let new = NewKey::new("again", Access::Full).unwrap();
    let again = keys.manage().import(acme, (new, StoredCredential::from_secret(&first.secret))).await;
    assert!(matches!(again, Err(ManageError::AlreadyExists)), "{again:?}");
}

async fn list_is_by_status_and_newest_first<K: Manage>(fixture: Fixture<K>) {
    let Fixture { keys, hands, acme, globex } = &fixture;
    assert_eq!(ids(keys, acme, &ListKeys::new()).await, [], "of an unknown organization");
    let mut issued = Vec::new();
    for age in 0..6 {
        hands.set(moment() + age * SECOND);
        let new = NewKey::new("key", Access::Full).unwrap();
        let new = if age % 2 == 1 { new.with_expires_at(moment() + DAY) } else { new };
        issued.push(keys.manage().issue(acme, new).await.unwrap().record.id());
    }
    hands.set(moment() + DAY);
    for at in [0, 1] {
        keys.revoke(acme, issued[at]).await.unwrap();
    }
    let [_, _, active, expired, ..] = issued[..] else { panic!() };
    let with = |status| ListKeys::new().with_status(status);
    let newest_first: Vec<_> = issued.iter().rev().copied().collect();
    assert_eq!(ids(keys, acme, &ListKeys::new()).await, newest_first);
    assert_eq!(ids(keys, acme, &with(KeyStatus::Active)).await, [issued[4], active]);
    assert_eq!(ids(keys, acme, &with(KeyStatus::Expired)).await, [issued[5], expired]);
    assert_eq!(ids(keys, acme, &with(KeyStatus::Revoked)).await, [issued[1], issued[0]], "revoked before expired");
    assert_eq!(ids(keys, globex, &ListKeys::new()).await, []);

    let page = keys.list(acme.into(), &ListKeys::new().with_limit(4)).await.unwrap();
    assert_eq!(page.keys.len(), 4);
    let page = keys.list(acme.into(), &ListKeys::new().with_limit(4).with_after(page.next)).await.unwrap();
    assert_eq!((page.keys.len(), page.next), (2, None));
    assert_eq!(keys.list(acme.into(), &ListKeys::new().with_limit(6)).await.unwrap().next, None, "nothing follows");
}

/// Cases: 66.
async fn key_of_other_organization_is_not_found<K: Manage>(fixture: Fixture<K>) {
    let Fixture { keys, hands, acme, globex } = &fixture;
    let issued = fixture.issue().await;
    let (id, secret) = (issued.record.id(), issued.secret.expose_secret());
    let before = format!("{:?}", issued.record);
    let unknown = KeyId::from_u128(1);
    let manager = keys.manage();
    for (organization, id) in [(globex, id), (acme, unknown), (globex, unknown)] {
        let update = KeyUpdate::new().with_scopes([avala::DATASETS_READ]);
        for rejected in [
            manager.get(organization, id).await,
            manager.revoke(organization, id).await,
            manager.update(organization, id, update).await,
            manager.regenerate(organization, id, Expiry::Never).await.map(|issued| issued.record),
        ] {
            assert!(matches!(rejected, Err(ManageError::NotFound)), "{rejected:?}");
        }
    }
    let disabled = OrganizationPolicy::default().with_disabled(true);
    keys.set_organization_policy(globex, disabled).await.unwrap();
    assert_eq!(keys.organization_policy(acme).await.unwrap(), OrganizationPolicy::default());
    assert_eq!(ids(keys, globex, &ListKeys::new()).await, []);
    assert_eq!(format!("{:?}", keys.get(acme, id).await.unwrap()), before, "nothing happened to it");
    assert_eq!(status(keys, hands, secret).await, 200);
}

/// Cases: 77.
async fn revoke_is_immediate_final_and_idempotent<K: Manage>(fixture: Fixture<K>) {
    let Fixture { keys, hands, acme, .. } = &fixture;
    let issued = fixture.issue().await;
    let (id, secret) = (issued.record.id(), issued.secret.expose_secret());
    assert_eq!(status(keys, hands, secret).await, 200);
    hands.set(moment() + DAY);
    let revoked = keys.revoke(acme, id).await.unwrap();
    assert_eq!(status(keys, hands, secret).await, 401);
    assert_eq!((revoked.revoked_at(), revoked.replaced_by()), (Some(moment() + DAY), None));

    hands.set(moment() + 2 * DAY);
    let again = keys.revoke(acme, id).await.unwrap();
    assert_eq!(format!("{again:?}"), format!("{revoked:?}"), "the same record, with the first date");
    // Nothing that can be done to a key brings it back.
    assert!(keys.manage().regenerate(acme, id, Expiry::Never).await.is_err());
    assert!(keys.update(acme, id, KeyUpdate::new().with_scopes(ScopeSet::empty())).await.is_err());
    keys.set_organization_policy(acme, OrganizationPolicy::default()).await.unwrap();
    hands.set(UNIX_EPOCH);
    assert_eq!(status(keys, hands, secret).await, 401);
    assert_eq!(format!("{:?}", keys.get(acme, id).await.unwrap()), format!("{revoked:?}"));
}

/// Cases: 81.
async fn regenerated_key_replaces_old_key_at_once<K: Manage>(Fixture { keys, hands, acme, .. }: Fixture<K>) {
    let access = Access::scoped([avala::DATASETS_READ]);
    let old = keys.manage().issue(&acme, NewKey::new("nightly", access.clone()).unwrap()).await.unwrap();
    hands.set(moment() + DAY);
    let new = keys.manage().regenerate(&acme, old.record.id(), Expiry::default()).await.unwrap();
    assert_eq!(status(&keys, &hands, old.secret.expose_secret()).await, 401);
    assert_eq!(status(&keys, &hands, new.secret.expose_secret()).await, 200);

    assert_ne!(new.record.id(), old.record.id());
    assert_ne!(new.secret.expose_secret(), old.secret.expose_secret());
    assert_eq!((new.record.name(), new.record.access()), ("nightly", &access));
    assert_eq!(new.record.digest(), &new.secret.digest());
    assert_eq!(new.record.hint(), &new.secret.hint());
    assert_eq!((new.record.created_at(), new.record.expires_at()), (moment() + DAY, None));
    let old = keys.get(&acme, old.record.id()).await.unwrap();
    assert_eq!((old.replaced_by(), old.revoked_at()), (Some(new.record.id()), Some(moment() + DAY)));
    assert_eq!(old.status(moment()), KeyStatus::Revoked);
}

async fn regenerate_restores_expired_but_not_revoked_key<K: Manage>(fixture: Fixture<K>) {
    let Fixture { keys, hands, acme, .. } = &fixture;
    let new = NewKey::new("expires", Access::Full).unwrap().with_expires_at(moment() + DAY);
    let expired = keys.manage().issue(acme, new).await.unwrap();
    hands.set(moment() + 2 * DAY);
    assert_eq!(status(keys, hands, expired.secret.expose_secret()).await, 401);
    let restored = keys.manage().regenerate(acme, expired.record.id(), Expiry::default()).await.unwrap();
    assert_eq!(status(keys, hands, restored.secret.expose_secret()).await, 200);

    let revoked = fixture.issue().await.record.id();
    keys.revoke(acme, revoked).await.unwrap();
    for dead in [revoked, expired.record.id()] {
        let before = ids(keys, acme, &ListKeys::new()).await;
        let conflict = keys.manage().regenerate(acme, dead, Expiry::Never).await;
        assert!(matches!(conflict, Err(ManageError::Conflict)), "{conflict:?}");
        assert_eq!(ids(keys, acme, &ListKeys::new()).await, before, "and nothing was made");
    }
}

async fn regenerated_key_expires_as_asked<K: Manage>(Fixture { keys, hands, acme, .. }: Fixture<K>) {
    let now = moment() + 100 * DAY;
    for (lifetime, expiry, expected) in [
        (None, Expiry::SameLifetime, None),
        (Some(30 * DAY), Expiry::SameLifetime, Some(now + 30 * DAY)),
        (Some(300 * DAY), Expiry::SameLifetime, Some(now + 300 * DAY)),
        (Some(30 * DAY), Expiry::Never, None),
        (None, Expiry::At(now + DAY), Some(now + DAY)),
        (Some(30 * DAY), Expiry::At(now + DAY + Duration::from_millis(700)), Some(now + DAY)),
    ] {
        hands.set(moment());
        let new = NewKey::new("key", Access::Full).unwrap().with_expires_at(lifetime.map(|span| moment() + span));
        let old = keys.manage().issue(&acme, new).await.unwrap();
        hands.set(now);
        let new = keys.manage().regenerate(&acme, old.record.id(), expiry).await.unwrap();
        assert_eq!(new.record.expires_at(), expected, "{lifetime:?} {expiry:?}");
        assert_eq!(status(&keys, &hands, new.secret.expose_secret()).await, 200);
        // A second time, the lifetime is still that of the first key.
        if expiry == Expiry::SameLifetime {
            hands.set(now + DAY);
            let third = keys.manage().regenerate(&acme, new.record.id(), expiry).await.unwrap();
            assert_eq!(third.record.expires_at(), expected.map(|end| end + DAY));
        }
    }
}

/// Cases: 159.
async fn expiry_in_the_past_changes_nothing<K: Manage>(Fixture { keys, hands, acme, .. }: Fixture<K>) {
    let now = moment() + 100 * DAY;
    hands.set(now);
    let new = |expiry| NewKey::new("key", Access::Full).unwrap().with_expires_at(expiry);
    let old = keys.manage().issue(&acme, new(now + DAY)).await.unwrap();
    let secret = old.secret.expose_secret();
    let before = ids(&keys, &acme, &ListKeys::new()).await;
    for past in [now - DAY, now, now + Duration::from_millis(999)] {
        let issued = keys.manage().issue(&acme, new(past)).await;
        assert!(matches!(issued, Err(ManageError::ExpiryInPast)), "{issued:?}");
        let regenerated = keys.manage().regenerate(&acme, old.record.id(), Expiry::At(past)).await;
        assert!(matches!(regenerated, Err(ManageError::ExpiryInPast)), "{regenerated:?}");
        assert_eq!(ids(&keys, &acme, &ListKeys::new()).await, before);
        assert_eq!(status(&keys, &hands, secret).await, 200, "the old key goes on working");
    }
    // An import states what happened.
    keys.manage().import(&acme, (new(now - DAY), StoredCredential::from_plaintext(b"old"))).await.unwrap();
    assert_eq!(status(&keys, &hands, "old").await, 401);
}

async fn narrowing_only_removes_scopes<K: Manage>(Fixture { keys, hands, acme, .. }: Fixture<K>) {
    let read_write = || Access::scoped([avala::DATASETS_READ, avala::DATASETS_WRITE]);
    let read = ScopeSet::from([avala::DATASETS_READ]);
    let wider = ScopeSet::from([avala::DATASETS_READ, avala::TASKS_READ]);
    let manager = keys.manage();
    let update = async |key: &IssuedKey, scopes: ScopeSet| {
        manager.update(&acme, key.record.id(), KeyUpdate::new().with_scopes(scopes)).await
    };
    for (access, scopes, allowed) in [
        (Access::Full, read.clone(), true),
        (Access::Full, ScopeSet::empty(), true),
        (read_write(), read.clone(), true),
        (read_write(), ScopeSet::from([avala::DATASETS_READ, avala::DATASETS_WRITE]), true),
        (read_write(), ScopeSet::empty(), true),
        (read_write(), wider.clone(), false),
        (read_write(), ScopeSet::from([Scope::from_static("datasets.reads")]), false),
    ] {
        let key = manager.issue(&acme, NewKey::new("key", access.clone()).unwrap()).await.unwrap();
        let kept = if allowed { Access::Scoped(scopes.clone()) } else { access.clone() };
        match update(&key, scopes.clone()).await {
            Ok(record) => assert_eq!((allowed, record.access()), (true, &kept)),
            Err(ManageError::WouldWiden) => assert!(!allowed, "{access:?} to {scopes}"),
            Err(other) => panic!("{other:?}"),
        }
        let found = find(&keys, key.secret.expose_secret()).await.unwrap();
        assert_eq!(found.access(), &kept, "{access:?} to {scopes}");
        // Whatever it keeps, it is a valid key.
        assert_eq!(status(&keys, &hands, key.secret.expose_secret()).await, 200);
    }

    // What was taken away cannot be had back, not by regenerating either.
    let key = manager.issue(&acme, NewKey::new("key", read_write()).unwrap()).await.unwrap();
    update(&key, read.clone()).await.unwrap();
    let again = update(&key, ScopeSet::from([avala::DATASETS_READ, avala::DATASETS_WRITE])).await;
    assert!(matches!(again, Err(ManageError::WouldWiden)), "{again:?}");
    let regenerated = manager.regenerate(&acme, key.record.id(), Expiry::Never).await.unwrap().record;
    assert_eq!(regenerated.access(), &Access::Scoped(read.clone()));

    // A dead key is not updated, whatever the update.
    for scopes in [read, wider] {
        let conflict = update(&key, scopes).await;
        assert!(matches!(conflict, Err(ManageError::Conflict)), "{conflict:?}");
    }
}

/// Cases: 76, 83.
async fn policy_applies_to_old_and_new_keys<K: Manage>(fixture: Fixture<K>) {
    let Fixture { keys, hands, acme, globex } = &fixture;
    assert_eq!(keys.organization_policy(acme).await.unwrap(), OrganizationPolicy::default());
    let before = fixture.issue().await;
    let monthly = OrganizationPolicy::default().with_max_key_age(30 * DAY);
    keys.set_organization_policy(acme, monthly).await.unwrap();
    assert_eq!(keys.organization_policy(acme).await.unwrap(), monthly);
    let after = fixture.issue().await;
    let elsewhere = keys.manage().issue(globex, NewKey::new("key", Access::Full).unwrap()).await.unwrap();
    let expired = ListKeys::new().with_status(KeyStatus::Expired);
    let statuses = async || {
        let mut statuses = Vec::new();
        for key in [&before, &after, &elsewhere] {
            statuses.push(status(keys, hands, key.secret.expose_secret()).await);
        }
        statuses
    };
    hands.set(moment() + 30 * DAY - SECOND);
    assert_eq!(statuses().await, [200, 200, 200]);
    assert_eq!(ids(keys, acme, &expired).await, []);
    hands.set(moment() + 30 * DAY);
    assert_eq!(statuses().await, [401, 401, 200]);
    assert_eq!(ids(keys, acme, &expired).await.len(), 2);

    // Regenerating restores access, and the new key is as old as it is.
    let restored = keys.manage().regenerate(acme, before.record.id(), Expiry::default()).await.unwrap();
    assert_eq!(restored.record.policy(), monthly);
    assert_eq!(status(keys, hands, restored.secret.expose_secret()).await, 200);

    keys.set_organization_policy(acme, OrganizationPolicy::default()).await.unwrap();
    assert_eq!(statuses().await, [401, 200, 200], "the first key was replaced, and stays dead");
    keys.set_organization_policy(acme, OrganizationPolicy::default().with_disabled(true)).await.unwrap();
    assert_eq!(statuses().await, [401, 401, 200]);
    let during = fixture.issue().await;
    assert_eq!(status(keys, hands, during.secret.expose_secret()).await, 401);
    keys.set_organization_policy(acme, OrganizationPolicy::default()).await.unwrap();
    assert_eq!(status(keys, hands, during.secret.expose_secret()).await, 200);
}

/// Keys from a configuration, which bring their own ids and dates.
#[tokio::test]
async fn add_takes_a_record_once_under_its_policy() {
    let Fixture { keys, hands, acme, globex } = Fixture::of(|keys| keys);
    let record = |id, key: &str, organization: &OrganizationId| {
        KeyRecord::new(KeyId::from_u128(id), KeyDigest::hash(key.as_bytes()), organization.clone(), Access::Full)
    };
    keys.add(record(1, "first", &acme)).unwrap();
    for taken in [record(1, "other", &acme), record(2, "first", &acme), record(2, "first", &globex)] {
        let again = keys.add(taken);
        assert!(matches!(again, Err(BackendError::AlreadyExists)), "{again:?}");
    }
    assert_eq!(ids(&keys, &acme, &ListKeys::new()).await, [KeyId::from_u128(1)]);
    assert_eq!(status(&keys, &hands, "first").await, 200);
    assert_eq!(status(&keys, &hands, "other").await, 401);

    keys.set_organization_policy(&globex, OrganizationPolicy::default().with_disabled(true)).await.unwrap();
    keys.add(record(3, "of a disabled organization", &globex)).unwrap();
    assert_eq!(status(&keys, &hands, "of a disabled organization").await, 401);
}

/// Cases: 57.
#[tokio::test]
async fn catalog_rejects_unknown_scopes() {
    async fn rejects(keys: &KeyManager<impl Manage>) {
        let acme = "acme".parse().unwrap();
        let typo = Scope::from_static("dataset.read");
        for access in [Access::scoped([typo.clone()]), Access::scoped([avala::DATASETS_READ, typo.clone()])] {
            let new = || NewKey::new("key", access.clone()).unwrap();
            let imported = keys.import(&acme, (new(), StoredCredential::from_plaintext(b"old"))).await;
            for rejected in [keys.issue(&acme, new()).await.map(|issued| issued.record), imported] {
                match rejected {
                    Err(ManageError::UnknownScope(unknown)) => assert_eq!(unknown.scope(), &typo),
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(ids(keys.backend(), &acme, &ListKeys::new()).await, []);
        for access in [Access::Full, Access::scoped(avala::ALL)] {
            keys.issue(&acme, NewKey::new("key", access).unwrap()).await.unwrap();
        }
    }
    let rules = IssueRules::default().with_catalog(avala::catalog()).with_format(KeyFormat::new("acme_").unwrap());
    rejects(&MemoryStore::new().manage().with_rules(rules.clone())).await;
    let shared = DynKeyBackend::new(MemoryStore::new()).manage().with_rules(rules);
    rejects(&shared).await;

    let new = NewKey::new("key", Access::Full).unwrap();
    let secret = shared.issue(&"acme".parse().unwrap(), new).await.unwrap().secret;
    assert!(secret.expose_secret().starts_with("acme_"), "the format of the rules is used");
}

/// Cases: 57, 63, 69.
#[test]
fn issued_keys_are_bounded() {
    for name in
        ["", " ", "\t", "\u{3000}", "a\0b", "a\nb", "\u{1b}[31mred", "a\u{85}b", &"x".repeat(101), &"x".repeat(1 << 20)]
    {
        assert_eq!(
            NewKey::new(name, Access::Full).unwrap_err(),
            InvalidNewKey::Name,
            "{:?}",
            &name[..name.len().min(9)]
        );
    }
    assert!(NewKey::new("é".repeat(NewKey::MAX_NAME_LEN), Access::Full).is_ok(), "characters are counted, not bytes");
    assert_eq!(NewKey::new("x", Access::scoped([])).unwrap_err(), InvalidNewKey::NoScopes);

    let scopes = |number: usize| (0..number).map(|n| Scope::new(format!("scope.{n}")).unwrap());
    assert!(NewKey::new("x", Access::scoped(scopes(ScopeSet::MAX_LEN))).is_ok());
    for many in [ScopeSet::MAX_LEN + 1, 100_000] {
        assert_eq!(NewKey::new("x", Access::scoped(scopes(many))).unwrap_err(), InvalidNewKey::TooManyScopes, "{many}");
    }
    let repeated = iter::repeat_n(avala::TASKS_READ, 100_000);
    assert!(NewKey::new("x", Access::scoped(repeated)).is_ok(), "one scope, however often");
    assert!(Scope::new("x".repeat(128)).is_ok());
    for long in [129, 1 << 20] {
        assert!(Scope::new("x".repeat(long)).is_err(), "{long}");
    }
}

proptest! {
    /// Cases: 206.
    /// Whatever the size of each page, and whatever is issued between two of them.
    #[test]
    fn pages_contain_each_key_once(
        ages in prop::collection::vec((0..5_u64, any::<bool>()), 0..60),
        limits in prop::collection::vec(0..9_usize, 1..10),
        meanwhile in prop::collection::vec(0..9_u64, 0..10),
        status in prop::option::of(prop::sample::select(vec![KeyStatus::Active, KeyStatus::Revoked])),
        shared in any::<bool>(),
    ) {
        let fixture = Fixture::of(|keys| keys);
        let paged = if shared {
            block_on(page(&DynKeyBackend::new(fixture.keys.clone()), &fixture, &ages, &limits, &meanwhile, status))
        } else {
            block_on(page(&fixture.keys, &fixture, &ages, &limits, &meanwhile, status))
        };
        let Paged { before, listed } = paged;
        let ids: Vec<_> = listed.iter().map(|record| record.id()).collect();
        prop_assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "no key twice");
        let of_before: BTreeSet<_> = ids.iter().copied().filter(|id| before.contains(id)).collect();
        prop_assert_eq!(&of_before, &before, "each key that was there");
        prop_assert!(listed.is_sorted_by(|a, b| a.created_at() >= b.created_at()), "the newest first");
        prop_assert!(status.is_none_or(|status| listed.iter().all(|record| record.status(moment()) == status)));
    }
}

struct Paged {
    /// The keys that were there from the beginning and are asked for.
    before: BTreeSet<KeyId>,
    listed: Vec<Arc<KeyRecord>>,
}

async fn page(
    keys: &impl Manage,
    Fixture { hands, acme, .. }: &Fixture<MemoryStore>,
    ages: &[(u64, bool)],
    limits: &[usize],
    meanwhile: &[u64],
    status: Option<KeyStatus>,
) -> Paged {
    let new = || NewKey::new("key", Access::Full).unwrap();
    let mut before = BTreeSet::new();
    for &(age, revoked) in ages {
        hands.set(moment() + Duration::from_secs(age));
        let id = keys.manage().issue(acme, new()).await.unwrap().record.id();
        if revoked {
            keys.revoke(acme, id).await.unwrap();
        }
        if status.is_none_or(|status| (status == KeyStatus::Revoked) == revoked) {
            before.insert(id);
        }
    }
    let (mut listed, mut query) = (Vec::new(), ListKeys::new());
    if let Some(status) = status {
        query = query.with_status(status);
    }
    let mut meanwhile = meanwhile.iter();
    for &limit in limits.iter().cycle().take(1000) {
        query = query.with_limit(limit);
        let page = keys.list(acme.into(), &query).await.unwrap();
        assert!(page.keys.len() <= limit.max(1));
        assert!(page.next.is_none() || page.keys.len() == limit.max(1), "only the last page may be short");
        listed.extend(page.keys);
        // A cursor travels as text.
        let Some(next) = page.next else { return Paged { before, listed } };
        query = query.with_after(Some(next.to_string().parse().unwrap()));
        if let Some(&age) = meanwhile.next() {
            hands.set(moment() + Duration::from_secs(age));
            keys.manage().issue(acme, new()).await.unwrap();
        }
    }
    panic!("the list has no end")
}

/// Cases: 82.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_hundred_regenerates_wins() {
    async fn race<K: Manage>(fixture: Fixture<K>) {
        for _ in 0..20 {
            let old = fixture.issue().await;
            let id = old.record.id();
            let start = Arc::new(tokio::sync::Barrier::new(100));
            let mut racing = JoinSet::new();
            for _ in 0..100 {
                let (keys, acme, start) = (fixture.keys.clone(), fixture.acme.clone(), Arc::clone(&start));
                racing.spawn(async move {
                    start.wait().await;
                    keys.manage().regenerate(&acme, id, Expiry::Never).await
                });
            }
            fixture.assert_one_won(&old, racing.join_all().await).await;
        }
    }
    race(Fixture::of(|keys| keys)).await;
    race(Fixture::of(DynKeyBackend::new)).await;
}

/// Cases: 82.
#[test]
fn one_of_hundred_regenerating_threads_wins() {
    fn race<K: Manage>(fixture: &Fixture<K>) {
        for _ in 0..20 {
            let old = block_on(fixture.issue());
            let regenerate =
                || block_on(fixture.keys.manage().regenerate(&fixture.acme, old.record.id(), Expiry::Never));
            block_on(fixture.assert_one_won(&old, in_a_hundred_threads(regenerate)));
        }
    }
    race(&Fixture::of(|keys| keys));
    race(&Fixture::of(DynKeyBackend::new));
}

/// Cases: 82.
/// Without this, the test above could pass because the threads never meet.
#[test]
fn harness_detects_check_then_act_regenerate() {
    let fixture = Fixture::of(|keys| keys);
    let Fixture { keys, acme, .. } = &fixture;
    let successes = || {
        let old = block_on(fixture.issue()).record.id();
        let results = in_a_hundred_threads(|| {
            if block_on(keys.get(acme, old))?.is_revoked() {
                return Err(ManageError::Conflict);
            }
            let new = block_on(fixture.issue());
            block_on(keys.revoke(acme, old))?;
            Ok(new)
        });
        results.into_iter().filter(Result::is_ok).count()
    };
    let rounds = 20;
    let total: usize = iter::repeat_with(successes).take(rounds).sum();
    assert!(total > rounds, "{total} succeeded in {rounds} rounds");
}

fn in_a_hundred_threads<T: Send>(act: impl Fn() -> T + Sync) -> Vec<T> {
    let start = Barrier::new(100);
    thread::scope(|scope| {
        let act = || {
            start.wait();
            act()
        };
        let threads: Vec<_> = (0..100).map(|_| scope.spawn(act)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Cases: 82.
/// Either the revoke came first, and the regenerate is a conflict; or the regenerate came first, and the revoke
/// finds a key that was replaced. A revoke that returned before the regenerate began always came first.
#[test]
fn regenerate_and_revoke_are_serialized() {
    fn race<K: Manage>(fixture: &Fixture<K>) {
        let Fixture { keys, acme, hands, .. } = fixture;
        let (mut revoked_first, mut regenerated_first) = (0, 0);
        for round in 0..500_u32 {
            let old = block_on(fixture.issue());
            let id = old.record.id();
            let (start, is_revoked) = (Barrier::new(2), AtomicBool::new(false));
            // One of the two gets a head start, which is longer or shorter from round to round.
            let wait =
                |side| (0..if round % 2 == side { round % 64 * 8 } else { 0 }).for_each(|_| std::hint::spin_loop());
            let (revoked, began_after, regenerated) = thread::scope(|scope| {
                let revoke = scope.spawn(|| {
                    start.wait();
                    wait(0);
                    let revoked = block_on(keys.revoke(acme, id)).unwrap();
                    is_revoked.store(true, SeqCst);
                    revoked
                });
                start.wait();
                wait(1);
                let began_after = is_revoked.load(SeqCst);
                let regenerated = block_on(keys.manage().regenerate(acme, id, Expiry::Never));
                (revoke.join().unwrap(), began_after, regenerated)
            });
            let status = |key: &IssuedKey| block_on(status(keys, hands, key.secret.expose_secret()));
            assert_eq!(status(&old), 401, "dead in either story");
            let kept = block_on(keys.get(acme, id)).unwrap();
            assert_eq!(format!("{kept:?}"), format!("{revoked:?}"), "the revoke returned what is kept");
            match regenerated {
                Ok(new) => {
                    assert!(!began_after, "a key that was revoked before was regenerated");
                    assert_eq!(kept.replaced_by(), Some(new.record.id()));
                    assert_eq!(status(&new), 200);
                    regenerated_first += 1;
                }
                Err(ManageError::Conflict) => {
                    assert_eq!(kept.replaced_by(), None);
                    revoked_first += 1;
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        println!("revoked first {revoked_first}, regenerated first {regenerated_first}");
    }
    race(&Fixture::of(|keys| keys));
    race(&Fixture::of(DynKeyBackend::new));
}

/// Cases: 78.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn request_after_revoke_is_rejected() {
    let Fixture { keys, acme, .. } = Fixture::of(|keys| keys);
    let race = revoke_under_load(&keys, &acme, DynKeyBackend::new(keys.clone()), 4000).await;
    println!("{race:?}");
    assert_eq!(race.accepted_late, 0, "{race:?}");
    assert!(race.accepted > 4000 && race.late > 4000, "the load is there, before and after: {race:?}");
}

/// Cases: 78.
/// Without this, the test above could pass because it never looks at the right moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn harness_detects_stale_records() {
    let Fixture { keys, acme, .. } = Fixture::of(|keys| keys);
    let stale = Stale { keys: keys.clone(), seen: Mutex::default() };
    let race = revoke_under_load(&keys, &acme, stale, 400).await;
    println!("{race:?}");
    assert!(race.accepted_late > 0, "{race:?}");
}

/// What became of the requests of a race.
#[derive(Debug, Default)]
struct Race {
    accepted: usize,
    /// Started after the revoke of their key had returned.
    late: usize,
    accepted_late: usize,
}

/// Eight tasks use the key that is about to be revoked and its neighbors without a pause, while one key after the
/// other is revoked.
async fn revoke_under_load(keys: &MemoryStore, acme: &OrganizationId, looked_up: impl KeyStore, number: usize) -> Race {
    let mut secrets = Vec::new();
    for _ in 0..number {
        let issued = keys.manage().issue(acme, NewKey::new("key", Access::Full).unwrap()).await.unwrap();
        secrets.push((issued.record.id(), issued.secret.expose_secret().to_owned()));
    }
    let secrets = Arc::new(secrets);
    let revoked: Arc<[AtomicBool]> = (0..number).map(|_| AtomicBool::new(false)).collect();
    let (next, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let service = ApiKeyLayer::new(looked_up).layer(service_fn(handle));

    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let (secrets, revoked, next, requests) =
            (Arc::clone(&secrets), Arc::clone(&revoked), Arc::clone(&next), Arc::clone(&requests));
        let service = service.clone();
        tasks.spawn(async move {
            let mut race = Race::default();
            for turn in 0.. {
                let at = next.load(SeqCst);
                if at >= number {
                    break;
                }
                let key = (at + 1).saturating_sub((turn + task) % 3).min(number - 1);
                let late = revoked[key].load(SeqCst);
                let accepted = service.clone().oneshot(request(&secrets[key].1)).await.unwrap().status() == 200;
                race.accepted += usize::from(accepted);
                race.late += usize::from(late);
                race.accepted_late += usize::from(late && accepted);
                requests.fetch_add(1, SeqCst);
                yield_now().await;
            }
            race
        });
    }
    // A task as well: what the runtime polls from outside is polled too seldom.
    let (keys, acme) = (keys.clone(), acme.clone());
    tasks.spawn(async move {
        for (key, (id, _)) in secrets.iter().enumerate() {
            // The load sees each key before and after.
            let seen = requests.load(SeqCst);
            while requests.load(SeqCst) < seen + 8 {
                yield_now().await;
            }
            keys.revoke(&acme, *id).await.unwrap();
            revoked[key].store(true, SeqCst);
            next.store(key + 1, SeqCst);
        }
        Race::default()
    });
    tasks.join_all().await.into_iter().fold(Race::default(), |sum, race| Race {
        accepted: sum.accepted + race.accepted,
        late: sum.late + race.late,
        accepted_late: sum.accepted_late + race.accepted_late,
    })
}

/// Asks the store every fourth time, and repeats its answer in between.
struct Stale {
    keys: MemoryStore,
    seen: Mutex<HashMap<[u8; 32], (usize, Lookup)>>,
}

impl KeyStore for Stale {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        self.keys.find(digest).await
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        let mut seen = self.seen.lock().unwrap();
        let (times, answer) = seen.entry(*digest.as_bytes()).or_insert((0, Lookup::Pending));
        if *times % 4 == 0 {
            *answer = self.keys.try_find(digest);
        }
        *times += 1;
        answer.clone()
    }
}

/// A store, the clock that it and the layer go by, and two organizations.
struct Fixture<K> {
    keys: K,
    hands: Hands,
    acme: OrganizationId,
    globex: OrganizationId,
}

impl<K: Manage> Fixture<K> {
    fn of(wrap: impl FnOnce(MemoryStore) -> K) -> Self {
        let hands = Hands::at(moment());
        let keys = wrap(MemoryStore::builder().clock(hands.clone()).build());
        Self { keys, hands, acme: "acme".parse().unwrap(), globex: "globex".parse().unwrap() }
    }

    async fn issue(&self) -> IssuedKey {
        self.keys.manage().issue(&self.acme, NewKey::new("key", Access::Full).unwrap()).await.unwrap()
    }

    /// One of the results is a live key that took the place of `old`, and the others are conflicts.
    async fn assert_one_won(&self, old: &IssuedKey, results: Vec<Result<IssuedKey, ManageError>>) {
        let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 99));
        assert!(lost.iter().all(|result| matches!(result, Err(ManageError::Conflict))), "{lost:?}");
        let new = won.into_iter().next().unwrap().unwrap();
        assert_eq!(status(&self.keys, &self.hands, new.secret.expose_secret()).await, 200);
        assert_eq!(status(&self.keys, &self.hands, old.secret.expose_secret()).await, 401);
        let old = self.keys.get(&self.acme, old.record.id()).await.unwrap();
        assert_eq!(old.replaced_by(), Some(new.record.id()));
        let active = ids(&self.keys, &self.acme, &ListKeys::new().with_status(KeyStatus::Active)).await;
        assert_eq!(active, [new.record.id()], "no other key came of it");
        self.keys.revoke(&self.acme, new.record.id()).await.unwrap();
    }
}

/// When every test begins.
fn moment() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_900_000_000)
}

/// The status of the reply to a request with this key.
async fn status<K: Manage>(keys: &K, hands: &Hands, key: &str) -> u16 {
    let layer = ApiKeyLayer::new(keys.clone()).clock(hands.clone());
    layer.layer(service_fn(handle)).oneshot(request(key)).await.unwrap().status().as_u16()
}

async fn handle(_: Request<String>) -> Result<Response<String>, Infallible> {
    Ok(Response::new(String::new()))
}

async fn find(keys: &impl Manage, key: &str) -> Option<Arc<KeyRecord>> {
    let digest = KeyDigest::hash(key.as_bytes());
    let found = keys.find(&digest).await.map_err(Into::into).unwrap();
    let now: Option<Arc<KeyRecord>> = match keys.try_find(&digest) {
        Lookup::Found(record) => Some(record),
        Lookup::NotFound => None,
        Lookup::Pending => panic!("a store in memory has the answer"),
    };
    assert_eq!(format!("{found:?}"), format!("{now:?}"));
    found
}

async fn ids(keys: &impl Manage, organization: &OrganizationId, query: &ListKeys) -> Vec<KeyId> {
    keys.list(organization.into(), query).await.unwrap().keys.iter().map(|record| record.id()).collect()
}

/// Cases: 125.
#[test]
fn added_record_grants_no_more_than_its_policy() {
    let (store, acme) = (MemoryStore::new(), OrganizationId::new("acme").unwrap());
    let record = |number: u128| {
        let digest = KeyDigest::hash(&number.to_be_bytes());
        KeyRecord::new(KeyId::from_u128(number), digest, acme.clone(), Access::Full)
    };
    let policy = OrganizationPolicy::default;
    let first = store.add(record(1).with_policy(policy().with_max_key_age(2 * DAY))).unwrap();
    assert_eq!(first.policy(), policy().with_max_key_age(2 * DAY));
    // The stricter of both, also for the keys that are there.
    store.add(record(2).with_policy(policy().with_max_key_age(DAY))).unwrap();
    let disabled = store.add(record(3).with_policy(policy().with_disabled(true))).unwrap();
    let strictest = policy().with_max_key_age(DAY).with_disabled(true);
    assert_eq!(disabled.policy(), strictest);
    store.add(record(4)).unwrap();
    for number in 1..=4 {
        let found = block_on(store.find(record(number).digest())).unwrap().unwrap();
        assert_eq!(found.policy(), strictest, "{number}");
    }
    // A rejected record changes nothing.
    block_on(store.set_organization_policy(&acme, policy())).unwrap();
    store.add(record(4).with_policy(policy().with_disabled(true))).unwrap_err();
    assert_eq!(block_on(store.organization_policy(&acme)).unwrap(), policy());
}

/// Cases: 130.
#[tokio::test]
async fn unchanged_policy_is_not_published() {
    let store = MemoryStore::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let subscriber: Arc<Subscriber> = Arc::new(move |change: &Invalidation| log.lock().unwrap().push(change.clone()));
    store.changes().unwrap().subscribe(&subscriber);
    let acme: OrganizationId = "acme".parse().unwrap();
    let disabled = OrganizationPolicy::default().with_disabled(true);
    for (policy, publishes) in [(OrganizationPolicy::default(), false), (disabled, true), (disabled, false)] {
        store.set_organization_policy(&acme, policy).await.unwrap();
        let published = std::mem::take(&mut *seen.lock().unwrap());
        let expected = publishes.then(|| Invalidation::Organization(acme.clone()));
        assert_eq!(published, Vec::from_iter(expected), "{policy:?}");
    }
}
