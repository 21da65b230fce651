use std::time::{Duration, UNIX_EPOCH};

use super::super::bench::{Bench, HOUR, new_record, new_replacement};
use super::super::verdict::{Expecting, Verdict, expect, expect_error, expect_same};
use super::facts::extreme_times;
use crate::key::{KeyStatus, Metadata};
use crate::manage::{ManageError, RegenerateOptions};
use crate::scope::{Access, Scope, avala};
use crate::store::{BackendError, Expiry, InsertRules, KeyBackend, NewRecord, Replacement};

pub(super) async fn regenerate_replaces_the_key<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add(Access::Full).await?;
    let new = bench.regenerate(key.id(), Expiry::default()).await?;
    expect(new.record.id() != key.id(), "a new key with an id of its own", &new.record)?;
    let found = bench.found(&new.secret.digest()).await?;
    expect_same("the status of the new key", &KeyStatus::Active, &found.status(bench.now()))?;

    let old = bench.found(key.digest()).await?;
    expect_same("the status of the old key", &KeyStatus::Revoked, &old.status(bench.now()))?;
    expect_same("the replacement of the old key", &Some(new.record.id()), &old.replaced_by())?;
    expect_same("the number of live keys", &1, &bench.live().await?)
}

pub(super) async fn regenerate_keeps_name_and_access<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let unknown = Scope::from_static("conformance.read");
    let empty = bench.add(Access::scoped([avala::TASKS_READ])).await?;
    let keys = [
        bench.update(empty.id(), []).await?,
        bench.add(Access::Full).await?,
        bench.add(Access::scoped([avala::TASKS_READ, unknown])).await?,
    ];
    for key in keys {
        let new = bench.regenerate(key.id(), Expiry::default()).await?;
        let found = bench.found(&new.secret.digest()).await?;
        expect_same("the name of the new key", key.name(), found.name())?;
        expect_same("the access of the new key", key.access(), found.access())?;
        expect_same("the organization of the new key", key.organization(), found.organization())?;
    }
    Ok(())
}

pub(super) async fn a_regenerate_is_seen_at_once<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add(Access::Full).await?;
    // A store that remembers lookups remembers this one.
    bench.answers(key.digest()).await?;
    let new = bench.regenerate(key.id(), Expiry::default()).await?;
    for (call, old) in bench.answers(key.digest()).await? {
        expect(old.is_revoked(), format!("{call} to return the old key as revoked"), &old)?;
    }
    for (call, new) in bench.answers(&new.secret.digest()).await? {
        expect(!new.is_revoked(), format!("{call} to return the new key as live"), &new)?;
    }
    Ok(())
}

pub(super) async fn regenerate_counts_the_lifetime_from_now<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let keys = [bench.add(Access::Full).await?, bench.add_until(bench.now() + HOUR, Access::Full).await?];
    bench.tick().await?;
    for key in keys {
        let new = bench.regenerate(key.id(), Expiry::SameLifetime).await?.record;
        let expected = Expiry::SameLifetime.resolve(&key, new.created_at());
        let found = bench.found(new.digest()).await?;
        expect(found.created_at() > key.created_at(), "a new key that is younger than the old one", &found)?;
        expect_same("the expiry of the new key", &expected, &found.expires_at())?;
    }
    Ok(())
}

pub(super) async fn regenerate_takes_the_expiry_asked_for<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let whole = bench.key(Access::Full)?.with_expires_at(bench.now() + HOUR).expires_at();
    for (asked, expected) in [(Expiry::Never, None), (whole.map_or(Expiry::Never, Expiry::At), whole)] {
        let key = bench.add_until(bench.now() + 2 * HOUR, Access::Full).await?;
        let new = bench.regenerate(key.id(), asked).await?;
        expect_same("the expiry of the new key", &expected, &bench.found(new.record.digest()).await?.expires_at())?;
    }

    for time in extreme_times() {
        let key = bench.add(Access::Full).await?;
        let Ok(new) = bench.manager.regenerate(&bench.own, key.id(), Expiry::At(time)).await else { continue };
        let kept = bench.found(new.record.digest()).await?.expires_at();
        let earlier = kept.is_some_and(|kept| kept <= time);
        expect(earlier, format!("an error, or a key that expires at {time:?} or earlier"), &kept)?;
    }
    Ok(())
}

pub(super) async fn regenerate_restores_an_expired_key<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add_expired().await?;
    let new = bench.regenerate(key.id(), Expiry::At(bench.now() + HOUR)).await?;
    let found = bench.found(&new.secret.digest()).await?;
    expect_same("the status of the new key", &KeyStatus::Active, &found.status(bench.now()))?;
    let old = bench.found(key.digest()).await?;
    expect_same("the replacement of the old key", &Some(new.record.id()), &old.replaced_by())
}

