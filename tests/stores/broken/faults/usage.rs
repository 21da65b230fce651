//! Stores where using a key changes more than its usage.

use std::future::ready;

use tokio::task::yield_now;
use tower_api_key::store::{BackendError, KeyUsage};

use super::row::unrevoked;
use crate::broken::Broken;

pub(super) fn all() -> Vec<Broken> {
    vec![
        Broken::new(
            "usage is that of the last report alone",
            |it| {
                it.on_record_usage(|table, usage| {
                    for it in usage {
                        if let Some(row) = table.rows().into_iter().find(|row| row.id() == it.id) {
                            table.put(row.with_usage(it.last_used_at, it.request_count));
                        }
                    }
                    ready(table.is_up())
                })
            },
            &["usage_adds_up_or_is_not_kept"],
        ),
        Broken::new(
            "the usage of a key that is gone is an error",
            |it| {
                it.on_record_usage(|table, usage| {
                    let known = |it: &KeyUsage| table.rows().iter().any(|row| row.id() == it.id);
                    ready(if usage.iter().all(known) {
                        table.record_usage(&usage)
                    } else {
                        Err(BackendError::NotFound)
                    })
                })
            },
            &["usage_adds_up_or_is_not_kept"],
        ),
        Broken::new(
            "a revoked key that is used is valid again",
            |it| {
                it.on_record_usage(|table, usage| {
                    for row in table.rows().iter().filter(|row| usage.iter().any(|it| it.id == row.id())) {
                        table.put(unrevoked(row));
                    }
                    ready(table.is_up())
                })
            },
            &["usage_changes_nothing_else", "a_revoke_holds_against_usage"],
        ),
        Broken::new(
            "the usage is written with the whole row that was read a moment ago",
            |it| {
                it.on_record_usage(|table, usage| async move {
                    let rows = table.rows();
                    yield_now().await;
                    for row in rows.into_iter().filter(|row| usage.iter().any(|it| it.id == row.id())) {
                        table.put(row);
                    }
                    table.record_usage(&usage)
                })
            },
            &["a_revoke_holds_against_usage"],
        ),
    ]
}
