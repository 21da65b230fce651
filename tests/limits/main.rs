//! Limits: by client, by key, and of failed attempts.
#![cfg(feature = "throttle")]

mod bounded;
mod failures;
mod guarded;
mod headers;
mod layer;
#[cfg(feature = "redis")]
mod redis;
mod rules;
mod sockets;
mod unknown;
mod waiting;
mod world;

#[path = "../support/mod.rs"]
mod support;
