use super::super::bench::{Bench, HOUR, limit_to, new_record};
use super::super::verdict::{Expecting, Verdict, expect_error, expect_same};
use crate::client::AllowedNetworks;
use crate::key::{KeyRecord, Metadata};
use crate::scope::{Access, Scope, ScopeSet, avala};
use crate::store::{BackendError, KeyBackend, KeyUpdate, NewRecord};

pub(super) async fn update_keeps_the_scopes_asked_for<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    const UNKNOWN: Scope = Scope::from_static("conformance.read");
    let scoped = Access::scoped([avala::TASKS_READ, avala::PROJECTS_READ, UNKNOWN]);
    let updates: [(Access, ScopeSet); 6] = [
        (Access::Full, avala::ALL.into()),
        (Access::Full, [UNKNOWN].into()),
        (Access::Full, [].into()),
        (scoped.clone(), [avala::TASKS_READ, UNKNOWN].into()),
        (scoped.clone(), [avala::TASKS_READ, avala::PROJECTS_READ, UNKNOWN].into()),
        (scoped, [].into()),
    ];
    for (access, scopes) in updates {
        let key = bench.add(access).await?;
        let updated = bench.update(key.id(), scopes.clone()).await?;
        let expected = Access::Scoped(scopes);
        expect_same("the access that `update` returns", &expected, updated.access())?;
        expect_same("the access after `update`", &expected, bench.found(key.digest()).await?.access())?;
    }
    Ok(())
}

pub(super) async fn update_never_widens<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add(Access::scoped([avala::TASKS_READ, avala::PROJECTS_READ])).await?;
    let before = bench.found(key.digest()).await?;
    let wider: [ScopeSet; 3] = [
        [avala::DATASETS_READ].into(),
        [avala::TASKS_READ, avala::DATASETS_READ].into(),
        [avala::TASKS_READ, avala::PROJECTS_READ, Scope::from_static("conformance.read")].into(),
    ];
    for scopes in wider {
        let updated = bench.store.update(&bench.own, key.id(), limit_to(scopes)).await;
        expect_error("`update` to more than the key has", &BackendError::WouldWiden, &updated)?;
        bench.expect_as_before(key.digest(), &before).await?;
    }

    bench.update(key.id(), [avala::TASKS_READ]).await?;
    let updated = bench.store.update(&bench.own, key.id(), limit_to([avala::PROJECTS_READ])).await;
    expect_error("`update` to a scope that was removed", &BackendError::WouldWiden, &updated)?;
    bench.update(key.id(), []).await?;
    let updated = bench.store.update(&bench.own, key.id(), limit_to([avala::TASKS_READ])).await;
    expect_error("`update` of a key without a scope to one scope", &BackendError::WouldWiden, &updated)?;
    expect_same("the access", &Access::scoped([]), bench.found(key.digest()).await?.access())
}

pub(super) async fn an_update_is_seen_at_once<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add(Access::Full).await?;
    for scopes in [ScopeSet::from([avala::TASKS_READ, avala::PROJECTS_READ]), [avala::TASKS_READ].into(), [].into()] {
        // A store that remembers lookups remembers this one.
        bench.answers(key.digest()).await?;
        bench.update(key.id(), scopes.clone()).await?;
        let updated = Access::Scoped(scopes);
        for (call, found) in bench.answers(key.digest()).await? {
            expect_same(&format!("the access that {call} returns after `update`"), &updated, found.access())?;
        }
    }
    Ok(())
}

pub(super) async fn update_sets_every_field<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let networks = |text: &str| text.parse::<AllowedNetworks>().expecting("networks");
    let record = NewRecord {
        networks: networks("192.0.2.0/24")?,
        metadata: Metadata::new([("plan", "pro"), ("ticket", "7")]).expecting("metadata")?,
        ..new_record(&bench.own, Access::Full)?
    };
    let mut key = bench.insert(record).await?;
    let later = bench.now() + 2 * HOUR;
    for update in [
        KeyUpdate::new().with_name("renamed 🔑"),
        KeyUpdate::new().with_metadata_entry("plan", "team").without_metadata_entry("ticket"),
        KeyUpdate::new().with_metadata(Metadata::new([("other", "x")]).expecting("metadata")?),
        KeyUpdate::new().with_expires_at(later),
        KeyUpdate::new().with_expires_at(later - HOUR),
        KeyUpdate::new().with_networks(networks("192.0.2.0/25 192.0.2.200")?),
        KeyUpdate::new().with_suspended(true),
        KeyUpdate::new().with_suspended(false).with_name("everything").with_scopes([avala::TASKS_READ]),
    ] {
        let expected = update.apply(&key, bench.now()).expecting("an update that is allowed")?;
        let updated =
            bench.store.update(&bench.own, key.id(), update.clone()).await.expecting("`update` to succeed")?;
        for seen in [&updated, &bench.found(key.digest()).await?] {
            expect_same(
                &format!("the key after an update of {:?}", update.fields()),
                &expected,
                &KeyRecord::clone(seen),
            )?;
        }
        key = updated;
    }
    Ok(())
}

pub(super) async fn update_never_extends<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let networks = |text: &str| text.parse::<AllowedNetworks>().expecting("networks");
    let expires_at = Some(bench.now() + HOUR);
    let record = NewRecord { networks: networks("192.0.2.0/24")?, expires_at, ..new_record(&bench.own, Access::Full)? };
    let key = bench.insert(record).await?;
    let before = bench.found(key.digest()).await?;
    for (update, error) in [
        (KeyUpdate::new().with_expires_at(bench.now() + 2 * HOUR), BackendError::WouldExtend),
        (KeyUpdate::new().with_expires_at(bench.now() - HOUR), BackendError::ExpiryInPast),
        (KeyUpdate::new().with_networks(AllowedNetworks::ANYWHERE), BackendError::WouldWidenNetworks),
        (KeyUpdate::new().with_networks(networks("192.0.2.0/23")?), BackendError::WouldWidenNetworks),
        (KeyUpdate::new().with_name(" "), BackendError::InvalidName),
        // All or nothing.
        (KeyUpdate::new().with_suspended(true).with_name(""), BackendError::InvalidName),
    ] {
        let what = format!("`update` of {:?}", update.fields());
        expect_error(&what, &error, &bench.store.update(&bench.own, key.id(), update).await)?;
        bench.expect_as_before(key.digest(), &before).await?;
    }
    Ok(())
}

pub(super) async fn a_suspended_key_is_seen_at_once<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add(Access::Full).await?;
    for suspended in [true, false, true] {
        // A store that remembers lookups remembers this one.
        bench.answers(key.digest()).await?;
        bench.suspend(key.id(), suspended).await?;
        for (call, found) in bench.answers(key.digest()).await? {
            expect_same(&format!("whether {call} returns a suspended key"), &suspended, &found.is_suspended())?;
        }
    }
    bench.revoke(key.id()).await?;
    let resumed = bench.store.update(&bench.own, key.id(), KeyUpdate::new().with_suspended(false)).await;
    expect_error("`update` to resume a revoked key", &BackendError::Conflict, &resumed)
}

pub(super) async fn an_empty_update_changes_nothing<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    for access in [Access::Full, Access::scoped([avala::TASKS_READ])] {
        let key = bench.add(access).await?;
        let before = bench.found(key.digest()).await?;
        let updated = bench.store.update(&bench.own, key.id(), KeyUpdate::new()).await;
        updated.expecting("an empty `update` to return the key")?;
        bench.expect_as_before(key.digest(), &before).await?;
    }
    Ok(())
}
