use super::super::bench::{Bench, new_credential, new_key};
use super::super::verdict::{Expecting, Verdict, expect_refusal, expect_same};
use super::sorted_ids;
use crate::key::{KeyId, OrganizationId};
use crate::scope::{Access, avala};
use crate::store::{Cursor, Expiry, KeyManager, ListKeys, ManageError};

/// Not even as a conflict, which would give away that there is such a key.
pub(super) async fn another_organizations_key_is_not_found<S: KeyManager>(bench: &Bench<'_, S>) -> Verdict {
    let (live, revoked) = (bench.add(Access::Full).await?, bench.add(Access::Full).await?);
    bench.revoke(revoked.id()).await?;
    for key in [live, revoked] {
        let before = bench.found(key.digest()).await?;
        finds_nothing(bench, &bench.other, key.id()).await?;
        bench.expect_as_before(key.digest(), &before).await?;
    }
    Ok(())
}

pub(super) async fn an_unknown_id_is_not_found<S: KeyManager>(bench: &Bench<'_, S>) -> Verdict {
    finds_nothing(bench, &bench.own, KeyId::random().expecting("randomness")?).await
}

async fn finds_nothing<S: KeyManager>(bench: &Bench<'_, S>, organization: &OrganizationId, id: KeyId) -> Verdict {
    let (store, not_found) = (&bench.store, &ManageError::NotFound);
    expect_refusal("`get`", not_found, &store.get(organization, id).await)?;
    expect_refusal("`revoke`", not_found, &store.revoke(organization, id).await)?;
    expect_refusal("`narrow`", not_found, &store.narrow(organization, id, [avala::TASKS_READ].into()).await)?;
    expect_refusal("`regenerate`", not_found, &store.regenerate(organization, id, Expiry::Never).await)
}

pub(super) async fn lists_no_other_organizations_keys<S: KeyManager>(bench: &Bench<'_, S>) -> Verdict {
    let own = bench.add_many(3).await?;
    let theirs = bench.store.insert(&bench.other, new_key(Access::Full)?, new_credential()?).await;
    let theirs = [theirs.expecting("`insert` to store a new key")?];

    for (organization, keys) in [(&bench.own, &own[..]), (&bench.other, &theirs[..])] {
        let listed = bench.store.list(organization, &ListKeys::new()).await.expecting("`list` to return a page")?;
        expect_same("`list` to show the organization's keys", &sorted_ids(keys), &sorted_ids(&listed.keys))?;
    }
    // A cursor from a list of another organization opens nothing either.
    for key in &own {
        let query = ListKeys::new().with_after(Cursor::at(key));
        let listed = bench.store.list(&bench.other, &query).await.expecting("`list` to return a page")?;
        let mut seen = sorted_ids(&listed.keys);
        seen.retain(|id| *id != theirs[0].id());
        expect_same("`list` after another organization's cursor to show none of its keys", &Vec::new(), &seen)?;
    }
    Ok(())
}
