//! Stores where a revoke does less than it should, or more.

use std::future::ready;
use std::sync::Arc;

use tower_api_key::store::BackendError;

use crate::broken::Broken;

pub(super) fn all() -> Vec<Broken> {
    vec![
        Broken::new(
            "a revoke is not written down",
            |it| {
                it.on_revoke(|table, (organization, id)| {
                    ready(
                        table
                            .get(&organization, id)
                            .map(|row| Arc::new(Arc::unwrap_or_clone(row).with_revoked_at(table.now()))),
                    )
                })
            },
            &[
                "finds_a_revoked_key",
                "keeps_to_the_most_active_keys",
                "changes_return_what_is_found",
                "filters_by_status",
                "counts_by_status",
                "a_suspended_key_is_seen_at_once",
                "a_revoke_is_seen_at_once",
                "revoking_again_changes_nothing",
                "revokes_an_expired_key",
                "a_revoke_outlives_later_changes",
                "never_regenerates_a_revoked_key",
                "a_purge_deletes_what_has_ended",
                "purges_one_organization_in_batches",
                "a_purged_import_stays_revoked",
                "a_purge_takes_usage_along",
                "a_revoke_holds_against_an_update",
                "a_revoke_holds_against_a_policy",
                "a_revoke_holds_against_usage",
                "a_revoke_holds_against_an_overlap",
                "a_revoke_holds_against_a_suspension",
                "a_dropped_change_leaves_the_store_working",
            ],
        ),
        Broken::new(
            "a revoked key is deleted",
            |it| {
                it.on_revoke(|table, (organization, id)| {
                    let revoked = table.revoke(&organization, id);
                    if revoked.is_ok() {
                        table.delete(id);
                    }
                    ready(revoked)
                })
            },
            &[
                "finds_a_revoked_key",
                "get_and_list_agree_with_find",
                "changes_return_what_is_found",
                "filters_by_status",
                "counts_by_status",
                "a_suspended_key_is_seen_at_once",
                "a_revoke_is_seen_at_once",
                "a_revoke_is_dated",
                "revoking_again_changes_nothing",
                "revokes_an_expired_key",
                "a_revoke_outlives_later_changes",
                "never_regenerates_a_revoked_key",
                "a_purge_deletes_what_has_ended",
                "purges_one_organization_in_batches",
                "a_purged_import_stays_revoked",
                "another_organizations_key_is_not_found",
                "usage_changes_nothing_else",
                "a_revoke_holds_against_an_update",
                "a_revoke_holds_against_a_policy",
                "a_revoke_holds_against_a_regenerate",
                "a_revoke_holds_against_usage",
                "a_revoke_holds_against_an_overlap",
                "a_revoke_holds_against_a_suspension",
                "a_dropped_change_leaves_the_store_working",
            ],
        ),
        Broken::new(
            "the last revoke is the one that counts",
            |it| {
                it.on_revoke(|table, (organization, id)| {
                    let now = table.now();
                    ready(table.change(&organization, id, |row| Ok(row.with_revoked_at(now))))
                })
            },
            &["revoking_again_changes_nothing"],
        ),
        Broken::new(
            "a revoke forgets the replacement",
            |it| {
                it.on_revoke(|table, (organization, id)| {
                    ready(table.change(&organization, id, |row| {
                        let time = row.revoked_at().unwrap_or(table.now());
                        Ok(row.with_revoked_at(time).with_replaced_by(None))
                    }))
                })
            },
            &[
                "revoking_again_changes_nothing",
                "a_revoke_holds_against_a_regenerate",
                "a_revoke_holds_against_an_overlap",
            ],
        ),
        Broken::new(
            "a second revoke finds nothing to revoke",
            |it| {
                it.on_revoke(|table, (organization, id)| {
                    let row = table.get(&organization, id);
                    let live = row.and_then(|row| if row.is_revoked() { Err(BackendError::NotFound) } else { Ok(()) });
                    ready(live.and_then(|()| table.revoke(&organization, id)))
                })
            },
            &[
                "revoking_again_changes_nothing",
                "a_revoke_holds_against_a_regenerate",
                "a_dropped_change_leaves_the_store_working",
            ],
        ),
        Broken::new(
            "an expired key cannot be revoked",
            |it| {
                it.on_revoke(|table, (organization, id)| {
                    let live = table.get(&organization, id).and_then(|row| match row.is_expired(|| table.now()) {
                        true => Err(BackendError::NotFound),
                        false => Ok(()),
                    });
                    ready(live.and_then(|()| table.revoke(&organization, id)))
                })
            },
            &["filters_by_status", "revokes_an_expired_key"],
        ),
        Broken::new(
            "a revoke stops every key of the organization",
            |it| {
                it.on_revoke(|table, (organization, id)| {
                    let revoked = table.revoke(&organization, id);
                    if revoked.is_ok() {
                        for row in table.rows().iter().filter(|row| *row.organization() == organization) {
                            table.revoke(&organization, row.id()).unwrap();
                        }
                    }
                    ready(revoked)
                })
            },
            &[
                "a_walk_survives_changes",
                "filters_by_status",
                "counts_by_status",
                "revoking_again_changes_nothing",
                "a_revoke_touches_no_other_key",
                "never_regenerates_a_revoked_key",
                "a_purge_deletes_what_has_ended",
                "a_revoke_holds_against_a_regenerate",
            ],
        ),
        Broken::new(
            "an id is all it takes to revoke",
            |it| {
                it.on_revoke(|table, (organization, id)| {
                    let owner =
                        table.rows().into_iter().find(|row| row.id() == id).map(|row| row.organization().clone());
                    ready(table.revoke(&owner.unwrap_or(organization), id))
                })
            },
            &["another_organizations_key_is_not_found"],
        ),
        Broken::new(
            "revoking a key that is not there is an error of the store",
            |it| {
                it.on_revoke(|table, (organization, id)| {
                    let revoked = table.revoke(&organization, id);
                    ready(revoked.map_err(|_| BackendError::store("0 rows were updated, where 1 should have been")))
                })
            },
            &["another_organizations_key_is_not_found", "an_unknown_id_is_not_found"],
        ),
    ]
}
