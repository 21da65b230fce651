use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::bench::{Bench, HOUR};
use super::super::verdict::{Expecting, Verdict, expect, expect_same};
use crate::key::{KeyRecord, KeyStatus};
use crate::scope::{Access, Scope, avala};
use crate::store::KeyStore;

pub(super) async fn gives_every_key_an_id_of_its_own<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    let mut ids = HashSet::new();
    for number in 1..=5 {
        let key = bench.keep(bench.key(Access::Full)?).await?;
        let id = bench.found(key.digest()).await?.id();
        expect_same("a second lookup of a key to return the id", &id, &bench.found(key.digest()).await?.id())?;
        ids.insert(id);
        expect(ids.len() == number, format!("{number} keys with an id each"), &ids)?;
    }
    Ok(())
}

pub(super) async fn keeps_the_organization<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    for organization in [&bench.own, &bench.other] {
        let key = bench.key(Access::Full)?;
        let key = KeyRecord::new(key.id(), *key.digest(), organization.clone(), Access::Full)
            .with_name(key.name())
            .with_created_at(key.created_at());
        let key = bench.keep(key).await?;
        expect_same("the organization", organization, bench.found(key.digest()).await?.organization())?;
    }
    Ok(())
}

pub(super) async fn keeps_full_access<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    keeps_access(bench, Access::Full).await
}

pub(super) async fn keeps_an_empty_scope_set_empty<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    keeps_access(bench, Access::scoped([])).await
}

pub(super) async fn keeps_scopes<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    for scope in avala::ALL {
        keeps_access(bench, Access::scoped([scope])).await?;
    }
    keeps_access(bench, Access::scoped([avala::TASKS_READ, avala::PROJECTS_READ])).await?;
    keeps_access(bench, Access::scoped(avala::ALL)).await
}

/// Names that no catalog has. A careless column, list or pattern takes some of them for something else.
pub(super) async fn keeps_unknown_scopes<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    let longest = "x".repeat(128);
    let names = ["conformance.read", "a|b:c", "*", "null", "full", "[]", "{}", "'--", "%_$1?", "Tasks.Read", &longest];
    let scopes: Vec<_> = names.into_iter().map(Scope::new).collect::<Result<_, _>>().expecting("scopes")?;
    for scope in &scopes {
        keeps_access(bench, Access::scoped([scope.clone()])).await?;
    }
    keeps_access(bench, Access::scoped(scopes.into_iter().chain([avala::TASKS_READ]))).await
}

async fn keeps_access<S: KeyStore>(bench: &Bench<'_, S>, access: Access) -> Verdict {
    let key = bench.keep(bench.key(access)?).await?;
    expect_same("the access", key.access(), bench.found(key.digest()).await?.access())
}

/// To the second, and beyond what 32 bits hold.
pub(super) async fn keeps_the_expiry<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    let late = [2_147_483_648, 4_294_967_296].map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
    let times = [bench.now() + HOUR, bench.now() + 24 * 365 * HOUR].into_iter().chain(late).map(Some);
    for expires_at in times.chain([None]) {
        let key = bench.keep(bench.key(Access::Full)?.with_expires_at(expires_at)).await?;
        let found = bench.found(key.digest()).await?;
        expect_same("the expiry", &key.expires_at(), &found.expires_at())?;
        expect(!found.is_revoked(), "a key that is not revoked", &found)?;
    }
    Ok(())
}

pub(super) async fn finds_an_expired_key<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.keep_expired().await?;
    for (call, found) in bench.answers(key.digest()).await? {
        let expired = found.status(bench.now()) == KeyStatus::Expired;
        expect(expired, format!("{call} to return the expired key as one"), &found)?;
    }
    Ok(())
}

pub(super) async fn finds_a_revoked_key<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.keep(bench.key(Access::Full)?.with_revoked_at(bench.now())).await?;
    for (call, found) in bench.answers(key.digest()).await? {
        expect(found.is_revoked(), format!("{call} to return the revoked key as one"), &found)?;
    }
    Ok(())
}

/// A store may reject them, or keep an earlier time. The expiry never becomes later, and never "no expiry".
pub(super) async fn keeps_or_rejects_extreme_expiries<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    for expires_at in extreme_times() {
        let key = bench.key(Access::Full)?.with_expires_at(expires_at);
        if bench.try_keep(&key).await.is_err() {
            continue;
        }
        let Ok(found) = bench.store.find(key.digest()).await else { continue };
        let earlier = found.as_ref().is_some_and(|found| found.expires_at().is_some_and(|kept| kept <= expires_at));
        expect(earlier, format!("an error, or a key that expires at {expires_at:?} or earlier"), &found)?;
    }
    Ok(())
}

/// Times around the epoch and the years 1 and 9999, those whose milli-, micro- or nanoseconds exceed 64 bits, and the first
/// and the last that the platform can represent.
pub(super) fn extreme_times() -> impl Iterator<Item = SystemTime> {
    let after = [0, 1, 253_402_300_799, 253_402_300_800, 9_223_372_036, 9_223_372_036_854, 9_223_372_036_854_775]
        .into_iter()
        .chain([i64::MAX as u64 - 1, i64::MAX as u64]);
    let before = [1, 62_135_596_800, 62_167_219_201, 9_223_372_036_854_775, i64::MAX as u64];
    let after = after.filter_map(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    after.chain(before.into_iter().filter_map(|seconds| UNIX_EPOCH.checked_sub(Duration::from_secs(seconds))))
}
