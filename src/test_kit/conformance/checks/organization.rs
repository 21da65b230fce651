use super::super::bench::{Bench, limit_to, new_record};
use super::super::verdict::{Expecting, Verdict, expect_error, expect_same};
use super::sorted_ids;
use crate::key::{KeyId, OrganizationId};
use crate::manage::ManageError;
use crate::scope::{Access, avala};
use crate::store::{Cursor, Expiry, KeyBackend, ListKeys};

/// Nor is it a conflict, which would reveal that the key exists.
pub(super) async fn another_organizations_key_is_not_found<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let (live, revoked) = (bench.add(Access::Full).await?, bench.add(Access::Full).await?);
    bench.revoke(revoked.id()).await?;
    for key in [live, revoked] {
        let before = bench.found(key.digest()).await?;
        finds_nothing(bench, &bench.other, key.id()).await?;
        bench.expect_as_before(key.digest(), &before).await?;
    }
    Ok(())
}

pub(super) async fn an_unknown_id_is_not_found<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    finds_nothing(bench, &bench.own, KeyId::random().expecting("randomness")?).await
}

async fn finds_nothing<S: KeyBackend>(bench: &Bench<'_, S>, organization: &OrganizationId, id: KeyId) -> Verdict {
    let (keys, not_found) = (&bench.manager, &ManageError::NotFound);
    expect_error("`get`", not_found, &keys.get(organization, id).await)?;
    expect_error("`revoke`", not_found, &keys.revoke(organization, id).await)?;
    expect_error("`update`", not_found, &keys.update(organization, id, limit_to([avala::TASKS_READ])).await)?;
    expect_error("`regenerate`", not_found, &keys.regenerate(organization, id, Expiry::Never).await)
}

pub(super) async fn lists_no_other_organizations_keys<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let own = bench.add_many(3).await?;
    let theirs = [bench.insert(new_record(&bench.other, Access::Full)?).await?];

    for (organization, keys) in [(&bench.own, &own[..]), (&bench.other, &theirs[..])] {
        let listed =
            bench.store.list(organization.into(), &ListKeys::new()).await.expecting("`list` to return a page")?;
        expect_same("`list` to show the organization's keys", &sorted_ids(keys), &sorted_ids(&listed.keys))?;
    }
    // Nor with a cursor from a list of another organization.
    for key in &own {
        let query = ListKeys::new().with_after(Cursor::after(key));
        let listed = bench.store.list((&bench.other).into(), &query).await.expecting("`list` to return a page")?;
        let mut seen = sorted_ids(&listed.keys);
        seen.retain(|id| *id != theirs[0].id());
        expect_same("`list` after another organization's cursor to show none of its keys", &Vec::new(), &seen)?;
    }
    Ok(())
}
