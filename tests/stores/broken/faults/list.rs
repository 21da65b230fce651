//! Stores that lose keys between two pages, or show them twice.

use std::collections::HashMap;
use std::future::ready;
use std::sync::Mutex;

use tower_api_key::key::{KeyRecord, KeyStatus, OrganizationPolicy};
use tower_api_key::store::{Cursor, Page};

use crate::broken::Broken;

pub(super) fn all() -> Vec<Broken> {
    vec![
        Broken::new(
            "a page has no end",
            |it| {
                it.on_list(|table, (organization, query)| {
                    ready(table.list(organization.as_ref(), &query.with_limit(1000)))
                })
            },
            &["fills_pages_as_far_as_asked", "lists_and_counts_all_organizations"],
        ),
        Broken::new(
            "a page is one key too long",
            |it| {
                it.on_list(|table, (organization, query)| {
                    let limit = query.limit() + 1;
                    ready(table.list(organization.as_ref(), &query.with_limit(limit)))
                })
            },
            &["fills_pages_as_far_as_asked", "lists_and_counts_all_organizations"],
        ),
        Broken::new(
            "every page promises another one",
            |it| {
                it.on_list(|table, (organization, query)| {
                    ready(table.list(organization.as_ref(), &query).map(|mut page| {
                        page.next = page.keys.last().map(|last| Cursor::after(last));
                        page
                    }))
                })
            },
            &["fills_pages_as_far_as_asked"],
        ),
        Broken::new(
            "a page begins with the last key of the one before",
            |it| {
                it.on_list(|table, (organization, query)| {
                    let mut found =
                        table.sorted(|row| organization.as_ref().is_none_or(|own| row.organization() == own));
                    found.retain(|row| query.after().is_none_or(|after| Cursor::after(row) <= after));
                    found.retain(|row| query.matches(row, table.now()));
                    ready(table.is_up().map(|()| Page::cut(found, query.limit())))
                })
            },
            &[
                "the_cursor_walks_every_key_once",
                "a_walk_survives_changes",
                "filters_by_status",
                "filters_by_every_field",
                "lists_and_counts_all_organizations",
            ],
        ),
        Broken::new(
            "the keys of the second in which a page ends are passed over",
            |it| {
                it.on_list(|table, (organization, query)| {
                    let mut found =
                        table.sorted(|row| organization.as_ref().is_none_or(|own| row.organization() == own));
                    found.retain(|row| query.after().is_none_or(|after| row.created_at() < after.created_at()));
                    found.retain(|row| query.matches(row, table.now()));
                    ready(table.is_up().map(|()| Page::cut(found, query.limit())))
                })
            },
            &[
                "the_cursor_walks_every_key_once",
                "a_walk_survives_changes",
                "filters_by_status",
                "filters_by_every_field",
                "lists_and_counts_all_organizations",
            ],
        ),
        Broken::new(
            "the oldest come first",
            |it| {
                it.on_list(|table, (organization, query)| {
                    let mut found =
                        table.sorted(|row| organization.as_ref().is_none_or(|own| row.organization() == own));
                    found.reverse();
                    found.retain(|row| query.after().is_none_or(|after| Cursor::after(row) > after));
                    found.retain(|row| query.matches(row, table.now()));
                    ready(table.is_up().map(|()| Page::cut(found, query.limit())))
                })
            },
            &["lists_the_newest_first"],
        ),
        Broken::new(
            "a cursor is a number of keys to skip",
            |it| {
                let skipped_at: Mutex<HashMap<_, usize>> = Mutex::default();
                it.on_list(move |table, (organization, query)| {
                    let mut skipped_at = skipped_at.lock().unwrap();
                    let id = query.after().map(|after| after.id());
                    let skip = id.and_then(|id| skipped_at.get(&id).copied()).unwrap_or_default();
                    let mut found =
                        table.sorted(|row| organization.as_ref().is_none_or(|own| row.organization() == own));
                    found.retain(|row| query.matches(row, table.now()));
                    let page = Page::cut(found.into_iter().skip(skip).collect(), query.limit());
                    skipped_at.extend(page.next.map(|next| (next.id(), skip + page.keys.len())));
                    ready(table.is_up().map(|()| page))
                })
            },
            &["a_walk_survives_changes"],
        ),
        Broken::new(
            "a page begins where the key of its cursor is in the list",
            |it| {
                it.on_list(|table, (organization, query)| {
                    let mut found =
                        table.sorted(|row| organization.as_ref().is_none_or(|own| row.organization() == own));
                    found.retain(|row| query.matches(row, table.now()));
                    let begin = query.after().map_or(Some(0), |after| {
                        found.iter().position(|row| row.id() == after.id()).map(|position| position + 1)
                    });
                    let found = begin.map_or_else(Vec::new, |begin| found.split_off(begin));
                    ready(table.is_up().map(|()| Page::cut(found, query.limit())))
                })
            },
            &["a_walk_survives_changes"],
        ),
        Broken::new(
            "a page is filtered after it was cut",
            |it| {
                it.on_list(|table, (organization, query)| {
                    let mut found =
                        table.sorted(|row| organization.as_ref().is_none_or(|own| row.organization() == own));
                    found.retain(|row| query.after().is_none_or(|after| Cursor::after(row) < after));
                    found.truncate(query.limit() + 1);
                    found.retain(|row| query.matches(row, table.now()));
                    ready(table.is_up().map(|()| Page::cut(found, query.limit())))
                })
            },
            &["filters_by_status", "filters_by_every_field"],
        ),
        Broken::new(
            "a revoked key that is expired is listed as expired",
            |it| {
                it.on_list(|table, (organization, query)| {
                    let mut found =
                        table.sorted(|row| organization.as_ref().is_none_or(|own| row.organization() == own));
                    found.retain(|row| query.after().is_none_or(|after| Cursor::after(row) < after));
                    found.retain(|row| {
                        query.status().is_none_or(|status| match row.is_expired(|| table.now()) {
                            true => status == KeyStatus::Expired,
                            false => status == row.status(table.now()),
                        })
                    });
                    ready(table.is_up().map(|()| Page::cut(found, query.limit())))
                })
            },
            &["filters_by_status", "filters_by_every_field"],
        ),
        Broken::new(
            "the status filter looks at a key's own expiry alone",
            |it| {
                it.on_list(|table, (organization, query)| {
                    let own =
                        |row: &KeyRecord| row.clone().with_policy(OrganizationPolicy::default()).status(table.now());
                    let mut found =
                        table.sorted(|row| organization.as_ref().is_none_or(|own| row.organization() == own));
                    found.retain(|row| query.after().is_none_or(|after| Cursor::after(row) < after));
                    found.retain(|row| query.status().is_none_or(|status| own(row) == status));
                    ready(table.is_up().map(|()| Page::cut(found, query.limit())))
                })
            },
            &["filters_by_every_field", "the_status_filter_knows_the_maximum_age"],
        ),
        Broken::new(
            "revoked keys are not listed",
            |it| {
                it.on_list(|table, (organization, query)| {
                    let found = table.sorted(|row| {
                        organization.as_ref().is_none_or(|own| row.organization() == own) && !row.is_revoked()
                    });
                    ready(table.page(found, &query))
                })
            },
            &["get_and_list_agree_with_find", "filters_by_status", "counts_by_status"],
        ),
    ]
}
