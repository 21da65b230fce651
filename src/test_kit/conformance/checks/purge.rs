//! What a purge and an erasure delete, and what they leave.

use std::time::Duration;

use super::super::bench::{Bench, HOUR, new_record};
use super::super::verdict::{Expecting, Verdict, expect, expect_error, expect_same};
use super::sorted_ids;
use crate::key::{KeyId, OrganizationPolicy};
use crate::scope::Access;
use crate::store::{
    BackendError, ImportedFacts, InsertRules, KeyBackend, KeyUsage, ListKeys, NewRecord, Organizations,
};

const ALL: usize = 100;

pub(super) async fn a_purge_deletes_what_has_ended<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let soon = bench.soon();
    let expiring = [bench.add_until(soon, Access::Full).await?, bench.add_until(soon, Access::Full).await?];
    let suspended = bench.add(Access::Full).await?;
    bench.suspend(suspended.id(), true).await?;
    let mut left = vec![bench.add(Access::Full).await?, bench.add_until(soon + HOUR, Access::Full).await?, suspended];
    bench.reach(soon).await?;
    let mut ended = vec![bench.revoke(bench.add(Access::Full).await?.id()).await?];
    ended.extend(expiring);

    let none = bench.purge(HOUR, ALL).await?;
    expect(none.is_empty(), "a purge of what ended an hour ago to delete nothing", &none)?;
    let mut purged = bench.purge(Duration::ZERO, ALL).await?;
    purged.sort_unstable();
    expect_same("the keys that are purged", &sorted_ids(&ended), &purged)?;
    for key in &ended {
        let found = bench.find(key.digest()).await?;
        expect(found.is_none(), "`find` to find nothing of a purged key", &found)?;
    }
    left.sort_unstable_by_key(|key| key.id());
    expect_same("the keys that are left", &sorted_ids(&left), &sorted_ids(&bench.all().await?))
}

pub(super) async fn purges_one_organization_in_batches<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    for key in bench.add_many(3).await? {
        bench.revoke(key.id()).await?;
    }
    let theirs = bench.insert(new_record(&bench.other, Access::Full)?).await?;
    bench.store.revoke(&bench.other, theirs.id()).await.expecting("`revoke` to return the key")?;
    for number in [2, 1, 0] {
        let purged = bench.purge(Duration::ZERO, 2).await?.len();
        expect_same("the number of keys in a batch of at most 2", &number, &purged)?;
    }
    bench.found(theirs.digest()).await?;
    bench.store.purge(Organizations::All, HOUR, 1).await.expecting("`purge` of all organizations")?;
    Ok(())
}

/// Neither a second import nor the verification of legacy keys may revive it.
pub(super) async fn a_purged_import_stays_revoked<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let record = NewRecord { imported: Some(ImportedFacts::default()), ..new_record(&bench.own, Access::Full)? };
    let digest = record.digest;
    let key = bench.insert(record.clone()).await?;
    bench.revoke(key.id()).await?;
    expect_same("the purged keys", &vec![key.id()], &bench.purge(Duration::ZERO, ALL).await?)?;
    for (call, found) in bench.answers(&digest).await? {
        expect(found.is_revoked(), format!("{call} to find a purged import as revoked"), &found)?;
        let shown = (found.name(), found.organization() == &bench.own);
        expect_same("nothing but the digest of a purged import", &("", false), &shown)?;
    }
    for organization in [&bench.own, &bench.other] {
        let id = KeyId::random().expecting("randomness")?;
        let again = NewRecord { id, organization: organization.clone(), ..record.clone() };
        let again = bench.store.insert(again, InsertRules::new()).await;
        expect_error("`insert` of a purged import", &BackendError::AlreadyExists, &again)?;
    }
    let listed = (bench.all().await?.len(), bench.counts().await?.revoked);
    expect_same("the number of keys listed and counted", &(0, 0), &listed)?;
    expect_same("a second purge", &vec![], &bench.purge(Duration::ZERO, ALL).await?)
}

pub(super) async fn a_purge_takes_usage_along<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let record = new_record(&bench.own, Access::Full)?;
    let key = bench.insert(record.clone()).await?;
    let usage = [KeyUsage::new(key.id(), 7, bench.now())];
    bench.store.record_usage(&usage).await.expecting("`record_usage` to succeed")?;
    bench.revoke(key.id()).await?;
    bench.purge(Duration::ZERO, ALL).await?;
    bench.insert(record).await?;
    let found = bench.found(key.digest()).await?;
    expect_same("the usage of a new key", &(None, 0), &(found.last_used_at(), found.request_count()))
}

pub(super) async fn an_erasure_leaves_nothing<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let mut keys = bench.add_many(3).await?;
    let record = NewRecord { imported: Some(ImportedFacts::default()), ..new_record(&bench.own, Access::Full)? };
    keys.push(bench.insert(record).await?);
    let theirs = bench.insert(new_record(&bench.other, Access::Full)?).await?;
    bench.set_policy(OrganizationPolicy::default().with_max_key_age(HOUR)).await?;
    for key in &keys {
        // A store that remembers lookups remembers this one.
        bench.answers(key.digest()).await?;
    }
    for number in [3, 1] {
        let erased = bench.store.erase_organization(&bench.own, 3).await.expecting("`erase_organization` to delete")?;
        expect_same("the number of keys in a batch of at most 3", &number, &erased.len())?;
    }
    for key in &keys {
        let found = bench.find(key.digest()).await?;
        let gone = found.as_ref().is_none_or(|found| found.is_revoked() && found.organization() != &bench.own);
        expect(gone, "an erased key to be gone, or a tombstone", &found)?;
    }
    let policy = bench.store.organization_policy(&bench.own).await.expecting("`organization_policy` to answer")?;
    expect_same("the policy after an erasure", &OrganizationPolicy::default(), &policy)?;
    let listed =
        bench.store.list((&bench.other).into(), &ListKeys::new()).await.expecting("`list` to return a page")?;
    expect_same("the keys of the other organization", &vec![theirs.id()], &sorted_ids(&listed.keys))
}
