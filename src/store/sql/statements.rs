//! The statements, in the SQL that both databases understand. `$1` is the first value in both.

use super::listing::{columns, joins};

macro_rules! select_key {
    ($rest:literal) => {
        concat!(columns!(), "FROM tower_api_key_keys k", joins!(), $rest)
    };
}

/// A lookup of the digests in the array `$1`.
#[cfg(feature = "postgres")]
pub(super) const FIND_POSTGRES: &str = select_key!("WHERE k.digest = ANY($1)");

/// The planner of SQLite must not see the value. Once `ANALYZE` has run, it would take samples of the column into account, and
/// prepare the statement anew with each value.
#[cfg(feature = "sqlite")]
pub(super) const FIND_SQLITE: &str = select_key!("WHERE k.digest = (SELECT $1)");

/// A lookup of the digests in the JSON list `$1`, in hexadecimal. One that occurs twice is found twice. `CROSS` keeps the list
/// in the outer loop.
#[cfg(feature = "sqlite")]
pub(super) const FIND_MANY_SQLITE: &str =
    concat!(columns!(), "FROM json_each($1) d CROSS JOIN tower_api_key_keys k ON k.digest = unhex(d.value)", joins!());

pub(super) const GET: &str = select_key!("WHERE k.id = $1 AND k.organization = $2");

/// The keys whose ids are in the JSON list `$1`, in any order.
#[cfg(feature = "postgres")]
pub(super) const GET_MANY_POSTGRES: &str =
    select_key!("WHERE k.id IN (SELECT json_array_elements_text($1::text::json))");

/// The keys whose ids are in the JSON list `$1`, in any order.
#[cfg(feature = "sqlite")]
pub(super) const GET_MANY_SQLITE: &str = select_key!("WHERE k.id IN (SELECT value FROM json_each($1))");

/// [`GET`] with a lock on the row. Only for Postgres: SQLite locks the whole database when a change begins.
#[cfg(feature = "postgres")]
pub(super) const GET_FOR_UPDATE: &str = select_key!("WHERE k.id = $1 AND k.organization = $2 FOR UPDATE OF k");

/// How many keys there are, and how many of them are revoked, suspended and expired at the time `$1`. The rest are active.
macro_rules! counts {
    ($aged:literal, $rest:literal) => {
        concat!(
            "SELECT count(*), count(k.revoked_at), \
             count(CASE WHEN k.revoked_at IS NULL AND k.suspended <> 0 THEN 1 END), \
             count(CASE WHEN k.revoked_at IS NULL AND k.suspended = 0 AND (k.expires_at <= $1 OR ",
            $aged,
            ") THEN 1 END) FROM tower_api_key_keys k ",
            $rest
        )
    };
}

/// Of the organization `$2`. Keys have expired by their age that were created before `$3`.
pub(super) const COUNTS_OF_ONE: &str = counts!("k.created_at < $3", "WHERE k.organization = $2");

/// Of all organizations. Nothing is added to a time: Postgres fails when a sum exceeds its numbers.
pub(super) const COUNTS: &str = counts!(
    "k.created_at <= $1 - CASE WHEN o.max_key_age >= 0 THEN o.max_key_age END",
    "LEFT JOIN tower_api_key_organizations o ON o.organization = k.organization WHERE k.organization IS NOT NULL"
);

macro_rules! insert {
    ($rows:expr) => {
        concat!(
            "INSERT INTO tower_api_key_keys (id, digest, organization, name, hint, environment, access, scopes, networks, \
             metadata, created_at, created_by, imported, suspended, expires_at, revoked_at) ",
            $rows,
            " ON CONFLICT DO NOTHING RETURNING id, digest"
        )
    };
}

/// Returns the key, or no row when its digest or id is taken.
pub(super) const INSERT: &str =
    insert!("VALUES ($1, $2, $3, $4, $5, nullif($6, ''), $7, $8, $9, $10, $11, nullif($12, ''), $13, $14, $15, $16)");

/// The columns of [`INSERT`], as they are called in the JSON list of [`INSERT_MANY_POSTGRES`] and [`INSERT_MANY_SQLITE`].
pub(super) const INSERTED: [&str; 16] = [
    "id",
    "digest",
    "organization",
    "name",
    "hint",
    "environment",
    "access",
    "scopes",
    "networks",
    "metadata",
    "created_at",
    "created_by",
    "imported",
    "suspended",
    "expires_at",
    "revoked_at",
];

/// Inserts the keys in the JSON list `$1`, one after the other, and returns those that were.
#[cfg(feature = "postgres")]
pub(super) const INSERT_MANY_POSTGRES: &str = insert!(
    "SELECT id, decode(digest, 'hex'), organization, name, hint, nullif(environment, ''), access, scopes, networks, \
     metadata, created_at, nullif(created_by, ''), imported, suspended, expires_at, revoked_at \
     FROM ROWS FROM (json_to_recordset($1::text::json) AS (id text, digest text, organization text, name text, \
     hint text, environment text, access text, scopes text, networks text, metadata text, created_at bigint, \
     created_by text, imported bigint, suspended bigint, expires_at bigint, revoked_at bigint)) WITH ORDINALITY \
     ORDER BY ordinality"
);

