//! What a service brings along: the keys of an old table, a table of its own, keys in a file.
#![cfg(all(feature = "cache", feature = "postgres", feature = "redis", feature = "serde", feature = "test-kit"))]

mod key_file;
mod legacy;
mod own_table;

#[path = "../support/mod.rs"]
mod support;
