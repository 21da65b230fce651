//! Who is calling, and over what: the client's address, and whether the connection is HTTPS.
//!
//! [`ClientInfoLayer`] is the outermost of these layers. It takes the address from the connection, or from the forwarding
//! headers of a [trusted proxy](TrustedProxies), and puts a [`ClientInfo`](crate::client::ClientInfo) into the extensions of
//! the request.
//! [`RequireHttpsLayer`], the limits of `throttle` and handlers read it there.
//!
//! Forwarding headers that are unreadable or contradict each other yield an unknown client, which has no address. The
//! [table](TrustedProxies#missing-unreadable-and-contradicting-headers) of [`TrustedProxies`] lists each case.

mod connection;
#[cfg(feature = "axum")]
mod extract;
mod forwarded;
mod layer;
#[cfg(feature = "axum")]
mod make_service;
mod proxies;
mod require_https;
mod trust;

pub use self::connection::Connection;
#[cfg(feature = "axum")]
pub use self::extract::MissingClientInfo;
pub use self::layer::{ClientInfoLayer, ClientInfoService};
pub use self::proxies::{InvalidProxy, ProxyErrorKind, TrustedProxies};
pub use self::require_https::RequireHttpsLayer;
