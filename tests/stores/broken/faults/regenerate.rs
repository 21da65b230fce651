//! Stores where a regenerated key is not the one key that takes the place of another.

use std::future::ready;
use std::sync::Arc;

use tokio::task::yield_now;
use tower_api_key::{Access, Expiry, KeyRecord, ManageError};

use super::row::unrevoked;
use crate::broken::Broken;

pub(super) fn all() -> Vec<Broken> {
    vec![
        Broken::new(
            "the old key lives on beside the new one",
            |it| {
                it.on_replace(|table, (organization, id, expiry, credential)| {
                    let old = table.get(&organization, id);
                    let new = table.replace(&organization, id, expiry, credential);
                    if new.is_ok() {
                        table.put(unrevoked(&old.unwrap()));
                    }
                    ready(new)
                })
            },
            &[
                "filters_by_status",
                "revoking_again_changes_nothing",
                "regenerate_replaces_the_key",
                "a_regenerate_is_seen_at_once",
                "regenerate_restores_an_expired_key",
                "never_regenerates_a_revoked_key",
                "one_of_many_regenerates_succeeds",
                "a_revoke_holds_against_a_regenerate",
                "a_regenerate_holds_against_a_narrow",
                "a_dropped_regenerate_is_all_or_nothing",
            ],
        ),
        Broken::new(
            "nobody knows what replaced the old key",
            |it| {
                it.reads(|key| {
                    let time = key.revoked_at();
                    key.with_revoked_at(time)
                })
            },
            &[
                "regenerate_replaces_the_key",
                "regenerate_restores_an_expired_key",
                "one_of_many_regenerates_succeeds",
                "a_revoke_holds_against_a_regenerate",
                "a_regenerate_holds_against_a_narrow",
            ],
        ),
        Broken::new(
            "a new key has no limits",
            |it| {
                it.on_replace(|table, (organization, id, expiry, credential)| {
                    let new = table.replace(&organization, id, expiry, credential);
                    ready(
                        new.and_then(|new| {
                            table.update(&organization, new.id(), |row| Ok(row.with_access(Access::Full)))
                        }),
                    )
                })
            },
            &["regenerate_keeps_name_and_access", "a_regenerate_holds_against_a_narrow"],
        ),
        Broken::new(
            "a new key has a name of its own",
            |it| {
                it.on_replace(|table, (organization, id, expiry, credential)| {
                    let new = table.replace(&organization, id, expiry, credential);
                    ready(
                        new.and_then(|new| {
                            table.update(&organization, new.id(), |row| Ok(row.with_name("regenerated")))
                        }),
                    )
                })
            },
            &["regenerate_keeps_name_and_access"],
        ),
        Broken::new(
            "a new key expires when the old one would have",
            |it| {
                it.on_replace(|table, (organization, id, expiry, credential)| {
                    let old = table.get(&organization, id);
                    let expiry = match (expiry, old.map(|old| old.expires_at())) {
                        (Expiry::SameLifetime, Ok(Some(time))) => Expiry::At(time),
                        _ => expiry,
                    };
                    ready(table.replace(&organization, id, expiry, credential))
                })
            },
            &["regenerate_counts_the_lifetime_from_now"],
        ),
        Broken::new(
            "a new key never expires",
            |it| {
                it.on_replace(|table, (organization, id, _, credential)| {
                    ready(table.replace(&organization, id, Expiry::Never, credential))
                })
            },
            &["regenerate_counts_the_lifetime_from_now", "regenerate_takes_the_expiry_asked_for"],
        ),
        Broken::new(
            "an expired key cannot be regenerated",
            |it| {
                it.on_replace(|table, (organization, id, expiry, credential)| {
                    let expired = table.get(&organization, id).is_ok_and(|old| old.is_expired(|| table.now()));
                    let new = if expired {
                        Err(ManageError::Conflict)
                    } else {
                        table.replace(&organization, id, expiry, credential)
                    };
                    ready(new)
                })
            },
            &["regenerate_restores_an_expired_key"],
        ),
        Broken::new(
            "a revoked key can be regenerated",
            |it| {
                it.on_replace(|table, (organization, id, expiry, credential)| {
                    ready(table.get(&organization, id).and_then(|old| {
                        if !old.is_revoked() {
                            return table.replace(&organization, id, expiry, credential);
                        }
                        Ok(table.put_beside(table.successor(&old, expiry, credential)?))
                    }))
                })
            },
            &[
                "never_regenerates_a_revoked_key",
                "one_of_many_regenerates_succeeds",
                "a_revoke_holds_against_a_regenerate",
            ],
        ),
        Broken::new(
            "the old key is revoked before it is known whether the new one can be stored",
            |it| {
                it.on_replace(|table, (organization, id, expiry, credential)| {
                    let old = table.get(&organization, id);
                    let new = table.replace(&organization, id, expiry, credential);
                    if let (Ok(old), Err(ManageError::AlreadyExists)) = (old, &new) {
                        table.put(Arc::unwrap_or_clone(old).with_revoked_at(table.now()));
                    }
                    ready(new)
                })
            },
            &["a_refused_replacement_changes_nothing"],
        ),
        Broken::new(
            "the new key is stored, and a moment later the old one is revoked",
            |it| {
                it.on_replace(|table, (organization, id, expiry, credential)| async move {
                    let old = table.get(&organization, id)?;
                    if old.is_revoked() {
                        return Err(ManageError::Conflict);
                    }
                    if table.find(&credential.digest).is_ok_and(|found| found.is_some()) {
                        return Err(ManageError::AlreadyExists);
                    }
                    let new = table.put_beside(table.successor(&old, expiry, credential)?);
                    yield_now().await;
                    let replaced = |row: KeyRecord| Ok(row.with_replaced_by(table.now(), new.id()));
                    table.update(&organization, id, replaced)?;
                    Ok(new)
                })
            },
            &[
                "one_of_many_regenerates_succeeds",
                "a_regenerate_holds_against_a_narrow",
                "a_dropped_regenerate_is_all_or_nothing",
            ],
        ),
    ]
}
