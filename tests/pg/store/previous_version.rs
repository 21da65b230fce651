//! The schema and the statements of version 1, as they were released: what a program with the previous version
//! of this crate sends. Frozen: never change them with the crate.

use sqlx::postgres::{PgPool, PgPoolOptions, PgRow, Postgres};
use sqlx::{Row, Transaction};
use tower_api_key::{KeyDigest, KeyId};

use super::schema::Schema;

pub(crate) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS tower_api_key_migrations
    (version bigint NOT NULL PRIMARY KEY, compatible_from bigint NOT NULL, applied_at bigint NOT NULL);
CREATE TABLE tower_api_key_keys (
    id text NOT NULL PRIMARY KEY,
    digest bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    organization text NOT NULL CHECK (length(organization) <= 128),
    name text NOT NULL CHECK (length(name) <= 100),
    hint text NOT NULL CHECK (length(hint) <= 23),
    access text NOT NULL CHECK (access IN ('full', 'scoped')),
    scopes text NOT NULL CHECK (length(scopes) <= 33024),
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint,
    replaced_by text,
    CHECK (replaced_by IS NULL OR revoked_at IS NOT NULL)
);
CREATE INDEX tower_api_key_keys_listing ON tower_api_key_keys (organization, created_at DESC, id DESC);
CREATE FUNCTION tower_api_key_revoked_for_good() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a revoked key stays revoked';
END
$$;
CREATE TRIGGER tower_api_key_keys_revoked_for_good BEFORE UPDATE ON tower_api_key_keys
FOR EACH ROW WHEN (old.revoked_at IS NOT NULL AND new.revoked_at IS DISTINCT FROM old.revoked_at)
EXECUTE FUNCTION tower_api_key_revoked_for_good();
INSERT INTO tower_api_key_migrations (version, compatible_from, applied_at) VALUES (1, 1, 1700000000);
";

const FIND: &str = "SELECT k.id, k.digest, k.organization, k.name, k.hint, k.access, k.scopes, \
    k.created_at, k.expires_at, k.revoked_at, k.replaced_by FROM tower_api_key_keys k WHERE k.digest = $1";
const GET_LOCKED: &str = "SELECT k.id, k.digest, k.organization, k.name, k.hint, k.access, k.scopes, \
    k.created_at, k.expires_at, k.revoked_at, k.replaced_by FROM tower_api_key_keys k \
    WHERE k.id = $1 AND k.organization = $2 FOR UPDATE OF k";
const LIST: &str = "SELECT k.id, k.digest, k.organization, k.name, k.hint, k.access, k.scopes, \
    k.created_at, k.expires_at, k.revoked_at, k.replaced_by FROM tower_api_key_keys k \
    WHERE k.organization = $1 AND (k.created_at, k.id) < ($2, $3) \
    ORDER BY k.created_at DESC, k.id DESC LIMIT $4";
const INSERT: &str = "INSERT INTO tower_api_key_keys \
    (id, digest, organization, name, hint, access, scopes, created_at, expires_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING id";
const REVOKE: &str = "UPDATE tower_api_key_keys SET revoked_at = $3 \
    WHERE id = $1 AND organization = $2 AND revoked_at IS NULL";
const REPLACE: &str = "UPDATE tower_api_key_keys SET revoked_at = $2, replaced_by = $3 WHERE id = $1";
const NARROW: &str = "UPDATE tower_api_key_keys SET access = 'scoped', scopes = $2 WHERE id = $1";
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', true) \
    WHERE current_setting('synchronous_commit') <> 'remote_apply'";
const NOW: &str = "SELECT floor(extract(epoch FROM clock_timestamp()))::bigint";
const MIGRATIONS: &str = "SELECT version, compatible_from FROM tower_api_key_migrations";

/// A schema as the previous version left it.
pub(crate) async fn create(schema: &Schema) {
    schema.sql().await.run(SCHEMA).await.unwrap();
}

/// A program with the previous version, running.
pub(crate) struct PreviousVersion(PgPool);

/// The columns that decide, as that program reads them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PreviousRecord {
    pub(crate) id: String,
    pub(crate) access: String,
    pub(crate) scopes: String,
    pub(crate) revoked: bool,
    pub(crate) replaced_by: Option<String>,
}

impl PreviousVersion {
    pub(crate) async fn connect(schema: &Schema) -> Self {
        Self(PgPoolOptions::new().max_connections(4).connect(&schema.url()).await.unwrap())
    }

