//! `examples/foreign_table.rs` in two processes, on a real Postgres.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tower_api_key::key::KeyDigest;
use tower_api_key::{ApiKeyLayer, BoxError};

use self::foreign_table::{ForeignTable, TABLE};
use super::{AFTER_LOSS, HEARTBEAT, Program, TIME_TO_LIVE, answer, followed, two_processes};
use crate::support::calls::call;
use crate::support::other_process::{OtherProcess, serve_commands};
use crate::support::postgres::{Schema, Sql, with};
use crate::support::proxy::Proxy;

#[path = "../../../examples/foreign_table.rs"]
#[expect(dead_code, reason = "its program does not run here")]
mod foreign_table;

/// The program that owns the table.
struct Owner {
    schema: Schema,
    sql: Sql,
}

impl Owner {
    async fn new() -> Self {
        let schema = Schema::new().await;
        let mut sql = schema.sql().await;
        sql.run(TABLE).await.unwrap();
        Self { schema, sql }
    }
}

impl Program for Owner {
    async fn add(&mut self, key: &str) -> Result<(), BoxError> {
        let digest = KeyDigest::hash(key.as_bytes()).to_hex();
        let columns = "token_sha256, customer, plan, scopes";
        let row = format!("'{digest}', 'acme', 'pro', '{{datasets.read}}'");
        Ok(self.sql.run(format!("INSERT INTO api_tokens ({columns}) VALUES ({row})")).await?)
    }

    async fn revoke(&mut self, key: &str) -> Result<(), BoxError> {
        let digest = KeyDigest::hash(key.as_bytes()).to_hex();
        Ok(self.sql.run(format!("UPDATE api_tokens SET revoked_at = now() WHERE token_sha256 = '{digest}'")).await?)
    }

    async fn end_listeners(&mut self) -> Result<(), BoxError> {
        let name = self.schema.name();
        let listening = format!("application_name = '{name}' AND query LIKE 'LISTEN %'");
        // On a busy machine, a process may have missed a heartbeat and connect again: no listener is ended until both listen.
        let end = format!(
            "WITH l AS (SELECT pid FROM pg_stat_activity WHERE {listening})
             SELECT pg_terminate_backend(pid) FROM l WHERE (SELECT count(*) FROM l) = 2"
        );
        let ended = async {
            while self.sql.rows(end.as_str()).await.len() != 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), ended).await.expect("each process listens");
        Ok(())
    }
}

async fn open(url: &str) -> ApiKeyLayer {
    let options: PgConnectOptions = url.parse().unwrap();
    let pool = PgPoolOptions::new().max_connections(3).connect_with(options.clone()).await.unwrap();
    followed(ForeignTable::new(pool, options, HEARTBEAT))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the other process of the test here, which starts it itself"]
async fn the_other_process() {
    let mut layer = None;
    serve_commands(async |line| answer(&mut layer, line, open).await).await;
}

/// Cases: 217.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn changes_of_a_foreign_table_reach_each_process() {
    let mut owner = Owner::new().await;
    let url = owner.schema.url();
    let start = async || {
        let mut process = OtherProcess::start("own_table::postgres::the_other_process");
        assert_eq!(process.ask(&format!("open {url}")).await, "open");
        process
    };
    two_processes(&mut owner, start).await.unwrap();
}

/// Cases: 217.
///
/// Nothing arrives any more, and nothing is closed. A truncated table ends every key.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn lost_listener_of_a_foreign_table_is_noticed() {
    let mut owner = Owner::new().await;
    let url = owner.schema.url();
    let options: PgConnectOptions = url.parse().unwrap();
    let proxy = Proxy::start((options.get_host().to_owned(), options.get_port())).await;
    let through = with(&with(&url, "host", "127.0.0.1"), "port", &proxy.port().to_string());
    let pool = PgPoolOptions::new().connect_with(options).await.unwrap();
    let layer = followed(ForeignTable::new(pool, through.parse().unwrap(), HEARTBEAT));
    owner.add("key").await.unwrap();
    assert_eq!(call(&layer, "key").await.status, 200);
    // Heartbeats keep a feed without changes.
    tokio::time::sleep(6 * HEARTBEAT).await;
    assert_eq!(call(&layer, "key").await.status, 200);
    proxy.lose_connections();
    owner.revoke("key").await.unwrap();
    rejected_within(AFTER_LOSS, &layer, "key").await;

    owner.add("other").await.unwrap();
    rejected_within(AFTER_LOSS, &layer, "none").await;
    assert_eq!(call(&layer, "other").await.status, 200);
    owner.sql.run("TRUNCATE api_tokens").await.unwrap();
    rejected_within(AFTER_LOSS, &layer, "other").await;
    assert!(AFTER_LOSS < TIME_TO_LIVE);
}

async fn rejected_within(limit: Duration, layer: &ApiKeyLayer, key: &str) {
    let rejected = async {
        while call(layer, key).await.status != 401 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(limit, rejected).await.expect("the key is rejected in time");
}
