//! `PostgresStore` in a program with one provider of TLS, aws-lc-rs, and in one with none. In the crate's own tests, ring
//! is among the dependencies too.
//!
//! ```text
//! cargo test --manifest-path tests/tls/Cargo.toml
//! cargo test --manifest-path tests/tls/Cargo.toml --features tls-aws-lc-rs
//! ```
#![cfg(test)]

#[cfg(feature = "tls-aws-lc-rs")]
mod aws_lc_rs;
#[cfg(not(feature = "tls-aws-lc-rs"))]
mod without;

#[path = "../../support"]
mod support {
    #![allow(dead_code, reason = "other crates use the rest")]

    pub(crate) mod cluster;
    pub(crate) mod tls_cluster;
}

use tower_api_key::store::{KeyStore, PostgresStore};
use tower_api_key::{Access, KeyManager, NewKey};

/// Issues a key and looks it up.
async fn works(store: &PostgresStore) {
    store.migrate().await.unwrap();
    let keys = KeyManager::new(store.clone());
    let issued = keys.issue(&"acme".parse().unwrap(), NewKey::new("key", Access::Full).unwrap()).await.unwrap();
    let found = store.find(issued.record.digest()).await.unwrap().expect("the key");
    assert_eq!(found.id(), issued.record.id());
}

/// Returns whether the store's connection is encrypted, as the server sees it.
async fn is_encrypted(store: &PostgresStore) -> bool {
    let ssl = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    sqlx::query_scalar(ssl).fetch_one(store.pool()).await.unwrap()
}
