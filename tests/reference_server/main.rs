//! The reference server, `examples/avala`, as its users see it: the real program, over real HTTP.
//!
//! ```text
//! cargo test --all-features --test reference_server
//! cargo test --all-features --test reference_server postgres -- --ignored
//! cargo test --all-features --test reference_server browser -- --ignored --test-threads=1
//! ```
//!
//! The second line runs on Postgres what the first runs in memory and on SQLite. The third needs Chromium.
#![cfg(all(
    feature = "axum",
    feature = "cache",
    feature = "console",
    feature = "postgres",
    feature = "redis",
    feature = "sqlite"
))]

#[macro_use]
mod stores;

mod audit;
mod browser;
mod client;
mod durable;
mod keys;
mod life;
mod limits;
mod lists;
mod metrics;
mod mission_control;
mod openapi;
mod options;
mod passwords;
mod paths;
mod resources;
mod running;
mod server;
mod signup;
mod transport;

#[path = "../../examples/avala/passwords.rs"]
mod hashing;
#[path = "../../examples/avala/mission_control/sessions.rs"]
mod sessions;
#[path = "../support/mod.rs"]
mod support;