    /// It goes on when every applied migration says that version 1 is enough.
    pub(crate) async fn is_compatible(&self) -> bool {
        let rows = sqlx::query(MIGRATIONS).fetch_all(&self.0).await.unwrap();
        rows.iter().all(|row| row.get::<i64, _>(1) <= 1)
    }

    pub(crate) async fn issue(&self, id: KeyId, secret: &str, access: &str, scopes: &str) {
        let mut transaction = self.begin().await;
        insert(&mut transaction, id, secret, access, scopes).await;
        transaction.commit().await.unwrap();
    }

    pub(crate) async fn find(&self, secret: &str) -> Option<PreviousRecord> {
        let digest = KeyDigest::of(secret.as_bytes()).as_bytes().to_vec();
        sqlx::query(FIND).bind(digest).fetch_optional(&self.0).await.unwrap().as_ref().map(record)
    }

    pub(crate) async fn list(&self) -> Vec<PreviousRecord> {
        let query = sqlx::query(LIST).bind("acme").bind(i64::MAX).bind("g").bind(1000_i64);
        query.fetch_all(&self.0).await.unwrap().iter().map(record).collect()
    }

    pub(crate) async fn revoke(&self, id: KeyId) {
        let mut transaction = self.begin().await;
        let now = now(&mut transaction).await;
        let revoke = sqlx::query(REVOKE).bind(id.to_string()).bind("acme").bind(now);
        assert_eq!(revoke.execute(&mut *transaction).await.unwrap().rows_affected(), 1);
        transaction.commit().await.unwrap();
    }

    pub(crate) async fn regenerate(&self, old: KeyId, new: KeyId, secret: &str) {
        let mut transaction = self.begin().await;
        let now = now(&mut transaction).await;
        assert!(!locked(&mut transaction, old).await.revoked);
        let replace = sqlx::query(REPLACE).bind(old.to_string()).bind(now).bind(new.to_string());
        assert_eq!(replace.execute(&mut *transaction).await.unwrap().rows_affected(), 1);
        insert(&mut transaction, new, secret, "full", "").await;
        transaction.commit().await.unwrap();
    }

    pub(crate) async fn narrow(&self, id: KeyId, scopes: &str) {
        let mut transaction = self.begin().await;
        assert!(!locked(&mut transaction, id).await.revoked);
        let narrow = sqlx::query(NARROW).bind(id.to_string()).bind(scopes.to_owned());
        assert_eq!(narrow.execute(&mut *transaction).await.unwrap().rows_affected(), 1);
        transaction.commit().await.unwrap();
    }

    async fn begin(&self) -> Transaction<'static, Postgres> {
        let mut transaction = self.0.begin().await.unwrap();
        sqlx::query(DURABLE).fetch_all(&mut *transaction).await.unwrap();
        transaction
    }
}

async fn now(transaction: &mut Transaction<'static, Postgres>) -> i64 {
    sqlx::query(NOW).fetch_one(&mut **transaction).await.unwrap().get(0)
}

async fn locked(transaction: &mut Transaction<'static, Postgres>, id: KeyId) -> PreviousRecord {
    let query = sqlx::query(GET_LOCKED).bind(id.to_string()).bind("acme");
    record(&query.fetch_one(&mut **transaction).await.unwrap())
}

async fn insert(transaction: &mut Transaction<'static, Postgres>, id: KeyId, secret: &str, access: &str, scopes: &str) {
    let now = now(transaction).await;
    let digest = KeyDigest::of(secret.as_bytes()).as_bytes().to_vec();
    let insert = sqlx::query(INSERT).bind(id.to_string()).bind(digest).bind("acme").bind("old").bind("...cdef");
    let insert = insert.bind(access.to_owned()).bind(scopes.to_owned()).bind(now).bind(None::<i64>);
    assert_eq!(insert.fetch_all(&mut **transaction).await.unwrap().len(), 1);
}

fn record(row: &PgRow) -> PreviousRecord {
    assert_eq!(row.get::<Vec<u8>, _>("digest").len(), 32);
    assert!(row.get::<i64, _>("created_at") > 0);
    PreviousRecord {
        id: row.get("id"),
        access: row.get("access"),
        scopes: row.get("scopes"),
        revoked: row.get::<Option<i64>, _>("revoked_at").is_some(),
        replaced_by: row.get("replaced_by"),
    }
}
