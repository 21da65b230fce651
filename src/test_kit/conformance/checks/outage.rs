use std::fmt::Debug;
use std::time::Duration;

use super::super::bench::{Bench, HOUR, limit_to, new_credential, new_key};
use super::super::verdict::{Verdict, expect};
use crate::key::OrganizationPolicy;
use crate::manage::{ImportedKey, ManageError, RegenerateOptions};
use crate::scope::{Access, avala};
use crate::store::{Expiry, KeyBackend, KeyStore, ListKeys, Lookup};

/// A key that the store remembers may be found. No key may be reported as unknown.
pub(super) async fn an_outage_is_an_error<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.keep(bench.key(Access::Full)?).await?;
    let unknown = *bench.key(Access::Full)?.digest();
    bench.break_store().await;

    let now = bench.store.try_find(key.digest());
    expect(!matches!(now, Lookup::NotFound), "`try_find` not to deny a key in an outage", &now)?;
    let found = bench.store.find(key.digest()).await.map_err(drop);
    expect(!matches!(found, Ok(None)), "`find` to end with an error in an outage", &found)?;
    let found = bench.store.find(&unknown).await.map_err(drop);
    expect(found.is_err(), "`find` to end with an error for an unknown key in an outage", &found)?;
    let found = bench.store.find_many(&[*key.digest(), unknown]).await.map_err(drop);
    let found = found.map(|results| results.into_iter().map(|result| result.map_err(drop)).collect::<Vec<_>>());
    let denies = found.as_ref().is_ok_and(|results| results.contains(&Ok(None)));
    expect(!denies, "`find_many` to end with an error for an unknown key in an outage", &found)
}

pub(super) async fn an_outage_is_no_empty_answer<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add(Access::Full).await?;
    bench.break_store().await;

    let got = bench.manager.get(&bench.own, key.id()).await;
    expect(matches!(got, Ok(_) | Err(ManageError::Store(_))), "`get` to end with ManageError::Store", &got)?;
    let listed = bench.manager.list(&bench.own, &ListKeys::new()).await;
    let holds = match &listed {
        Ok(page) => !page.keys.is_empty(),
        Err(error) => matches!(error, ManageError::Store(_)),
    };
    expect(holds, "`list` to end with ManageError::Store", &listed)?;
    failed("`counts`", &bench.manager.counts(&bench.own).await)?;
    failed("`organization_policy`", &bench.manager.organization_policy(&bench.own).await)
}

/// A revoke that is reported as done and is not leaves a key valid that its owner believes revoked.
pub(super) async fn an_outage_fails_every_change<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add(Access::Full).await?;
    bench.break_store().await;

    let (keys, own, id) = (&bench.manager, &bench.own, key.id());
    failed("`revoke`", &keys.revoke(own, id).await)?;
    failed("`update`", &keys.update(own, id, limit_to([avala::TASKS_READ])).await)?;
    failed("`regenerate`", &keys.regenerate(own, id, Expiry::Never).await)?;
    failed("`issue`", &keys.issue(own, new_key(Access::Full)?).await)?;
    failed("`import`", &keys.import(own, (new_key(Access::Full)?, new_credential()?)).await)?;
    let overlap = RegenerateOptions::new().with_overlap(HOUR);
    failed("`regenerate` with an overlap", &keys.regenerate(own, id, overlap).await)?;
    let many = ImportedKey::new(new_key(Access::Full)?, new_credential()?);
    failed("`import_many`", &keys.import_many(own, [many]).await)?;
    failed("`purge`", &keys.purge(own, Duration::ZERO).await)?;
    failed("`erase`", &keys.erase(own).await)?;
    let disabled = OrganizationPolicy::default().with_disabled(true);
    failed("`set_organization_policy`", &keys.set_organization_policy(own, disabled).await)
}

fn failed<T: Debug>(call: &str, seen: &Result<T, ManageError>) -> Verdict {
    expect(matches!(seen, Err(ManageError::Store(_))), format!("{call} to end with ManageError::Store"), seen)
}
