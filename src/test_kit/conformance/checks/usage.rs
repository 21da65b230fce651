use super::super::bench::{Bench, HOUR};
use super::super::verdict::{Expecting, Verdict, expect, expect_same};
use crate::key::{KeyId, KeyRecord};
use crate::scope::{Access, avala};
use crate::store::{KeyBackend, KeyUsage};

/// A store may keep no usage. If it keeps usage, a late report does not set the time back.
pub(super) async fn usage_adds_up_or_is_not_kept<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let (key, idle) = (bench.add(Access::Full).await?, bench.add(Access::Full).await?);
    let before = bench.found(idle.digest()).await?;
    let gone = KeyId::random().expecting("randomness")?;
    for (requests, last_used_at) in [(3, bench.now()), (2, bench.now() - HOUR)] {
        let usage = [gone, key.id()].map(|id| KeyUsage::new(id, requests, last_used_at));
        record(bench, &usage).await?;
    }
    record(bench, &[]).await?;

    let found = bench.found(key.digest()).await?;
    let holds = match found.last_used_at() {
        Some(last) => found.request_count() == 5 && last > bench.now() - HOUR / 2,
        None => found.request_count() == 0,
    };
    expect(holds, "5 requests, the last of them now, or no usage at all", &found)?;
    bench.expect_as_before(idle.digest(), &before).await
}

pub(super) async fn usage_changes_nothing_else<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let expired = bench.add_expired().await?;
    let scoped = bench.add(Access::scoped([avala::TASKS_READ])).await?;
    let revoked = bench.add(Access::Full).await?;
    bench.revoke(revoked.id()).await?;
    for key in [expired, scoped, revoked] {
        let before = bench.found(key.digest()).await?;
        record(bench, &[KeyUsage::new(key.id(), 1, bench.now())]).await?;
        let after = bench.found(key.digest()).await?;
        let (before, after) = (KeyRecord::clone(&before), KeyRecord::clone(&after).with_usage(None, 0));
        expect_same("the key to be as it was but for its usage", &format!("{before:?}"), &format!("{after:?}"))?;
    }
    Ok(())
}

async fn record<S: KeyBackend>(bench: &Bench<'_, S>, usage: &[KeyUsage]) -> Verdict {
    bench.store.record_usage(usage).await.expecting("`record_usage` to succeed")
}
