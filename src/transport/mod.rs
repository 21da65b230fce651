//! Who is calling, and over what: the client's address, and whether the connection is HTTPS.
//!
//! [`ClientLayer`] stands outside everything else that asks. It takes the address from the connection, or from what
//! a [trusted proxy](TrustedProxies) says about it, and puts a [`Client`] into the extensions of the request.
//! [`RequireHttpsLayer`] and the limits of `throttle` read it there, and so can a handler.

mod client;
mod connection;
#[cfg(feature = "axum")]
mod extract;
mod forwarded;
mod layer;
mod proxies;
mod require_https;

pub use self::client::{Client, ClientNetwork};
pub use self::connection::Connection;
#[cfg(feature = "axum")]
pub use self::extract::MissingClient;
pub use self::layer::{ClientLayer, ClientService};
pub use self::proxies::{InvalidProxy, ProxyProblem, TrustedProxies};
pub use self::require_https::{RequireHttps, RequireHttpsFuture, RequireHttpsLayer};

#[cfg(feature = "throttle")]
pub(crate) use self::client::log_missing;
