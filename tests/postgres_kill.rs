//! kill -9 under load: of Postgres, and of the service. What was acknowledged holds.
//!
//! `KILLS` is the number of kills in each test, 5 by default:
//!
//! ```text
//! KILLS=100 cargo test --release --features postgres --test postgres_kill -- --ignored --nocapture --test-threads=1
//! ```
#![cfg(feature = "postgres")]

#[path = "pg/cluster.rs"]
mod cluster;
#[path = "pg/kill/figures.rs"]
mod figures;
#[path = "pg/kill/load.rs"]
mod load;
#[path = "pg/kill/rounds.rs"]
mod rounds;
#[path = "pg/kill/service.rs"]
mod service;
#[path = "pg/sql.rs"]
mod sql;
