//! Keys of keyshield: `ak_v1-KEYID-SECRET`, found by the key id. The table has Argon2 of the secret, followed by the pepper of
//! the service.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordVerifier};
use serde::Deserialize;
use tower_api_key::auth::{LegacyFormat, LegacyKey, LegacyVerifier};
use tower_api_key::manage::ImportedKey;
use tower_api_key::{Access, BoxError, NewKey, OrganizationId, Scope};
use zeroize::Zeroizing;

use super::table::{Table, time};

const PREFIX: &str = "ak_v1-";

/// `api_keys`
#[derive(Clone, Deserialize)]
pub(crate) struct Row {
    key_id: String,
    key_hash: String,
    name: String,
    is_active: bool,
    scopes: Vec<String>,
    created_at: u64,
    last_used_at: Option<u64>,
    expires_at: Option<u64>,
}

pub(crate) struct Keyshield {
    table: Table<String, Row>,
    pepper: &'static str,
}

impl Keyshield {
    pub(crate) fn new(rows: Vec<Row>, pepper: &'static str) -> Self {
        Self { table: Table::new(rows, |row| row.key_id.clone()), pepper }
    }
}

impl LegacyVerifier for Keyshield {
    type Error = BoxError;

    fn formats(&self) -> Vec<LegacyFormat> {
        vec![LegacyFormat::prefixed(PREFIX).expect("it is visible ASCII").with_separator('-')]
    }

    async fn verify(&self, key: LegacyKey) -> Result<Option<(OrganizationId, ImportedKey)>, BoxError> {
        let Some(key_id) = key.parts().and_then(|(id, _)| id.strip_prefix(PREFIX)) else { return Ok(None) };
        let Some(row) = self.table.row(&key_id.to_owned()).await? else { return Ok(None) };
        let pepper = self.pepper;
        let verified = tokio::task::spawn_blocking(move || {
            let secret = key.parts().map_or("", |(_, secret)| secret);
            let peppered = Zeroizing::new(format!("{secret}{pepper}"));
            let hash = PasswordHash::new(&row.key_hash)?;
            let is_valid = match Argon2::default().verify_password(peppered.as_bytes(), &hash) {
                Ok(()) => true,
                Err(argon2::password_hash::Error::PasswordInvalid) => false,
                Err(error) => return Err(error.into()),
            };
            Ok::<_, BoxError>(is_valid.then_some((key, row)))
        });
        let Some((key, row)) = verified.await?? else { return Ok(None) };
        let scopes = row.scopes.into_iter().map(Scope::new).collect::<Result<Vec<_>, _>>()?;
        let facts = NewKey::new(row.name.as_str(), Access::scoped(scopes))?.with_expires_at(row.expires_at.map(time));
        let key = key
            .import(facts)
            .with_created_at(time(row.created_at))
            .with_suspended(!row.is_active)
            .with_usage(row.last_used_at.map(time), 1);
        // The table has no owner: here the name of a key is its organization.
        Ok(Some((row.name.parse()?, key)))
    }
}
