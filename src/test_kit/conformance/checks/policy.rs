use std::time::Duration;

use super::super::bench::{Bench, HOUR, new_record};
use super::super::verdict::{Expecting, Verdict, expect, expect_same};
use super::sorted_ids;
use crate::key::{KeyStatus, OrganizationId, OrganizationPolicy};
use crate::scope::Access;
use crate::store::{Expiry, KeyBackend, ListKeys, PolicyUpdate};

pub(super) async fn keeps_the_policy<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let none = OrganizationPolicy::default();
    expect_same("no policy where none was set", &none, &policy_of(bench, &bench.own).await?)?;

    bench.add(Access::Full).await?;
    let ages = [Duration::ZERO, Duration::from_secs(1), 24 * 90 * HOUR].map(|age| none.with_max_key_age(age));
    for policy in ages.into_iter().flat_map(|aged| [aged, aged.with_disabled(true)]).chain([none]) {
        bench.set_policy(policy).await?;
        expect_same("the policy", &policy, &policy_of(bench, &bench.own).await?)?;
    }

    for age in [Duration::from_millis(1900), Duration::from_secs(i64::MAX as u64), Duration::MAX] {
        if bench.store.set_organization_policy(&bench.own, none.with_max_key_age(age)).await.is_ok() {
            let kept = policy_of(bench, &bench.own).await?.max_key_age();
            let holds = kept.is_some_and(|kept| kept <= age);
            expect(holds, format!("an error, or a maximum age of {age:?} or less"), &kept)?;
            // A sum with a time must not overflow.
            bench.list(&ListKeys::new().with_status(KeyStatus::Active)).await?;
        }
    }
    Ok(())
}

pub(super) async fn a_policy_reaches_existing_keys<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let keys = bench.add_many(2).await?;
    let strict = OrganizationPolicy::default().with_max_key_age(HOUR).with_disabled(true);
    for policy in [strict, OrganizationPolicy::default()] {
        for key in &keys {
            // A store that remembers lookups remembers this one.
            bench.answers(key.digest()).await?;
        }
        bench.set_policy(policy).await?;
        for key in &keys {
            for (call, found) in bench.answers(key.digest()).await? {
                expect_same(&format!("the policy that {call} returns"), &policy, &found.policy())?;
            }
            expect_same("the policy that `get` returns", &policy, &bench.get(key.id()).await?.policy())?;
        }
        for listed in bench.all().await? {
            expect_same("the policy that `list` returns", &policy, &listed.policy())?;
        }
    }
    Ok(())
}

pub(super) async fn a_policy_reaches_new_keys<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let old = bench.add(Access::Full).await?;
    let policy = OrganizationPolicy::default().with_max_key_age(HOUR);
    bench.set_policy(policy).await?;
    let inserted = bench.add(Access::Full).await?;
    let regenerated = bench.regenerate(old.id(), Expiry::Never).await?.record;
    for key in [inserted, regenerated] {
        expect_same("the policy of the record that is returned", &policy, &key.policy())?;
        expect_same("the policy of a new key", &policy, &bench.found(key.digest()).await?.policy())?;
    }
    Ok(())
}

pub(super) async fn a_policy_stays_in_its_organization<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let theirs = bench.insert(new_record(&bench.other, Access::Full)?).await?;
    bench.set_policy(OrganizationPolicy::default().with_max_key_age(HOUR).with_disabled(true)).await?;
    let none = OrganizationPolicy::default();
    expect_same("the policy of another organization", &none, &policy_of(bench, &bench.other).await?)?;
    let found = bench.found(theirs.digest()).await?;
    expect_same("the policy of another organization's key", &none, &found.policy())
}

pub(super) async fn a_policy_update_keeps_the_rest<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add(Access::Full).await?;
    let (update, day, none) = (PolicyUpdate::new(), 24 * HOUR, OrganizationPolicy::default());
    let updates = [
        update.with_max_key_age(day),
        update.with_disabled(true),
        update,
        update.with_max_key_age(HOUR),
        update.with_disabled(false),
        update.with_max_key_age(None),
        update.with_max_key_age(day).with_disabled(true),
    ];
    let mut policy = none;
    for update in updates {
        // A store that remembers lookups remembers this one.
        bench.answers(key.digest()).await?;
        policy = update.apply(policy);
        let returned = bench.store.update_organization_policy(&bench.own, update).await;
        let returned = returned.expecting("`update_organization_policy` to change the policy")?;
        expect_same(&format!("the policy that is returned by {update:?}"), &policy, &returned)?;
        expect_same(&format!("the policy after {update:?}"), &policy, &policy_of(bench, &bench.own).await?)?;
        for (call, found) in bench.answers(key.digest()).await? {
            expect_same(&format!("the policy that {call} returns"), &policy, &found.policy())?;
        }
    }
    expect_same("the policy of another organization", &none, &policy_of(bench, &bench.other).await?)
}

pub(super) async fn the_status_filter_knows_the_maximum_age<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let keys = [bench.add(Access::Full).await?, bench.add_until(bench.now() + HOUR, Access::Full).await?];
    bench.set_policy(OrganizationPolicy::default().with_max_key_age(Duration::ZERO)).await?;
    for (status, keys) in [(KeyStatus::Expired, &keys[..]), (KeyStatus::Active, &[]), (KeyStatus::Revoked, &[])] {
        let listed = bench.list(&ListKeys::new().with_status(status)).await?.keys;
        expect_same(&format!("the keys that are {status}"), &sorted_ids(keys), &sorted_ids(&listed))?;
    }
    Ok(())
}

pub(super) async fn policy_of<S: KeyBackend>(
    bench: &Bench<'_, S>,
    organization: &OrganizationId,
) -> Verdict<OrganizationPolicy> {
    let policy = bench.store.organization_policy(organization).await;
    policy.expecting("`organization_policy` to return the policy")
}
