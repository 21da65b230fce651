use std::sync::Arc;

use super::super::bench::{Bench, HOUR, new_record};
use super::super::verdict::{Expecting, Problem, Verdict, expect, expect_same};
use super::{expect_same_record, ids, sorted_ids};
use crate::key::{Environment, KeyHint, KeyId, KeyStatus};
use crate::scope::{Access, Scope, avala};
use crate::store::{Cursor, Expiry, KeyBackend, KeyCounts, ListKeys, NewRecord, Organizations, Page};

pub(super) async fn get_and_list_agree_with_find<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let unknown = Scope::from_static("conformance.read");
    let mut keys = vec![
        bench.add(Access::Full).await?,
        bench.add(Access::scoped([avala::TASKS_READ, unknown])).await?,
        bench.add_until(bench.now() + HOUR, Access::Full).await?,
        bench.add_expired().await?,
    ];
    let empty = bench.add(Access::scoped([avala::TASKS_READ])).await?;
    keys.push(bench.update(empty.id(), []).await?);
    let revoked = bench.add(Access::Full).await?;
    keys.push(bench.revoke(revoked.id()).await?);
    let replaced = bench.add(Access::Full).await?;
    keys.push(bench.regenerate(replaced.id(), Expiry::Never).await?.record);
    keys.push(replaced);

    let listed = bench.all().await?;
    expect_same("`list` to show every key", &sorted_ids(&keys), &sorted_ids(&listed))?;
    for listed in listed {
        let found = bench.found(listed.digest()).await?;
        expect_same_record("`list` to show what `find` returns", &found, &listed)?;
        expect_same_record("`get` to return what `find` returns", &found, &*bench.get(listed.id()).await?)?;
    }
    Ok(())
}

pub(super) async fn changes_return_what_is_found<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add(Access::scoped([avala::TASKS_READ, avala::PROJECTS_READ])).await?;
    let updated = bench.update(key.id(), [avala::TASKS_READ]).await?;
    expect_same_record("`find` to return what `update` returned", &updated, &*bench.found(key.digest()).await?)?;
    let new = bench.regenerate(key.id(), Expiry::Never).await?;
    let digest = new.secret.digest();
    expect_same("`regenerate` to return a record with the digest of the secret", &digest, new.record.digest())?;
    expect_same_record("`find` to return what `regenerate` returned", &new.record, &*bench.found(&digest).await?)?;
    let revoked = bench.revoke(new.record.id()).await?;
    expect_same_record("`find` to return what `revoke` returned", &revoked, &*bench.found(&digest).await?)
}

pub(super) async fn lists_nothing_where_there_is_nothing<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let page = bench.list(&ListKeys::new()).await?;
    expect(page.keys.is_empty() && page.next.is_none(), "an empty page with no next one", &page)
}

pub(super) async fn lists_the_newest_first<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let old = bench.add_many(3).await?;
    bench.tick().await?;
    let new = bench.add_many(3).await?;

    let listed = bench.all().await?;
    let (first, last) = listed.split_at_checked(3).ok_or_else(|| Problem::new("6 keys", format!("{listed:?}")))?;
    expect_same("`list` to begin with the newest keys", &sorted_ids(&new), &sorted_ids(first))?;
    expect_same("`list` to end with the oldest keys", &sorted_ids(&old), &sorted_ids(last))
}

pub(super) async fn fills_pages_as_far_as_asked<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    bench.add_many(5).await?;
    for limit in 1..=6 {
        let page = bench.list(&ListKeys::new().with_limit(limit)).await?;
        expect_same(&format!("a page of at most {limit} of 5 keys to have"), &limit.min(5), &page.keys.len())?;
        expect_same(&format!("a next page after {limit} of 5 keys"), &(limit < 5), &page.next.is_some())?;
    }
    Ok(())
}

