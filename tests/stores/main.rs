//! The key stores: in memory, SQLite, caches, and what keeps the same promises over each of them.

mod audit;
mod broken;
mod cache;
mod conformance;
mod databases;
mod memory;
mod model;
mod revoke_race;
mod sqlite;
mod usage;

#[path = "../support/mod.rs"]
mod support;
