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
                it.on_insert(|table, record| {
                    ready(table.is_up().and_then(|()| Ok(table.put(record.into_record(table.now())?))))
                })
            },
            &[
                "stores_a_digest_once",
                "stores_a_digest_once_across_organizations",
                "a_revoke_outlives_later_changes",
                "one_of_many_imports_succeeds",
            ],
        ),
        Broken::new(
            "a digest is unique within its organization alone",
            |it| {
                it.on_insert(|table, record| {
                    let theirs =
                        |row: &KeyRecord| *row.digest() == record.digest && *row.organization() != record.organization;
                    if table.is_up().is_err() || !table.rows().iter().any(theirs) {
                        return ready(table.insert(record));
                    }
                    ready(record.into_record(table.now()).map(|record| table.put_another(record)))
                })
            },
            &["stores_a_digest_once_across_organizations"],
        ),
        Broken::new(
            "whether a digest is stored is asked before it is stored",
            |it| {
                it.on_insert(|table, record| async move {
                    let taken = table.find(&record.digest).map_err(BackendError::store)?.is_some();
                    yield_now().await;
                    if taken {
                        return Err(BackendError::AlreadyExists);
                    }
                    Ok(table.put_another(record.into_record(table.now())?))
                })
            },
            &["one_of_many_imports_succeeds"],
        ),
        Broken::new(
            "the expiry of a new key may be in the past",
            |it| {
                it.on_insert(|table, record| {
                    let expires_at = record.expires_at;
                    let stored = table.insert(NewRecord { expires_at: None, ..record });
                    ready(stored.map(|stored| table.put(Arc::unwrap_or_clone(stored).with_expires_at(expires_at))))
                })
            },
            &["never_stores_an_expired_key"],
        ),
        Broken::new(
            "insert returns the record as it was before it was stored",
            |it| {
                it.on_insert(|table, record| {
                    let stored = table.insert(record);
                    ready(stored.map(|stored| {
                        Arc::new(Arc::unwrap_or_clone(stored).with_created_at(table.now() - Duration::from_secs(7)))
                    }))
                })
            },
            &["issues_a_key_that_is_found", "imports_a_key_that_is_found", "regenerate_counts_the_lifetime_from_now"],
        ),
    ]
}
