//! The contents of the tables.

use tower_api_key::store::Expiry;

use crate::support::calls::{acme, full, issue};
use crate::support::manage::Manage;
use crate::support::postgres::Schema;

/// Cases: 68.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn tables_contain_no_key() {
    let schema = Schema::new().await;
    let store = schema.store().await;
    let keys = store.manage();
    let mut secrets = Vec::new();
    for n in 0..50 {
        let key = issue(&store, full()).await;
        let new = if n % 2 == 0 { keys.regenerate(acme(), key.record.id(), Expiry::Never).await.ok() } else { None };
        secrets.extend([Some(key), new].into_iter().flatten().map(|key| key.secret.expose_secret().to_owned()));
    }
    let mut sql = schema.sql().await;
    let dump = "SELECT query_to_xml('SELECT * FROM ' || c.oid::regclass, true, false, '')::text FROM pg_class c \
        WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'";
    let dump = sql.texts(dump).await.concat();
    assert!(dump.matches("<digest>").count() == 75 && dump.contains("avk_..."), "the dump shows every row");
    for secret in secrets {
        let body = &secret["avk_".len()..];
        // The last four characters are shown on purpose; eight in a row are not.
        for part in (0..=body.len() - 8).map(|at| &body[at..at + 8]) {
            assert!(!dump.contains(part), "{part} of a key");
        }
    }
}
