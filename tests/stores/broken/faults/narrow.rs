//! Stores where a narrowed key may do more than it should.

use std::future::ready;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tower_api_key::{Access, ManageError};

use super::row::unrevoked;
use crate::broken::Broken;

pub(super) fn all() -> Vec<Broken> {
    vec![
        Broken::new(
            "narrow sets whatever scopes it is given",
            |it| {
                it.on_narrow(|table, (organization, id, scopes)| {
                    ready(table.update(&organization, id, |row| match row.is_revoked() {
                        true => Err(ManageError::Conflict),
                        false => Ok(row.with_access(Access::Scoped(scopes))),
                    }))
                })
            },
            &["narrow_never_widens", "concurrent_narrows_never_widen"],
        ),
        Broken::new(
            "narrow to nothing removes the limits",
            |it| {
                it.on_narrow(|table, (organization, id, scopes)| {
                    let narrowed = table.narrow(&organization, id, &scopes);
                    if !scopes.is_empty() || narrowed.is_err() {
                        return ready(narrowed);
                    }
                    ready(table.update(&organization, id, |row| Ok(row.with_access(Access::Full))))
                })
            },
            &[
                "keeps_an_empty_scope_set_empty",
                "narrow_keeps_what_was_asked_for",
                "narrow_never_widens",
                "a_narrow_is_seen_at_once",
            ],
        ),
        Broken::new(
            "narrow leaves full access as it is",
            |it| {
                it.on_narrow(|table, (organization, id, scopes)| {
                    let full =
                        table.get(&organization, id).is_ok_and(|key| key.access().is_full() && !key.is_revoked());
                    ready(if full { table.get(&organization, id) } else { table.narrow(&organization, id, &scopes) })
                })
            },
            &["narrow_keeps_what_was_asked_for", "a_narrow_is_seen_at_once"],
        ),
        Broken::new(
            "narrow returns the key as it was",
            |it| {
                it.on_narrow(|table, (organization, id, scopes)| {
                    let before = table.get(&organization, id);
                    ready(table.narrow(&organization, id, &scopes).and(before))
                })
            },
            &["changes_return_what_is_found", "narrow_keeps_what_was_asked_for", "regenerate_keeps_name_and_access"],
        ),
        Broken::new(
            "narrow writes back the whole row that it read a moment ago",
            |it| {
                it.on_narrow(|table, (organization, id, scopes)| async move {
                    let row = table.get(&organization, id)?;
                    if row.is_revoked() {
                        return Err(ManageError::Conflict);
                    }
                    if row.access().scopes().is_some_and(|have| !have.contains_all(&scopes)) {
                        return Err(ManageError::WouldWiden);
                    }
                    yield_now().await;
                    Ok(table.put(Arc::unwrap_or_clone(row).with_access(Access::Scoped(scopes))))
                })
            },
            &[
                "a_revoke_holds_against_a_narrow",
                "a_regenerate_holds_against_a_narrow",
                "concurrent_narrows_never_widen",
            ],
        ),
        Broken::new(
            "narrow brings a revoked key back",
            |it| {
                it.on_narrow(|table, (organization, id, scopes)| {
                    ready(table.get(&organization, id).and_then(|row| {
                        if row.access().scopes().is_some_and(|have| !have.contains_all(&scopes)) {
                            return Err(ManageError::WouldWiden);
                        }
                        Ok(table.put(unrevoked(&row).with_access(Access::Scoped(scopes))))
                    }))
                })
            },
            &[
                "a_revoke_outlives_later_changes",
                "a_revoke_holds_against_a_narrow",
                "a_regenerate_holds_against_a_narrow",
            ],
        ),
        Broken::new(
            "a change whose caller went away leaves its lock behind",
            |it| {
                let lock = Arc::new(Semaphore::new(1));
                it.on_narrow(move |table, (organization, id, scopes)| {
                    let lock = Arc::clone(&lock);
                    async move {
                        lock.acquire().await.unwrap().forget();
                        yield_now().await;
                        lock.add_permits(1);
                        table.narrow(&organization, id, &scopes)
                    }
                })
            },
            &["a_dropped_change_leaves_the_store_working"],
        ),
    ]
}
