//! The program `tower-api-key`, as its users see it: in a pipe, on a terminal, and next to a running service.
//!
//! ```text
//! cargo test --all-features --test command_line
//! cargo test --all-features --test command_line postgres -- --ignored
//! ```
//!
//! The second line runs on Postgres what the first runs on SQLite.
#![cfg(all(unix, feature = "cache", feature = "cli"))]

/// Runs each of these tests on each database.
macro_rules! on_each_database {
    ($($test:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(crate::database::Database::sqlite().await).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs Postgres"]
            async fn $test() {
                super::$test(crate::database::Database::postgres().await).await;
            })*
        }
    };
}

mod checking;
mod database;
mod guide;
mod help;
mod importing;
mod leaks;
mod life;
mod output;
mod program;
mod terminal;
mod usage;

#[path = "../support/mod.rs"]
mod support;
