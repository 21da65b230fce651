//! The reference server, `examples/avala`, as its users meet it: the real program, over real HTTP.
//!
//! ```text
//! cargo test --all-features --test avala_server
//! cargo test --all-features --test avala_server -- --ignored
//! ```
//!
//! The second line runs on Postgres what the first runs in memory and on SQLite.
#![cfg(all(feature = "axum", feature = "cache", feature = "postgres", feature = "sqlite", feature = "throttle"))]

#[path = "avala_server/mod.rs"]
mod avala_server;
