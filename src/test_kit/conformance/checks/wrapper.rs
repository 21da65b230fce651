use super::super::bench::Bench;
use super::super::verdict::{Expecting, Verdict, expect, expect_same};
use super::changes::Published;
use crate::key::KeyId;
use crate::scope::Access;
use crate::store::{Invalidation, KeyStore, Lookup};

pub(super) async fn forwards_try_find<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    let Some(inner) = bench.inner() else { return Ok(()) };
    let key = bench.keep(bench.key(Access::Full)?).await?;
    let unknown = bench.key(Access::Full)?;
    for digest in [key.digest(), unknown.digest()] {
        let (expected, seen) = (inner.try_find(digest), bench.store.try_find(digest));
        let same = match (&expected, &seen) {
            (Lookup::Found(expected), Lookup::Found(seen)) => expected == seen,
            (Lookup::NotFound, Lookup::NotFound) | (Lookup::Pending, Lookup::Pending) => true,
            _ => false,
        };
        expect(same, format!("`try_find` to return what the inner store returns: {expected:?}"), &seen)?;
    }
    Ok(())
}

pub(super) async fn forwards_max_batch<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    let Some(inner) = bench.inner() else { return Ok(()) };
    expect_same("`max_batch` of the inner store", &inner.max_batch(), &bench.store.max_batch())
}

pub(super) async fn forwards_the_id<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    let Some(expected) = bench.inner().and_then(|inner| inner.id()) else { return Ok(()) };
    let seen = KeyStore::id(&bench.store);
    expect(seen == Some(expected), format!("the id of the inner store: {expected:?}"), &seen)
}

pub(super) async fn forwards_changes<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    let Some(inner) = bench.inner().and_then(|inner| inner.changes()) else { return Ok(()) };
    let outer = bench.store.changes();
    let Some(outer) = outer else { return expect(false, "`changes` to be those of the inner store", &outer) };
    let published = Published::by(outer);
    let change = Invalidation::Key(KeyId::random().expecting("randomness")?);
    inner.publish(&change);
    published.expect("a change of the inner store to be published", |seen| *seen == change)
}

pub(super) async fn forwards_the_usage_sink<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    let expected = bench.inner().and_then(|inner| inner.usage_sink());
    let same = match (expected, bench.store.usage_sink()) {
        (Some(inner), Some(outer)) => std::ptr::eq(inner.counters(), outer.counters()),
        (inner, outer) => inner.is_none() && outer.is_none(),
    };
    expect(same, format!("`usage_sink` to be that of the inner store: {expected:?}"), &bench.store.usage_sink())
}

pub(super) async fn forwards_background_work<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    let Some(inner) = bench.inner() else { return Ok(()) };
    let (expected, seen) = (inner.background_work().is_some(), bench.store.background_work().is_some());
    expect_same("`background_work` wherever the inner store has some", &expected, &seen)
}
