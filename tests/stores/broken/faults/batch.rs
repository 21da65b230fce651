//! Stores that look up many keys at once, and mix up the answers.

use std::future::ready;

use crate::broken::Broken;
use crate::broken::table::{Found, Table};

pub(super) fn all() -> Vec<Broken> {
    vec![
        Broken::new(
            "a batch has no place for what is not found",
            |it| {
                it.on_find_many(|table, digests| {
                    let results: Vec<Found> = digests.iter().map(|digest| table.find(digest)).collect();
                    ready(Ok(results.into_iter().filter(|result| !matches!(result, Ok(None))).collect()))
                })
            },
            &["find_many_agrees_with_find"],
        ),
        Broken::new(
            "a batch is answered in the order of the rows",
            |it| {
                it.on_find_many(|table, mut digests| {
                    digests.sort_unstable_by_key(|digest| *digest.as_bytes());
                    ready(Ok(digests.iter().map(|digest| table.find(digest)).collect()))
                })
            },
            &["find_many_agrees_with_find"],
        ),
        Broken::new(
            "a batch finds a digest that is asked for twice only once",
            |it| {
                it.on_find_many(|table, digests| {
                    let first = |at: usize| !digests[..at].contains(&digests[at]);
                    let find = |at| {
                        if first(at) {
                            table.find(&digests[at])
                        } else {
                            table.is_up().map(|()| None).map_err(Into::into)
                        }
                    };
                    ready(Ok((0..digests.len()).map(find).collect()))
                })
            },
            &["find_many_agrees_with_find"],
        ),
        Broken::new(
            "a batch is cut at its limit",
            |it| {
                it.on_find_many(|table, digests| {
                    ready(Ok(digests.iter().take(4).map(|digest| table.find(digest)).collect()))
                })
            },
            &["find_many_agrees_with_find"],
        ),
        Broken::new("no batch is small enough", |it| it.with_max_batch(0), &["find_many_agrees_with_find"]),
        Broken::new(
            "a batch does not find revoked keys",
            |it| {
                it.on_find_many(|table, digests| {
                    ready(Ok(digests.iter().map(|digest| unrevoked(&table, digest)).collect()))
                })
            },
            &[
                "finds_a_revoked_key",
                "a_revoke_is_seen_at_once",
                "a_regenerate_is_seen_at_once",
                "a_purged_import_stays_revoked",
            ],
        ),
        Broken::new(
            "in an outage a batch finds nothing",
            |it| {
                it.on_find_many(|table, digests| {
                    ready(Ok(digests.iter().map(|digest| Ok(table.find(digest).unwrap_or_default())).collect()))
                })
            },
            &["an_outage_is_an_error"],
        ),
    ]
}

fn unrevoked(table: &Table, digest: &tower_api_key::key::KeyDigest) -> Found {
    table.find(digest).map(|found| found.filter(|key| !key.is_revoked()))
}
