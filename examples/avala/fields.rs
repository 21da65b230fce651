//! The fields of a key, as the bodies of requests have them.

use std::time::SystemTime;

use serde_json::Value;
use tower_api_key::client::AllowedNetworks;
use tower_api_key::key::{Environment, Metadata};
use tower_api_key::scope::{ScopeSet, avala};
use tower_api_key::{Access, Scope};

use crate::form::Form;
use crate::time;

/// Full access has to be asked for by name: no list of scopes, however empty, turns into it.
pub(crate) fn access(form: &mut Form) -> Access {
    let full = match form.take("full_access") {
        None => false,
        Some(Value::Bool(full)) => full,
        Some(_) => {
            form.wrong("full_access", "Must be a valid boolean.");
            return Access::Full;
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

/// The scopes that a key is to be limited to.
pub(crate) fn scopes(form: &mut Form) -> Option<ScopeSet> {
    let scopes = form.take("scopes")?;
    let scopes = scope_set(form, scopes);
    if avala::catalog().check(&Access::Scoped(scopes.clone())).is_err() {
        form.wrong("scopes", "Not a scope of this API.");
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
        form.wrong("scopes", "Not a scope of this API.");
        ScopeSet::empty()
    })
}

pub(crate) fn expires_at(form: &mut Form) -> Option<SystemTime> {
    let text = form.optional_text("expires_at", 100)?;
    match time::parse(&text) {
        None => form.wrong("expires_at", "Not a time of RFC 3339, such as 2026-11-24T10:00:00Z."),
        Some(time) if time <= SystemTime::now() => form.wrong("expires_at", "This time is in the past."),
        time => return time,
    }
    None
}

pub(crate) fn metadata(form: &mut Form) -> Option<Metadata> {
    let Value::Object(entries) = form.take("metadata")? else {
        form.wrong("metadata", "Expected an object of texts.");
        return None;
    };
    let entries: Option<Vec<_>> =
        entries.into_iter().map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect();
    let Some(entries) = entries else {
        form.wrong("metadata", "Expected an object of texts.");
        return None;
    };
    Metadata::new(entries).map_err(|error| form.wrong("metadata", format!("{error}."))).ok()
}

/// Null counts as absent, and never as a wish for any network.
pub(crate) fn networks(form: &mut Form) -> Option<AllowedNetworks> {
    let Value::Array(networks) = form.take("allowed_networks")? else {
        form.wrong("allowed_networks", "Expected a list of networks.");
        return None;
    };
    let texts: Option<Vec<_>> =
        networks.iter().map(|network| network.as_str().filter(|text| !text.is_empty())).collect();
    let readable = texts.filter(|texts| texts.iter().all(|text| *text != "*" && !text.contains(char::is_whitespace)));
    let Some(texts) = readable else {
        form.wrong("allowed_networks", "Expected networks such as 192.0.2.0/24.");
        return None;
    };
    texts.join(" ").parse().map_err(|error| form.wrong("allowed_networks", format!("{error}."))).ok()
}

pub(crate) fn environment(form: &mut Form) -> Option<Environment> {
    let text = form.optional_text("environment", 32)?;
    let environment = text.parse();
    if environment.is_err() {
        form.wrong("environment", UNKNOWN_ENVIRONMENT);
    }
    environment.ok()
}

pub(crate) const UNKNOWN_ENVIRONMENT: &str = "live or test.";
