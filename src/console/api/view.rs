use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use crate::key::KeyRecord;
use crate::rfc3339;
use crate::scope::ScopeSet;

/// What its owner sees of a key.
#[derive(Serialize)]
pub(super) struct View<'a> {
    uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<&'a str>,
    name: &'a str,
    hint: &'a str,
    environment: Option<&'a str>,
    full_access: bool,
    scopes: Vec<&'a str>,
    allowed_networks: Option<Vec<String>>,
    metadata: BTreeMap<&'a str, &'a str>,
    created_at: String,
    created_by: Option<&'a str>,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    request_count: u64,
    suspended: bool,
    revoked_at: Option<String>,
    replaced_by: Option<String>,
    status: &'static str,
}

/// A new key, the only time it is shown.
#[derive(Serialize)]
pub(super) struct Issued<'a> {
    #[serde(flatten)]
    pub(super) view: View<'a>,
    pub(super) api_key: &'a str,
}

#[derive(Serialize)]
pub(super) struct Page<'a> {
    pub(super) next: Option<String>,
    pub(super) previous: Option<String>,
    pub(super) results: Vec<View<'a>>,
}

impl<'a> View<'a> {
    pub(super) fn of(record: &'a KeyRecord, now: SystemTime, with_organization: bool) -> Self {
        let scopes = record.access().scopes().into_iter().flat_map(ScopeSet::iter);
        let networks = record.networks().networks();
        Self {
            uid: record.id().to_string(),
            organization: with_organization.then(|| record.organization().as_str()),
            name: record.name(),
            hint: record.hint().as_str(),
            environment: record.environment().map(crate::key::Environment::as_str),
            full_access: record.access().is_full(),
            scopes: scopes.map(crate::scope::Scope::as_str).collect(),
            allowed_networks: networks.map(|networks| networks.iter().map(ToString::to_string).collect()),
            metadata: record.metadata().iter().collect(),
            created_at: rfc3339::format(record.created_at()),
            created_by: record.created_by(),
            expires_at: record.valid_until().map(rfc3339::format),
            last_used_at: record.last_used_at().map(rfc3339::format),
            request_count: record.request_count(),
            suspended: record.is_suspended(),
            revoked_at: record.revoked_at().map(rfc3339::format),
            replaced_by: record.replaced_by().map(|id| id.to_string()),
            status: record.status(now).as_str(),
        }
    }
}
