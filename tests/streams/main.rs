//! Streams that end with their keys, and keys that do not come in a request.
#![cfg(all(
    feature = "axum",
    feature = "cache",
    feature = "routes",
    feature = "test-kit",
    feature = "throttle",
    feature = "transport"
))]

mod bodies;
mod browser;
mod ended;
mod grpc;
mod messages;
mod outage;
#[cfg(feature = "postgres")]
mod processes;
mod shared;
mod world;

#[path = "../support/mod.rs"]
mod support;
