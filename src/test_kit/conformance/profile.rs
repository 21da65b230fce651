/// What a table may lack. [`Conformance::without`](super::Conformance::without) skips the checks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreFeature {
    /// A column for the expiry. Such a table must reject a new key with one.
    Expiry,
    /// A mark for revoked keys in a table whose keys are managed elsewhere: their rows are deleted. A store that manages
    /// keys must revoke them.
    Revocation,
    /// A column for scopes in a table whose keys are managed elsewhere: something else decides what a key may do.
    Scopes,
    /// Columns for the last use and the number of requests.
    Usage,
    /// Policies of organizations. Such a table returns the default, and rejects another policy.
    Policies,
}

impl StoreFeature {
    /// Returns the names of the checks that need it.
    pub(super) const fn checks(self) -> &'static [&'static str] {
        match self {
            Self::Expiry => &[
                "keeps_the_expiry",
                "finds_an_expired_key",
                "keeps_or_rejects_extreme_expiries",
                "imports_a_key_that_is_found",
                "never_stores_an_expired_key",
                "rounds_the_expiry_down",
                "get_and_list_agree_with_find",
                "filters_by_status",
                "revokes_an_expired_key",
                "regenerate_counts_the_lifetime_from_now",
                "regenerate_takes_the_expiry_asked_for",
                "regenerate_restores_an_expired_key",
                "never_regenerates_to_an_expired_key",
                "the_status_filter_knows_the_maximum_age",
                "usage_changes_nothing_else",
                "an_import_keeps_what_happened",
                "keeps_to_the_most_active_keys",
                "update_sets_every_field",
                "update_never_extends",
                "filters_by_every_field",
                "counts_by_status",
                "a_purge_deletes_what_has_ended",
                "an_overlap_ends_by_itself",
                "a_revoke_holds_against_an_overlap",
                "a_suspension_holds_against_an_overlap",
                "never_regenerates_an_old_or_suspended_key",
            ],
            Self::Revocation => &["try_find_agrees_with_find", "finds_a_revoked_key"],
            Self::Scopes => &["keeps_scopes", "keeps_unknown_scopes"],
            Self::Usage => &[
                "usage_adds_up_or_is_not_kept",
                "usage_changes_nothing_else",
                "a_revoke_holds_against_usage",
                "a_purge_takes_usage_along",
            ],
            Self::Policies => &[
                "a_revoke_outlives_later_changes",
                "keeps_the_policy",
                "a_policy_reaches_existing_keys",
                "a_policy_reaches_new_keys",
                "a_policy_stays_in_its_organization",
                "a_policy_update_keeps_the_rest",
                "two_policy_updates_both_hold",
                "the_status_filter_knows_the_maximum_age",
                "a_revoke_holds_against_a_policy",
                "a_policy_reaches_a_key_issued_meanwhile",
                "publishes_every_change_if_it_publishes",
                "an_outage_is_no_empty_answer",
                "an_erasure_leaves_nothing",
            ],
        }
    }
}
