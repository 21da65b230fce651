use std::fmt::Debug;

use super::super::bench::{Bench, new_credential, new_key};
use super::super::verdict::{Verdict, expect};
use crate::key::OrganizationPolicy;
use crate::scope::{Access, avala};
use crate::store::{Expiry, KeyManager, KeyStore, ListKeys, Lookup, ManageError};

/// A key that the store remembers may be found. Nothing may be said not to exist.
pub(super) async fn an_outage_is_an_error<S: KeyStore>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.keep(bench.key(Access::Full)?).await?;
    let unknown = *bench.key(Access::Full)?.digest();
    bench.break_store().await;

    let now = bench.store.find_now(key.digest());
    expect(!matches!(now, Lookup::NotFound), "`find_now` not to deny a key in an outage", &now)?;
    let found = bench.store.find(key.digest()).await.map_err(drop);
    expect(!matches!(found, Ok(None)), "`find` to end with an error in an outage", &found)?;
    let found = bench.store.find(&unknown).await.map_err(drop);
    expect(found.is_err(), "`find` to end with an error for an unknown key in an outage", &found)
}

pub(super) async fn an_outage_is_no_empty_answer<S: KeyManager>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add(Access::Full).await?;
    bench.break_store().await;

    let got = bench.store.get(&bench.own, key.id()).await;
    expect(matches!(got, Ok(_) | Err(ManageError::Store(_))), "`get` to end with ManageError::Store", &got)?;
    let listed = bench.store.list(&bench.own, &ListKeys::new()).await;
    let holds = match &listed {
        Ok(page) => !page.keys.is_empty(),
        Err(error) => matches!(error, ManageError::Store(_)),
    };
    expect(holds, "`list` to end with ManageError::Store", &listed)?;
    failed("`policy`", &bench.store.policy(&bench.own).await)
}

/// A change that is reported as done and is not is the worst of all: the key lives on.
pub(super) async fn an_outage_fails_every_change<S: KeyManager>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add(Access::Full).await?;
    bench.break_store().await;

    let (store, own, id) = (&bench.store, &bench.own, key.id());
    failed("`revoke`", &store.revoke(own, id).await)?;
    failed("`narrow`", &store.narrow(own, id, [avala::TASKS_READ].into()).await)?;
    failed("`regenerate`", &store.regenerate(own, id, Expiry::Never).await)?;
    failed("`issue`", &store.issue(own, new_key(Access::Full)?).await)?;
    failed("`import`", &store.import(own, new_key(Access::Full)?, new_credential()?).await)?;
    failed("`set_policy`", &store.set_policy(own, OrganizationPolicy::default().with_disabled(true)).await)
}

fn failed<T: Debug>(call: &str, seen: &Result<T, ManageError>) -> Verdict {
    expect(matches!(seen, Err(ManageError::Store(_))), format!("{call} to end with ManageError::Store"), seen)
}
