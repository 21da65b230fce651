//! Keys of a table with bcrypt: `sk_live_PREFIX.SECRET`, found by the prefix.

use serde::Deserialize;
use tower_api_key::auth::{LegacyFormat, LegacyKey, LegacyVerifier};
use tower_api_key::manage::ImportedKey;
use tower_api_key::{Access, BoxError, NewKey, OrganizationId};

use super::table::Table;

const PREFIX: &str = "sk_live_";

#[derive(Clone, Deserialize)]
pub(crate) struct Row {
    prefix: String,
    hash: String,
    customer: String,
    disabled: bool,
}

pub(crate) struct Bcrypt(Table<String, Row>);

impl Bcrypt {
    pub(crate) fn new(rows: Vec<Row>) -> Self {
        Self(Table::new(rows, |row| row.prefix.clone()))
    }
}

impl LegacyVerifier for Bcrypt {
    type Error = BoxError;

    fn formats(&self) -> Vec<LegacyFormat> {
        vec![LegacyFormat::prefixed(PREFIX).expect("it is visible ASCII").with_separator('.')]
    }

    async fn verify(&self, key: LegacyKey) -> Result<Option<(OrganizationId, ImportedKey)>, BoxError> {
        let Some(prefix) = key.parts().and_then(|(prefix, _)| prefix.strip_prefix(PREFIX)) else { return Ok(None) };
        let Some(row) = self.0.row(&prefix.to_owned()).await? else { return Ok(None) };
        // bcrypt takes a processor for a while. The key goes along, so that it counts as one verification until it is done.
        let verified = tokio::task::spawn_blocking(move || {
            let is_valid = bcrypt::verify(key.expose_secret(), &row.hash)?;
            Ok::<_, BoxError>(is_valid.then_some((key, row)))
        });
        let Some((key, row)) = verified.await?? else { return Ok(None) };
        // This table has no scopes: each key could do everything.
        let facts = NewKey::new(row.prefix, Access::Full)?;
        Ok(Some((row.customer.parse()?, key.import(facts).with_suspended(row.disabled))))
    }
}
