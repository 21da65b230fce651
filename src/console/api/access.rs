//! The scopes of a key, as the bodies of requests have them.

use serde_json::Value;

use super::fields::UNKNOWN_SCOPE;
use super::form::Form;
use crate::manage::IssueRules;
use crate::scope::{Access, Scope, ScopeSet};

/// Takes the access of a new key. Full access has to be asked for by name: no list of scopes, however empty, turns into it.
/// Which scopes there are, the manager knows.
pub(super) fn access(form: &mut Form) -> Access {
    let full = match form.take("full_access") {
        None => false,
        Some(Value::Bool(full)) => full,
        Some(_) => {
            form.wrong("full_access", "Must be a valid boolean.");
            return Access::scoped([]);
        }
    };
    match (full, form.take("scopes")) {
        (true, None) => return Access::Full,
        (true, Some(_)) => form.wrong("scopes", "A key has scopes or full access, not both."),
        (false, None) => form.wrong("scopes", "Give at least one scope, or ask for \"full_access\": true."),
        (false, Some(scopes)) => return Access::Scoped(scope_set(form, scopes)),
    }
    Access::scoped([])
}

/// Takes the scopes that a key is to be limited to.
pub(super) fn scopes(form: &mut Form, rules: &IssueRules) -> Option<ScopeSet> {
    let scopes = form.take("scopes")?;
    let scopes = scope_set(form, scopes);
    if !rules.knows(&scopes) {
        form.wrong("scopes", UNKNOWN_SCOPE);
    }
    Some(scopes)
}

fn scope_set(form: &mut Form, scopes: Value) -> ScopeSet {
    let Value::Array(scopes) = scopes else {
        form.wrong("scopes", "Expected a list of scopes.");
        return ScopeSet::empty();
    };
    if scopes.is_empty() {
        form.wrong("scopes", "This list may not be empty.");
    }
    let scopes: Option<ScopeSet> = scopes.iter().map(|scope| Scope::new(scope.as_str()?).ok()).collect();
    scopes.unwrap_or_else(|| {
        form.wrong("scopes", UNKNOWN_SCOPE);
        ScopeSet::empty()
    })
}
