//! Keys of better-auth's plugin for API keys: random letters, after a prefix if one was chosen. The table has SHA-256 of the
//! whole key in base64url, so that a query finds the row.

use std::collections::BTreeMap;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::Deserialize;
use tower_api_key::auth::{LegacyFormat, LegacyKey, LegacyLimits, LegacyVerifier};
use tower_api_key::manage::ImportedKey;
use tower_api_key::{Access, BoxError, NewKey, OrganizationId, Scope};

use super::table::{Table, time};

/// `apikey`
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    key: String,
    name: Option<String>,
    reference_id: String,
    enabled: bool,
    request_count: u64,
    last_request: Option<u64>,
    expires_at: Option<u64>,
    created_at: u64,
    permissions: Option<String>,
}

pub(crate) struct BetterAuth(Table<String, Row>);

impl BetterAuth {
    pub(crate) fn new(rows: Vec<Row>) -> Self {
        Self(Table::new(rows, |row| row.key.clone()))
    }
}

impl LegacyVerifier for BetterAuth {
    type Error = BoxError;

    fn formats(&self) -> Vec<LegacyFormat> {
        vec![LegacyFormat::any().with_lengths(64..=96).expect("keys have such lengths")]
    }

    /// One query by an index, and no slow hash.
    fn limits(&self) -> LegacyLimits {
        LegacyLimits::new().with_concurrency(10)
    }

    async fn verify(&self, key: LegacyKey) -> Result<Option<(OrganizationId, ImportedKey)>, BoxError> {
        let hash = Base64UrlUnpadded::encode_string(key.digest().as_bytes());
        let Some(row) = self.0.row(&hash).await? else { return Ok(None) };
        let facts = NewKey::new(row.name.unwrap_or_else(|| "unnamed".to_owned()), access(row.permissions.as_deref())?)?;
        let key = key
            .import(facts.with_expires_at(row.expires_at.map(time)))
            .with_created_at(time(row.created_at))
            .with_suspended(!row.enabled)
            .with_usage(row.last_request.map(time), row.request_count);
        Ok(Some((row.reference_id.parse()?, key)))
    }
}

/// `{"datasets": ["read"]}` is the scope `datasets.read`. A key without permissions passes only where none are asked for.
fn access(permissions: Option<&str>) -> Result<Access, BoxError> {
    let permissions: Option<BTreeMap<String, Vec<String>>> = serde_json::from_str(permissions.unwrap_or("null"))?;
    let permissions = permissions.unwrap_or_default();
    let scopes = permissions
        .iter()
        .flat_map(|(resource, actions)| actions.iter().map(move |action| Scope::new(format!("{resource}.{action}"))));
    Ok(Access::scoped(scopes.collect::<Result<Vec<_>, _>>()?))
}
