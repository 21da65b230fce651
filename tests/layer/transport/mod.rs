//! Who is calling and over what: forwarding headers, trusted proxies, and plain HTTP where HTTPS is required.
#![cfg(all(feature = "axum", feature = "transport"))]

mod client_layer;
mod exempt;
mod guarded;
mod hops;
mod invented;
mod listeners;
mod nat64;
mod nginx;
mod nginx_cache;
mod platforms;
mod proxies;
mod require_https;
mod servers;
mod spoofing;
mod unknown;
