use std::time::Duration;

use super::super::bench::{Bench, HOUR, limit_to, new_record};
use super::super::verdict::{Verdict, expect, expect_error, expect_same};
use crate::key::{KeyStatus, OrganizationPolicy};
use crate::scope::{Access, avala};
use crate::store::{BackendError, Expiry, InsertRules, KeyBackend, NewRecord};

pub(super) async fn a_revoke_is_seen_at_once<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add(Access::Full).await?;
    // A store that remembers lookups remembers this one.
    bench.answers(key.digest()).await?;
    let revoked = bench.revoke(key.id()).await?;
    expect(revoked.is_revoked(), "`revoke` to return a revoked key", &revoked)?;
    for (call, found) in bench.answers(key.digest()).await? {
        expect(found.is_revoked(), format!("{call} to return a revoked key after `revoke`"), &found)?;
    }
    Ok(())
}

pub(super) async fn a_revoke_is_dated<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    const SKEW: Duration = Duration::from_secs(300);
    let earliest = bench.now() - SKEW;
    let key = bench.add(Access::Full).await?;
    bench.revoke(key.id()).await?;
    let found = bench.found(key.digest()).await?;
    let holds = found.revoked_at().is_none_or(|time| (earliest..=bench.now() + SKEW).contains(&time));
    expect(holds, format!("a revocation within {SKEW:?} of {:?}", bench.now()), &found.revoked_at())
}

pub(super) async fn revoking_again_changes_nothing<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let (key, replaced) = (bench.add(Access::Full).await?, bench.add(Access::Full).await?);
    bench.revoke(key.id()).await?;
    bench.regenerate(replaced.id(), Expiry::Never).await?;
    let before = [bench.found(key.digest()).await?, bench.found(replaced.digest()).await?];
    bench.tick().await?;

    for (key, before) in [key, replaced].iter().zip(before) {
        let again = bench.revoke(key.id()).await?;
        expect_same("the time that a second `revoke` returns", &before.revoked_at(), &again.revoked_at())?;
        bench.expect_as_before(key.digest(), &before).await?;
    }
    Ok(())
}

pub(super) async fn revokes_an_expired_key<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add_expired().await?;
    bench.revoke(key.id()).await?;
    let found = bench.found(key.digest()).await?;
    expect(found.is_revoked(), "an expired key to be revoked after `revoke`", &found)
}

pub(super) async fn a_revoke_touches_no_other_key<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let keys = bench.add_many(3).await?;
    let before = [bench.found(keys[0].digest()).await?, bench.found(keys[2].digest()).await?];
    bench.revoke(keys[1].id()).await?;
    bench.expect_as_before(keys[0].digest(), &before[0]).await?;
    bench.expect_as_before(keys[2].digest(), &before[1]).await
}

pub(super) async fn a_revoke_outlives_later_changes<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add(Access::scoped([avala::TASKS_READ, avala::PROJECTS_READ])).await?;
    bench.revoke(key.id()).await?;
    let before = bench.found(key.digest()).await?;

    let updated = bench.store.update(&bench.own, key.id(), limit_to([avala::TASKS_READ])).await;
    expect_error("`update` of a revoked key", &BackendError::Conflict, &updated)?;
    let again = NewRecord { digest: *key.digest(), ..new_record(&bench.own, Access::Full)? };
    let inserted = bench.store.insert(again, InsertRules::new()).await;
    expect_error("`insert` of a revoked key's digest", &BackendError::AlreadyExists, &inserted)?;
    bench.set_policy(OrganizationPolicy::default().with_max_key_age(HOUR)).await?;
    bench.set_policy(OrganizationPolicy::default()).await?;

    let found = bench.found(key.digest()).await?;
    expect_same("the status", &KeyStatus::Revoked, &found.status(bench.now()))?;
    bench.expect_as_before(key.digest(), &before).await
}
