//! An empty database for one test.

use std::process::Command;
use std::time::Duration;

use tower_api_key::store::{CachedStore, PostgresStore, SqliteStore};

use crate::program::{Ran, program, run};
use crate::support::postgres::Schema;
use crate::support::{postgres, sqlite};

/// What holds the keys of one test, and ends with it.
pub(crate) enum Database {
    Sqlite(sqlite::Dir),
    Postgres(Schema),
}

impl Database {
    /// An SQLite file with the tables.
    pub(crate) async fn sqlite() -> Self {
        let dir = sqlite::Dir::new();
        dir.store().await;
        Self::Sqlite(dir)
    }

    /// A schema with the tables.
    pub(crate) async fn postgres() -> Self {
        let schema = Schema::new().await;
        schema.store().await;
        Self::Postgres(schema)
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(dir) => dir.url(),
            Self::Postgres(schema) => schema.url(),
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// The program on this database, with arguments that have no blanks.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = program();
        command.env("DATABASE_URL", self.url()).args(arguments.split_whitespace());
        command
    }

    /// Runs the program on this database, in a pipe.
    pub(crate) fn run(&self, arguments: &str) -> Ran {
        self.run_with(arguments, "")
    }

    pub(crate) fn run_with(&self, arguments: &str, input: &str) -> Ran {
        run(self.command(arguments), input)
    }

    /// Changes the tables by hand.
    pub(crate) async fn edit(&self, sql: &str) {
        match self {
            Self::Sqlite(dir) => dir.sql().await.run(sql).await.unwrap(),
            Self::Postgres(schema) => schema.sql().await.run(sql).await.unwrap(),
        }
    }

    pub(crate) async fn int(&self, sql: &str) -> i64 {
        match self {
            Self::Sqlite(dir) => dir.sql().await.int(sql).await,
            Self::Postgres(schema) => schema.sql().await.int(sql).await,
        }
    }

    /// Drops everything that keeps invalid rows out of the tables.
    pub(crate) async fn loosen(&self) {
        self.edit(match self {
            Self::Sqlite(_) => sqlite::LOOSEN,
            Self::Postgres(_) => postgres::LOOSEN,
        })
        .await;
    }

    /// Everything that is stored of keys, as text.
    pub(crate) async fn dump(&self) -> String {
        match self {
            Self::Sqlite(dir) => dir.sql().await.dump().await.join("\n"),
            Self::Postgres(schema) => {
                let keys = "SELECT k::text FROM tower_api_key_keys k ORDER BY id";
                schema.sql().await.texts(keys).await.join("\n")
            }
        }
    }
}

/// The store of another process, with a cache that watches.
pub(crate) enum Watched {
    Sqlite(CachedStore<SqliteStore>),
    Postgres(CachedStore<PostgresStore>),
}

impl Watched {
    pub(crate) async fn connect(url: &str, time_to_live: Duration) -> Self {
        if url.starts_with("sqlite:") {
            let store =
                CachedStore::builder(SqliteStore::connect(url).await.unwrap()).time_to_live(time_to_live).build();
            tokio::spawn(store.watch());
            Self::Sqlite(store)
        } else {
            let store =
                CachedStore::builder(PostgresStore::connect(url).await.unwrap()).time_to_live(time_to_live).build();
            tokio::spawn(store.watch());
            Self::Postgres(store)
        }
    }
}
