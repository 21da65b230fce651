//! Two calls at once: each pair in several interleavings, both ways round.

use std::sync::Arc;

use futures::future::join_all;

use super::super::bench::{Bench, HOUR, limit_to, new_record};
use super::super::interleave::{LEADS, staggered};
use super::super::verdict::{Expecting, Verdict, expect, expect_same};
use super::policy::policy_of;
use crate::key::{KeyId, KeyRecord, OrganizationPolicy};
use crate::manage::{ManageError, RegenerateOptions};
use crate::scope::{Access, ScopeSet, avala};
use crate::store::{BackendError, Expiry, InsertRules, KeyBackend, KeyUpdate, KeyUsage, NewRecord, PolicyUpdate};

const MANY: usize = 8;

pub(super) async fn one_of_many_regenerates_succeeds<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add(Access::Full).await?;
    let calls = (0..MANY).map(|_| bench.manager.regenerate(&bench.own, key.id(), Expiry::Never));
    let results = join_all(calls).await;

    let conflicts = results.iter().filter(|result| matches!(result, Err(ManageError::Conflict))).count();
    let new: Vec<_> = results.iter().flatten().map(|issued| issued.record.id()).collect();
    let holds = new.len() == 1 && conflicts == MANY - 1;
    expect(holds, format!("one of {MANY} regenerates to succeed and the others to end with Conflict"), &results)?;
    expect_same("the number of live keys", &1, &bench.live().await?)?;
    let old = bench.found(key.digest()).await?;
    expect_same("the replacement of the old key", &new.first().copied(), &old.replaced_by())
}

pub(super) async fn one_of_many_imports_succeeds<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let record = new_record(&bench.own, Access::Full)?;
    let ids = (0..MANY).map(|_| KeyId::random().expecting("randomness")).collect::<Verdict<Vec<_>>>()?;
    let calls = ids.into_iter().map(|id| bench.store.insert(NewRecord { id, ..record.clone() }, InsertRules::new()));
    let results = join_all(calls).await;

    let rejected = results.iter().filter(|result| matches!(result, Err(BackendError::AlreadyExists))).count();
    let holds = results.iter().flatten().count() == 1 && rejected == MANY - 1;
    expect(holds, format!("one of {MANY} inserts of a digest to succeed, the others AlreadyExists"), &results)?;
    expect_same("the number of keys", &1, &bench.all().await?.len())
}

pub(super) async fn a_revoke_holds_against_an_update<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    for interleaving in interleavings() {
        let key = bench.add(Access::scoped([avala::TASKS_READ, avala::PROJECTS_READ])).await?;
        let update = bench.store.update(&bench.own, key.id(), limit_to([avala::TASKS_READ]));
        let (updated, revoked) = interleaving.run(update, bench.revoke(key.id())).await;
        revoked?;
        let holds = matches!(updated, Ok(_) | Err(BackendError::Conflict));
        expect(holds, "`update` during `revoke` to succeed or to end with Conflict", &updated)?;
        is_revoked(bench, &key, "`update`").await?;
    }
    Ok(())
}

pub(super) async fn a_revoke_holds_against_a_policy<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    for interleaving in interleavings() {
        let key = bench.add(Access::Full).await?;
        let set_policy = bench.set_policy(OrganizationPolicy::default().with_max_key_age(HOUR));
        let (set, revoked) = interleaving.run(set_policy, bench.revoke(key.id())).await;
        set?;
        revoked?;
        is_revoked(bench, &key, "`set_organization_policy`").await?;
    }
    Ok(())
}

/// An organization that is disabled is not enabled again by a maximum age that is set meanwhile.
pub(super) async fn two_policy_updates_both_hold<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let (update, none) = (PolicyUpdate::new(), OrganizationPolicy::default());
    let both = none.with_max_key_age(HOUR).with_disabled(true);
    for interleaving in interleavings() {
        bench.set_policy(none).await?;
        let age = bench.store.update_organization_policy(&bench.own, update.with_max_key_age(HOUR));
        let disable = bench.store.update_organization_policy(&bench.own, update.with_disabled(true));
        let (aged, disabled) = interleaving.run(age, disable).await;
        let returned = [
            aged.expecting("`update_organization_policy` to set the maximum age")?,
            disabled.expecting("`update_organization_policy` to disable the organization")?,
        ];
        expect_same("the policy after two updates at once", &both, &policy_of(bench, &bench.own).await?)?;
        expect(returned.contains(&both), "the later of two updates to return both", &returned)?;
    }
    Ok(())
}

