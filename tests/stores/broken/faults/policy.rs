//! Stores where a policy does not reach the keys it is for.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::yield_now;
use tower_api_key::key::{KeyDigest, OrganizationPolicy};

use crate::broken::Broken;
use crate::broken::table::{Found, Table};

pub(super) fn all() -> Vec<Broken> {
    vec![
        Broken::new(
            "a policy is not kept",
            |it| it.on_set_organization_policy(|table, _| ready(table.is_up())),
            &[
                "keeps_the_policy",
                "a_policy_reaches_existing_keys",
                "a_policy_reaches_new_keys",
                "a_policy_update_keeps_the_rest",
                "the_status_filter_knows_the_maximum_age",
                "two_policy_updates_both_hold",
                "a_policy_reaches_a_key_issued_meanwhile",
            ],
        ),
        Broken::new(
            "a maximum age of zero is none",
            |it| {
                it.on_set_organization_policy(|table, (organization, policy)| {
                    let zero = policy.max_key_age() == Some(Duration::ZERO);
                    let kept = OrganizationPolicy::default().with_disabled(policy.is_disabled());
                    ready(table.set_organization_policy(&organization, if zero { kept } else { policy }))
                })
            },
            &["keeps_the_policy", "the_status_filter_knows_the_maximum_age"],
        ),
        Broken::new(
            "a maximum age that does not fit is a panic",
            |it| {
                it.on_set_organization_policy(|table, (organization, policy)| {
                    let fits = policy.max_key_age().is_none_or(|age| i64::try_from(age.as_nanos()).is_ok());
                    assert!(fits, "out of range");
                    ready(table.set_organization_policy(&organization, policy))
                })
            },
            &["keeps_the_policy"],
        ),
        Broken::new(
            "a policy is for keys that are issued later",
            |it| {
                let of_key = PolicyOfKey::default();
                let copies = of_key.clone();
                it.on_find(move |table, digest| ready(of_key.find(&table, &digest))).on_insert(
                    move |table, (record, rules)| {
                        copies.set(record.digest, table.organization_policy(&record.organization).unwrap_or_default());
                        ready(table.insert(record, rules))
                    },
                )
            },
            &[
                "a_policy_reaches_existing_keys",
                "a_policy_update_keeps_the_rest",
                "a_policy_reaches_a_key_issued_meanwhile",
            ],
        ),
        Broken::new(
            "a regenerated key is free of the policy",
            |it| {
                let of_key = PolicyOfKey::default();
                let copies = of_key.clone();
                it.on_find(move |table, digest| ready(of_key.find(&table, &digest))).on_replace(
                    move |table, (organization, id, replacement, rules)| {
                        copies.set(replacement.digest, OrganizationPolicy::default());
                        ready(table.replace(&organization, id, replacement, rules))
                    },
                )
            },
            &["a_policy_reaches_new_keys"],
        ),
        Broken::new(
            "insert copies the policy that it read a moment ago",
            |it| {
                let of_key = PolicyOfKey::default();
                let (copies, stale) = (of_key.clone(), of_key.clone());
                it.on_find(move |table, digest| ready(of_key.find(&table, &digest)))
                    .on_insert(move |table, (record, rules)| {
                        let copies = copies.clone();
                        async move {
                            let policy = table.organization_policy(&record.organization).unwrap_or_default();
                            yield_now().await;
                            copies.set(record.digest, policy);
                            table.insert(record, rules)
                        }
                    })
                    .on_set_organization_policy(move |table, (organization, policy)| {
                        stale.forget();
                        ready(table.set_organization_policy(&organization, policy))
                    })
            },
            &["a_policy_reaches_a_key_issued_meanwhile"],
        ),
        Broken::new(
            "a policy is for every organization",
            |it| {
                it.on_set_organization_policy(|table, (organization, policy)| {
                    let set = |organization| table.set_organization_policy(organization, policy);
                    ready(
                        table
                            .rows()
                            .iter()
                            .try_for_each(|row| set(row.organization()))
                            .and_then(|()| set(&organization)),
                    )
                })
            },
            &["a_policy_stays_in_its_organization"],
        ),
        Broken::new(
            "an update of the policy sets the rest to the default",
            |it| {
                it.on_update_policy(|table, (organization, update)| {
                    let policy = update.apply(OrganizationPolicy::default());
                    ready(table.set_organization_policy(&organization, policy).map(|()| policy))
                })
            },
            &["a_policy_update_keeps_the_rest", "two_policy_updates_both_hold"],
        ),
        Broken::new(
            "an update of the policy returns the policy before it",
            |it| {
                it.on_update_policy(|table, (organization, update)| {
                    ready(table.organization_policy(&organization).and_then(|before| {
                        table.set_organization_policy(&organization, update.apply(before))?;
                        Ok(before)
                    }))
                })
            },
            &["a_policy_update_keeps_the_rest", "two_policy_updates_both_hold"],
        ),
        Broken::new(
            "an update of the policy sets the rest as it was a moment ago",
            |it| {
                it.on_update_policy(|table, (organization, update)| async move {
                    let policy = update.apply(table.organization_policy(&organization)?);
                    yield_now().await;
                    table.set_organization_policy(&organization, policy)?;
                    Ok(policy)
                })
            },
            &["two_policy_updates_both_hold"],
        ),
        Broken::new(
            "set_organization_policy writes back every row that it read a moment ago",
            |it| {
                it.on_set_organization_policy(|table, (organization, policy)| async move {
                    let rows = table.rows();
                    yield_now().await;
                    for row in rows {
                        table.put(row);
                    }
                    table.set_organization_policy(&organization, policy)
                })
            },
            &["a_revoke_holds_against_a_policy", "two_policy_updates_both_hold"],
        ),
    ]
}

/// Policies that are copied to keys, where they take the place of the organization's.
#[derive(Clone, Default)]
struct PolicyOfKey(Arc<Mutex<HashMap<KeyDigest, OrganizationPolicy>>>);

impl PolicyOfKey {
    fn set(&self, digest: KeyDigest, policy: OrganizationPolicy) {
        self.0.lock().unwrap().insert(digest, policy);
    }

    fn forget(&self) {
        self.0.lock().unwrap().clear();
    }

    fn find(&self, table: &Table, digest: &KeyDigest) -> Found {
        let found = table.find(digest)?;
        let copy = self.0.lock().unwrap().get(digest).copied();
        Ok(match (found, copy) {
            (Some(key), Some(policy)) => Some(Arc::new(Arc::unwrap_or_clone(key).with_policy(policy))),
            (found, _) => found,
        })
    }
}
