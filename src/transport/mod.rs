//! Who is calling, and over what: the client's address, and whether the connection is HTTPS.
//!
//! [`ClientLayer`] is the outermost of these layers. It takes the address from the connection, or from the forwarding
//! headers of a [trusted proxy](TrustedProxies), and puts a [`Client`] into the extensions of the request.
//! [`RequireHttpsLayer`], the limits of `throttle` and handlers read the [`Client`] there.
//!
//! Forwarding headers that are unreadable or contradict each other yield an unknown client, which has no address. The
//! [table](TrustedProxies#missing-unreadable-and-contradicting-headers) of [`TrustedProxies`] lists each case.

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
