//! Limits: by client, by key, and of failed attempts.
#![cfg(feature = "throttle")]

mod bounded;
mod failures;
mod layer;
mod sockets;
mod unknown;
mod world;

#[path = "../support/mod.rs"]
mod support;
