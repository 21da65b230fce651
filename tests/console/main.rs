//! The console: its JSON API and its page, on real sockets.
#![cfg(all(feature = "axum", feature = "cache", feature = "console", feature = "test-kit"))]

mod api;
mod askers;
mod bodies;
mod browser;
mod client;
mod outage;
mod page;
mod rules;
mod site;

#[path = "../support/mod.rs"]
mod support;
