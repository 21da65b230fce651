use std::time::SystemTime;

use tower_api_key::client::AllowedNetworks;
use tower_api_key::key::{Environment, KeyDigest, KeyFormat, KeyHint, Metadata};
use tower_api_key::manage::{ImportedKey, StoredCredential};
use tower_api_key::{Access, NewKey, OrganizationId, Scope};
use zeroize::Zeroizing;

use super::field::{flag, number, parsed, take, text, time, words};
use super::source::Fields;

/// A key to import, for its organization.
pub(super) struct Row {
    pub(super) organization: OrganizationId,
    pub(super) digest: KeyDigest,
    pub(super) key: ImportedKey,
}

impl Row {
    /// Reads all fields, or returns what is wrong, without a value.
    pub(super) fn read(
        mut fields: Fields,
        organization: Option<&OrganizationId>,
        format: &KeyFormat,
    ) -> Result<Self, String> {
        let fields = &mut fields;
        let credential = credential(fields, format)?;
        let organization = parsed::<OrganizationId>(fields, "organization")?.or_else(|| organization.cloned());
        let organization = organization.ok_or("no organization: name one in the row, or pass --organization")?;
        let name = text(fields, "name")?.ok_or("no name")?;
        let new = NewKey::new(name, access(fields)?)
            .map_err(|error| error.to_string())?
            .with_expires_at(time(fields, "expires_at")?)
            .with_environment(parsed::<Environment>(fields, "environment")?)
            .with_networks(networks(fields)?)
            .with_metadata(metadata(fields)?);
        let (last_used_at, request_count) = usage(fields)?;
        let mut key = ImportedKey::new(new, credential.clone())
            .with_suspended(flag(fields, "suspended")?)
            .with_revoked_at(time(fields, "revoked_at")?)
            .with_usage(last_used_at, request_count);
        if let Some(time) = time(fields, "created_at")? {
            key = key.with_created_at(time);
        }
        if let Some(actor) = text(fields, "created_by")? {
            key = key.with_created_by(actor);
        }
        // A misspelled expiry must not make a key that never expires.
        if fields.is_empty() { Ok(Self { organization, digest: credential.digest, key }) } else { Err(unknown()) }
    }
}

fn unknown() -> String {
    "has an unknown field: see `tower-api-key import --help`".to_owned()
}

fn credential(fields: &mut Fields, format: &KeyFormat) -> Result<StoredCredential, String> {
    let hint = text(fields, "hint")?.map(|hint| KeyHint::from_stored(&hint));
    let plaintext = text(fields, "plaintext")?.map(Zeroizing::new);
    let credential = match (plaintext, parsed::<KeyDigest>(fields, "digest")?) {
        (Some(plaintext), None) => {
            let plaintext = plaintext.as_bytes();
            StoredCredential::from_plaintext(plaintext).with_hint(format.hint(plaintext))
        }
        (None, Some(digest)) => StoredCredential::from_digest(digest),
        (None, None) => return Err("neither a digest nor a plaintext".to_owned()),
        (Some(_), Some(_)) => return Err("both a digest and a plaintext".to_owned()),
    };
    Ok(match hint {
        Some(hint) => credential.with_hint(hint),
        None => credential,
    })
}

fn access(fields: &mut Fields) -> Result<Access, String> {
    match (flag(fields, "full_access")?, words(fields, "scopes")?.unwrap_or_default()) {
        (true, scopes) if scopes.is_empty() => Ok(Access::Full),
        (true, _) => Err("both scopes and full_access".to_owned()),
        (false, scopes) if scopes.is_empty() => Err("neither scopes nor full_access".to_owned()),
        (false, scopes) => {
            let scopes: Result<Vec<Scope>, _> = scopes.iter().map(Scope::new).collect();
            Ok(Access::scoped(scopes.map_err(|error| format!("scopes: {error}"))?))
        }
    }
}

