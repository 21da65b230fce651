//! A deploy: programs with the previous and the present version work on the same tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tower_api_key::key::{KeyId, KeyStatus};
use tower_api_key::manage::IssuedKey;
use tower_api_key::store::{Expiry, KeyBackend, KeyUpdate, ListKeys};
use tower_api_key::{Access, ApiKeyLayer};

use super::database::Database;
use super::previous_version::{PreviousRecord, PreviousVersion};
use crate::support::calls::{Reply, acme, any, call, full, issue, scoped, scopes};
use crate::support::manage::Manage;

on_each_database! {
    previous_version_works_in_parallel
    previous_version_works_during_migration
}

/// Cases: 119.
async fn previous_version_works_in_parallel<D: Database>() {
    let database = D::new().await;
    database.create_previous().await;
    let old = database.previous_version().await;
    let earlier = KeyId::from_u128(1);
    old.issue(earlier, "avk_issued_before_the_migration", "full", "").await;

    let new = database.store().await;
    assert!(old.is_compatible().await);
    let layer = ApiKeyLayer::new(new.clone());

    // What the old one issues, before the migration and after it, the new one accepts, and no more than that.
    assert_eq!(call(&layer, "avk_issued_before_the_migration").await, Reply::accepted(&Access::Full));
    let limited = KeyId::from_u128(2);
    old.issue(limited, "avk_issued_after_the_migration", "scoped", "datasets.read tasks.read").await;
    let both = Access::Scoped(scopes(&["datasets.read", "tasks.read"]));
    assert_eq!(call(&layer, "avk_issued_after_the_migration").await, Reply::accepted(&both));
    old.narrow(limited, "tasks.read").await;
    let rest = Access::Scoped(scopes(&["tasks.read"]));
    assert_eq!(call(&layer, "avk_issued_after_the_migration").await, Reply::accepted(&rest));

    // What the new one issues, the old one finds as it is.
    let (one, two) = (issue(&new, full()).await, issue(&new, scoped(&["datasets.read", "x.y"])).await);
    let found = |issued: &IssuedKey, access: &str, scopes: &str| PreviousRecord {
        id: issued.record.id().to_string(),
        access: access.into(),
        scopes: scopes.into(),
        revoked: false,
        replaced_by: None,
    };
    assert_eq!(old.find(one.secret.expose_secret()).await, Some(found(&one, "full", "")));
    assert_eq!(old.find(two.secret.expose_secret()).await, Some(found(&two, "scoped", "datasets.read x.y")));
    new.update(acme(), two.record.id(), KeyUpdate::new().with_scopes(scopes(&["x.y"]))).await.unwrap();
    assert_eq!(old.find(two.secret.expose_secret()).await, Some(found(&two, "scoped", "x.y")));
    assert_eq!(old.list().await.len(), 4);

    // What either revokes or replaces is dead for both.
    new.revoke(acme(), one.record.id()).await.unwrap();
    assert!(old.find(one.secret.expose_secret()).await.unwrap().revoked);
    old.revoke(two.record.id()).await;
    assert_eq!(any(&new, &two).await, Reply::invalid());
    let replacement = KeyId::from_u128(3);
    old.regenerate(earlier, replacement, "avk_regenerated_by_the_previous").await;
    assert_eq!(call(&layer, "avk_issued_before_the_migration").await, Reply::invalid());
    assert_eq!(call(&layer, "avk_regenerated_by_the_previous").await, Reply::accepted(&Access::Full));
    assert_eq!(new.get(acme(), earlier).await.unwrap().replaced_by(), Some(replacement));
    let regenerated = new.manage().regenerate(acme(), replacement, Expiry::Never).await.unwrap();
    let dead = old.find("avk_regenerated_by_the_previous").await.unwrap();
    assert_eq!((dead.revoked, dead.replaced_by), (true, Some(regenerated.record.id().to_string())));
    assert_eq!(new.list(acme().into(), &ListKeys::new()).await.unwrap().keys.len(), old.list().await.len());
}

/// Cases: 119.
/// The same under load, with the migration in the middle of it.
async fn previous_version_works_during_migration<D: Database>() {
    let database = D::new().await;
    database.create_previous().await;
    let old = Arc::new(database.previous_version().await);
    let (stop, lives) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = (0..3_u128).map(|task| {
        let (old, stop, lives) = (Arc::clone(&old), Arc::clone(&stop), Arc::clone(&lives));
        tokio::spawn(async move {
            for n in 0_u128.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (id, secret) = (KeyId::from_u128(task << 64 | n), format!("avk_previous_{task}_{n}"));
                old.issue(id, &secret, "full", "").await;
                assert!(!old.find(&secret).await.unwrap().revoked);
                old.revoke(id).await;
                assert!(old.find(&secret).await.unwrap().revoked);
                lives.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let load: Vec<_> = load.collect();
    let reached = async |number: usize| {
        while lives.load(Ordering::Relaxed) < number {
            assert!(!load.iter().any(tokio::task::JoinHandle::is_finished), "the previous version failed");
            tokio::task::yield_now().await;
        }
    };

    reached(20).await;
    let new = database.store().await;
    let at_migration = lives.load(Ordering::Relaxed);
    for _ in 0..20 {
        let key = issue(&new, full()).await;
        assert_eq!(any(&new, &key).await, Reply::accepted(&Access::Full));
        new.revoke(acme(), key.record.id()).await.unwrap();
        assert_eq!(any(&new, &key).await, Reply::invalid());
    }
    reached(at_migration + 20).await;
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }

    let count = "SELECT count(*) FROM tower_api_key_keys WHERE revoked_at IS NOT NULL";
    let revoked = database.int(count).await;
    assert_eq!(usize::try_from(revoked).unwrap(), lives.load(Ordering::Relaxed) + 20);
    let active = new.list(acme().into(), &ListKeys::new().with_status(KeyStatus::Active)).await.unwrap();
    assert_eq!(active.keys.len(), 0);
    assert_eq!(call(&ApiKeyLayer::new(new), "avk_previous_0_0").await, Reply::invalid());
}
