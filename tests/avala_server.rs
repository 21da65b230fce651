//! The reference server, `examples/avala`, as its users meet it: the real program, over real HTTP.
#![cfg(all(feature = "axum", feature = "throttle"))]

#[path = "avala_server/mod.rs"]
mod avala_server;
