//! What the program shows of a key.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;
use tower_api_key::Access;
use tower_api_key::key::KeyRecord;

use crate::failure::Failure;
use crate::output::{Output, shown};
use crate::values::{minute, rfc3339};

/// A key as JSON. The names are stable: a later version may only add some.
#[derive(Serialize)]
pub(crate) struct KeyView<'a> {
    id: String,
    organization: &'a str,
    name: &'a str,
    hint: &'a str,
    environment: Option<&'a str>,
    status: &'static str,
    full_access: bool,
    scopes: Vec<&'a str>,
    /// Null for anywhere.
    allowed_networks: Option<Vec<String>>,
    metadata: BTreeMap<&'a str, &'a str>,
    created_at: String,
    created_by: Option<&'a str>,
    imported: bool,
    expires_at: Option<String>,
    /// The earlier one of the key's expiry and the maximum age of its organization.
    valid_until: Option<String>,
    last_used_at: Option<String>,
    request_count: u64,
    suspended: bool,
    revoked_at: Option<String>,
    replaced_by: Option<String>,
    /// The key itself, of a new key alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<&'a str>,
}

impl<'a> KeyView<'a> {
    pub(crate) fn of(record: &'a KeyRecord) -> Self {
        let scopes = record.access().scopes();
        let networks = record.networks().networks();
        Self {
            id: record.id().to_string(),
            organization: record.organization().as_str(),
            name: record.name(),
            hint: record.hint().as_str(),
            environment: record.environment().map(|environment| environment.as_str()),
            status: record.status(SystemTime::now()).as_str(),
            full_access: record.access().is_full(),
            scopes: scopes.map(|scopes| scopes.iter().map(|scope| scope.as_str()).collect()).unwrap_or_default(),
            allowed_networks: networks.map(|networks| networks.iter().map(ToString::to_string).collect()),
            metadata: record.metadata().iter().collect(),
            created_at: rfc3339(record.created_at()),
            created_by: record.created_by(),
            imported: record.is_imported(),
            expires_at: record.expires_at().map(rfc3339),
            valid_until: record.valid_until().map(rfc3339),
            last_used_at: record.last_used_at().map(rfc3339),
            request_count: record.request_count(),
            suspended: record.is_suspended(),
            revoked_at: record.revoked_at().map(rfc3339),
            replaced_by: record.replaced_by().map(|id| id.to_string()),
            api_key: None,
        }
    }

    pub(crate) const fn with_api_key(mut self, key: &'a str) -> Self {
        self.api_key = Some(key);
        self
    }
}

/// Writes all about a key: an object, or a line for each fact.
pub(crate) fn write(out: &mut Output, record: &KeyRecord) -> Result<(), Failure> {
    if out.is_json() {
        return out.object(&KeyView::of(record));
    }
    let time =
        |time: Option<SystemTime>| time.map_or_else(|| "never".to_owned(), |time| format!("{} UTC", minute(time)));
    let mut facts = vec![
        ("id", record.id().to_string()),
        ("organization", shown(record.organization().as_str())),
        ("name", shown(record.name())),
        ("hint", shown(record.hint().as_str())),
        ("environment", record.environment().map_or("-", |environment| environment.as_str()).to_owned()),
        ("status", record.status(SystemTime::now()).to_string()),
        ("access", access(record)),
        ("networks", networks(record)),
        ("created", format!("{} by {}", time(Some(record.created_at())), shown(record.created_by().unwrap_or("-")))),
        ("expires", time(record.expires_at())),
        ("last used", format!("{}, {} requests", time(record.last_used_at()), record.request_count())),
    ];
    if record.valid_until() != record.expires_at() {
        facts.push(("too old", time(record.valid_until())));
    }
    if record.is_revoked() {
        facts.push(("revoked", time(record.revoked_at())));
    }
    facts.extend(record.replaced_by().map(|id| ("replaced by", id.to_string())));
    for (name, value) in record.metadata().iter() {
        facts.push(("metadata", format!("{}={}", shown(name), shown(value))));
    }
    for (name, value) in facts {
        out.line(&format!("{name:<13} {value}"))?;
    }
    Ok(())
}

/// Names a key in a sentence.
pub(crate) fn named(record: &KeyRecord) -> String {
    let hint = match record.hint().as_str() {
        "" => String::new(),
        hint => format!(", {}", shown(hint)),
    };
    format!("key {} of {} (\"{}\"{hint})", record.id(), shown(record.organization().as_str()), shown(record.name()))
}

/// Returns when a key was last used, for someone who is about to end it.
pub(crate) fn last_used(record: &KeyRecord) -> String {
    match record.last_used_at() {
        Some(time) => format!("last used {} UTC", minute(time)),
        None => "never used, as far as is reported".to_owned(),
    }
}

pub(crate) fn access(record: &KeyRecord) -> String {
    match record.access() {
        Access::Full => "full access".to_owned(),
        Access::Scoped(scopes) if scopes.is_empty() => "no scope".to_owned(),
        Access::Scoped(scopes) => scopes.to_string(),
    }
}

fn networks(record: &KeyRecord) -> String {
    if record.networks().is_anywhere() { "anywhere".to_owned() } else { record.networks().to_string() }
}
