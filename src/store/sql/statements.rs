//! The statements, in the SQL that both databases understand. `$1` is the first value in both.

macro_rules! select_key {
    ($rest:literal) => {
        concat!(
            "SELECT k.id, k.digest, k.organization, k.name, k.hint, k.access, k.scopes, \
             k.created_at, k.expires_at, k.revoked_at, k.replaced_by, u.last_used_at, u.requests, \
             o.max_key_age, CASE WHEN o.organization IS NULL THEN 0 ELSE coalesce(o.disabled, 1) END \
             FROM tower_api_key_keys k \
             LEFT JOIN tower_api_key_usage u ON u.key = k.id \
             LEFT JOIN tower_api_key_organizations o ON o.organization = k.organization ",
            $rest
        )
    };
}

pub(super) const FIND: &str = select_key!("WHERE k.digest = $1");

pub(super) const GET: &str = select_key!("WHERE k.id = $1 AND k.organization = $2");

/// [`GET`] with a lock on the row. Only for Postgres: SQLite locks the whole database when a change begins.
#[cfg(feature = "postgres")]
pub(super) const GET_FOR_UPDATE: &str = select_key!("WHERE k.id = $1 AND k.organization = $2 FOR UPDATE OF k");

/// Up to `$6` keys after the cursor `$2, $3`, the newest first, with the status `$5` at the time `$4`. An empty `$5` means
/// any status. Nothing is added to a time: Postgres fails when a sum exceeds its numbers.
pub(super) const LIST: &str = select_key!(
    "WHERE k.organization = $1 AND (k.created_at, k.id) < ($2, $3) \
     AND ($5 = '' OR $5 = CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked' \
     WHEN k.expires_at <= $4 OR k.created_at <= $4 - CASE WHEN o.max_key_age >= 0 THEN o.max_key_age END THEN 'expired' ELSE 'active' END) \
     ORDER BY k.created_at DESC, k.id DESC LIMIT $6"
);

/// Returns the id, or no row when the digest or the id is taken.
pub(super) const INSERT: &str = "INSERT INTO tower_api_key_keys \
    (id, digest, organization, name, hint, access, scopes, created_at, expires_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING id";

pub(super) const REVOKE: &str = "UPDATE tower_api_key_keys SET revoked_at = $3 \
    WHERE id = $1 AND organization = $2 AND revoked_at IS NULL";

pub(super) const REPLACE: &str = "UPDATE tower_api_key_keys SET revoked_at = $2, replaced_by = $3 WHERE id = $1";

pub(super) const UPDATE: &str = "UPDATE tower_api_key_keys SET access = $2, scopes = $3 WHERE id = $1";

pub(super) const POLICY: &str =
    "SELECT max_key_age, coalesce(disabled, 1) FROM tower_api_key_organizations WHERE organization = $1";

pub(super) const SET_POLICY: &str = "INSERT INTO tower_api_key_organizations (organization, max_key_age, disabled) \
    VALUES ($1, $2, $3) ON CONFLICT (organization) \
    DO UPDATE SET max_key_age = excluded.max_key_age, disabled = excluded.disabled";

/// Skips keys that are gone. In the order of the keys, so that two processes cannot wait for each other.
macro_rules! record_usage {
    ($rows:literal, $latest:literal) => {
        concat!(
            "INSERT INTO tower_api_key_usage (key, last_used_at, requests) \
             SELECT r.key, r.last_used_at, r.requests FROM (",
            $rows,
            ") r JOIN tower_api_key_keys k ON k.id = r.key WHERE true ORDER BY r.key \
             ON CONFLICT (key) DO UPDATE SET requests = tower_api_key_usage.requests + excluded.requests, \
             last_used_at = ",
            $latest,
            "(tower_api_key_usage.last_used_at, excluded.last_used_at)"
        )
    };
}

#[cfg(feature = "postgres")]
pub(super) const RECORD_USAGE_POSTGRES: &str = record_usage!(
    "SELECT * FROM json_to_recordset($1::text::json) AS j(key text, last_used_at bigint, requests bigint)",
    "greatest"
);

#[cfg(feature = "sqlite")]
pub(super) const RECORD_USAGE_SQLITE: &str = record_usage!(
    "SELECT value ->> 'key' AS key, value ->> 'last_used_at' AS last_used_at, value ->> 'requests' AS requests \
     FROM json_each($1)",
    "max"
);

pub(super) const CREATE_MIGRATIONS: &str = "CREATE TABLE IF NOT EXISTS tower_api_key_migrations \
    (version bigint NOT NULL PRIMARY KEY, compatible_from bigint NOT NULL, applied_at bigint NOT NULL)";

pub(super) const MIGRATIONS: &str = "SELECT version, compatible_from FROM tower_api_key_migrations";

pub(super) const RECORD_MIGRATION: &str =
    "INSERT INTO tower_api_key_migrations (version, compatible_from, applied_at) VALUES ($1, $2, $3)";