pub(super) async fn the_cursor_walks_every_key_once<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let keys = sorted_ids(&bench.add_many(5).await?);
    for limit in 1..=6 {
        let mut walked = walk(bench, ListKeys::new().with_limit(limit), async |_| Ok(())).await?;
        walked.sort_unstable();
        expect_same(&format!("a walk in pages of {limit} to show every key once"), &keys, &walked)?;
    }
    Ok(())
}

/// Keys that are issued or revoked between two pages push no other key off the pages.
pub(super) async fn a_walk_survives_changes<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let keys = sorted_ids(&bench.add_many(6).await?);
    let issuing = async |_: &Page| bench.add(Access::Full).await.map(drop);
    let mut walked = walk(bench, ListKeys::new().with_limit(2), issuing).await?;
    walked.retain(|id| keys.binary_search(id).is_ok());
    walked.sort_unstable();
    expect_same("a walk to show every key once while others are issued", &keys, &walked)?;

    let keys = sorted_ids(&bench.all().await?);
    let revoking = async |page: &Page| match page.keys.last() {
        Some(last) => bench.revoke(last.id()).await.map(drop),
        None => Ok(()),
    };
    let active = ListKeys::new().with_status(KeyStatus::Active).with_limit(2);
    let mut walked = walk(bench, active, revoking).await?;
    walked.sort_unstable();
    expect_same("a walk over active keys to show each once while some are revoked", &keys, &walked)
}

pub(super) async fn filters_by_status<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let (mut active, mut expired, mut revoked) = (vec![], vec![], vec![]);
    let soon = bench.soon();
    for _ in 0..2 {
        active.push(bench.add(Access::Full).await?);
        active.push(bench.add_until(bench.now() + HOUR, Access::Full).await?);
        expired.push(bench.add_until(soon, Access::Full).await?);
        revoked.push(bench.add_until(soon, Access::Full).await?);
        let replaced = bench.add(Access::Full).await?;
        active.push(bench.regenerate(replaced.id(), Expiry::Never).await?.record);
        revoked.push(replaced);
    }
    bench.reach(soon).await?;
    for key in revoked.iter().filter(|key| key.expires_at().is_some()) {
        bench.revoke(key.id()).await?;
    }
    let by_status = [(KeyStatus::Active, active), (KeyStatus::Expired, expired), (KeyStatus::Revoked, revoked)];
    for (status, keys) in by_status {
        for limit in [1, 2, 100] {
            let query = ListKeys::new().with_status(status).with_limit(limit);
            let mut walked = walk(bench, query, async |_| Ok(())).await?;
            walked.sort_unstable();
            expect_same(&format!("pages of {limit} keys that are {status}"), &sorted_ids(&keys), &walked)?;
        }
    }
    Ok(())
}

pub(super) async fn filters_by_every_field<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    const TEST: Environment = Environment::from_static("test");
    let soon = bench.now() + HOUR;
    let mut records = Vec::new();
    for (name, hint, environment, actor, expires_at) in [
        ("Nightly 100%", "abc_...1234", Some(TEST), Some("ada"), None),
        ("nightly_export", "", None, Some("Ada"), Some(soon)),
        ("deploy", "abc_...NIGH", Some(Environment::from_static("live")), None, Some(soon + HOUR)),
        ("100 deploys", "", Some(TEST), Some("ada"), Some(soon + 2 * HOUR)),
    ] {
        records.push(NewRecord {
            name: name.into(),
            hint: KeyHint::from_stored(hint),
            environment,
            created_by: actor.map(Arc::from),
            expires_at,
            ..new_record(&bench.own, Access::Full)?
        });
    }
    let mut keys = Vec::new();
    for record in records {
        keys.push(bench.insert(record).await?);
    }
    let new = ListKeys::new;
    for (query, places) in [
        (new().with_environment(TEST), &[0, 3][..]),
        (new().with_search("NIGH"), &[0, 1, 2]),
        (new().with_search("100%"), &[0]),
        (new().with_search("y_e"), &[1]),
        (new().with_search("t_e' OR 1=1"), &[]),
        (new().with_created_by("ada"), &[0, 3]),
        (new().with_expires_before(soon + HOUR), &[1]),
        (new().with_expires_before(soon + 3 * HOUR), &[1, 2, 3]),
        (new().with_environment(TEST).with_search("deploy").with_created_by("ada"), &[3]),
        (new().with_status(KeyStatus::Active).with_environment(TEST).with_expires_before(soon), &[]),
        (new().with_status(KeyStatus::Active).with_search("deploy"), &[2, 3]),
    ] {
        let expected: Vec<_> = places.iter().map(|place| Arc::clone(&keys[*place])).collect();
        for limit in [1, 100] {
            let mut walked = walk(bench, query.clone().with_limit(limit), async |_| Ok(())).await?;
            walked.sort_unstable();
            expect_same(&format!("pages of {limit} keys of {query:?}"), &sorted_ids(&expected), &walked)?;
        }
    }
    Ok(())
}