pub(super) async fn a_revoke_holds_against_usage<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
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

/// If the revoke comes first, there is no new key. If the regenerate does, the new key is live.
pub(super) async fn a_revoke_holds_against_a_regenerate<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    for interleaving in interleavings() {
        let key = bench.add(Access::Full).await?;
        let live_before = bench.live().await?;
        let regenerate = bench.manager.regenerate(&bench.own, key.id(), Expiry::Never);
        let (regenerated, revoked) = interleaving.run(regenerate, bench.revoke(key.id())).await;
        revoked?;
        let old = is_revoked(bench, &key, "`regenerate`").await?;
        match regenerated {
            Ok(new) => {
                expect_same("the replacement of the old key", &Some(new.record.id()), &old.replaced_by())?;
                let new = bench.found(new.record.digest()).await?;
                expect(!new.is_revoked(), "a new key that is live", &new)?;
                expect_same("the number of live keys", &live_before, &bench.live().await?)?;
            }
            Err(ManageError::Conflict) => {
                expect_same("the replacement of a key that was revoked first", &None, &old.replaced_by())?;
                expect_same("the number of live keys", &(live_before - 1), &bench.live().await?)?;
            }
            other => expect(false, "`regenerate` during `revoke` to succeed or to end with Conflict", &other)?,
        }
    }
    Ok(())
}

/// If the update comes first, it holds for the new key. If the regenerate does, the update is a conflict.
pub(super) async fn a_regenerate_holds_against_an_update<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let wide = Access::scoped([avala::TASKS_READ, avala::PROJECTS_READ]);
    let narrow = Access::scoped([avala::TASKS_READ]);
    for interleaving in interleavings() {
        let key = bench.add(wide.clone()).await?;
        let update = bench.store.update(&bench.own, key.id(), limit_to([avala::TASKS_READ]));
        let (updated, new) = interleaving.run(update, bench.regenerate(key.id(), Expiry::Never)).await;
        let new = bench.found(new?.record.digest()).await?;
        let expected = match updated {
            Ok(_) => &narrow,
            Err(BackendError::Conflict) => &wide,
            other => return expect(false, "`update` during `regenerate` to succeed or to end with Conflict", &other),
        };
        expect_same("the access of the new key", expected, new.access())?;
        let old = is_revoked(bench, &key, "`update`").await?;
        expect_same("the replacement of the old key", &Some(new.id()), &old.replaced_by())?;
    }
    Ok(())
}

pub(super) async fn a_revoke_holds_against_an_overlap<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let overlap = RegenerateOptions::new().with_expiry(Expiry::Never).with_overlap(HOUR);
    for interleaving in interleavings() {
        let key = bench.add(Access::Full).await?;
        let regenerate = bench.manager.regenerate(&bench.own, key.id(), overlap);
        let (regenerated, revoked) = interleaving.run(regenerate, bench.revoke(key.id())).await;
        revoked?;
        let old = is_revoked(bench, &key, "`regenerate` with an overlap").await?;
        let new = match regenerated {
            Ok(new) => Some(new.record.id()),
            Err(ManageError::Conflict) => None,
            other => return expect(false, "`regenerate` to succeed or to end with Conflict", &other),
        };
        expect_same("the replacement of the old key", &new, &old.replaced_by())?;
    }
    Ok(())
}

