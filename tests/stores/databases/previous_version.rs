//! The schema and the statements of version 1: what a program with the previous version of this crate sends. Frozen once a
//! version is released: from then on, never change them with the crate.

use std::future::Future;

use tower_api_key::key::KeyId;

/// A program with the previous version, running.
pub(super) trait PreviousVersion: Send + Sync + 'static {
    /// It goes on when version 1 is enough for every applied migration.
    async fn is_compatible(&self) -> bool;

    fn issue(&self, id: KeyId, secret: &str, access: &str, scopes: &str) -> impl Future<Output = ()> + Send;

    fn find(&self, secret: &str) -> impl Future<Output = Option<PreviousRecord>> + Send;

    async fn list(&self) -> Vec<PreviousRecord>;

    fn revoke(&self, id: KeyId) -> impl Future<Output = ()> + Send;

    async fn regenerate(&self, old: KeyId, new: KeyId, secret: &str);

    async fn narrow(&self, id: KeyId, scopes: &str);
}

/// The columns that decide, as that program reads them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PreviousRecord {
    pub(super) id: String,
    pub(super) access: String,
    pub(super) scopes: String,
    pub(super) revoked: bool,
    pub(super) replaced_by: Option<String>,
}

const FIND: &str = "SELECT k.id, k.digest, k.organization, k.name, k.hint, k.access, k.scopes, \
    k.created_at, k.expires_at, k.revoked_at, k.replaced_by FROM tower_api_key_keys k WHERE k.digest = $1";
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
const MIGRATIONS: &str = "SELECT version, compatible_from FROM tower_api_key_migrations";

