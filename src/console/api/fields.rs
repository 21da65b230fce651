//! The fields of a key, as the bodies of requests have them.

use std::time::SystemTime;

use serde_json::Value;

use super::error::sentence;
use super::form::Form;
use crate::client::AllowedNetworks;
use crate::key::{Environment, Metadata};
use crate::manage::IssueRules;
use crate::rfc3339;

pub(super) const UNKNOWN_SCOPE: &str = "Not a scope of this API.";

pub(super) fn expires_at(form: &mut Form, now: SystemTime) -> Option<SystemTime> {
    let text = form.optional_text("expires_at", 100)?;
    match rfc3339::parse(&text) {
        None => form.wrong("expires_at", "Not a time of RFC 3339, such as 2026-11-24T10:00:00Z."),
        Some(time) if time <= now => form.wrong("expires_at", "This time is in the past."),
        time => return time,
    }
    None
}

pub(super) fn metadata(form: &mut Form) -> Option<Metadata> {
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
    Metadata::new(entries).map_err(|error| form.wrong("metadata", sentence(&error))).ok()
}

/// Null counts as absent, and never as a wish for any network.
pub(super) fn networks(form: &mut Form) -> Option<AllowedNetworks> {
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
    texts.join(" ").parse().map_err(|error| form.wrong("allowed_networks", sentence(&error))).ok()
}

pub(super) fn environment(form: &mut Form, rules: &IssueRules) -> Option<Environment> {
    let text = form.optional_text("environment", 32)?;
    let known = text.parse().ok().filter(|asked| environments(rules).any(|known| known == asked));
    if known.is_none() {
        form.wrong("environment", unknown_environment(rules));
    }
    known
}

pub(in crate::console) fn environments(rules: &IssueRules) -> impl Iterator<Item = &Environment> {
    rules.formats().filter_map(crate::key::KeyFormat::environment)
}

pub(super) fn unknown_environment(rules: &IssueRules) -> String {
    let known: Vec<_> = environments(rules).map(Environment::as_str).collect();
    if known.is_empty() {
        "Keys have no environments.".into()
    } else {
        format!("Expected one of: {}.", known.join(", "))
    }
}
