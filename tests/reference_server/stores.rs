//! One test for every store of the server.

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use super::server::Server;
use crate::support::postgres::Schema;
use crate::support::sqlite::Dir;

/// A store of its own for each test, which removes it.
pub(super) enum Store {
    Memory,
    Sqlite(Dir),
    Postgres(Schema),
}

impl Store {
    pub(super) fn sqlite() -> Self {
        Self::Sqlite(Dir::new())
    }

    pub(super) async fn postgres() -> Self {
        Self::Postgres(Schema::new().await)
    }

    /// A server on this store. A second one shares it, unless it is memory.
    pub(super) fn start(&self, options: &[&str]) -> Server {
        self.start_logging(options, "")
    }

    pub(super) fn start_logging(&self, options: &[&str], directives: &str) -> Server {
        let url = match self {
            Self::Memory => "memory:".to_owned(),
            Self::Sqlite(directory) => directory.url(),
            Self::Postgres(schema) => schema.url(),
        };
        Server::start_logging(&[options, &["--store", &url]].concat(), directives)
    }

    /// Runs statements without the server.
    pub(super) async fn run(&self, sql: &str) {
        match self {
            Self::Memory => panic!("no other process reaches it"),
            Self::Sqlite(directory) => {
                let mut connection = SqliteConnection::connect(&directory.url()).await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
            }
            Self::Postgres(schema) => schema.sql().await.run(sql).await.unwrap(),
        }
    }

    /// The number that a query returns.
    pub(super) async fn count(&self, sql: &str) -> i64 {
        match self {
            Self::Memory => panic!("no other process reaches it"),
            Self::Sqlite(directory) => {
                let mut connection = SqliteConnection::connect(&directory.url()).await.unwrap();
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap()
            }
            Self::Postgres(schema) => schema.sql().await.int(sql).await,
        }
    }
}

/// Makes tests of functions that take a store.
macro_rules! on_every_store {
    ($($test:ident),* $(,)?) => {$(
        mod $test {
            #[tokio::test]
            async fn memory() {
                super::$test(&crate::stores::Store::Memory).await;
            }

            on_databases!($test);
        }
    )*};
}

/// The same for stores that outlive a process and can be shared by two.
macro_rules! on_every_database {
    ($($test:ident),* $(,)?) => {$(
        mod $test {
            on_databases!($test);
        }
    )*};
}

macro_rules! on_databases {
    ($test:ident) => {
        #[tokio::test]
        async fn sqlite() {
            super::$test(&crate::stores::Store::sqlite()).await;
        }

        #[tokio::test]
        #[ignore = "needs Postgres"]
        async fn postgres() {
            super::$test(&crate::stores::Store::postgres().await).await;
        }
    };
}
