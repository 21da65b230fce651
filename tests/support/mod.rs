//! What several test crates share.
#![allow(dead_code, reason = "each crate uses a part of it")]

pub(crate) mod awaited;
pub(crate) mod axum_server;
pub(crate) mod browser;
pub(crate) mod calls;
pub(crate) mod clock;
pub(crate) mod cluster;
pub(crate) mod frames;
pub(crate) mod handler;
pub(crate) mod http1_client;
pub(crate) mod http2_client;
pub(crate) mod hyper_server;
pub(crate) mod keys;
pub(crate) mod log_lines;
pub(crate) mod manage;
pub(crate) mod other_process;
pub(crate) mod poll;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
pub(crate) mod proxy;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod seen;
pub(crate) mod server;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
pub(crate) mod store;
pub(crate) mod tls_cluster;
pub(crate) mod wire;
