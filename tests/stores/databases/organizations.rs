//! What an organization requires of its keys.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use tower_api_key::key::{KeyStatus, OrganizationPolicy};
use tower_api_key::store::{ChangeFeed, FeedEvent, Invalidation, KeyBackend, ListKeys, Organizations, PolicyUpdate};
use tower_api_key::{Access, ApiKeyLayer, OrganizationId};

use super::database::Database;
use crate::support::calls::{Reply, acme, any, call, full, issue};
use crate::support::manage::Manage;

on_each_database! {
    maximum_age_applies_to_existing_keys_until_unset
    list_applies_the_age_as_requests_do
    keys_of_disabled_organization_are_invalid
    changed_policy_is_reported_for_its_organization
    purge_of_all_applies_the_age_of_each
    policy_changes_at_once_both_hold
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Cases: 76.
async fn maximum_age_applies_to_existing_keys_until_unset<D: Database>() {
    let database = D::new().await;
    let store = database.store().await;
    let issued = issue(&store, full()).await;
    let (created, secret) = (issued.record.created_at(), issued.secret.expose_secret());
    let at = |time: SystemTime| ApiKeyLayer::new(store.clone()).clock(move || time);
    let young = at(created + 30 * DAY - Duration::from_secs(1));
    let old = at(created + 30 * DAY);
    let accepted = Reply::accepted(&Access::Full);
    let age = |age| OrganizationPolicy::default().with_max_key_age(age);

    assert_eq!(call(&old, secret).await, accepted);
    store.set_organization_policy(acme(), age(30 * DAY)).await.unwrap();
    assert_eq!(call(&young, secret).await, accepted);
    assert_eq!(call(&old, secret).await, Reply::expired());
    // Shortened, then lengthened.
    store.set_organization_policy(acme(), age(30 * DAY - Duration::from_secs(1))).await.unwrap();
    assert_eq!(call(&young, secret).await, Reply::expired());
    store.set_organization_policy(acme(), age(31 * DAY)).await.unwrap();
    assert_eq!(call(&old, secret).await, accepted);
    // An age of nothing, and one that no key reaches.
    store.set_organization_policy(acme(), age(Duration::ZERO)).await.unwrap();
    assert_eq!(call(&young, secret).await, Reply::expired());
    store.set_organization_policy(acme(), age(Duration::MAX)).await.unwrap();
    assert_eq!(call(&old, secret).await, accepted);
    // Another organization's policy is none of ours.
    store.set_organization_policy(&"other".parse().unwrap(), age(Duration::ZERO)).await.unwrap();
    assert_eq!(call(&old, secret).await, accepted);
    store.set_organization_policy(acme(), OrganizationPolicy::default()).await.unwrap();
    assert_eq!(call(&old, secret).await, accepted);
    assert_eq!(store.organization_policy(acme()).await.unwrap(), OrganizationPolicy::default());
}

/// Cases: 76.
/// The key's own expiry and the maximum age: the earlier one counts, in lists too.
async fn list_applies_the_age_as_requests_do<D: Database>() {
    let database = D::new().await;
    let store = database.store().await;
    let (now, mut keys) = (D::NOW, Vec::new());
    for (age, expires_in) in [(0, None), (10 * 86_400, None), (10 * 86_400, Some(86_400)), (0, Some(-1)), (0, Some(60))]
    {
        let issued = issue(&store, full()).await;
        let expires = expires_in.map_or("NULL".to_owned(), |seconds: i64| format!("{now} + {seconds}"));
        let id = issued.record.id();
        let update = format!("SET created_at = {now} - {age}, expires_at = {expires} WHERE id = '{id}'");
        database.run(format!("UPDATE tower_api_key_keys {update}")).await.unwrap();
        keys.push(issued);
    }
    for policy in [None, Some(5 * DAY), Some(20 * DAY), Some(Duration::ZERO)] {
        let wanted =
            policy.map_or(OrganizationPolicy::default(), |age| OrganizationPolicy::default().with_max_key_age(age));
        store.set_organization_policy(acme(), wanted).await.unwrap();
        let mut listed = 0;
        for status in [KeyStatus::Active, KeyStatus::Expired] {
            for record in store.list(acme().into(), &ListKeys::new().with_status(status)).await.unwrap().keys {
                let key = keys.iter().find(|key| key.record.id() == record.id()).unwrap();
                let expected = if status == KeyStatus::Active { 200 } else { 401 };
                assert_eq!(any(&store, key).await.status, expected, "{policy:?}");
                listed += 1;
            }
        }
        assert_eq!(listed, keys.len());
    }
}

/// Cases: 83.
async fn keys_of_disabled_organization_are_invalid<D: Database>() {
    let database = D::new().await;
    let store = database.store().await;
    let key = issue(&store, full()).await;
    let other = store.manage().issue(&"other".parse().unwrap(), full()).await.unwrap();
    for _ in 0..3 {
        store.set_organization_policy(acme(), OrganizationPolicy::default().with_disabled(true)).await.unwrap();
        assert_eq!(any(&store, &key).await, Reply::invalid());
        let issued_meanwhile = issue(&store, full()).await;
        assert!(issued_meanwhile.record.policy().is_disabled());
        assert_eq!(any(&store, &issued_meanwhile).await, Reply::invalid());
        assert_eq!(any(&store, &other).await, Reply::accepted(&Access::Full));
        store.set_organization_policy(acme(), OrganizationPolicy::default()).await.unwrap();
        assert_eq!(any(&store, &key).await, Reply::accepted(&Access::Full));
        assert_eq!(any(&store, &issued_meanwhile).await, Reply::accepted(&Access::Full));
    }
    // A key that is revoked meanwhile stays so.
    store.set_organization_policy(acme(), OrganizationPolicy::default().with_disabled(true)).await.unwrap();
    store.revoke(acme(), key.record.id()).await.unwrap();
    store.set_organization_policy(acme(), OrganizationPolicy::default()).await.unwrap();
    assert_eq!(any(&store, &key).await, Reply::invalid());
}

/// Cases: 83, 201.
/// Over two pools: a maximum age that is set meanwhile does not accept the keys of a disabled organization again.
async fn policy_changes_at_once_both_hold<D: Database>() {
    let database = D::new().await;
    let (one, other) = (database.store().await, database.store().await);
    let none = OrganizationPolicy::default();
    for round in 1..50 {
        match round % 2 {
            0 => one.set_organization_policy(acme(), none).await.unwrap(),
            _ => database.run("DELETE FROM tower_api_key_organizations").await.unwrap(),
        }
        let age = Duration::from_secs(round);
        let (aged, disabled) = futures::join!(
            one.update_organization_policy(acme(), PolicyUpdate::new().with_max_key_age(age)),
            other.update_organization_policy(acme(), PolicyUpdate::new().with_disabled(true)),
        );
        let both = none.with_max_key_age(age).with_disabled(true);
        assert_eq!(one.organization_policy(acme()).await.unwrap(), both, "{round}");
        assert!([aged.unwrap(), disabled.unwrap()].contains(&both), "{round}");
    }
}

/// Cases: 130.
/// Other processes are notified of a change, once and of that organization alone. The policy that it has already is none.
async fn changed_policy_is_reported_for_its_organization<D: Database>() {
    let database = D::new().await;
    let (store, elsewhere) = (database.store().await, database.store().await);
    let key = issue(&store, full()).await;
    let events = elsewhere.listen().await.unwrap().map(Result::unwrap);
    let mut notified = pin!(events.filter(|event| std::future::ready(*event != FeedEvent::Alive)));
    let other: OrganizationId = "@other: a\u{e9}".parse().unwrap();
    let disabled = OrganizationPolicy::default().with_disabled(true);
    let aged = disabled.with_max_key_age(Duration::MAX);
    let steps = [
        (acme(), OrganizationPolicy::default(), false),
        (acme(), disabled, true),
        (acme(), disabled, false),
        (&other, aged, true),
        (&other, aged, false),
        (acme(), OrganizationPolicy::default(), true),
        (acme(), OrganizationPolicy::default(), false),
    ];
    for (organization, policy, _) in &steps {
        store.set_organization_policy(organization, *policy).await.unwrap();
    }
    // By hand, and the end of what is to be seen.
    database.run("UPDATE tower_api_key_organizations SET disabled = disabled").await.unwrap();
    database.run("DELETE FROM tower_api_key_organizations WHERE organization = 'acme'").await.unwrap();
    store.revoke(acme(), key.record.id()).await.unwrap();
    let changed = steps.iter().filter(|(_, _, changes)| *changes).map(|(organization, ..)| *organization);
    let expected = changed.chain([acme()]).cloned().map(Invalidation::Organization);
    let expected: Vec<_> = expected.chain([Invalidation::Key(key.record.id())]).map(FeedEvent::from).collect();
    let seen = notified.by_ref().take(expected.len()).collect::<Vec<_>>();
    let seen = tokio::time::timeout(Duration::from_secs(5), seen).await.expect("a change for each");
    assert_eq!(seen, expected);
}

/// Cases: 187.
async fn purge_of_all_applies_the_age_of_each<D: Database>() {
    let database = D::new().await;
    let store = database.store().await;
    let ages = [("short", Some(10)), ("long", Some(30)), ("none", None), ("endless", Some(i64::MAX as u64 / 2))];
    let mut keys = Vec::new();
    for (name, days) in ages {
        let organization: OrganizationId = name.parse().unwrap();
        for old in [5, 20, 40] {
            let key = store.manage().issue(&organization, full()).await.unwrap();
            database.edit(&key, &format!("created_at = created_at - {old} * 86400")).await;
            keys.push((name, old, key.record.id()));
        }
        let age = days.map(|days| Duration::from_secs(days.saturating_mul(86_400)));
        let policy = OrganizationPolicy::default();
        let policy = age.map_or(policy, |age| policy.with_max_key_age(age));
        store.set_organization_policy(&organization, policy).await.unwrap();
    }
    let mut purged = Vec::new();
    for (age, most, expected) in [(15, 2, 1), (0, 1, 1), (0, 9, 1), (0, 9, 0)] {
        let ids = store.purge(Organizations::All, age * DAY, most).await.unwrap();
        assert_eq!(ids.len(), expected, "{age} days after the end, {most} at most");
        purged.extend(ids);
    }
    let is_old = |(name, old, _): &&(&str, i32, _)| matches!((*name, *old), ("short", 20 | 40) | ("long", 40));
    let mut expected: Vec<_> = keys.iter().filter(is_old).map(|(_, _, id)| *id).collect();
    purged.sort_unstable();
    expected.sort_unstable();
    assert_eq!(purged, expected);
}