pub(super) async fn never_regenerates_a_revoked_key<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let (revoked, replaced) = (bench.add(Access::Full).await?, bench.add(Access::Full).await?);
    bench.revoke(revoked.id()).await?;
    bench.regenerate(replaced.id(), Expiry::Never).await?;

    for key in [revoked, replaced] {
        let before = bench.found(key.digest()).await?;
        let again = bench.manager.regenerate(&bench.own, key.id(), Expiry::Never).await;
        expect_error("`regenerate` of a revoked or replaced key", &ManageError::Conflict, &again)?;
        bench.expect_as_before(key.digest(), &before).await?;
    }
    expect_same("the number of live keys", &1, &bench.live().await?)
}

/// The old key must go on working, and no dead key take its place.
pub(super) async fn never_regenerates_to_an_expired_key<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add_until(bench.now() + HOUR, Access::Full).await?;
    let before = bench.found(key.digest()).await?;
    for time in [bench.now() - HOUR, bench.now(), UNIX_EPOCH] {
        let new = bench.manager.regenerate(&bench.own, key.id(), Expiry::At(time)).await;
        let what = format!("`regenerate` with an expiry in the past, {time:?},");
        expect_error(&what, &ManageError::ExpiryInPast, &new)?;
        bench.expect_as_before(key.digest(), &before).await?;
        expect_same("the number of keys", &1, &bench.all().await?.len())?;
    }
    let new = bench.regenerate(key.id(), Expiry::Never).await?;
    bench.found(new.record.digest()).await.map(drop)
}

/// The new key cannot be stored, so the old one must not be revoked.
pub(super) async fn a_rejected_replacement_changes_nothing<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let (key, other) = (bench.add(Access::Full).await?, bench.add(Access::Full).await?);
    let before = [bench.found(key.digest()).await?, bench.found(other.digest()).await?];
    let taken = Replacement { digest: *other.digest(), ..new_replacement()? };
    let replaced = bench.store.replace(&bench.own, key.id(), taken, InsertRules::new()).await;
    expect_error("`replace` by a digest that is stored", &BackendError::AlreadyExists, &replaced)?;
    bench.expect_as_before(key.digest(), &before[0]).await?;
    bench.expect_as_before(other.digest(), &before[1]).await?;
    expect_same("the number of live keys", &2, &bench.live().await?)
}

pub(super) async fn regenerate_keeps_networks_and_metadata<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let record = NewRecord {
        networks: "192.0.2.0/24".parse().expecting("networks")?,
        metadata: Metadata::new([("plan", "pro")]).expecting("metadata")?,
        ..new_record(&bench.own, Access::Full)?
    };
    let key = bench.insert(record).await?;
    let new = bench.regenerate(key.id(), Expiry::Never).await?;
    let found = bench.found(&new.secret.digest()).await?;
    expect_same("the networks of the new key", key.networks(), found.networks())?;
    expect_same("the metadata of the new key", key.metadata(), found.metadata())
}

/// The old key works until the end of the overlap or its own expiry, whichever comes first.
pub(super) async fn an_overlap_ends_by_itself<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let soon = bench.soon();
    let keys = [bench.add(Access::Full).await?, bench.add_until(soon + HOUR, Access::Full).await?];
    let short = bench.add_until(soon, Access::Full).await?;
    let overlap = RegenerateOptions::new().with_expiry(Expiry::Never).with_overlap(Duration::from_secs(1));
    for key in &keys {
        let new = bench.regenerate(key.id(), overlap).await?;
        let old = bench.found(key.digest()).await?;
        expect(!old.is_revoked(), "the old key of an overlap not to be revoked", &old)?;
        expect_same("the replacement of the old key", &Some(new.record.id()), &old.replaced_by())?;
        let end = old.expires_at();
        let holds = end.is_some_and(|end| end > bench.now() - HOUR && end <= bench.now() + HOUR / 2);
        expect(holds, "the old key to expire at the end of the overlap", &old)?;
    }
    bench.regenerate(short.id(), overlap.with_overlap(HOUR)).await?;
    let expires_at = bench.found(short.digest()).await?.expires_at();
    expect_same("the old key's own expiry, which is sooner", &short.expires_at(), &expires_at)?;
    bench.reach(soon + Duration::from_secs(1)).await?;
    for key in keys.iter().chain([&short]) {
        let old = bench.found(key.digest()).await?;
        expect_same("the status of the old key afterwards", &KeyStatus::Expired, &old.status(bench.now()))?;
    }
    Ok(())
}

/// No chain of living ancestors, and no way around a suspension.
pub(super) async fn never_regenerates_an_old_or_suspended_key<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let overlap = RegenerateOptions::new().with_expiry(Expiry::Never).with_overlap(HOUR);
    let (old, suspended) = (bench.add(Access::Full).await?, bench.add(Access::Full).await?);
    bench.regenerate(old.id(), overlap).await?;
    bench.suspend(suspended.id(), true).await?;
    for key in [old, suspended] {
        let before = bench.found(key.digest()).await?;
        for options in [overlap, RegenerateOptions::new()] {
            let again = bench.manager.regenerate(&bench.own, key.id(), options).await;
            expect_error("`regenerate` of a replaced or suspended key", &ManageError::Conflict, &again)?;
            bench.expect_as_before(key.digest(), &before).await?;
        }
    }
    expect_same("the number of keys", &3, &bench.all().await?.len())
}
