//! `PostgresStore` on a real server: migrations, rights, durability, hand-edited rows, TLS, PgBouncer.
//!
//! ```text
//! cargo test --features postgres --test postgres_store -- --ignored
//! ```
#![cfg(feature = "postgres")]

#[path = "pg/calls.rs"]
mod calls;
#[path = "pg/store/clock.rs"]
mod clock;
#[path = "pg/cluster.rs"]
mod cluster;
#[path = "pg/store/durable.rs"]
mod durable;
#[cfg(feature = "cache")]
#[path = "pg/store/listening.rs"]
mod listening;
#[path = "pg/log_lines.rs"]
mod log_lines;
#[path = "pg/store/migrations.rs"]
mod migrations;
#[path = "pg/store/nonsense.rs"]
mod nonsense;
#[path = "pg/store/owned.rs"]
mod owned;
#[path = "pg/store/pgbouncer.rs"]
mod pgbouncer;
#[path = "pg/store/previous_version.rs"]
mod previous_version;
#[path = "pg/store/processes.rs"]
mod processes;
#[cfg(feature = "cache")]
#[path = "pg/proxy.rs"]
mod proxy;
#[path = "pg/store/revoked.rs"]
mod revoked;
#[path = "pg/store/rights.rs"]
mod rights;
#[path = "pg/schema.rs"]
mod schema;
#[path = "pg/store/side_by_side.rs"]
mod side_by_side;
#[path = "pg/sql.rs"]
mod sql;
#[path = "pg/store/stored.rs"]
mod stored;
#[path = "pg/store/tls.rs"]
mod tls;
