//! What only `PostgresStore` has, on a real server: rights, durability, hand-edited rows, TLS, PgBouncer. The other
//! tests of the store are in `tests/stores/databases`.

mod clock;
mod durable;
mod encoding;
mod isolation;
#[cfg(feature = "cache")]
mod listening;
mod messages;
mod nonsense;
mod owned;
mod pgbouncer;
mod revoked;
mod rights;
mod stored;
mod tls;
