//! Stores where a regenerated key is not the one key that takes the place of another.

use std::future::ready;
use std::sync::Arc;

use tokio::task::yield_now;
use tower_api_key::Access;
use tower_api_key::key::KeyRecord;
use tower_api_key::store::{BackendError, Expiry, Replacement};

use super::row::unrevoked;
use crate::broken::Broken;

pub(super) fn all() -> Vec<Broken> {
    vec![
        Broken::new(
            "the old key lives on next to the new one",
            |it| {
                it.on_replace(|table, (organization, id, replacement, rules)| {
                    let old = table.get(&organization, id);
                    let new = table.replace(&organization, id, replacement, rules);
                    if new.is_ok() {
                        table.put(unrevoked(&old.unwrap()));
                    }
                    ready(new)
                })
            },
            &[
                "keeps_to_the_most_active_keys",
                "filters_by_status",
                "revoking_again_changes_nothing",
                "regenerate_replaces_the_key",
                "a_regenerate_is_seen_at_once",
                "regenerate_restores_an_expired_key",
                "never_regenerates_a_revoked_key",
                "an_overlap_ends_by_itself",
                "never_regenerates_an_old_or_suspended_key",
                "one_of_many_regenerates_succeeds",
                "a_revoke_holds_against_a_regenerate",
                "a_regenerate_holds_against_an_update",
                "a_revoke_holds_against_an_overlap",
                "a_suspension_holds_against_an_overlap",
                "a_dropped_regenerate_is_all_or_nothing",
            ],
        ),
        Broken::new(
            "what replaced the old key is lost",
            |it| it.reads(|key| key.with_replaced_by(None)),
            &[
                "regenerate_replaces_the_key",
                "regenerate_restores_an_expired_key",
                "an_overlap_ends_by_itself",
                "never_regenerates_an_old_or_suspended_key",
                "one_of_many_regenerates_succeeds",
                "a_revoke_holds_against_a_regenerate",
                "a_regenerate_holds_against_an_update",
                "a_revoke_holds_against_an_overlap",
                "a_suspension_holds_against_an_overlap",
            ],
        ),
        Broken::new(
            "a new key has no limits",
            |it| {
                it.on_replace(|table, (organization, id, replacement, rules)| {
                    let new = table.replace(&organization, id, replacement, rules);
                    ready(
                        new.and_then(|new| {
                            table.change(&organization, new.id(), |row| Ok(row.with_access(Access::Full)))
                        }),
                    )
                })
            },
            &["regenerate_keeps_name_and_access", "a_regenerate_holds_against_an_update"],
        ),
        Broken::new(
            "a new key has a name of its own",
            |it| {
                it.on_replace(|table, (organization, id, replacement, rules)| {
                    let new = table.replace(&organization, id, replacement, rules);
                    ready(
                        new.and_then(|new| {
                            table.change(&organization, new.id(), |row| Ok(row.with_name("regenerated")))
                        }),
                    )
                })
            },
            &["regenerate_keeps_name_and_access"],
        ),
        Broken::new(
            "a new key expires when the old one would have",
            |it| {
                it.on_replace(|table, (organization, id, mut replacement, rules)| {
                    let old = table.get(&organization, id);
                    if let (Expiry::SameLifetime, Ok(Some(time))) =
                        (replacement.expiry, old.map(|old| old.expires_at()))
                    {
                        replacement.expiry = Expiry::At(time);
                    }
                    ready(table.replace(&organization, id, replacement, rules))
                })
            },
            &["regenerate_counts_the_lifetime_from_now"],
        ),
        Broken::new(
            "a new key never expires",
            |it| {
                it.on_replace(|table, (organization, id, replacement, rules)| {
                    ready(table.replace(&organization, id, Replacement { expiry: Expiry::Never, ..replacement }, rules))
                })
            },
            &[
                "regenerate_counts_the_lifetime_from_now",
                "regenerate_takes_the_expiry_asked_for",
                "never_regenerates_to_an_expired_key",
            ],
        ),
        Broken::new(
            "an expired key cannot be regenerated",
            |it| {
                it.on_replace(|table, (organization, id, replacement, rules)| {
                    let expired = table.get(&organization, id).is_ok_and(|old| old.is_expired(|| table.now()));
                    let new = if expired {
                        Err(BackendError::Conflict)
                    } else {
                        table.replace(&organization, id, replacement, rules)
                    };
                    ready(new)
                })
            },
            &["regenerate_restores_an_expired_key"],
        ),
        Broken::new(
            "a revoked key can be regenerated",
            |it| {
                it.on_replace(|table, (organization, id, replacement, rules)| {
                    ready(table.get(&organization, id).and_then(|old| {
                        if !old.is_revoked() {
                            return table.replace(&organization, id, replacement, rules);
                        }
                        Ok(table.put_another(replacement.apply(&unrevoked(&old), table.now(), rules)?.new))
                    }))
                })
            },
            &[
                "never_regenerates_a_revoked_key",
                "one_of_many_regenerates_succeeds",
                "a_revoke_holds_against_a_regenerate",
                "a_revoke_holds_against_an_overlap",
            ],
        ),
        Broken::new(
            "the old key is revoked before it is known whether the new one can be stored",
            |it| {
                it.on_replace(|table, (organization, id, replacement, rules)| {
                    let old = table.get(&organization, id);
                    let new = table.replace(&organization, id, replacement, rules);
                    if let (Ok(old), Err(BackendError::AlreadyExists)) = (old, &new) {
                        table.put(Arc::unwrap_or_clone(old).with_revoked_at(table.now()));
                    }
                    ready(new)
                })
            },
            &["a_rejected_replacement_changes_nothing"],
        ),
        Broken::new(
            "the old key is revoked before the expiry of the new one is looked at",
            |it| {
                it.on_replace(|table, (organization, id, replacement, rules)| {
                    let old = table.get(&organization, id);
                    let new = table.replace(&organization, id, replacement, rules);
                    if let (Ok(old), Err(BackendError::ExpiryInPast)) = (old, &new) {
                        table.put(Arc::unwrap_or_clone(old).with_revoked_at(table.now()));
                    }
                    ready(new)
                })
            },
            &["never_regenerates_to_an_expired_key"],
        ),
        Broken::new(
            "the expiry of a new key may be in the past",
            |it| {
                it.on_replace(|table, (organization, id, replacement, rules)| {
                    let Expiry::At(time) = replacement.expiry else {
                        return ready(table.replace(&organization, id, replacement, rules));
                    };
                    let new =
                        table.replace(&organization, id, Replacement { expiry: Expiry::Never, ..replacement }, rules);
                    ready(new.map(|new| table.put(Arc::unwrap_or_clone(new).with_expires_at(time))))
                })
            },
            &["never_regenerates_to_an_expired_key"],
        ),
        Broken::new(
            "the new key is stored, and a moment later the old one is revoked",
            |it| {
                it.on_replace(|table, (organization, id, replacement, rules)| async move {
                    let old = table.get(&organization, id)?;
                    if old.is_revoked() {
                        return Err(BackendError::Conflict);
                    }
                    if table.find(&replacement.digest).is_ok_and(|found| found.is_some()) {
                        return Err(BackendError::AlreadyExists);
                    }
                    let new = table.put_another(replacement.apply(&old, table.now(), rules)?.new);
                    yield_now().await;
                    let replaced = |row: KeyRecord| Ok(row.with_revoked_at(table.now()).with_replaced_by(new.id()));
                    table.change(&organization, id, replaced)?;
                    Ok(new)
                })
            },
            &[
                "keeps_to_the_most_active_keys",
                "an_overlap_ends_by_itself",
                "one_of_many_regenerates_succeeds",
                "a_regenerate_holds_against_an_update",
                "a_suspension_holds_against_an_overlap",
                "a_dropped_regenerate_is_all_or_nothing",
            ],
        ),
    ]
}
