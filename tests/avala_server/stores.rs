//! One test for every place where the server can keep its keys.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use super::schema::Schema;
use super::server::Server;

/// A store of its own for each test, gone with it.
pub(super) enum Store {
    Memory,
    Sqlite(Directory),
    Postgres(Schema),
}

impl Store {
    pub(super) fn sqlite() -> Self {
        Self::Sqlite(Directory::new())
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

    /// Runs statements behind the back of the server.
    pub(super) async fn run(&self, sql: &str) {
        match self {
            Self::Memory => panic!("nobody else reaches it"),
            Self::Sqlite(directory) => {
                let mut connection = SqliteConnection::connect(&directory.url()).await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
            }
            Self::Postgres(schema) => schema.sql().await.run(sql).await.unwrap(),
        }
    }

    /// The number that a query tells.
    pub(super) async fn count(&self, sql: &str) -> i64 {
        match self {
            Self::Memory => panic!("nobody else reaches it"),
            Self::Sqlite(directory) => {
                let mut connection = SqliteConnection::connect(&directory.url()).await.unwrap();
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap()
            }
            Self::Postgres(schema) => schema.sql().await.int(sql).await,
        }
    }
}

pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("avala-server-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn url(&self) -> String {
        format!("sqlite:{}", self.0.join("avala.db").display())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Makes tests of functions that take a store.
macro_rules! on_every_store {
    ($($test:ident),* $(,)?) => {$(
        mod $test {
            #[tokio::test]
            async fn memory() {
                super::$test(&crate::avala_server::stores::Store::Memory).await;
            }

            on_databases!($test);
        }
    )*};
}

/// The same for what must outlive a process, or be shared by two.
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
            super::$test(&crate::avala_server::stores::Store::sqlite()).await;
        }

        #[tokio::test]
        #[ignore = "needs Postgres"]
        async fn postgres() {
            super::$test(&crate::avala_server::stores::Store::postgres().await).await;
        }
    };
}
