//! The schema and the statements of version 1, as they were released: what a program with the previous version
//! of this crate sends. Frozen: never change them with the crate.

use sqlx::sqlite::{Sqlite, SqlitePool, SqliteRow};
use sqlx::{Row, Transaction};
use tower_api_key::{KeyDigest, KeyId};

use super::support::Dir;

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS tower_api_key_migrations
    (version bigint NOT NULL PRIMARY KEY, compatible_from bigint NOT NULL, applied_at bigint NOT NULL);
CREATE TABLE tower_api_key_keys (
    id TEXT NOT NULL PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    organization TEXT NOT NULL CHECK (length(organization) <= 128),
    name TEXT NOT NULL CHECK (length(name) <= 100),
    hint TEXT NOT NULL CHECK (length(hint) <= 23),
    access TEXT NOT NULL CHECK (access IN ('full', 'scoped')),
    scopes TEXT NOT NULL CHECK (length(scopes) <= 33024),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    replaced_by TEXT,
    CHECK (replaced_by IS NULL OR revoked_at IS NOT NULL)
) STRICT;
CREATE INDEX tower_api_key_keys_listing ON tower_api_key_keys (organization, created_at DESC, id DESC);
CREATE TRIGGER tower_api_key_keys_revoked_for_good BEFORE UPDATE ON tower_api_key_keys
WHEN old.revoked_at IS NOT NULL AND new.revoked_at IS NOT old.revoked_at
BEGIN
    SELECT RAISE(ABORT, 'a revoked key stays revoked');
END;
INSERT INTO tower_api_key_migrations (version, compatible_from, applied_at) VALUES (1, 1, unixepoch());
";

const FIND: &str = "SELECT k.id, k.digest, k.organization, k.name, k.hint, k.access, k.scopes, \
    k.created_at, k.expires_at, k.revoked_at, k.replaced_by FROM tower_api_key_keys k WHERE k.digest = $1";
const GET: &str = "SELECT k.id, k.digest, k.organization, k.name, k.hint, k.access, k.scopes, \
    k.created_at, k.expires_at, k.revoked_at, k.replaced_by FROM tower_api_key_keys k \
    WHERE k.id = $1 AND k.organization = $2";
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
const NOW: &str = "SELECT unixepoch()";
const MIGRATIONS: &str = "SELECT version, compatible_from FROM tower_api_key_migrations";

/// A file as the previous version left it.
pub(super) async fn create(dir: &Dir) {
    let mut sql = dir.sql().await;
    sql.run("PRAGMA journal_mode = WAL; BEGIN;").await.unwrap();
    sql.run(SCHEMA).await.unwrap();
    sql.run("COMMIT").await.unwrap();
}

/// A program with the previous version, running.
pub(super) struct PreviousVersion(pub(super) SqlitePool);

/// The columns that decide, as that program reads them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PreviousRecord {
    pub(super) id: String,
    pub(super) access: String,
    pub(super) scopes: String,
    pub(super) revoked: bool,
    pub(super) replaced_by: Option<String>,
}

impl PreviousVersion {
    /// It goes on when every applied migration says that version 1 is enough.
    pub(super) async fn is_compatible(&self) -> bool {
        let rows = sqlx::query(MIGRATIONS).fetch_all(&self.0).await.unwrap();
        rows.iter().all(|row| row.get::<i64, _>(1) <= 1)
    }

    pub(super) async fn issue(&self, id: KeyId, secret: &str, access: &str, scopes: &str) {
        let mut transaction = self.begin().await;
        insert(&mut transaction, id, secret, access, scopes).await;
        transaction.commit().await.unwrap();
    }

    pub(super) async fn find(&self, secret: &str) -> Option<PreviousRecord> {
        let digest = KeyDigest::of(secret.as_bytes()).as_bytes().to_vec();
        sqlx::query(FIND).bind(digest).fetch_optional(&self.0).await.unwrap().as_ref().map(record)
    }

    pub(super) async fn get(&self, id: KeyId) -> Option<PreviousRecord> {
        let query = sqlx::query(GET).bind(id.to_string()).bind("acme");
        query.fetch_optional(&self.0).await.unwrap().as_ref().map(record)
    }

    pub(super) async fn list(&self) -> Vec<PreviousRecord> {
        let query = sqlx::query(LIST).bind("acme").bind(i64::MAX).bind("g").bind(1000_i64);
        query.fetch_all(&self.0).await.unwrap().iter().map(record).collect()
    }

    pub(super) async fn revoke(&self, id: KeyId) {
        let mut transaction = self.begin().await;
        let now = now(&mut transaction).await;
        let revoke = sqlx::query(REVOKE).bind(id.to_string()).bind("acme").bind(now);
        assert_eq!(revoke.execute(&mut *transaction).await.unwrap().rows_affected(), 1);
        transaction.commit().await.unwrap();
    }

    pub(super) async fn regenerate(&self, old: KeyId, new: KeyId, secret: &str) {
        let mut transaction = self.begin().await;
        let now = now(&mut transaction).await;
        let replace = sqlx::query(REPLACE).bind(old.to_string()).bind(now).bind(new.to_string());
        assert_eq!(replace.execute(&mut *transaction).await.unwrap().rows_affected(), 1);
        insert(&mut transaction, new, secret, "full", "").await;
        transaction.commit().await.unwrap();
    }

    pub(super) async fn narrow(&self, id: KeyId, scopes: &str) {
        let mut transaction = self.begin().await;
        let narrow = sqlx::query(NARROW).bind(id.to_string()).bind(scopes.to_owned());
        assert_eq!(narrow.execute(&mut *transaction).await.unwrap().rows_affected(), 1);
        transaction.commit().await.unwrap();
    }

    async fn begin(&self) -> Transaction<'static, Sqlite> {
        self.0.begin_with("BEGIN IMMEDIATE").await.unwrap()
    }
}

async fn now(transaction: &mut Transaction<'static, Sqlite>) -> i64 {
    sqlx::query(NOW).fetch_one(&mut **transaction).await.unwrap().get(0)
}

async fn insert(transaction: &mut Transaction<'static, Sqlite>, id: KeyId, secret: &str, access: &str, scopes: &str) {
    let now = now(transaction).await;
    let digest = KeyDigest::of(secret.as_bytes()).as_bytes().to_vec();
    let insert = sqlx::query(INSERT).bind(id.to_string()).bind(digest).bind("acme").bind("old").bind("...cdef");
    let insert = insert.bind(access.to_owned()).bind(scopes.to_owned()).bind(now).bind(None::<i64>);
    assert_eq!(insert.fetch_all(&mut **transaction).await.unwrap().len(), 1);
}

fn record(row: &SqliteRow) -> PreviousRecord {
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
