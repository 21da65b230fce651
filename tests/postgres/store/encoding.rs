//! A database in another encoding than UTF-8.

use sqlx::postgres::PgPoolOptions;
use tower_api_key::manage::ManageError;
use tower_api_key::store::{BackendError, KeyBackend, PostgresStore, SchemaError};
use tower_api_key::{Access, NewKey};

use super::owned::Database;
use crate::support::calls::{Reply, acme, any, chain, full, issue};
use crate::support::manage::Manage;

/// The text of a migration, as a dump of another database would have it.
const TABLES: [&str; 6] = [
    "CREATE TABLE tower_api_key_migrations AS SELECT n::bigint AS version, 1::bigint AS compatible_from, \
     0::bigint AS applied_at FROM generate_series(1, 5) n",
    include_str!("../../../src/store/sql/migrations/postgres/1_keys.sql"),
    include_str!("../../../src/store/sql/migrations/postgres/2_organizations.sql"),
    include_str!("../../../src/store/sql/migrations/postgres/3_changes.sql"),
    include_str!("../../../src/store/sql/migrations/postgres/4_usage.sql"),
    include_str!("../../../src/store/sql/migrations/postgres/5_search.sql"),
];

/// Cases: 131.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn database_in_another_encoding_is_rejected() {
    for encoding in ["SQL_ASCII", "LATIN1", "EUC_JP"] {
        let database = Database::in_encoding(encoding).await;
        let store = PostgresStore::connect(&database.url()).await.unwrap();
        for checked in [store.migrate().await, store.check_schema().await] {
            let error = checked.unwrap_err();
            let SchemaError::Encoding { server, client } = &error else { panic!("{encoding}: {error:?}") };
            assert_eq!((server.as_str(), client.as_str()), (encoding, "UTF8"));
            assert!(chain(&error).contains("keys need UTF8"), "{}", chain(&error));
        }
        // Nothing was created.
        let tables = "SELECT count(*) FROM pg_class WHERE relname LIKE 'tower_api_key%'";
        let tables: i64 = sqlx::query_scalar(tables).fetch_one(store.pool()).await.unwrap();
        assert_eq!(tables, 0);
    }
}

/// Cases: 131.
/// Bytes that are stored through such a connection are other texts to everybody else.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn connection_in_another_encoding_is_rejected() {
    let database = Database::new().await;
    let pool = PgPoolOptions::new().after_connect(|connection, _| {
        Box::pin(async move { sqlx::raw_sql("SET client_encoding = 'LATIN1'").execute(connection).await.map(drop) })
    });
    let store = PostgresStore::from_pool(pool.connect(&database.url()).await.unwrap());
    let error = store.migrate().await.unwrap_err();
    assert!(matches!(&error, SchemaError::Encoding { client, .. } if client == "LATIN1"), "{error:?}");
}

/// Cases: 131.
/// The tables came from a dump, and the service never asked for their check. No text that the database lacks is an outage.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn name_without_a_place_is_not_an_outage() {
    // 100 characters, of two and of three bytes.
    let (accents, kanji) = ("\u{e9}".repeat(100), "\u{6f22}".repeat(100));
    for (encoding, fits) in [("SQL_ASCII", [false, false]), ("LATIN1", [true, false]), ("UTF8", [true, true])] {
        let database = Database::in_encoding(encoding).await;
        let store = PostgresStore::connect(&database.url()).await.unwrap();
        for script in TABLES {
            sqlx::raw_sql(script).execute(store.pool()).await.unwrap();
        }
        for (name, fits) in [&accents, &kanji].into_iter().zip(fits) {
            let issued = store.manage().issue(acme(), NewKey::new(name.as_str(), Access::Full).unwrap()).await;
            match issued {
                Ok(key) => {
                    assert!(fits, "{encoding}");
                    assert_eq!(store.get(acme(), key.record.id()).await.unwrap().name(), name);
                    assert_eq!(any(&store, &key).await, Reply::accepted(&Access::Full));
                }
                Err(error) => assert!(!fits && matches!(error, ManageError::Unstorable(_)), "{encoding}: {error:?}"),
            }
        }
        // What fits is stored, and a failure of another kind is one of the store.
        let key = issue(&store, full()).await;
        assert_eq!(any(&store, &key).await, Reply::accepted(&Access::Full));
        sqlx::raw_sql("ALTER TABLE tower_api_key_keys RENAME TO hidden").execute(store.pool()).await.unwrap();
        assert!(matches!(store.revoke(acme(), key.record.id()).await, Err(BackendError::Store(_))));
    }
}
