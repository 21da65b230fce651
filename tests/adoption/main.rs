//! What a service brings along: the keys of an old table, a table of its own, keys in a file.

mod key_file;
mod legacy;

#[path = "../support/mod.rs"]
mod support;
