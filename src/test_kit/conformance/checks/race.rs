//! Calls that meet: each pair in several interleavings, both ways round.

use std::sync::Arc;

use futures::future::join_all;

use super::super::bench::{Bench, HOUR, new_credential, new_key};
use super::super::interleave::{LEADS, staggered};
use super::super::verdict::{Expecting, Verdict, expect, expect_same};
use crate::key::{KeyRecord, OrganizationPolicy};
use crate::scope::{Access, ScopeSet, avala};
use crate::store::{Expiry, KeyManager, ManageError};
use crate::usage::KeyUsage;

const MANY: usize = 8;

pub(super) async fn one_of_many_regenerates_succeeds<S: KeyManager>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add(Access::Full).await?;
    let calls = (0..MANY).map(|_| bench.store.regenerate(&bench.own, key.id(), Expiry::Never));
    let results = join_all(calls).await;

    let conflicts = results.iter().filter(|result| matches!(result, Err(ManageError::Conflict))).count();
    let new: Vec<_> = results.iter().flatten().map(|issued| issued.record.id()).collect();
    let holds = new.len() == 1 && conflicts == MANY - 1;
    expect(holds, format!("one of {MANY} regenerates to succeed and the others to end with Conflict"), &results)?;
    expect_same("the number of live keys", &1, &bench.live().await?)?;
    let old = bench.found(key.digest()).await?;
    expect_same("the replacement of the old key", &new.first().copied(), &old.replaced_by())
}

pub(super) async fn one_of_many_imports_succeeds<S: KeyManager>(bench: &Bench<'_, S>) -> Verdict {
    let (credential, key) = (new_credential()?, new_key(Access::Full)?);
    let calls = (0..MANY).map(|_| bench.store.insert(&bench.own, key.clone(), credential.clone()));
    let results = join_all(calls).await;

    let refused = results.iter().filter(|result| matches!(result, Err(ManageError::AlreadyExists))).count();
    let holds = results.iter().flatten().count() == 1 && refused == MANY - 1;
    expect(holds, format!("one of {MANY} inserts of a digest to succeed, the others AlreadyExists"), &results)?;
    expect_same("the number of keys", &1, &bench.all().await?.len())
}

pub(super) async fn a_revoke_holds_against_a_narrow<S: KeyManager>(bench: &Bench<'_, S>) -> Verdict {
    for interleaving in interleavings() {
        let key = bench.add(Access::scoped([avala::TASKS_READ, avala::PROJECTS_READ])).await?;
        let narrow = bench.store.narrow(&bench.own, key.id(), [avala::TASKS_READ].into());
        let (narrowed, revoked) = interleaving.run(narrow, bench.revoke(key.id())).await;
        revoked?;
        let holds = matches!(narrowed, Ok(_) | Err(ManageError::Conflict));
        expect(holds, "`narrow` beside `revoke` to succeed or to end with Conflict", &narrowed)?;
        is_revoked(bench, &key, "`narrow`").await?;
    }
    Ok(())
}

pub(super) async fn a_revoke_holds_against_a_policy<S: KeyManager>(bench: &Bench<'_, S>) -> Verdict {
    for interleaving in interleavings() {
        let key = bench.add(Access::Full).await?;
        let set_policy = bench.set_policy(OrganizationPolicy::default().with_max_key_age(HOUR));
        let (set, revoked) = interleaving.run(set_policy, bench.revoke(key.id())).await;
        set?;
        revoked?;
        is_revoked(bench, &key, "`set_policy`").await?;
    }
    Ok(())
}

pub(super) async fn a_revoke_holds_against_usage<S: KeyManager>(bench: &Bench<'_, S>) -> Verdict {
    for interleaving in interleavings() {
        let key = bench.add(Access::Full).await?;
        let usage = [KeyUsage::new(key.id(), 1, bench.now())];
        let (recorded, revoked) = interleaving.run(bench.store.record_usage(&usage), bench.revoke(key.id())).await;
        recorded.expecting("`record_usage` to succeed")?;
        revoked?;
        is_revoked(bench, &key, "`record_usage`").await?;
    }
    Ok(())
}

/// Either the revoke came first, and there is no new key; or the regenerate did, and the new key lives.
pub(super) async fn a_revoke_holds_against_a_regenerate<S: KeyManager>(bench: &Bench<'_, S>) -> Verdict {
    for interleaving in interleavings() {
        let key = bench.add(Access::Full).await?;
        let live_before = bench.live().await?;
        let regenerate = bench.store.regenerate(&bench.own, key.id(), Expiry::Never);
        let (regenerated, revoked) = interleaving.run(regenerate, bench.revoke(key.id())).await;
        revoked?;
        let old = is_revoked(bench, &key, "`regenerate`").await?;
        match regenerated {
            Ok(new) => {
                expect_same("the replacement of the old key", &Some(new.record.id()), &old.replaced_by())?;
                let new = bench.found(new.record.digest()).await?;
                expect(!new.is_revoked(), "a new key that lives", &new)?;
                expect_same("the number of live keys", &live_before, &bench.live().await?)?;
            }
            Err(ManageError::Conflict) => {
                expect_same("the replacement of a key that was revoked first", &None, &old.replaced_by())?;
                expect_same("the number of live keys", &(live_before - 1), &bench.live().await?)?;
            }
            other => expect(false, "`regenerate` beside `revoke` to succeed or to end with Conflict", &other)?,
        }
    }
    Ok(())
}

