//! Lists of any names: a set of scopes is a set of strings, and a requirement is met by its definition.
//!
//! The first line is what a key has, the second what all of is asked for, the third what any of.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use tower_api_key::scope::ScopeSet;
use tower_api_key::{Access, Requirement, Scope};

fuzz_target!(|text: &str| {
    let mut lists = text.split('\n').map(scopes);
    let [have, all, any] = [(); 3].map(|()| lists.next().unwrap_or_default());
    let set: ScopeSet = have.iter().cloned().collect();
    let names = names(&have);
    assert_eq!(set.len(), names.len());
    assert_eq!(set.iter().map(Scope::as_str).collect::<BTreeSet<_>>(), names);
    let has = |scope: &Scope| names.contains(scope.as_str());
    for scope in all.iter().chain(&any) {
        assert_eq!(set.contains(scope), has(scope));
    }
    let (meets_all, meets_any) = (all.iter().all(has), any.iter().any(has));
    let access = Access::scoped(have.iter().cloned());
    assert!(!Requirement::full_access().is_met_by(&access));
    assert_eq!(Requirement::all_of(all.clone()).is_met_by(&access), meets_all);
    assert_eq!(Requirement::any_of(any.clone()).is_met_by(&access), meets_any);
    assert_eq!(Requirement::all_and_any_of(all, any).is_met_by(&access), meets_all && meets_any);
});

fn scopes(line: &str) -> Vec<Scope> {
    line.split(' ').filter_map(|name| Scope::new(name).ok()).collect()
}

fn names(scopes: &[Scope]) -> BTreeSet<&str> {
    scopes.iter().map(Scope::as_str).collect()
}
