//! What holds of the stores in both databases. Each test here runs on SQLite and on Postgres; what only one of them has
//! is in `sqlite`, and in the crate `postgres`.
#![cfg(any(feature = "sqlite", feature = "postgres"))]

/// Runs each of these tests on each database.
macro_rules! on_each_database {
    ($($test:ident)*) => {
        #[cfg(feature = "sqlite")]
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test::<crate::databases::sqlite::Sqlite>().await;
            })*
        }

        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs Postgres"]
            async fn $test() {
                super::$test::<crate::databases::postgres::Postgres>().await;
            })*
        }
    };
}

mod batches;
#[cfg(feature = "cache")]
mod by_hand;
#[cfg(feature = "cache")]
mod cached;
mod database;
mod lists;
mod lookups;
mod many;
mod migrations;
mod organizations;
#[cfg(feature = "postgres")]
mod postgres;
mod previous_version;
mod processes;
mod races;
mod rows;
mod side_by_side;
#[cfg(feature = "sqlite")]
mod sqlite;
mod texts;
mod usage;
