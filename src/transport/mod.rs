//! Who is calling, and over what: the client's address, and whether the connection is HTTPS.
//!
//! [`ClientInfoLayer`] is the outermost of these layers. It takes the address from the connection, or from the forwarding
//! headers of a [trusted proxy](TrustedProxies), and puts a [`ClientInfo`](crate::client::ClientInfo) into the extensions of
//! the request.
//! [`RequireHttpsLayer`], the limits of `throttle` and handlers read it there.
//!
//! Forwarding headers that are unreadable or contradict each other yield an unknown client, which has no address. The
//! [table](TrustedProxies#missing-unreadable-and-contradicting-headers) of [`TrustedProxies`] lists each case.
//!
//! ```
//! use http::HeaderMap;
//! use tower_api_key::transport::{Connection, TrustedProxies};
//!
//! let proxies = TrustedProxies::new(["10.0.0.0/8"])?;
//! let mut headers = HeaderMap::new();
//! headers.insert("x-forwarded-for", "192.0.2.7".parse()?);
//! let client = |peer: [u8; 4]| proxies.client(Connection::plain(peer.into()), &headers).address();
//! assert_eq!(client([10, 0, 0, 1]), Some([192, 0, 2, 7].into()));
//! // The headers of any other peer are ignored.
//! assert_eq!(client([198, 51, 100, 7]), Some([198, 51, 100, 7].into()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
