//! The key stores: in memory, SQLite, caches, and what keeps the same promises over each of them.

mod audit;
mod broken;
mod cache;
mod conformance;
#[cfg(feature = "test-kit")]
#[path = "../../examples/custom_store.rs"]
#[expect(dead_code, reason = "only its test runs here")]
mod custom_store;
mod databases;
mod life;
mod memory;
mod model;
mod revoke_race;
#[cfg(all(feature = "cache", feature = "routes", feature = "test-kit"))]
mod silent;
mod sqlite;
mod taken;
mod usage;
mod use_rule;
mod wrappers;

#[path = "../support/mod.rs"]
mod support;