/// If the suspension comes first, there is no new key. If the regenerate does, the old key is suspended.
pub(super) async fn a_suspension_holds_against_an_overlap<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let overlap = RegenerateOptions::new().with_expiry(Expiry::Never).with_overlap(HOUR);
    for interleaving in interleavings() {
        let key = bench.add(Access::Full).await?;
        let regenerate = bench.manager.regenerate(&bench.own, key.id(), overlap);
        let (regenerated, suspended) = interleaving.run(regenerate, bench.suspend(key.id(), true)).await;
        suspended?;
        let old = bench.found(key.digest()).await?;
        expect(old.is_suspended(), "a key to be suspended after `regenerate` and a suspension ran at once", &old)?;
        let made = regenerated.is_ok() == old.replaced_by().is_some();
        let holds = made && matches!(regenerated, Ok(_) | Err(ManageError::Conflict));
        expect(holds, "`regenerate` to succeed or to end with Conflict", &regenerated)?;
    }
    Ok(())
}

pub(super) async fn a_revoke_holds_against_a_suspension<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    for interleaving in interleavings() {
        let key = bench.add(Access::Full).await?;
        let suspend = bench.store.update(&bench.own, key.id(), KeyUpdate::new().with_suspended(true));
        let (suspended, revoked) = interleaving.run(suspend, bench.revoke(key.id())).await;
        revoked?;
        let holds = matches!(suspended, Ok(_) | Err(BackendError::Conflict));
        expect(holds, "`update` during `revoke` to succeed or to end with Conflict", &suspended)?;
        is_revoked(bench, &key, "a suspension").await?;
    }
    Ok(())
}

pub(super) async fn the_most_active_keys_hold_for_many_at_once<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    const MOST: usize = 3;
    let rules = InsertRules::new().with_max_active(MOST as u64);
    let records = (0..MANY).map(|_| new_record(&bench.own, Access::Full)).collect::<Verdict<Vec<_>>>()?;
    let results = join_all(records.into_iter().map(|record| bench.store.insert(record, rules))).await;
    let rejected = results.iter().filter(|result| matches!(result, Err(BackendError::TooManyKeys))).count();
    let holds = results.iter().flatten().count() == MOST && rejected == MANY - MOST;
    expect(holds, format!("{MOST} of {MANY} inserts to succeed, and the others to end with TooManyKeys"), &results)?;
    expect_same("the number of keys", &MOST, &bench.all().await?.len())
}

/// The second update asks for a scope that the first has removed.
pub(super) async fn concurrent_updates_never_widen<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let some = ScopeSet::from([avala::DATASETS_READ, avala::TASKS_READ]);
    let others = ScopeSet::from([avala::TASKS_READ, avala::PROJECTS_READ]);
    for interleaving in interleavings() {
        let key = bench.add(Access::scoped(avala::ALL)).await?;
        let update = |scopes: &ScopeSet| bench.store.update(&bench.own, key.id(), limit_to(scopes.clone()));
        let (first, second) = interleaving.run(update(&some), update(&others)).await;
        let kept = match (&first, &second) {
            (Ok(_), Err(BackendError::WouldWiden)) => &some,
            (Err(BackendError::WouldWiden), Ok(_)) => &others,
            both => return expect(false, "one `update` to succeed and the other to end with WouldWiden", &both),
        };
        let found = bench.found(key.digest()).await?;
        expect_same("the access", &Access::Scoped(kept.clone()), found.access())?;
    }
    Ok(())
}

pub(super) async fn a_policy_reaches_a_key_issued_meanwhile<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    for (number, interleaving) in (1..).zip(interleavings()) {
        let policy = OrganizationPolicy::default().with_max_key_age(number * HOUR);
        let (set, key) = interleaving.run(bench.set_policy(policy), bench.add(Access::Full)).await;
        set?;
        let found = bench.found(key?.digest()).await?;
        expect_same("the policy of a key that was issued while it was set", &policy, &found.policy())?;
    }
    Ok(())
}

async fn is_revoked<S: KeyBackend>(bench: &Bench<'_, S>, key: &KeyRecord, call: &str) -> Verdict<Arc<KeyRecord>> {
    let found = bench.found(key.digest()).await?;
    expect(found.is_revoked(), format!("a key to be revoked after {call} and `revoke` ran at once"), &found)?;
    Ok(found)
}

/// Which of two calls begins, and how often it is polled before the other one.
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