/// Inserts the keys in the JSON list `$1`, one after the other, and returns those that were.
#[cfg(feature = "sqlite")]
pub(super) const INSERT_MANY_SQLITE: &str = insert!(
    "SELECT value ->> 'id', unhex(value ->> 'digest'), value ->> 'organization', value ->> 'name', value ->> 'hint', \
     nullif(value ->> 'environment', ''), value ->> 'access', value ->> 'scopes', value ->> 'networks', \
     value ->> 'metadata', value ->> 'created_at', nullif(value ->> 'created_by', ''), value ->> 'imported', \
     value ->> 'suspended', value ->> 'expires_at', value ->> 'revoked_at' FROM json_each($1) WHERE true ORDER BY key"
);

/// How many keys of the organization `$1` count as active at the time `$2`, if those have expired that were created
/// before `$3`. At most `$4` are counted.
pub(super) const ACTIVE: &str = "SELECT count(*) FROM (SELECT 1 FROM tower_api_key_keys \
    WHERE organization = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2) AND created_at >= $3 \
    LIMIT $4) a";

pub(super) const REVOKE: &str = "UPDATE tower_api_key_keys SET revoked_at = $3 \
    WHERE id = $1 AND organization = $2 AND revoked_at IS NULL";

pub(super) const REPLACE: &str =
    "UPDATE tower_api_key_keys SET replaced_by = $2, revoked_at = $3, expires_at = $4 WHERE id = $1";

pub(super) const UPDATE: &str = "UPDATE tower_api_key_keys SET name = $2, access = $3, scopes = $4, networks = $5, \
    metadata = $6, suspended = $7, expires_at = $8 WHERE id = $1";

/// Up to `$4` keys of the organization `$1` that ended until `$3`. Those have ended by their age that were created until
/// `$5`. `$2` is now: what has not ended yet is not deleted. Each way to end has an index.
macro_rules! ended_of_one {
    ($rest:literal) => {
        concat!(
            "SELECT k.id FROM tower_api_key_keys k WHERE $3 <= $2 AND k.id IN (\
             SELECT id FROM (SELECT id FROM tower_api_key_keys WHERE organization = $1 AND revoked_at IS NOT NULL \
             AND revoked_at <= $3 ORDER BY revoked_at LIMIT $4) r \
             UNION ALL SELECT id FROM (SELECT id FROM tower_api_key_keys WHERE organization = $1 \
             AND expires_at IS NOT NULL AND expires_at <= $3 ORDER BY expires_at LIMIT $4) e \
             UNION ALL SELECT id FROM (SELECT id FROM tower_api_key_keys WHERE organization = $1 AND created_at <= $5 \
             ORDER BY created_at LIMIT $4) a) ORDER BY k.created_at, k.id LIMIT $4",
            $rest
        )
    };
}

#[cfg(feature = "sqlite")]
pub(super) const ENDED_OF_ONE_SQLITE: &str = ended_of_one!("");

/// In the order of the list, so that two purges cannot wait for each other.
#[cfg(feature = "postgres")]
pub(super) const ENDED_OF_ONE_POSTGRES: &str = ended_of_one!(" FOR UPDATE OF k");

/// The same of all organizations, with those that ended by their age. `$1` is empty.
macro_rules! ended {
    ($aged:literal, $rest:literal) => {
        concat!(
            "SELECT k.id FROM tower_api_key_keys k WHERE $1 = '' AND $3 <= $2 AND k.id IN (\
             SELECT id FROM (SELECT id FROM tower_api_key_keys WHERE organization IS NOT NULL AND revoked_at IS NOT NULL \
             AND revoked_at <= $3 ORDER BY revoked_at LIMIT $4) r \
             UNION ALL SELECT id FROM (SELECT id FROM tower_api_key_keys WHERE organization IS NOT NULL \
             AND expires_at IS NOT NULL AND expires_at <= $3 ORDER BY expires_at LIMIT $4) e \
             UNION ALL SELECT id FROM (SELECT a.id FROM tower_api_key_organizations o ",
            $aged,
            " LIMIT $4) a) ORDER BY k.created_at, k.id LIMIT $4",
            $rest
        )
    };
}

/// `CROSS` keeps the organizations in the outer loop.
#[cfg(feature = "sqlite")]
pub(super) const ENDED_SQLITE: &str = ended!(
    "CROSS JOIN tower_api_key_keys a WHERE a.organization = o.organization \
     AND a.created_at <= $3 - CASE WHEN o.max_key_age >= 0 THEN o.max_key_age END",
    ""
);

