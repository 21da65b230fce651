//! Who is calling and over what: forwarding headers, trusted proxies, and plain HTTP where HTTPS is required.
#![cfg(all(feature = "axum", feature = "transport"))]

#[path = "transport/client_layer.rs"]
mod client_layer;
#[path = "transport/guarded.rs"]
mod guarded;
#[path = "transport/hops.rs"]
mod hops;
#[path = "transport/invented.rs"]
mod invented;
#[path = "transport/listeners.rs"]
mod listeners;
#[path = "transport/nat64.rs"]
mod nat64;
#[path = "transport/nginx.rs"]
mod nginx;
#[path = "transport/proxies.rs"]
mod proxies;
#[path = "transport/require_https.rs"]
mod require_https;
#[path = "transport/servers.rs"]
mod servers;
#[path = "transport/spoofing.rs"]
mod spoofing;
#[path = "transport/unknown.rs"]
mod unknown;

#[path = "support/http2_client.rs"]
mod http2_client;
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
