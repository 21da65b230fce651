//! How many messages a lookup is.

use sqlx::postgres::PgConnectOptions;
use tower_api_key::KeyStore;
use tower_api_key::key::KeyDigest;
use tower_api_key::store::PostgresStore;

use crate::support::calls::{full, issue};
use crate::support::postgres::{Schema, server_url, with};
use crate::support::proxy::Proxy;

/// One there and one back, with a prepared statement and without.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn lookup_is_one_message_and_its_answer() {
    const LOOKUPS: usize = 50;
    let schema = Schema::new().await;
    let issued = issue(&schema.store().await, full()).await;
    let server: PgConnectOptions = server_url().parse().unwrap();
    let proxy = Proxy::start((server.get_host().to_owned(), server.get_port())).await;
    let url = with(&with(&schema.url(), "host", "127.0.0.1"), "port", &proxy.port().to_string());
    let url = with(&url, "sslmode", "disable");
    for url in [url.clone(), with(&url, "statement-cache-capacity", "0")] {
        let store = PostgresStore::connect(&url).await.unwrap();
        let before = proxy.messages();
        for _ in 0..LOOKUPS {
            assert!(store.find(issued.record.digest()).await.unwrap().is_some());
            assert!(store.find(&KeyDigest::hash(b"unknown")).await.unwrap().is_none());
        }
        assert_eq!(proxy.messages() - before, 2 * LOOKUPS, "{url}");
    }
}