/// What both drivers have under the same names, with types of their own.
macro_rules! previous_version {
    ($pool:ty, $row:ty, $driver:ty) => {
        use tower_api_key::key::{KeyDigest, KeyId};

        use super::{FIND, INSERT, LIST, MIGRATIONS, NARROW, PreviousRecord, PreviousVersion, REPLACE, REVOKE};

        pub(crate) struct Previous(pub(crate) $pool);

        impl PreviousVersion for Previous {
            async fn is_compatible(&self) -> bool {
                let rows = sqlx::query(MIGRATIONS).fetch_all(&self.0).await.unwrap();
                rows.iter().all(|row| row.get::<i64, _>(1) <= 1)
            }

            async fn issue(&self, id: KeyId, secret: &str, access: &str, scopes: &str) {
                let mut transaction = begin(&self.0).await;
                insert(&mut transaction, id, secret, access, scopes).await;
                transaction.commit().await.unwrap();
            }

            async fn find(&self, secret: &str) -> Option<PreviousRecord> {
                let digest = KeyDigest::hash(secret.as_bytes()).as_bytes().to_vec();
                sqlx::query(FIND).bind(digest).fetch_optional(&self.0).await.unwrap().as_ref().map(record)
            }

            async fn list(&self) -> Vec<PreviousRecord> {
                let query = sqlx::query(LIST).bind("acme").bind(i64::MAX).bind("g").bind(1000_i64);
                query.fetch_all(&self.0).await.unwrap().iter().map(record).collect()
            }

            async fn revoke(&self, id: KeyId) {
                let mut transaction = begin(&self.0).await;
                let now = now(&mut transaction).await;
                let revoke = sqlx::query(REVOKE).bind(id.to_string()).bind("acme").bind(now);
                assert_eq!(revoke.execute(&mut *transaction).await.unwrap().rows_affected(), 1);
                transaction.commit().await.unwrap();
            }

            async fn regenerate(&self, old: KeyId, new: KeyId, secret: &str) {
                let mut transaction = begin(&self.0).await;
                let now = now(&mut transaction).await;
                assert!(!get(&mut transaction, old).await.revoked);
                let replace = sqlx::query(REPLACE).bind(old.to_string()).bind(now).bind(new.to_string());
                assert_eq!(replace.execute(&mut *transaction).await.unwrap().rows_affected(), 1);
                insert(&mut transaction, new, secret, "full", "").await;
                transaction.commit().await.unwrap();
            }

            async fn narrow(&self, id: KeyId, scopes: &str) {
                let mut transaction = begin(&self.0).await;
                assert!(!get(&mut transaction, id).await.revoked);
                let narrow = sqlx::query(NARROW).bind(id.to_string()).bind(scopes.to_owned());
                assert_eq!(narrow.execute(&mut *transaction).await.unwrap().rows_affected(), 1);
                transaction.commit().await.unwrap();
            }
        }

        async fn now(transaction: &mut Transaction<'static, $driver>) -> i64 {
            sqlx::query(NOW).fetch_one(&mut **transaction).await.unwrap().get(0)
        }

        async fn get(transaction: &mut Transaction<'static, $driver>, id: KeyId) -> PreviousRecord {
            let query = sqlx::query(GET).bind(id.to_string()).bind("acme");
            record(&query.fetch_one(&mut **transaction).await.unwrap())
        }

        async fn insert(
            transaction: &mut Transaction<'static, $driver>,
            id: KeyId,
            secret: &str,
            access: &str,
            scopes: &str,
        ) {
            let now = now(transaction).await;
            let digest = KeyDigest::hash(secret.as_bytes()).as_bytes().to_vec();
            let insert = sqlx::query(INSERT).bind(id.to_string()).bind(digest).bind("acme").bind("old").bind("...cdef");
            let insert = insert.bind(access.to_owned()).bind(scopes.to_owned()).bind(now).bind(None::<i64>);
            assert_eq!(insert.fetch_all(&mut **transaction).await.unwrap().len(), 1);
        }

        fn record(row: &$row) -> PreviousRecord {
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
    };
}

use previous_version;

#[cfg(feature = "sqlite")]
pub(super) mod sqlite {
    use sqlx::sqlite::{Sqlite, SqlitePool, SqliteRow};
    use sqlx::{Row, Transaction};

    pub(crate) const SCHEMA: &str = concat!(
        "CREATE TABLE IF NOT EXISTS tower_api_key_migrations \
         (version bigint NOT NULL PRIMARY KEY, compatible_from bigint NOT NULL, applied_at bigint NOT NULL);",
        include_str!("../../../src/store/sql/migrations/sqlite/1_keys.sql"),
        "INSERT INTO tower_api_key_migrations (version, compatible_from, applied_at) VALUES (1, 1, unixepoch());"
    );

    const GET: &str = "SELECT k.id, k.digest, k.organization, k.name, k.hint, k.access, k.scopes, \
    k.created_at, k.expires_at, k.revoked_at, k.replaced_by FROM tower_api_key_keys k \
    WHERE k.id = $1 AND k.organization = $2";
    const NOW: &str = "SELECT unixepoch()";

    async fn begin(pool: &SqlitePool) -> Transaction<'static, Sqlite> {
        pool.begin_with("BEGIN IMMEDIATE").await.unwrap()
    }

    super::previous_version!(SqlitePool, SqliteRow, Sqlite);
}

#[cfg(feature = "postgres")]
pub(super) mod postgres {
    use sqlx::postgres::{PgPool, PgRow, Postgres};
    use sqlx::{Row, Transaction};

    pub(crate) const SCHEMA: &str = concat!(
        "CREATE TABLE IF NOT EXISTS tower_api_key_migrations \
         (version bigint NOT NULL PRIMARY KEY, compatible_from bigint NOT NULL, applied_at bigint NOT NULL);",
        include_str!("../../../src/store/sql/migrations/postgres/1_keys.sql"),
        "INSERT INTO tower_api_key_migrations (version, compatible_from, applied_at) VALUES (1, 1, 1700000000);"
    );

    const GET: &str = "SELECT k.id, k.digest, k.organization, k.name, k.hint, k.access, k.scopes, \
    k.created_at, k.expires_at, k.revoked_at, k.replaced_by FROM tower_api_key_keys k \
    WHERE k.id = $1 AND k.organization = $2 FOR UPDATE OF k";
    const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', true) \
    WHERE current_setting('synchronous_commit') <> 'remote_apply'";
    const NOW: &str = "SELECT floor(extract(epoch FROM clock_timestamp()))::bigint";

    async fn begin(pool: &PgPool) -> Transaction<'static, Postgres> {
        let mut transaction = pool.begin().await.unwrap();
        sqlx::query(DURABLE).fetch_all(&mut *transaction).await.unwrap();
        transaction
    }

    super::previous_version!(PgPool, PgRow, Postgres);
}
