//! Stores that accept a key they should reject, or return another record than they keep.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::yield_now;
use tower_api_key::key::KeyRecord;
use tower_api_key::store::{BackendError, NewRecord};

use crate::broken::Broken;

pub(super) fn all() -> Vec<Broken> {
    vec![
        Broken::new(
            "a digest that is stored is overwritten",
            |it| {
                it.on_insert(|table, (record, rules)| {
                    ready(table.is_up().and_then(|()| Ok(table.put(record.into_record(table.now(), rules)?))))
                })
            },
            &[
                "stores_a_digest_once",
                "stores_a_digest_once_across_organizations",
                "keeps_to_the_most_active_keys",
                "a_revoke_outlives_later_changes",
                "a_purged_import_stays_revoked",
                "one_of_many_imports_succeeds",
                "the_most_active_keys_hold_for_many_at_once",
            ],
        ),
        Broken::new(
            "a digest is unique within its organization alone",
            |it| {
                it.on_insert(|table, (record, rules)| {
                    let theirs =
                        |row: &KeyRecord| *row.digest() == record.digest && *row.organization() != record.organization;
                    if table.is_up().is_err() || !table.rows().iter().any(theirs) {
                        return ready(table.insert(record, rules));
                    }
                    ready(record.into_record(table.now(), rules).map(|record| table.put_another(record)))
                })
            },
            &["stores_a_digest_once_across_organizations"],
        ),
        Broken::new(
            "whether a digest is stored is asked before it is stored",
            |it| {
                it.on_insert(|table, (record, rules)| async move {
                    let taken = table.find(&record.digest).map_err(BackendError::store)?.is_some();
                    yield_now().await;
                    if taken {
                        return Err(BackendError::AlreadyExists);
                    }
                    Ok(table.put_another(record.into_record(table.now(), rules)?))
                })
            },
            &[
                "keeps_to_the_most_active_keys",
                "one_of_many_imports_succeeds",
                "the_most_active_keys_hold_for_many_at_once",
            ],
        ),
        Broken::new(
            "the expiry of a new key may be in the past",
            |it| {
                it.on_insert(|table, (record, rules)| {
                    let expires_at = record.expires_at;
                    let stored = table.insert(NewRecord { expires_at: None, ..record }, rules);
                    ready(stored.map(|stored| table.put(Arc::unwrap_or_clone(stored).with_expires_at(expires_at))))
                })
            },
            &["never_stores_an_expired_key"],
        ),
        Broken::new(
            "insert returns the record as it was before it was stored",
            |it| {
                it.on_insert(|table, (record, rules)| {
                    let stored = table.insert(record, rules);
                    ready(stored.map(|stored| {
                        Arc::new(Arc::unwrap_or_clone(stored).with_created_at(table.now() - Duration::from_secs(7)))
                    }))
                })
            },
            &[
                "issues_a_key_that_is_found",
                "imports_a_key_that_is_found",
                "update_sets_every_field",
                "regenerate_counts_the_lifetime_from_now",
            ],
        ),
    ]
}
