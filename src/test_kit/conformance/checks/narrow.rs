use super::super::bench::Bench;
use super::super::verdict::{Verdict, expect_refusal, expect_same};
use crate::scope::{Access, Scope, ScopeSet, avala};
use crate::store::{KeyManager, ManageError};

pub(super) async fn narrow_keeps_what_was_asked_for<S: KeyManager>(bench: &Bench<'_, S>) -> Verdict {
    const UNKNOWN: Scope = Scope::from_static("conformance.read");
    let scoped = Access::scoped([avala::TASKS_READ, avala::PROJECTS_READ, UNKNOWN]);
    let narrower: [(Access, ScopeSet); 6] = [
        (Access::Full, avala::ALL.into()),
        (Access::Full, [UNKNOWN].into()),
        (Access::Full, [].into()),
        (scoped.clone(), [avala::TASKS_READ, UNKNOWN].into()),
        (scoped.clone(), [avala::TASKS_READ, avala::PROJECTS_READ, UNKNOWN].into()),
        (scoped, [].into()),
    ];
    for (access, scopes) in narrower {
        let key = bench.add(access).await?;
        let narrowed = bench.narrow(key.id(), scopes.clone()).await?;
        let expected = Access::Scoped(scopes);
        expect_same("the access that `narrow` returns", &expected, narrowed.access())?;
        expect_same("the access after `narrow`", &expected, bench.found(key.digest()).await?.access())?;
    }
    Ok(())
}

pub(super) async fn narrow_never_widens<S: KeyManager>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add(Access::scoped([avala::TASKS_READ, avala::PROJECTS_READ])).await?;
    let before = bench.found(key.digest()).await?;
    let wider: [ScopeSet; 3] = [
        [avala::DATASETS_READ].into(),
        [avala::TASKS_READ, avala::DATASETS_READ].into(),
        [avala::TASKS_READ, avala::PROJECTS_READ, Scope::from_static("conformance.read")].into(),
    ];
    for scopes in wider {
        let narrowed = bench.store.narrow(&bench.own, key.id(), scopes).await;
        expect_refusal("`narrow` to more than the key has", &ManageError::WouldWiden, &narrowed)?;
        bench.expect_as_before(key.digest(), &before).await?;
    }

    bench.narrow(key.id(), [avala::TASKS_READ]).await?;
    let narrowed = bench.store.narrow(&bench.own, key.id(), [avala::PROJECTS_READ].into()).await;
    expect_refusal("`narrow` back to what was taken away", &ManageError::WouldWiden, &narrowed)?;
    bench.narrow(key.id(), []).await?;
    let narrowed = bench.store.narrow(&bench.own, key.id(), [avala::TASKS_READ].into()).await;
    expect_refusal("`narrow` of a key without a scope to one scope", &ManageError::WouldWiden, &narrowed)?;
    expect_same("the access", &Access::scoped([]), bench.found(key.digest()).await?.access())
}

pub(super) async fn a_narrow_is_seen_at_once<S: KeyManager>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add(Access::Full).await?;
    for scopes in [ScopeSet::from([avala::TASKS_READ, avala::PROJECTS_READ]), [avala::TASKS_READ].into(), [].into()] {
        // Whatever remembers lookups remembers this one.
        bench.answers(key.digest()).await?;
        bench.narrow(key.id(), scopes.clone()).await?;
        let narrowed = Access::Scoped(scopes);
        for (call, found) in bench.answers(key.digest()).await? {
            expect_same(&format!("the access that {call} returns after `narrow`"), &narrowed, found.access())?;
        }
    }
    Ok(())
}
