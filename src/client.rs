//! Who made a request: plain data that the layers of `transport` fill in.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who made a request, and whether over HTTPS.
///
/// `ClientInfoLayer` of the feature `transport` puts it into the extensions of each request, and replaces one that is there
/// already. Nothing that a client sends can put one there. With the features `transport` and `axum` it is also an
/// extractor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientInfo {
    address: Option<IpAddr>,
    https: bool,
}

impl ClientInfo {
    /// Returns a client with this address, or an unknown one, and whether its own connection is TLS.
    #[must_use]
    pub fn new(address: Option<IpAddr>, https: bool) -> Self {
        Self { address: address.map(|address| address.to_canonical()), https }
    }

    /// Returns the address, or `None` if the client is unknown.
    ///
    /// A client is unknown if a trusted proxy sent forwarding headers that are unreadable or contradict each other: see
    /// `TrustedProxies` of the feature `transport`.
    /// Grant an unknown client nothing that depends on an address. An IPv4-mapped IPv6 address is returned as IPv4.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Returns the network to count this client by: [`ClientNetwork::UNKNOWN`] if it has no address.
    #[must_use]
    pub fn network(&self) -> ClientNetwork {
        self.address.map_or(ClientNetwork::UNKNOWN, ClientNetwork::from)
    }

    /// Returns whether the client's own connection is TLS, to this process or to a trusted proxy.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        self.https
    }
}

/// The network to count a client by: an IPv4 address, the first 64 bits of an IPv6 address, or unknown.
///
/// An IPv6 client usually holds all 2^64 addresses that start with the same 64 bits. An address of NAT64, in
/// `64:ff9b::/96`, counts as the IPv4 address in its last 32 bits. [`ClientInfo::address`] and
/// `TrustedProxies` do not translate such an address.
///
/// ```
/// use std::net::IpAddr;
/// use tower_api_key::client::ClientNetwork;
///
/// let network = |address: &str| address.parse::<IpAddr>().map(ClientNetwork::from);
/// assert_eq!(network("2001:db8:1:2::1")?, network("2001:db8:1:2:ffff::")?);
/// assert_eq!(network("2001:db8:1:2::1")?.to_string(), "2001:db8:1:2::/64");
/// assert_eq!(network("::ffff:192.0.2.1")?.to_string(), "192.0.2.1");
/// assert_eq!(ClientNetwork::UNKNOWN.to_string(), "unknown");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientNetwork(Option<IpAddr>);

impl ClientNetwork {
    /// The one network of all clients without an [`address`](ClientInfo::address). It equals no network of an address.
    pub const UNKNOWN: Self = Self(None);
}

impl From<IpAddr> for ClientNetwork {
    fn from(address: IpAddr) -> Self {
        Self(Some(match address.to_canonical() {
            IpAddr::V6(address) => match translated(address) {
                Some(address) => address.into(),
                None => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
            },
            address => address,
        }))
    }
}

/// Returns the IPv4 address that NAT64 translated into this one: all of its clients are in one /64 (RFC 6052, 2.1).
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() else { return None };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(IpAddr::V4(address)) => address.fmt(f),
            Some(IpAddr::V6(first)) => write!(f, "{first}/64"),
            None => f.write_str("unknown"),
        }
    }
}

/// Logs why a request has no client.
#[cfg(feature = "transport")]
pub(crate) fn log_missing(who: &str) {
    tracing::error!(
        "{who} got a request without a ClientInfo: either no ClientInfoLayer is outside it (in an axum Router, the layer \
         that is added last runs first), or the server gave that layer no Connection; answering 500"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases: 40.
    #[test]
    fn ipv6_network_counts_as_one_client() {
        let network = |address: &str| ClientNetwork::from(address.parse::<IpAddr>().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        // A socket that serves both families shows the first in the form of the second.
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("::ffff:192.0.2.1"), network("::ffff:192.0.2.2"));
    }
}
