//! Stores where an updated key may do more than it should.

use std::future::ready;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tower_api_key::Access;
use tower_api_key::store::{BackendError, KeyUpdate};

use super::row::unrevoked;
use crate::broken::Broken;

pub(super) fn all() -> Vec<Broken> {
    vec![
        Broken::new(
            "update sets whatever scopes it is given",
            |it| {
                it.on_update(|table, (organization, id, update)| {
                    ready(table.change(&organization, id, |row| match (row.is_revoked(), update.scopes()) {
                        (true, _) => Err(BackendError::Conflict),
                        (false, Some(scopes)) => Ok(row.with_access(Access::Scoped(scopes.clone()))),
                        (false, None) => Ok(row),
                    }))
                })
            },
            &[
                "counts_by_status",
                "update_never_widens",
                "update_sets_every_field",
                "update_never_extends",
                "a_suspended_key_is_seen_at_once",
                "never_regenerates_an_old_or_suspended_key",
                "concurrent_updates_never_widen",
                "a_suspension_holds_against_an_overlap",
            ],
        ),
        Broken::new(
            "an update to no scopes removes the limits",
            |it| {
                it.on_update(|table, (organization, id, update)| {
                    let updated = table.update(&organization, id, &update);
                    if update.scopes().is_none_or(|scopes| !scopes.is_empty()) || updated.is_err() {
                        return ready(updated);
                    }
                    ready(table.change(&organization, id, |row| Ok(row.with_access(Access::Full))))
                })
            },
            &[
                "keeps_an_empty_scope_set_empty",
                "update_keeps_the_scopes_asked_for",
                "update_never_widens",
                "an_update_is_seen_at_once",
            ],
        ),
        Broken::new(
            "an update of nothing leaves no scope",
            |it| {
                it.on_update(|table, (organization, id, update)| {
                    let scopes = update.scopes().cloned().unwrap_or_default();
                    ready(table.update(&organization, id, &KeyUpdate::new().with_scopes(scopes)))
                })
            },
            &[
                "counts_by_status",
                "an_empty_update_changes_nothing",
                "update_sets_every_field",
                "update_never_extends",
                "a_suspended_key_is_seen_at_once",
                "never_regenerates_an_old_or_suspended_key",
                "a_suspension_holds_against_an_overlap",
            ],
        ),
        Broken::new(
            "update leaves full access as it is",
            |it| {
                it.on_update(|table, (organization, id, update)| {
                    let full =
                        table.get(&organization, id).is_ok_and(|key| key.access().is_full() && !key.is_revoked());
                    ready(if full { table.get(&organization, id) } else { table.update(&organization, id, &update) })
                })
            },
            &[
                "counts_by_status",
                "update_keeps_the_scopes_asked_for",
                "an_update_is_seen_at_once",
                "update_sets_every_field",
                "update_never_extends",
                "a_suspended_key_is_seen_at_once",
                "never_regenerates_an_old_or_suspended_key",
                "a_suspension_holds_against_an_overlap",
            ],
        ),
        Broken::new(
            "update returns the key as it was",
            |it| {
                it.on_update(|table, (organization, id, update)| {
                    let before = table.get(&organization, id);
                    ready(table.update(&organization, id, &update).and(before))
                })
            },
            &[
                "changes_return_what_is_found",
                "update_keeps_the_scopes_asked_for",
                "update_sets_every_field",
                "regenerate_keeps_name_and_access",
            ],
        ),
        Broken::new(
            "update writes back the whole row that it read a moment ago",
            |it| {
                it.on_update(|table, (organization, id, update)| async move {
                    let updated = update.apply(&*table.get(&organization, id)?, table.now())?;
                    yield_now().await;
                    Ok(table.put(updated))
                })
            },
            &[
                "a_revoke_holds_against_an_update",
                "a_regenerate_holds_against_an_update",
                "concurrent_updates_never_widen",
                "a_suspension_holds_against_an_overlap",
                "a_revoke_holds_against_a_suspension",
            ],
        ),
        Broken::new(
            "update brings a revoked key back",
            |it| {
                it.on_update(|table, (organization, id, update)| {
                    let row = table.get(&organization, id);
                    ready(row.and_then(|row| Ok(table.put(update.apply(&unrevoked(&row), table.now())?))))
                })
            },
            &[
                "a_suspended_key_is_seen_at_once",
                "a_revoke_outlives_later_changes",
                "a_revoke_holds_against_an_update",
                "a_regenerate_holds_against_an_update",
                "a_suspension_holds_against_an_overlap",
                "a_revoke_holds_against_a_suspension",
            ],
        ),
        Broken::new(
            "a change whose caller went away leaves its lock behind",
            |it| {
                let lock = Arc::new(Semaphore::new(1));
                it.on_update(move |table, (organization, id, update)| {
                    let lock = Arc::clone(&lock);
                    async move {
                        lock.acquire().await.unwrap().forget();
                        yield_now().await;
                        lock.add_permits(1);
                        table.update(&organization, id, &update)
                    }
                })
            },
            &["a_dropped_change_leaves_the_store_working"],
        ),
    ]
}
