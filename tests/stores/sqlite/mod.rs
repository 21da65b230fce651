//! What only `SqliteStore` has, on real files: durability, faults, hand-edited rows, several processes. The rest is in
//! `databases`.
#![cfg(feature = "sqlite")]

mod busy;
mod cancelled;
mod durable;
mod faults;
mod manage;
mod nonsense;
mod processes;
mod schema;
mod unreadable;
#[cfg(feature = "cache")]
mod watching;
