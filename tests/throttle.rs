//! Limits: by client, by key, and of failed attempts.
#![cfg(feature = "throttle")]

#[path = "throttle/bounded.rs"]
mod bounded;
#[path = "throttle/failures.rs"]
mod failures;
#[path = "throttle/layer.rs"]
mod layer;
#[path = "throttle/sockets.rs"]
mod sockets;
#[path = "throttle/unknown.rs"]
mod unknown;
#[path = "throttle/world.rs"]
mod world;

#[path = "common/awaited.rs"]
mod awaited;
#[path = "common/handler.rs"]
mod handler;
#[path = "common/keys.rs"]
mod keys;
#[path = "common/log_lines.rs"]
mod log_lines;
#[path = "common/reply.rs"]
mod reply;
#[path = "common/request.rs"]
mod request;
#[path = "common/store.rs"]
mod store;