pub(super) async fn lists_and_counts_all_organizations<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let name = format!("conformance {}", KeyId::random().expecting("randomness")?);
    let mut keys = Vec::new();
    for organization in [&bench.own, &bench.other, &bench.own] {
        let record = NewRecord { name: name.as_str().into(), ..new_record(organization, Access::Full)? };
        keys.push(bench.insert(record).await?);
    }
    let query = ListKeys::new().with_search(&name);
    let listed = bench.store.list(Organizations::All, &query).await.expecting("`list` of all organizations")?;
    expect_same("the keys of all organizations", &sorted_ids(&keys), &sorted_ids(&listed.keys))?;
    let first = bench.store.list(Organizations::All, &query.clone().with_limit(2)).await.expecting("a page")?;
    let second = bench.store.list(Organizations::All, &query.with_after(first.next)).await.expecting("a page")?;
    let mut walked = ids(&first.keys);
    walked.extend(ids(&second.keys));
    expect_same("two pages of all organizations, in their order", &ids(&listed.keys), &walked)?;
    let counts = bench.store.counts(Organizations::All).await.expecting("`counts` of all organizations")?;
    expect(counts.active >= 3, "at least 3 active keys", &counts)
}

pub(super) async fn counts_by_status<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let soon = bench.soon();
    for _ in 0..3 {
        bench.add_until(soon, Access::Full).await?;
    }
    let keys = bench.add_many(4).await?;
    bench.suspend(keys[0].id(), true).await?;
    bench.revoke(keys[1].id()).await?;
    bench.insert(new_record(&bench.other, Access::Full)?).await?;
    bench.reach(soon).await?;
    let expected = KeyCounts { active: 2, suspended: 1, expired: 3, revoked: 1 };
    expect_same("the counts", &expected, &bench.counts().await?)?;
    for status in KeyStatus::ALL {
        let listed = bench.list(&ListKeys::new().with_status(status)).await?.keys.len() as u64;
        expect_same(&format!("the number of keys that are {status}"), &expected.of(status), &listed)?;
    }
    Ok(())
}

/// Lists page by page to the end, each cursor by way of its text, and calls this after each page.
async fn walk<S: KeyBackend>(
    bench: &Bench<'_, S>,
    query: ListKeys,
    between: impl AsyncFn(&Page) -> Verdict,
) -> Verdict<Vec<KeyId>> {
    const MOST_PAGES: usize = 50;
    let (mut walked, mut after) = (Vec::new(), None);
    for _ in 0..MOST_PAGES {
        let page = bench.list(&query.clone().with_after(after)).await?;
        walked.extend(ids(&page.keys));
        let Some(next) = &page.next else { return Ok(walked) };
        after = Some(next.to_string().parse::<Cursor>().expecting("a cursor that parses from its text")?);
        between(&page).await?;
    }
    Err(Problem::new("a walk that ends", format!("{MOST_PAGES} pages and a cursor to one more")))
}
