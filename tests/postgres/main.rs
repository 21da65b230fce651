//! `PostgresStore` on real servers. Every test here is ignored, since it needs one:
//!
//! ```text
//! cargo test --all-features --test postgres -- --ignored
//! ```
//!
//! `DATABASE_URL` names the server. Tests that stop a server start their own.
#![cfg(feature = "postgres")]

mod kill;
mod outage;
mod store;

#[path = "../support/mod.rs"]
mod support;
