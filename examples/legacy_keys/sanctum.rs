//! Tokens of Laravel Sanctum: `ID|TOKEN`, found by the id. The table has SHA-256 of the token without the id.

use serde::Deserialize;
use tower_api_key::auth::{LegacyFormat, LegacyKey, LegacyVerifier};
use tower_api_key::key::KeyDigest;
use tower_api_key::manage::ImportedKey;
use tower_api_key::{Access, BoxError, NewKey, OrganizationId, Scope};

use super::table::{Table, time};

/// `personal_access_tokens`
#[derive(Clone, Deserialize)]
pub(crate) struct Row {
    id: u64,
    tokenable_id: u64,
    name: String,
    token: String,
    abilities: String,
    last_used_at: Option<u64>,
    expires_at: Option<u64>,
    created_at: u64,
}

pub(crate) struct Sanctum(Table<u64, Row>);

impl Sanctum {
    pub(crate) fn new(rows: Vec<Row>) -> Self {
        Self(Table::new(rows, |row| row.id))
    }
}

impl LegacyVerifier for Sanctum {
    type Error = BoxError;

    fn formats(&self) -> Vec<LegacyFormat> {
        vec![LegacyFormat::separated('|')]
    }

    async fn verify(&self, key: LegacyKey) -> Result<Option<(OrganizationId, ImportedKey)>, BoxError> {
        let Some((id, token)) = key.parts() else { return Ok(None) };
        let Ok(id) = id.parse() else { return Ok(None) };
        let Some(row) = self.0.row(&id).await? else { return Ok(None) };
        if KeyDigest::from_hex(&row.token)? != KeyDigest::hash(token.as_bytes()) {
            return Ok(None);
        }
        let facts = NewKey::new(row.name, access(&row.abilities)?)?.with_expires_at(row.expires_at.map(time));
        let key = key.import(facts).with_created_at(time(row.created_at)).with_usage(row.last_used_at.map(time), 1);
        Ok(Some((format!("user-{}", row.tokenable_id).parse()?, key)))
    }
}

/// Sanctum's `*` is every ability.
fn access(abilities: &str) -> Result<Access, BoxError> {
    let abilities: Vec<String> = serde_json::from_str(abilities)?;
    if abilities.iter().any(|ability| ability == "*") {
        return Ok(Access::Full);
    }
    Ok(Access::scoped(abilities.into_iter().map(Scope::new).collect::<Result<Vec<_>, _>>()?))
}
