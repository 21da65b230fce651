//! Stores that keep something else than what a key may do.

use tower_api_key::key::KeyRecord;
use tower_api_key::scope::{ScopeSet, avala};
use tower_api_key::{Access, Scope};

use crate::broken::Broken;

pub(super) fn all() -> Vec<Broken> {
    vec![
        Broken::new(
            "an empty list of scopes is full access",
            |it| it.reads(|key| if *key.access() == Access::scoped([]) { key.with_access(Access::Full) } else { key }),
            &[
                "keeps_an_empty_scope_set_empty",
                "update_keeps_the_scopes_asked_for",
                "update_never_widens",
                "an_update_is_seen_at_once",
            ],
        ),
        Broken::new(
            "an empty list of scopes is no scopes at all for a key with full access too",
            |it| it.writes(|key| if key.access().is_full() { key.with_access(Access::scoped([])) } else { key }),
            &[
                "keeps_full_access",
                "update_keeps_the_scopes_asked_for",
                "an_update_is_seen_at_once",
                "update_sets_every_field",
            ],
        ),
        Broken::new(
            "full access is stored as the list of all scopes there are today",
            |it| {
                it.writes(|key| if key.access().is_full() { key.with_access(Access::scoped(avala::ALL)) } else { key })
            },
            &["keeps_full_access", "update_keeps_the_scopes_asked_for"],
        ),
        Broken::new(
            "an unknown scope is dropped",
            |it| {
                it.reads(|key| {
                    change_scopes(key, |scopes| {
                        scopes.iter().filter(|scope| avala::ALL.contains(scope)).cloned().collect()
                    })
                })
            },
            &["keeps_unknown_scopes", "keeps_or_rejects_many_scopes", "update_keeps_the_scopes_asked_for"],
        ),
        Broken::new(
            "scopes are separated by bars",
            |it| {
                it.reads(|key| {
                    change_scopes(key, |scopes| {
                        let names = scopes.iter().flat_map(|scope| scope.as_str().split('|'));
                        names.map(|name| Scope::new(name).unwrap()).collect()
                    })
                })
            },
            &["keeps_unknown_scopes"],
        ),
        Broken::new(
            "scopes are in lower case",
            |it| {
                it.writes(|key| {
                    change_scopes(key, |scopes| {
                        scopes.iter().map(|scope| Scope::new(scope.as_str().to_lowercase()).unwrap()).collect()
                    })
                })
            },
            &["keeps_unknown_scopes"],
        ),
        Broken::new(
            "only the first scope is kept",
            |it| it.reads(|key| change_scopes(key, |scopes| scopes.iter().take(1).cloned().collect())),
            &[
                "keeps_scopes",
                "keeps_unknown_scopes",
                "keeps_or_rejects_many_scopes",
                "update_keeps_the_scopes_asked_for",
                "an_update_is_seen_at_once",
                "a_regenerate_holds_against_an_update",
                "concurrent_updates_never_widen",
            ],
        ),
        Broken::new(
            "the list of scopes is cut where its column ends",
            |it| {
                it.writes(|key| {
                    change_scopes(key, |scopes| {
                        let text = scopes.to_string();
                        text[..text.len().min(10_000)].split(' ').filter_map(|name| Scope::new(name).ok()).collect()
                    })
                })
            },
            &["keeps_or_rejects_many_scopes"],
        ),
    ]
}

fn change_scopes(key: KeyRecord, change: impl FnOnce(&ScopeSet) -> ScopeSet) -> KeyRecord {
    match key.access().scopes().map(change) {
        Some(scopes) => key.with_access(Access::Scoped(scopes)),
        None => key,
    }
}
