//! What a service says while its Postgres cannot be reached: 503 in time, never 401 for a good key, nothing of the
//! database's own words, and the right answers again as soon as it is back.
//!
//! ```text
//! cargo test --features postgres --test postgres_outage -- --ignored --nocapture
//! ```
#![cfg(feature = "postgres")]

#[path = "pg/calls.rs"]
mod calls;
#[path = "pg/cluster.rs"]
mod cluster;
#[path = "pg/outage/connecting.rs"]
mod connecting;
#[path = "pg/outage/guarded.rs"]
mod guarded;
#[path = "pg/log_lines.rs"]
mod log_lines;
#[path = "pg/outage/losing.rs"]
mod losing;
#[path = "pg/proxy.rs"]
mod proxy;
#[path = "pg/outage/read_only.rs"]
mod read_only;
#[path = "pg/schema.rs"]
mod schema;
#[path = "pg/sql.rs"]
mod sql;
