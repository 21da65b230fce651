use futures::future::join_all;

use super::super::bench::Bench;
use super::super::verdict::{Problem, Verdict, expect, expect_same};
use super::expect_same_record;
use crate::key::{KeyDigest, KeyId, KeyRecord};
use crate::scope::Access;
use crate::store::{KeyStore, Lookup};

pub(super) async fn finds_a_key_by_its_digest<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.keep(bench.key(Access::Full)?).await?;
    bench.answers(key.digest()).await?;
    Ok(())
}

/// Also for digests that differ from a stored one in a single bit: every byte counts.
pub(super) async fn finds_nothing_for_an_unknown_digest<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.keep(bench.key(Access::Full)?).await?;
    let mut unknown = vec![*bench.key(Access::Full)?.digest()];
    for at in 0..32 {
        let mut bytes = *key.digest().as_bytes();
        bytes[at] ^= 1;
        unknown.push(KeyDigest::from_bytes(bytes));
    }
    for digest in &unknown {
        let found = bench.find(digest).await?;
        expect(found.is_none(), format!("`find` to find nothing for {digest:?}"), &found)?;
        let found = bench.store.try_find(digest);
        expect(!matches!(found, Lookup::Found(_)), format!("`try_find` to find nothing for {digest:?}"), &found)?;
    }
    Ok(())
}

pub(super) async fn answers_with_the_digest_asked_for<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    let mut keys = Vec::new();
    for _ in 0..5 {
        let key = bench.keep(bench.key(Access::Full)?).await?;
        // A store may choose ids of its own.
        let id = bench.found(key.digest()).await?.id();
        keys.push((*key.digest(), id));
    }
    for key in &keys {
        for (call, record) in bench.answers(&key.0).await? {
            expect_key(call, key, &record)?;
        }
    }
    let at_once = join_all(keys.iter().map(|(digest, _)| bench.found(digest))).await;
    for (key, record) in keys.iter().zip(at_once) {
        expect_key("each of many lookups at once", key, &*record?)?;
    }
    Ok(())
}

/// The id too: a store that writes the digest it was asked for into whatever row it read hides a mix-up.
fn expect_key(call: &str, (digest, id): &(KeyDigest, KeyId), record: &KeyRecord) -> Verdict {
    expect_same(&format!("{call} to return the record with the digest"), digest, record.digest())?;
    expect_same(&format!("{call} to return the record of the key with the digest"), id, &record.id())
}

pub(super) async fn try_find_agrees_with_find<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.key(Access::scoped([]))?;
    agree(bench, key.digest(), "before there is such a key").await?;
    bench.keep(key.clone()).await?;
    agree(bench, key.digest(), "when the key is there").await?;
    let key = bench.keep(bench.key(Access::Full)?.with_revoked_at(bench.now())).await?;
    agree(bench, key.digest(), "when the key is revoked").await
}

/// In batches of several sizes, with unknown and repeated digests.
pub(super) async fn find_many_agrees_with_find<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    expect(bench.store.max_batch() > 0, "`max_batch` to be at least 1", &bench.store.max_batch())?;
    expect_same("an empty batch to find", &0, &bench.find_many(&[]).await?.len())?;
    let mut digests = Vec::new();
    for access in [Access::Full, Access::scoped([]), Access::Full] {
        digests.push(*bench.keep(bench.key(access)?).await?.digest());
        digests.push(*bench.key(Access::Full)?.digest());
    }
    digests.extend([digests[2], digests[1], digests[2]]);
    // One more than the store wants at once.
    let longest = bench.store.max_batch().min(1000) + 1;
    let many: Vec<_> = digests.iter().copied().cycle().take(longest).collect();
    for digests in [&digests[..1], &digests[1..2], &digests, &many] {
        let batch = bench.find_many(digests).await?;
        for (digest, seen) in digests.iter().zip(batch) {
            match (bench.find(digest).await?, seen) {
                (None, None) => {}
                (Some(found), Some(seen)) => {
                    expect_same_record("`find_many` to return what `find` returns", &found, &seen)?;
                }
                (found, seen) => {
                    let expected = format!("`find_many` to return what `find` returns: {found:?}");
                    return Err(Problem::new(expected, format!("{seen:?}")));
                }
            }
        }
    }
    Ok(())
}

async fn agree<S: KeyStore>(bench: &Bench<'_, S>, digest: &KeyDigest, when: &str) -> Verdict {
    let before = bench.store.try_find(digest);
    let awaited = bench.find(digest).await?;
    let after = bench.store.try_find(digest);
    for now in [before, after] {
        match (now, &awaited) {
            (Lookup::Pending, _) | (Lookup::NotFound, None) => {}
            (Lookup::Found(now), Some(awaited)) => {
                expect_same_record(&format!("`try_find` to return what `find` returns {when}"), awaited, &now)?;
            }
            (now, awaited) => {
                let expected = format!("`try_find` to return what `find` returns {when}: {awaited:?}");
                return Err(Problem::new(expected, format!("{now:?}")));
            }
        }
    }
    Ok(())
}
