//! Stores that keep something else about a key than what they were given.

use std::future::ready;
use std::time::{Duration, UNIX_EPOCH};

use tower_api_key::key::{KeyHint, KeyId};

use super::row::rebuilt;
use crate::broken::Broken;

pub(super) fn all() -> Vec<Broken> {
    vec![
        Broken::new(
            "every key has the same id",
            |it| it.writes(|key| rebuilt(&key, KeyId::from_u128(7), *key.digest(), key.organization().as_str())),
            &[
                "gives_every_key_an_id_of_its_own",
                "keeps_the_hint",
                "keeps_to_the_most_active_keys",
                "get_and_list_agree_with_find",
                "changes_return_what_is_found",
                "the_cursor_walks_every_key_once",
                "a_walk_survives_changes",
                "filters_by_status",
                "filters_by_every_field",
                "lists_and_counts_all_organizations",
                "counts_by_status",
                "update_keeps_the_scopes_asked_for",
                "revoking_again_changes_nothing",
                "a_revoke_touches_no_other_key",
                "regenerate_replaces_the_key",
                "regenerate_keeps_name_and_access",
                "regenerate_counts_the_lifetime_from_now",
                "regenerate_takes_the_expiry_asked_for",
                "regenerate_restores_an_expired_key",
                "never_regenerates_a_revoked_key",
                "an_overlap_ends_by_itself",
                "a_purge_deletes_what_has_ended",
                "purges_one_organization_in_batches",
                "an_erasure_leaves_nothing",
                "one_of_many_regenerates_succeeds",
                "a_revoke_holds_against_an_update",
                "a_revoke_holds_against_a_policy",
                "a_revoke_holds_against_a_regenerate",
                "a_revoke_holds_against_usage",
                "a_regenerate_holds_against_an_update",
                "concurrent_updates_never_widen",
                "a_revoke_holds_against_an_overlap",
                "a_suspension_holds_against_an_overlap",
                "a_revoke_holds_against_a_suspension",
                "a_dropped_change_leaves_the_store_working",
            ],
        ),
        Broken::new(
            "the organization is in lower case",
            |it| {
                it.reads(|key| {
                    let organization = key.organization().as_str().to_lowercase();
                    rebuilt(&key, key.id(), *key.digest(), &organization)
                })
            },
            &[
                "keeps_the_organization",
                "counts_by_status",
                "purges_one_organization_in_batches",
                "an_erasure_leaves_nothing",
                "lists_no_other_organizations_keys",
            ],
        ),
        Broken::new(
            "the expiry is rounded up",
            |it| {
                it.on_insert(|table, (mut record, rules)| {
                    record.expires_at = record.expires_at.map(|time| time + Duration::from_nanos(999_999_999));
                    ready(table.insert(record, rules))
                })
            },
            &["rounds_the_expiry_down"],
        ),
        Broken::new(
            "there is no column for the expiry",
            |it| it.writes(|key| key.with_expires_at(None)),
            &[
                "keeps_the_expiry",
                "finds_an_expired_key",
                "keeps_or_rejects_extreme_expiries",
                "rounds_the_expiry_down",
                "an_import_keeps_what_happened",
                "filters_by_status",
                "filters_by_every_field",
                "counts_by_status",
                "update_never_extends",
                "regenerate_takes_the_expiry_asked_for",
                "an_overlap_ends_by_itself",
                "a_purge_deletes_what_has_ended",
            ],
        ),
        Broken::new(
            "the expiry is kept in 32 bits",
            |it| {
                it.writes(|key| {
                    let seconds =
                        key.expires_at().map(|time| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
                    key.with_expires_at(seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds & 0xffff_ffff)))
                })
            },
            &["keeps_the_expiry"],
        )
        .with_lookups(&["keeps_the_expiry", "keeps_or_rejects_extreme_expiries"]),
        Broken::new(
            "an expiry of zero is none",
            |it| it.reads(|key| if key.expires_at() == Some(UNIX_EPOCH) { key.with_expires_at(None) } else { key }),
            &[],
        )
        .with_lookups(&["keeps_or_rejects_extreme_expiries"]),
        Broken::new(
            "an expiry that does not fit is none",
            |it| {
                it.writes(|key| {
                    let fits = |time: &_| UNIX_EPOCH + Duration::from_nanos(i64::MAX as u64) > *time;
                    let expires_at = key.expires_at().filter(fits);
                    key.with_expires_at(expires_at)
                })
            },
            &["keeps_or_rejects_extreme_expiries", "regenerate_takes_the_expiry_asked_for"],
        ),
        Broken::new(
            "an expiry that does not fit is a panic",
            |it| {
                it.writes(|key| {
                    let fits = |time| UNIX_EPOCH + Duration::from_nanos(i64::MAX as u64) > time;
                    assert!(key.expires_at().is_none_or(fits), "out of range");
                    key
                })
            },
            &["keeps_or_rejects_extreme_expiries", "regenerate_takes_the_expiry_asked_for"],
        ),
        Broken::new(
            "the creation time is lost",
            |it| it.reads(|key| key.with_created_at(UNIX_EPOCH)),
            &[
                "dates_new_keys",
                "an_import_keeps_what_happened",
                "lists_the_newest_first",
                "regenerate_counts_the_lifetime_from_now",
            ],
        ),
        Broken::new(
            "names are cut to 50 characters",
            |it| {
                it.writes(|key| {
                    let name: String = key.name().chars().take(50).collect();
                    key.with_name(name)
                })
            },
            &["keeps_names_byte_for_byte"],
        ),
        Broken::new(
            "names are trimmed",
            |it| {
                it.writes(|key| {
                    let name = key.name().trim().to_owned();
                    key.with_name(name)
                })
            },
            &["keeps_names_byte_for_byte"],
        ),
        Broken::new(
            "there is no column for the hint",
            |it| it.reads(|key| key.with_hint(KeyHint::default())),
            &["keeps_the_hint", "filters_by_every_field"],
        ),
        Broken::new(
            "hints are cut to the width of a column",
            |it| {
                it.writes(|key| {
                    let hint: String = key.hint().as_str().chars().take(20).collect();
                    key.with_hint(KeyHint::from_stored(&hint))
                })
            },
            &["keeps_the_hint"],
        ),
        Broken::new(
            "hints are guessed from what precedes the last separator",
            |it| {
                it.writes(|key| {
                    let guessed = key.hint().as_str() == "...uvwx";
                    key.clone().with_hint(if guessed {
                        KeyHint::from_stored("abcdefghijklmno_...uvwx")
                    } else {
                        key.hint().clone()
                    })
                })
            },
            &["keeps_the_hint"],
        ),
        Broken::new(
            "the time of a revoke is lost",
            |it| it.reads(|key| if key.is_revoked() { key.with_revoked_at(UNIX_EPOCH) } else { key }),
            &["an_import_keeps_what_happened", "a_revoke_is_dated", "a_purge_deletes_what_has_ended"],
        ),
    ]
}