fn networks(fields: &mut Fields) -> Result<AllowedNetworks, String> {
    let Some(networks) = words(fields, "allowed_networks")? else { return Ok(AllowedNetworks::ANYWHERE) };
    networks.join(" ").parse().map_err(|error| format!("allowed_networks: {error}"))
}

fn metadata(fields: &mut Fields) -> Result<Metadata, String> {
    let entries = match take(fields, "metadata") {
        None => return Ok(Metadata::empty()),
        Some(serde_json::Value::Object(entries)) => entries,
        Some(_) => return Err("metadata is no object".to_owned()),
    };
    let texts = entries.into_iter().map(|(name, value)| Some((name, value.as_str()?.to_owned())));
    let texts: Vec<_> = texts.collect::<Option<_>>().ok_or("a value of metadata is no text")?;
    Metadata::new(texts).map_err(|error| format!("metadata: {error}"))
}

/// Returns the time of the last request, and how many there were. A store keeps no count without a time.
fn usage(fields: &mut Fields) -> Result<(Option<SystemTime>, u64), String> {
    match (time(fields, "last_used_at")?, number(fields, "request_count")?.unwrap_or(0)) {
        (None, 1..) => Err("request_count without last_used_at: give both, or neither".to_owned()),
        usage => Ok(usage),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(row: serde_json::Value) -> Result<Row, String> {
        let serde_json::Value::Object(fields) = row else { panic!("no object") };
        Row::read(fields, None, &KeyFormat::AVALA)
    }

    #[test]
    fn invalid_row_is_named_without_its_values() {
        const SECRET: &str = "sk_live_0123456789abcdef";
        let digest = KeyDigest::hash(SECRET.as_bytes()).to_hex();
        let valid = json!({"organization": "acme", "name": "ci", "plaintext": SECRET, "scopes": ["a.b"]});
        assert!(read(valid.clone()).is_ok());
        for (field, value, reason) in [
            ("organization", json!(null), "no organization"),
            ("organization", json!(7), "organization is no text"),
            ("organization", json!(format!("{SECRET}\n")), "organization: invalid organization id"),
            ("name", json!(null), "no name"),
            ("name", json!(" "), "a key name has"),
            ("plaintext", json!(null), "neither a digest nor a plaintext"),
            ("plaintext", json!([SECRET]), "plaintext is no text"),
            ("digest", json!(digest), "both a digest and a plaintext"),
            ("digest", json!(SECRET), "digest: invalid key digest"),
            ("scopes", json!(null), "neither scopes nor full_access"),
            ("scopes", json!([]), "neither scopes nor full_access"),
            ("scopes", json!([SECRET, 7]), "scopes is no list of texts"),
            ("scopes", json!(format!("{SECRET},x")), "scopes: invalid scope"),
            ("full_access", json!(true), "both scopes and full_access"),
            ("full_access", json!("yes"), "full_access is neither true nor false"),
            ("environment", json!("a b"), "environment: invalid environment"),
            ("allowed_networks", json!([]), "allowed_networks: "),
            ("allowed_networks", json!("10.0.0.0/33"), "allowed_networks: "),
            ("metadata", json!({"a": 1}), "a value of metadata is no text"),
            ("metadata", json!("a=1"), "metadata is no object"),
            ("created_at", json!("yesterday"), "created_at is no time"),
            ("expires_at", json!(-1), "expires_at is no time"),
            ("expires_at", json!(1_798_761_600_000_u64), "expires_at is no time"),
            ("expires_at", json!("1798761600000"), "expires_at is no time"),
            ("request_count", json!(1.5), "request_count is no number"),
            ("request_count", json!(3), "request_count without last_used_at"),
            ("expire_at", json!("2027-01-31"), "has an unknown field"),
            (SECRET, json!(1), "has an unknown field"),
        ] {
            let mut row = valid.clone();
            row[field] = value;
            let error = read(row).map(drop).unwrap_err();
            assert!(error.starts_with(reason), "{field}: {error}");
            assert!(!error.contains("sk_live") && !error.contains(&digest), "{field}: {error}");
        }
    }
}
