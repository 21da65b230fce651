//! Stores that take a key they should refuse, or say something else of it than they keep.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::yield_now;
use tower_api_key::{KeyId, KeyRecord, ManageError};

use crate::broken::Broken;

pub(super) fn all() -> Vec<Broken> {
    vec![
        Broken::new(
            "a digest that is stored is overwritten",
            |it| {
                it.on_insert(|table, (organization, key, credential)| {
                    let id = KeyId::random().unwrap();
                    ready(table.is_up().map(|()| table.put(key.into_record(id, organization, credential, table.now()))))
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
                it.on_insert(|table, (organization, key, credential)| {
                    let theirs =
                        |row: &KeyRecord| *row.digest() == credential.digest && *row.organization() != organization;
                    if table.is_up().is_err() || !table.rows().iter().any(theirs) {
                        return ready(table.insert(&organization, key, credential));
                    }
                    let id = KeyId::random().unwrap();
                    ready(Ok(table.put_beside(key.into_record(id, organization, credential, table.now()))))
                })
            },
            &["stores_a_digest_once_across_organizations"],
        ),
        Broken::new(
            "whether a digest is stored is asked before it is stored",
            |it| {
                it.on_insert(|table, (organization, key, credential)| async move {
                    let taken = table.find(&credential.digest).map_err(ManageError::store)?.is_some();
                    yield_now().await;
                    if taken {
                        return Err(ManageError::AlreadyExists);
                    }
                    let id = KeyId::random()?;
                    Ok(table.put_beside(key.into_record(id, organization, credential, table.now())))
                })
            },
            &["one_of_many_imports_succeeds"],
        ),
        Broken::new(
            "insert returns the record as it was before it was stored",
            |it| {
                it.on_insert(|table, (organization, key, credential)| {
                    let stored = table.insert(&organization, key, credential);
                    ready(stored.map(|stored| {
                        Arc::new(Arc::unwrap_or_clone(stored).with_created_at(table.now() - Duration::from_secs(7)))
                    }))
                })
            },
            &["issues_a_key_that_is_found", "imports_a_key_that_is_found", "regenerate_counts_the_lifetime_from_now"],
        ),
    ]
}
