use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Who made a request, and whether over HTTPS: what [`ClientLayer`](super::ClientLayer) puts into the extensions.
///
/// Nothing that a client sends can put one there, and the layer replaces one that is there already. With the `axum`
/// feature it is also an extractor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    address: IpAddr,
    https: bool,
}

impl Client {
    pub(super) fn new(address: IpAddr, https: bool) -> Self {
        Self { address: address.to_canonical(), https }
    }

    /// The address. One of IPv4 is never in the form that IPv6 has for it.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// What to count this client by.
    #[must_use]
    pub fn network(&self) -> ClientNetwork {
        self.address.into()
    }

    /// Whether the client's own connection is TLS, be it to this process or to a trusted proxy.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        self.https
    }
}

/// One client, as far as its address tells: an IPv4 address, or the first 64 bits of an IPv6 address, since whoever
/// has one of these has all 2^64 behind it.
///
/// ```
/// use std::net::IpAddr;
/// use tower_api_key::transport::ClientNetwork;
///
/// let network = |address: &str| address.parse::<IpAddr>().map(ClientNetwork::from);
/// assert_eq!(network("2001:db8:1:2::1")?, network("2001:db8:1:2:ffff::")?);
/// assert_eq!(network("2001:db8:1:2::1")?.to_string(), "2001:db8:1:2::/64");
/// assert_eq!(network("::ffff:192.0.2.1")?.to_string(), "192.0.2.1");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientNetwork(IpAddr);

impl From<IpAddr> for ClientNetwork {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
            address => address,
        })
    }
}

impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(first) => write!(f, "{first}/64"),
        }
    }
}

/// Says why there is no client for the one who asks.
pub(crate) fn log_missing(who: &str) {
    log::error!(
        "{who} got a request without a Client: either no ClientLayer stands outside it (in an axum Router, the layer \
         that is added last runs first), or the server told that layer of no Connection; answering 500"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_040_an_ipv6_network_counts_as_one_client() {
        let network = |address: &str| ClientNetwork::from(address.parse::<IpAddr>().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        // A socket that serves both families shows the first in the form of the second.
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("::ffff:192.0.2.1"), network("::ffff:192.0.2.2"));
    }
}