/// Either the narrow came first, and holds for the new key; or the regenerate did, and the narrow is a conflict.
pub(super) async fn a_regenerate_holds_against_a_narrow<S: KeyManager>(bench: &Bench<'_, S>) -> Verdict {
    let wide = Access::scoped([avala::TASKS_READ, avala::PROJECTS_READ]);
    let narrow = Access::scoped([avala::TASKS_READ]);
    for interleaving in interleavings() {
        let key = bench.add(wide.clone()).await?;
        let narrowing = bench.store.narrow(&bench.own, key.id(), [avala::TASKS_READ].into());
        let (narrowed, new) = interleaving.run(narrowing, bench.regenerate(key.id(), Expiry::Never)).await;
        let new = bench.found(new?.record.digest()).await?;
        let expected = match narrowed {
            Ok(_) => &narrow,
            Err(ManageError::Conflict) => &wide,
            other => return expect(false, "`narrow` beside `regenerate` to succeed or to end with Conflict", &other),
        };
        expect_same("the access of the new key", expected, new.access())?;
        let old = is_revoked(bench, &key, "`narrow`").await?;
        expect_same("the replacement of the old key", &Some(new.id()), &old.replaced_by())?;
    }
    Ok(())
}

/// Whichever comes second asks for a scope that the first has taken away.
pub(super) async fn concurrent_narrows_never_widen<S: KeyManager>(bench: &Bench<'_, S>) -> Verdict {
    let scopes = |scopes: [crate::Scope; 2]| ScopeSet::from(scopes);
    let some = scopes([avala::DATASETS_READ, avala::TASKS_READ]);
    let others = scopes([avala::TASKS_READ, avala::PROJECTS_READ]);
    for interleaving in interleavings() {
        let key = bench.add(Access::scoped(avala::ALL)).await?;
        let narrow = |scopes: &ScopeSet| bench.store.narrow(&bench.own, key.id(), scopes.clone());
        let (first, second) = interleaving.run(narrow(&some), narrow(&others)).await;
        let kept = match (&first, &second) {
            (Ok(_), Err(ManageError::WouldWiden)) => &some,
            (Err(ManageError::WouldWiden), Ok(_)) => &others,
            both => return expect(false, "one `narrow` to succeed and the other to end with WouldWiden", &both),
        };
        let found = bench.found(key.digest()).await?;
        expect_same("the access", &Access::Scoped(kept.clone()), found.access())?;
    }
    Ok(())
}

pub(super) async fn a_policy_reaches_a_key_issued_meanwhile<S: KeyManager>(bench: &Bench<'_, S>) -> Verdict {
    for (number, interleaving) in (1..).zip(interleavings()) {
        let policy = OrganizationPolicy::default().with_max_key_age(number * HOUR);
        let (set, key) = interleaving.run(bench.set_policy(policy), bench.add(Access::Full)).await;
        set?;
        let found = bench.found(key?.digest()).await?;
        expect_same("the policy of a key that was issued while it was set", &policy, &found.policy())?;
    }
    Ok(())
}

async fn is_revoked<S: KeyManager>(bench: &Bench<'_, S>, key: &KeyRecord, beside: &str) -> Verdict<Arc<KeyRecord>> {
    let found = bench.found(key.digest()).await?;
    expect(found.is_revoked(), format!("a key to be revoked after {beside} and its revocation ran at once"), &found)?;
    Ok(found)
}

/// Which of two calls begins, and how far it comes before the other one does.
#[derive(Clone, Copy)]
enum Interleaving {
    FirstLeads(usize),
    SecondLeads(usize),
}

impl Interleaving {
    async fn run<A: Future, B: Future>(self, first: A, second: B) -> (A::Output, B::Output) {
        match self {
            Self::FirstLeads(lead) => staggered(first, second, lead).await,
            Self::SecondLeads(lead) => {
                let (second, first) = staggered(second, first, lead).await;
                (first, second)
            }
        }
    }
}

fn interleavings() -> impl Iterator<Item = Interleaving> {
    LEADS.into_iter().flat_map(|lead| [Interleaving::FirstLeads(lead), Interleaving::SecondLeads(lead)])
}