/// In the order of the list, so that two purges cannot wait for each other. The order of one organization's keys is that of
/// the index: of keys in any order, the planner would expect the first ones to match, and read them all.
#[cfg(feature = "postgres")]
pub(super) const ENDED_POSTGRES: &str = ended!(
    "CROSS JOIN LATERAL (SELECT id FROM tower_api_key_keys WHERE organization = o.organization \
     AND created_at <= $3 - CASE WHEN o.max_key_age >= 0 THEN o.max_key_age END ORDER BY created_at LIMIT $4) a",
    " FOR UPDATE OF k"
);

/// Up to `$2` keys of the organization `$1`.
macro_rules! of_organization {
    ($rest:literal) => {
        concat!("SELECT id FROM tower_api_key_keys WHERE organization = $1 ORDER BY created_at, id LIMIT $2", $rest)
    };
}

#[cfg(feature = "sqlite")]
pub(super) const OF_ORGANIZATION_SQLITE: &str = of_organization!("");

#[cfg(feature = "postgres")]
pub(super) const OF_ORGANIZATION_POSTGRES: &str = of_organization!(" FOR UPDATE");

/// Deletes the keys whose ids are in the JSON list `$1`, and their usage; imported ones become tombstones at the time `$2`.
macro_rules! delete {
    ($ids:literal) => {
        [
            concat!("DELETE FROM tower_api_key_usage WHERE key IN (", $ids, ")"),
            concat!("DELETE FROM tower_api_key_keys WHERE imported = 0 AND id IN (", $ids, ")"),
            concat!(
                "UPDATE tower_api_key_keys SET organization = NULL, name = '', hint = '', environment = NULL, \
                 access = 'scoped', scopes = '', networks = '*', metadata = '{}', created_by = NULL, suspended = 0, \
                 expires_at = NULL, revoked_at = coalesce(revoked_at, $2), replaced_by = NULL \
                 WHERE imported <> 0 AND id IN (",
                $ids,
                ")"
            ),
        ]
    };
}

#[cfg(feature = "postgres")]
pub(super) const DELETE_POSTGRES: [&str; 3] = delete!("SELECT json_array_elements_text($1::text::json)");

#[cfg(feature = "sqlite")]
pub(super) const DELETE_SQLITE: [&str; 3] = delete!("SELECT value FROM json_each($1)");

pub(super) const DELETE_POLICY: &str = "DELETE FROM tower_api_key_organizations WHERE organization = $1";

pub(super) const POLICY: &str =
    "SELECT max_key_age, coalesce(disabled, 1) FROM tower_api_key_organizations WHERE organization = $1";

pub(super) const SET_POLICY: &str = "INSERT INTO tower_api_key_organizations (organization, max_key_age, disabled) \
    VALUES ($1, $2, $3) ON CONFLICT (organization) \
    DO UPDATE SET max_key_age = excluded.max_key_age, disabled = excluded.disabled";

/// Sets the maximum age where `$4` is 1, and whether the organization is disabled where `$5` is. Without a row, both are as they
/// were read.
pub(super) const UPDATE_POLICY: &str = "INSERT INTO tower_api_key_organizations (organization, max_key_age, disabled) \
    VALUES ($1, $2, $3) ON CONFLICT (organization) DO UPDATE SET \
    max_key_age = CASE WHEN $4 = 1 THEN excluded.max_key_age ELSE tower_api_key_organizations.max_key_age END, \
    disabled = CASE WHEN $5 = 1 THEN excluded.disabled ELSE tower_api_key_organizations.disabled END \
    RETURNING max_key_age, disabled";

/// Skips keys that are gone. In the order of the keys, so that two processes cannot wait for each other.
macro_rules! record_usage {
    ($rows:literal, $latest:literal) => {
        concat!(
            "INSERT INTO tower_api_key_usage (key, last_used_at, requests) \
             SELECT r.key, r.last_used_at, r.requests FROM (",
            $rows,
            ") r JOIN tower_api_key_keys k ON k.id = r.key AND k.organization IS NOT NULL WHERE true ORDER BY r.key \
             ON CONFLICT (key) DO UPDATE SET requests = \
             CASE WHEN tower_api_key_usage.requests > 9223372036854775807 - excluded.requests THEN 9223372036854775807 \
             ELSE tower_api_key_usage.requests + excluded.requests END, \
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

/// The digests of the `$1` keys that were used last. Without an index, which each report would have to keep up to date.
pub(super) const RECENTLY_USED: &str = "SELECT k.digest FROM tower_api_key_usage u \
    JOIN tower_api_key_keys k ON k.id = u.key WHERE k.organization IS NOT NULL AND k.revoked_at IS NULL \
    ORDER BY u.last_used_at DESC, u.key LIMIT $1";

pub(super) const CREATE_MIGRATIONS: &str = "CREATE TABLE IF NOT EXISTS tower_api_key_migrations \
    (version bigint NOT NULL PRIMARY KEY, compatible_from bigint NOT NULL, applied_at bigint NOT NULL)";

pub(super) const MIGRATIONS: &str = "SELECT version, compatible_from FROM tower_api_key_migrations";

pub(super) const RECORD_MIGRATION: &str =
    "INSERT INTO tower_api_key_migrations (version, compatible_from, applied_at) VALUES ($1, $2, $3)";
