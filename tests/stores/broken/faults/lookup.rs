//! Stores that answer a lookup with something else than what they keep.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord, KeyStatus};
use tower_api_key::store::Lookup;

use super::row::rebuilt;
use crate::broken::Broken;

pub(super) fn all() -> Vec<Broken> {
    vec![
        Broken::new(
            "an outage is a key that is not found",
            |it| it.on_find(|table, digest| ready(Ok(table.find(&digest).unwrap_or_default()))),
            &["an_outage_is_an_error"],
        ),
        Broken::new(
            "expired keys are filtered out",
            |it| {
                it.on_find(|table, digest| {
                    let now = table.now();
                    ready(table.find(&digest).map(|found| found.filter(|key| key.status(now) != KeyStatus::Expired)))
                })
            },
            &[
                "finds_an_expired_key",
                "an_import_keeps_what_happened",
                "get_and_list_agree_with_find",
                "an_overlap_ends_by_itself",
                "usage_changes_nothing_else",
            ],
        )
        .with_lookups(&["finds_an_expired_key", "keeps_or_rejects_extreme_expiries"]),
        Broken::new(
            "revoked keys are filtered out",
            |it| {
                it.on_find(|table, digest| {
                    ready(table.find(&digest).map(|found| found.filter(|key| !key.is_revoked())))
                })
            },
            &[
                "finds_a_revoked_key",
                "an_import_keeps_what_happened",
                "get_and_list_agree_with_find",
                "changes_return_what_is_found",
                "a_revoke_is_seen_at_once",
                "a_revoke_is_dated",
                "revoking_again_changes_nothing",
                "revokes_an_expired_key",
                "a_revoke_outlives_later_changes",
                "regenerate_replaces_the_key",
                "a_regenerate_is_seen_at_once",
                "regenerate_restores_an_expired_key",
                "never_regenerates_a_revoked_key",
                "purges_one_organization_in_batches",
                "a_purged_import_stays_revoked",
                "another_organizations_key_is_not_found",
                "usage_changes_nothing_else",
                "one_of_many_regenerates_succeeds",
                "a_revoke_holds_against_an_update",
                "a_revoke_holds_against_a_policy",
                "a_revoke_holds_against_a_regenerate",
                "a_revoke_holds_against_usage",
                "a_regenerate_holds_against_an_update",
                "a_revoke_holds_against_an_overlap",
                "a_revoke_holds_against_a_suspension",
                "a_dropped_change_leaves_the_store_working",
            ],
        ),
        Broken::new(
            "the record has the digest of another key",
            |it| {
                it.on_find(|table, digest| {
                    let altered = |key: Arc<KeyRecord>| {
                        Arc::new(rebuilt(&key, key.id(), KeyDigest::hash(b"another"), key.organization().as_str()))
                    };
                    ready(table.find(&digest).map(|found| found.map(altered)))
                })
            },
            &[
                "answers_with_the_digest_asked_for",
                "issues_a_key_that_is_found",
                "imports_a_key_that_is_found",
                "get_and_list_agree_with_find",
                "changes_return_what_is_found",
                "update_sets_every_field",
            ],
        ),
        Broken::new(
            "lookups at once are mixed up, and each record has the digest that was asked for",
            |it| {
                let statement = Arc::new(Mutex::new(None));
                it.on_find(move |table, digest| {
                    let statement = Arc::clone(&statement);
                    async move {
                        *statement.lock().unwrap() = Some(digest);
                        tokio::task::yield_now().await;
                        let last = statement.lock().unwrap().unwrap_or(digest);
                        let found = table.find(&last)?;
                        Ok(found.map(|key| Arc::new(rebuilt(&key, key.id(), digest, key.organization().as_str()))))
                    }
                })
            },
            &["answers_with_the_digest_asked_for"],
        ),
        Broken::new(
            "the newest key answers to every digest",
            |it| {
                it.on_find(|table, _| {
                    ready(table.is_up().map_err(Into::into).map(|()| table.rows().pop().map(Arc::new)))
                })
            },
            &[
                "finds_nothing_for_an_unknown_digest",
                "answers_with_the_digest_asked_for",
                "imports_many_in_one_step",
                "get_and_list_agree_with_find",
                "revoking_again_changes_nothing",
                "regenerate_replaces_the_key",
                "a_regenerate_is_seen_at_once",
                "regenerate_restores_an_expired_key",
                "an_overlap_ends_by_itself",
                "a_purge_deletes_what_has_ended",
                "a_purged_import_stays_revoked",
                "an_erasure_leaves_nothing",
                "one_of_many_regenerates_succeeds",
                "a_revoke_holds_against_a_regenerate",
                "a_regenerate_holds_against_an_update",
                "a_revoke_holds_against_an_overlap",
                "a_suspension_holds_against_an_overlap",
            ],
        ),
        Broken::new(
            "the last byte of a digest does not fit into its column",
            |it| {
                it.on_find(|table, digest| {
                    let same = |key: &KeyRecord| key.digest().as_bytes()[..31] == digest.as_bytes()[..31];
                    ready(table.is_up().map_err(Into::into).map(|()| table.rows().into_iter().find(same).map(Arc::new)))
                })
            },
            &["finds_nothing_for_an_unknown_digest", "a_purged_import_stays_revoked"],
        ),
        Broken::new(
            "a lookup is remembered for good",
            |it| {
                let remembered = Mutex::new(HashMap::new());
                it.on_find(move |table, digest| {
                    let found = remembered.lock().unwrap().get(&digest).cloned();
                    ready(match found {
                        Some(found) => Ok(Some(found)),
                        None => table.find(&digest).inspect(|found| {
                            found.clone().map(|found| remembered.lock().unwrap().insert(digest, found));
                        }),
                    })
                })
            },
            &[
                "changes_return_what_is_found",
                "update_never_widens",
                "an_update_is_seen_at_once",
                "update_sets_every_field",
                "a_suspended_key_is_seen_at_once",
                "a_revoke_is_seen_at_once",
                "a_regenerate_is_seen_at_once",
                "an_erasure_leaves_nothing",
                "a_policy_reaches_existing_keys",
                "a_policy_update_keeps_the_rest",
            ],
        ),
        Broken::new(
            "a lookup that found nothing is remembered for good",
            |it| {
                let remembered = Mutex::new(HashMap::new());
                it.on_find(move |table, digest| {
                    if remembered.lock().unwrap().contains_key(&digest) {
                        return ready(Ok(None));
                    }
                    ready(table.find(&digest).inspect(|found| {
                        if found.is_none() {
                            remembered.lock().unwrap().insert(digest, ());
                        }
                    }))
                })
            },
            &["finds_a_key_that_was_unknown_before"],
        ),
        Broken::new(
            "try_find answers from a copy that is never refreshed",
            |it| {
                let copy: Mutex<HashMap<KeyDigest, Arc<KeyRecord>>> = Mutex::default();
                it.on_try_find(move |table, digest| {
                    let mut copy = copy.lock().unwrap();
                    if let Ok(Some(found)) = table.find(digest) {
                        copy.entry(*digest).or_insert(found);
                    }
                    copy.get(digest).cloned().map_or(Lookup::Pending, Lookup::Found)
                })
            },
            &[
                "an_update_is_seen_at_once",
                "a_suspended_key_is_seen_at_once",
                "a_revoke_is_seen_at_once",
                "a_regenerate_is_seen_at_once",
                "a_policy_reaches_existing_keys",
                "a_policy_update_keeps_the_rest",
            ],
        ),
        Broken::new(
            "try_find takes what it does not remember for unknown",
            |it| it.on_try_find(|_, _| Lookup::NotFound),
            &[
                "finds_a_key_by_its_digest",
                "answers_with_the_digest_asked_for",
                "try_find_agrees_with_find",
                "finds_an_expired_key",
                "finds_a_revoked_key",
                "issues_a_key_that_is_found",
                "imports_a_key_that_is_found",
                "finds_a_key_that_was_unknown_before",
                "an_update_is_seen_at_once",
                "a_suspended_key_is_seen_at_once",
                "a_revoke_is_seen_at_once",
                "a_regenerate_is_seen_at_once",
                "a_purged_import_stays_revoked",
                "an_erasure_leaves_nothing",
                "a_policy_reaches_existing_keys",
                "a_policy_update_keeps_the_rest",
                "an_outage_is_an_error",
            ],
        ),
        Broken::new(
            "try_find makes up an id each time",
            |it| {
                it.on_try_find(|table, digest| match table.find(digest) {
                    Ok(Some(key)) => {
                        let id = KeyId::random().unwrap();
                        Lookup::Found(Arc::new(rebuilt(&key, id, *digest, key.organization().as_str())))
                    }
                    _ => Lookup::Pending,
                })
            },
            &[
                "answers_with_the_digest_asked_for",
                "try_find_agrees_with_find",
                "issues_a_key_that_is_found",
                "imports_a_key_that_is_found",
            ],
        ),
        Broken::new(
            "a lookup whose caller went away keeps its connection",
            |it| {
                let pool = Arc::new(Semaphore::new(10));
                it.on_find(move |table, digest| {
                    let pool = Arc::clone(&pool);
                    async move {
                        pool.acquire().await.unwrap().forget();
                        tokio::task::yield_now().await;
                        pool.add_permits(1);
                        table.find(&digest)
                    }
                })
            },
            &["a_dropped_lookup_leaves_the_store_working"],
        ),
    ]
}
