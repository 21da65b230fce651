//! The checks. The name of each function is the name that a report shows.

mod changes;
mod dropped;
mod facts;
mod issue;
mod kept;
mod list;
mod lookup;
mod organization;
mod outage;
mod policy;
mod purge;
mod race;
mod regenerate;
mod revoke;
mod update;
mod usage;
mod wrapper;

use std::sync::Arc;

use futures::future::LocalBoxFuture;

use super::bench::Bench;
use super::verdict::{Verdict, expect, expect_same};
use crate::key::{KeyId, KeyRecord};
use crate::store::{KeyBackend, KeyStore};

pub(super) struct Check<S> {
    pub(super) name: &'static str,
    pub(super) run: for<'a> fn(&'a Bench<'a, S>) -> LocalBoxFuture<'a, Verdict>,
}

/// The checks that let time pass.
const WAITING: [&str; 12] = [
    "finds_an_expired_key",
    "get_and_list_agree_with_find",
    "lists_the_newest_first",
    "filters_by_status",
    "counts_by_status",
    "revoking_again_changes_nothing",
    "revokes_an_expired_key",
    "regenerate_counts_the_lifetime_from_now",
    "regenerate_restores_an_expired_key",
    "an_overlap_ends_by_itself",
    "a_purge_deletes_what_has_ended",
    "usage_changes_nothing_else",
];

impl<S> Check<S> {
    /// Whether the check lets time pass. It then works in its own organizations alone, so that another one may run meanwhile.
    pub(super) fn waits(&self) -> bool {
        WAITING.contains(&self.name)
    }
}

macro_rules! checks {
    ($($group:ident: $($name:ident),+;)+) => {
        vec![$($(Check { name: stringify!($name), run: |bench| Box::pin($group::$name(bench)) }),+),+]
    };
}

pub(super) fn of_lookups<S: KeyStore>() -> Vec<Check<S>> {
    checks! {
        lookup:
            finds_a_key_by_its_digest, finds_nothing_for_an_unknown_digest, answers_with_the_digest_asked_for,
            try_find_agrees_with_find, find_many_agrees_with_find;
        facts:
            gives_every_key_an_id_of_its_own, keeps_the_organization, keeps_full_access,
            keeps_an_empty_scope_set_empty, keeps_scopes, keeps_unknown_scopes, keeps_the_expiry,
            finds_an_expired_key, finds_a_revoked_key, keeps_or_rejects_extreme_expiries;
        dropped:
            a_dropped_lookup_leaves_the_store_working;
    }
}

pub(super) fn of_management<S: KeyBackend>() -> Vec<Check<S>> {
    checks! {
        issue:
            issues_a_key_that_is_found, imports_a_key_that_is_found, finds_a_key_that_was_unknown_before,
            never_stores_an_expired_key, dates_new_keys, keeps_names_byte_for_byte, keeps_the_hint, rounds_the_expiry_down,
            keeps_or_rejects_many_scopes, stores_a_digest_once, stores_a_digest_once_across_organizations;
        kept:
            keeps_networks, keeps_metadata, keeps_environment_and_creator, an_import_keeps_what_happened,
            imports_many_in_one_step, keeps_to_the_most_active_keys;
        list:
            get_and_list_agree_with_find, changes_return_what_is_found, lists_nothing_where_there_is_nothing,
            lists_the_newest_first, fills_pages_as_far_as_asked, the_cursor_walks_every_key_once,
            a_walk_survives_changes, filters_by_status, filters_by_every_field, lists_and_counts_all_organizations,
            counts_by_status;
        update:
            update_keeps_the_scopes_asked_for, update_never_widens, an_update_is_seen_at_once,
            an_empty_update_changes_nothing, update_sets_every_field, update_never_extends,
            a_suspended_key_is_seen_at_once;
        revoke:
            a_revoke_is_seen_at_once, a_revoke_is_dated, revoking_again_changes_nothing,
            revokes_an_expired_key, a_revoke_touches_no_other_key, a_revoke_outlives_later_changes;
        regenerate:
            regenerate_replaces_the_key, regenerate_keeps_name_and_access, a_regenerate_is_seen_at_once,
            regenerate_counts_the_lifetime_from_now, regenerate_takes_the_expiry_asked_for,
            regenerate_restores_an_expired_key, never_regenerates_a_revoked_key,
            never_regenerates_to_an_expired_key,
            a_rejected_replacement_changes_nothing, regenerate_keeps_networks_and_metadata,
            an_overlap_ends_by_itself, never_regenerates_an_old_or_suspended_key;
        purge:
            a_purge_deletes_what_has_ended, purges_one_organization_in_batches, a_purged_import_stays_revoked,
            a_purge_takes_usage_along, an_erasure_leaves_nothing;
        organization:
            another_organizations_key_is_not_found, an_unknown_id_is_not_found,
            lists_no_other_organizations_keys;
        policy:
            keeps_the_policy, a_policy_reaches_existing_keys, a_policy_reaches_new_keys,
            a_policy_stays_in_its_organization, a_policy_update_keeps_the_rest, the_status_filter_knows_the_maximum_age;
        usage:
            usage_adds_up_or_is_not_kept, usage_changes_nothing_else;
        race:
            one_of_many_regenerates_succeeds, one_of_many_imports_succeeds, a_revoke_holds_against_an_update,
            a_revoke_holds_against_a_policy, a_revoke_holds_against_a_regenerate,
            a_revoke_holds_against_usage, a_regenerate_holds_against_an_update, concurrent_updates_never_widen,
            two_policy_updates_both_hold, a_policy_reaches_a_key_issued_meanwhile, a_revoke_holds_against_an_overlap,
            a_suspension_holds_against_an_overlap, a_revoke_holds_against_a_suspension,
            the_most_active_keys_hold_for_many_at_once;
        dropped:
            a_dropped_change_leaves_the_store_working, a_dropped_regenerate_is_all_or_nothing;
        changes:
            publishes_every_change_if_it_publishes, publishes_a_dropped_change_if_it_publishes;
    }
}

pub(super) fn of_wrappers<S: KeyStore>() -> Vec<Check<S>> {
    checks! { wrapper: forwards_try_find, forwards_max_batch, forwards_the_id, forwards_changes, forwards_the_usage_sink, forwards_background_work; }
}

pub(super) fn of_lookups_in_an_outage<S: KeyStore>() -> Vec<Check<S>> {
    checks! { outage: an_outage_is_an_error; }
}

pub(super) fn of_management_in_an_outage<S: KeyBackend>() -> Vec<Check<S>> {
    checks! { outage: an_outage_is_no_empty_answer, an_outage_fails_every_change; }
}

fn expect_same_record(what: &str, expected: &KeyRecord, seen: &KeyRecord) -> Verdict {
    expect(expected.digest() == seen.digest(), format!("{what}: the digest of {expected:?}"), seen)?;
    // Shows everything but the digest in full.
    expect_same(what, &format!("{expected:?}"), &format!("{seen:?}"))
}

fn ids(records: &[Arc<KeyRecord>]) -> Vec<KeyId> {
    records.iter().map(|record| record.id()).collect()
}

fn sorted_ids(records: &[Arc<KeyRecord>]) -> Vec<KeyId> {
    let mut ids = ids(records);
    ids.sort_unstable();
    ids
}
