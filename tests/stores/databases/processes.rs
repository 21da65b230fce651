//! Another process, which migrates.

use std::future::Future;
use std::pin::Pin;

use tower_api_key::store::SchemaError;

use super::database::{Database, Store};
use crate::support::calls::chain;
use crate::support::other_process::{OtherProcess, serve_commands};

/// Starts a process with the commands `connect URL`, `migrate`, which migrates that database, and `half-migrate FILE`.
pub(super) fn start() -> OtherProcess {
    OtherProcess::start("databases::processes::the_other_process")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the other process of the tests here, which start it themselves"]
async fn the_other_process() {
    let mut opened = None;
    #[cfg(feature = "sqlite")]
    let mut half_way = None;
    serve_commands(async |line| match line.split_once(' ').unwrap_or((line, "")) {
        #[cfg(feature = "sqlite")]
        ("half-migrate", file) => {
            half_way = Some(half_migrate(file).await);
            "half way".to_owned()
        }
        ("connect", url) => {
            opened = Some(open(url).await);
            "ok".to_owned()
        }
        ("migrate", _) => match opened.as_ref().expect("opened")().await {
            Ok(()) => "ok".to_owned(),
            Err(error) => chain(&error),
        },
        other => panic!("no such command: {other:?}"),
    })
    .await;
}

type Migrate = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), SchemaError>>>>>;

async fn open(url: &str) -> Migrate {
    match url {
        #[cfg(feature = "sqlite")]
        url if url.starts_with("sqlite:") => migrate(super::sqlite::Sqlite::connect(url).await),
        #[cfg(feature = "postgres")]
        url if url.starts_with("postgres:") => migrate(super::postgres::Postgres::connect(url).await),
        other => panic!("no such database: {other}"),
    }
}

fn migrate(store: impl Store + 'static) -> Migrate {
    Box::new(move || {
        let store = store.clone();
        Box::pin(async move {
            store.migrate().await?;
            store.check_schema().await
        })
    })
}

/// Begins what a migration does, and does not end it.
#[cfg(feature = "sqlite")]
async fn half_migrate(file: &str) -> sqlx::SqliteConnection {
    use sqlx::Connection;

    let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite:{file}?mode=rwc")).await.unwrap();
    sqlx::raw_sql("PRAGMA journal_mode = WAL; BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
    sqlx::raw_sql(super::previous_version::sqlite::SCHEMA).execute(&mut connection).await.unwrap();
    connection
}
