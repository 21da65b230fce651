//! What the layer and the cache cost in memory. These tests need a counting allocator, or a process of their own.

mod cache;
mod flood;
mod layer;
mod records;

#[path = "../support/mod.rs"]
mod support;
