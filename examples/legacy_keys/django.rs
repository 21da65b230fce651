//! Keys of djangorestframework-api-key: `PREFIX.SECRET`, found by the prefix. The table has SHA-512 of the whole key, or, of
//! keys from before version 3 that were not used since, a password hash of Django.

use base64ct::{Base64, Encoding};
use serde::Deserialize;
use sha2::{Digest, Sha256, Sha512};
use tower_api_key::auth::{LegacyFormat, LegacyKey, LegacyVerifier};
use tower_api_key::manage::ImportedKey;
use tower_api_key::{Access, BoxError, NewKey, OrganizationId};

use super::table::{Table, time};

/// `rest_framework_api_key_apikey`
#[derive(Clone, Deserialize)]
pub(crate) struct Row {
    prefix: String,
    hashed_key: String,
    name: String,
    created: u64,
    revoked: bool,
    expiry_date: Option<u64>,
}

pub(crate) struct Django(Table<String, Row>);

impl Django {
    pub(crate) fn new(rows: Vec<Row>) -> Self {
        Self(Table::new(rows, |row| row.prefix.clone()))
    }
}

impl LegacyVerifier for Django {
    type Error = BoxError;

    fn formats(&self) -> Vec<LegacyFormat> {
        vec![LegacyFormat::separated('.')]
    }

    async fn verify(&self, key: LegacyKey) -> Result<Option<(OrganizationId, ImportedKey)>, BoxError> {
        let Some((prefix, _)) = key.parts() else { return Ok(None) };
        let Some(row) = self.0.row(&prefix.to_owned()).await? else { return Ok(None) };
        let verified = tokio::task::spawn_blocking(move || {
            Ok::<_, BoxError>(is_hash_of(&row.hashed_key, key.expose_secret())?.then_some((key, row)))
        });
        let Some((key, row)) = verified.await?? else { return Ok(None) };
        // The plain model has no owner and no scopes. A model of your own, based on `AbstractAPIKey`, has a column for them.
        let facts = NewKey::new(row.name.as_str(), Access::Full)?.with_expires_at(row.expiry_date.map(time));
        // The table does not keep when a key was revoked.
        let revoked_at = row.revoked.then(|| time(row.created));
        let key = key.import(facts).with_created_at(time(row.created)).with_revoked_at(revoked_at);
        Ok(Some((row.name.parse()?, key)))
    }
}

/// Returns whether this column has a hash of the key.
fn is_hash_of(column: &str, key: &str) -> Result<bool, BoxError> {
    let fields: Vec<&str> = column.split('$').collect();
    match fields[..] {
        ["sha512", "", digest] => Ok(digest == base16ct::lower::encode_string(&Sha512::digest(key))),
        ["pbkdf2_sha256", iterations, salt, hash] => {
            let mut derived = [0; 32];
            pbkdf2::pbkdf2_hmac::<Sha256>(key.as_bytes(), salt.as_bytes(), iterations.parse()?, &mut derived);
            Ok(hash == Base64::encode_string(&derived))
        }
        // An error is a 503, so that the owner of the key keeps it.
        _ => Err("hashed_key has an unknown algorithm".into()),
    }
}
