//! Calls that are dropped before they end.

use super::super::bench::{Bench, limit_to};
use super::super::interleave::{LEADS, dropped_after};
use super::super::verdict::{Verdict, expect, expect_same};
use crate::scope::{Access, avala};
use crate::store::{Expiry, KeyBackend, KeyStore};

/// More often than a pool has connections.
const OFTEN: usize = 64;

pub(super) async fn a_dropped_lookup_leaves_the_store_working<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.keep(bench.key(Access::Full)?).await?;
    for _ in 0..OFTEN {
        let unknown = bench.key(Access::Full)?;
        for digest in [key.digest(), unknown.digest()] {
            dropped_after(bench.store.find(digest), 1).await;
        }
    }
    for polls in LEADS {
        dropped_after(bench.store.find(key.digest()), polls).await;
    }
    bench.found(key.digest()).await?;
    Ok(())
}

/// A dropped change may have been made or not, but the next one works.
pub(super) async fn a_dropped_change_leaves_the_store_working<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    for polls in LEADS {
        let key = bench.add(Access::scoped([avala::TASKS_READ])).await?;
        dropped_after(bench.store.update(&bench.own, key.id(), limit_to([])), polls).await;
        dropped_after(bench.store.revoke(&bench.own, key.id()), polls).await;
        bench.revoke(key.id()).await?;
        let found = bench.found(key.digest()).await?;
        expect(found.is_revoked(), "a key to be revoked after a dropped `revoke` and a second one", &found)?;
    }
    Ok(())
}

pub(super) async fn a_dropped_regenerate_is_all_or_nothing<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    for (number, polls) in (1..).zip(0..=20) {
        let key = bench.add(Access::Full).await?;
        let done = dropped_after(bench.manager.regenerate(&bench.own, key.id(), Expiry::Never), polls).await;
        expect_same(
            &format!("the number of live keys when `regenerate` was dropped after {polls} polls"),
            &number,
            &bench.live().await?,
        )?;
        if done {
            break;
        }
    }
    Ok(())
}
