//! Stores that show keys to the wrong people.

use std::future::ready;
use std::sync::Arc;

use tower_api_key::store::{BackendError, Cursor};

use crate::broken::Broken;

pub(super) fn all() -> Vec<Broken> {
    vec![
        Broken::new(
            "an id is all it takes to get a key",
            |it| {
                it.on_get(|table, (_, id)| {
                    let found = table.is_up().map(|()| table.rows().into_iter().find(|row| row.id() == id));
                    ready(found.and_then(|found| found.map(Arc::new).ok_or(BackendError::NotFound)))
                })
            },
            &["another_organizations_key_is_not_found"],
        ),
        Broken::new(
            "the key of another organization is a conflict",
            |it| {
                it.on_get(|table, (organization, id)| {
                    let known = table.rows().iter().any(|row| row.id() == id);
                    ready(match table.get(&organization, id) {
                        Err(BackendError::NotFound) if known => Err(BackendError::Conflict),
                        got => got,
                    })
                })
            },
            &["another_organizations_key_is_not_found"],
        ),
        Broken::new(
            "a list shows the keys of every organization",
            |it| it.on_list(|table, (_, query)| ready(table.page(table.sorted(|_| true), &query))),
            &["counts_by_status", "lists_no_other_organizations_keys"],
        ),
        Broken::new(
            "a cursor opens the list that it came from",
            |it| {
                it.on_list(|table, (organization, query)| {
                    let owner = |after: Cursor| table.rows().into_iter().find(|row| row.id() == after.id());
                    let owner = query.after().and_then(owner).map(|row| row.organization().clone());
                    ready(table.list(owner.or(organization).as_ref(), &query))
                })
            },
            &["lists_no_other_organizations_keys"],
        ),
        Broken::new(
            "an organization without keys is not found",
            |it| {
                it.on_list(|table, (organization, query)| {
                    let known = table
                        .rows()
                        .iter()
                        .any(|row| organization.as_ref().is_none_or(|own| row.organization() == own));
                    ready(if known { table.list(organization.as_ref(), &query) } else { Err(BackendError::NotFound) })
                })
            },
            &["lists_nothing_where_there_is_nothing", "a_purged_import_stays_revoked"],
        ),
    ]
}
