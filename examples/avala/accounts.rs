use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::data::Organization;
use crate::database::Database;
use crate::reply::{ApiError, in_time};

/// Who signed up.
#[derive(Clone)]
pub(crate) struct Accounts(Database);

#[derive(Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) user: User,
    pub(crate) password_hash: String,
}

/// What a client sees of an account. The uid is also the id of the organization that it owns.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct User {
    #[schema(format = "uuid")]
    pub(crate) uid: String,
    pub(crate) username: String,
    pub(crate) email: String,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
}

const FIND: &str = "SELECT account FROM avala_accounts WHERE email = $1";

const ADD: &str = "INSERT INTO avala_accounts (email, organization, account, data) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (email) DO NOTHING RETURNING email";

const ORGANIZATIONS: &str = "SELECT organization FROM avala_accounts";

const LAST_DEMAND: &str = "SELECT value FROM avala_settings WHERE name = 'max_key_age_seconds'";

const KEEP_DEMAND: &str = "INSERT INTO avala_settings (name, value) VALUES ('max_key_age_seconds', $1) \
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

impl Accounts {
    pub(crate) const fn new(database: Database) -> Self {
        Self(database)
    }

    pub(crate) async fn find(&self, email: &str) -> Result<Option<Account>, ApiError> {
        // No account has such an email, and Postgres has no text for it.
        if email.contains('\0') {
            return Ok(None);
        }
        let rows = in_time(self.0.run(FIND, &[&normal(email)])).await?;
        let Some(account) = rows.first().and_then(|row| row.first()) else { return Ok(None) };
        serde_json::from_str(account).map(Some).map_err(ApiError::unavailable)
    }

    /// Adds an account and the organization that it owns, both or neither: neither where its email is taken.
    pub(crate) async fn add(&self, account: &Account, data: &Organization) -> Result<bool, ApiError> {
        let (user, account, data) = (&account.user, json(account)?, json(data)?);
        let added = in_time(self.0.run(ADD, &[&normal(&user.email), &user.uid, &account, &data])).await?;
        Ok(!added.is_empty())
    }

    /// Every organization there is.
    pub(crate) async fn organizations(&self) -> Result<Vec<String>, sqlx::Error> {
        Ok(self.0.run(ORGANIZATIONS, &[]).await?.concat())
    }

    /// The age of keys, in seconds, that the last start demanded. Empty for any.
    pub(crate) async fn last_demand(&self) -> Result<String, sqlx::Error> {
        Ok(self.0.run(LAST_DEMAND, &[]).await?.concat().concat())
    }

    pub(crate) async fn keep_demand(&self, seconds: &str) -> Result<(), sqlx::Error> {
        self.0.run(KEEP_DEMAND, &[seconds]).await.map(drop)
    }
}

fn json(value: &impl Serialize) -> Result<String, ApiError> {
    serde_json::to_string(value).map_err(ApiError::internal)
}

/// Mail servers that distinguish `Ada@` and `ada@` are rarer than people who write both.
fn normal(email: &str) -> String {
    email.to_lowercase()
}
