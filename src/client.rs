//! Who made a request, and the networks that a key may be used from.
//!
//! The layers of [`transport`](crate::transport) put a [`ClientInfo`] into the extensions of each request. Limits count a
//! client by its [`ClientNetwork`], and the decision compares its address with the [`AllowedNetworks`] of the key.
//!
//! ```
//! use tower_api_key::client::{AllowedNetworks, ClientInfo};
//!
//! let client = ClientInfo::new(Some("192.0.2.7".parse()?), true);
//! let office: AllowedNetworks = "192.0.2.0/24".parse()?;
//! assert!(client.address().is_some_and(|address| office.contains(address)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};

/// Who made a request, and whether over HTTPS.
///
/// [`ClientInfoLayer`](crate::transport::ClientInfoLayer) of the feature `transport` puts it into the extensions of each
/// request, and replaces one that is there already. Nothing that a client sends can put one there. With the features
/// `transport` and `axum` it is also an extractor.
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
    /// [`TrustedProxies`](crate::transport::TrustedProxies) of the feature `transport`.
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
/// [`TrustedProxies`](crate::transport::TrustedProxies) do not translate such an address.
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

/// The networks that a key may be used from: anywhere, or a list that is never empty.
///
/// Written as addresses and networks in CIDR notation, separated by spaces, and `*` for anywhere. Networks that overlap or
/// adjoin are one. An IPv4-mapped IPv6 network is taken as the IPv4 network, as [`ClientInfo`] takes its address; `::/0`
/// has no IPv4 client.
///
/// ```
/// use tower_api_key::client::AllowedNetworks;
///
/// let office: AllowedNetworks = "192.0.2.0/24 2001:db8::/32".parse()?;
/// assert!(office.contains("192.0.2.7".parse()?));
/// assert!(!office.contains("198.51.100.7".parse()?));
/// assert!(office.is_within(&AllowedNetworks::ANYWHERE));
/// assert!("".parse::<AllowedNetworks>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
// Sorted and merged, so that equal sets of addresses have one form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AllowedNetworks(Option<Arc<[IpNet]>>);

impl AllowedNetworks {
    /// Anywhere, also from a client without an address.
    pub const ANYWHERE: Self = Self(None);

    /// The most networks of one key.
    pub const MAX_LEN: usize = 100;

    /// Returns these networks and nothing else.
    ///
    /// # Errors
    /// [`InvalidNetworks`] when there is none, or more than [`MAX_LEN`](Self::MAX_LEN) that do not adjoin.
    pub fn only(networks: impl IntoIterator<Item = IpNet>) -> Result<Self, InvalidNetworks> {
        let networks = IpNet::aggregate(&networks.into_iter().map(canonical).collect());
        match networks.len() {
            0 => Err(InvalidNetworks::Empty),
            number if number > Self::MAX_LEN => Err(InvalidNetworks::TooMany),
            _ => Ok(Self(Some(networks.into()))),
        }
    }

    /// Returns whether the key may be used from anywhere.
    #[must_use]
    #[inline]
    pub const fn is_anywhere(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the networks, or `None` for anywhere.
    #[must_use]
    pub fn networks(&self) -> Option<&[IpNet]> {
        self.0.as_deref()
    }

    /// Returns whether a client with this address may use the key.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks().is_none_or(|networks| networks.iter().any(|network| network.contains(&address)))
    }

    /// Returns whether every client of these networks is also one of `other`.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let Some(theirs) = other.networks() else { return true };
        // Adjoining networks are merged, so a network that they cover is within one of them.
        let covered = |network| theirs.iter().any(|other| other.contains(network));
        self.networks().is_some_and(|networks| networks.iter().all(covered))
    }
}

fn canonical(network: IpNet) -> IpNet {
    let mapped = match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => v6.addr().to_ipv4_mapped().zip(Some(v6.prefix_len() - 96)),
        _ => None,
    };
    let v4 = mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    v4.map_or(network, IpNet::V4).trunc()
}

impl fmt::Display for AllowedNetworks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(networks) = self.networks() else { return f.write_str("*") };
        for (number, network) in networks.iter().enumerate() {
            let separator = if number > 0 { " " } else { "" };
            write!(f, "{separator}{network}")?;
        }
        Ok(())
    }
}

/// Reads all or nothing. A text without a network is an error, and never anywhere.
impl FromStr for AllowedNetworks {
    type Err = InvalidNetworks;

    fn from_str(text: &str) -> Result<Self, InvalidNetworks> {
        if text == "*" {
            return Ok(Self::ANYWHERE);
        }
        // One more than could be allowed is enough to know that there are too many.
        let parse = |text: &str| text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let networks = text.split_ascii_whitespace().take(16 * Self::MAX_LEN).map(parse).collect::<Result<Vec<_>, _>>();
        Self::only(networks.map_err(|_| InvalidNetworks::Unreadable)?)
    }
}

/// The text or list is not one of allowed networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidNetworks {
    /// No network: a key that can be used from nowhere is suspended or revoked instead.
    #[error("allowed networks name at least one network; leave them out to allow any")]
    Empty,
    /// More networks than one key may have.
    #[error("a key has at most {} allowed networks", AllowedNetworks::MAX_LEN)]
    TooMany,
    /// A part is neither an address nor a network.
    #[error("an allowed network is an address or a network in CIDR notation, such as 192.0.2.0/24")]
    Unreadable,
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
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Networks within 16 addresses, so that they often overlap, adjoin and cover each other.
    fn few_addresses() -> impl Strategy<Value = Vec<IpNet>> {
        let network = (0..16_u8, 28..=32_u8, any::<bool>()).prop_map(|(last, length, mapped)| {
            let v4 = Ipv4Addr::new(192, 0, 2, last);
            let network = if mapped {
                IpNet::new(v4.to_ipv6_mapped().into(), 96 + length)
            } else {
                IpNet::new(v4.into(), length)
            };
            network.unwrap()
        });
        vec(network, 1..5)
    }

    proptest! {
        /// Cases: 184.
        #[test]
        fn networks_are_sets_of_addresses(a in few_addresses(), b in few_addresses()) {
            let addresses = || (0..16_u8).map(|last| IpAddr::from([192, 0, 2, last]));
            let is_in = |networks: &[IpNet], address: IpAddr| {
                networks.iter().any(|network| canonical(*network).contains(&address))
            };
            let (left, right) = (AllowedNetworks::only(a.clone()).unwrap(), AllowedNetworks::only(b.clone()).unwrap());
            for address in addresses() {
                prop_assert_eq!(left.contains(address), is_in(&a, address));
            }
            let subset = addresses().all(|address| !is_in(&a, address) || is_in(&b, address));
            prop_assert_eq!(left.is_within(&right), subset);
            let same = addresses().all(|address| is_in(&a, address) == is_in(&b, address));
            prop_assert_eq!(left == right, same);
            prop_assert_eq!(left.to_string().parse(), Ok(left.clone()));
            prop_assert!(left.is_within(&AllowedNetworks::ANYWHERE) && !AllowedNetworks::ANYWHERE.is_within(&left));
        }
    }

    /// Cases: 184.
    #[test]
    fn networks_unreadable_or_empty_are_rejected() {
        use InvalidNetworks::{Empty, TooMany, Unreadable};
        let many = |count: u32| (0..count).map(|n| Ipv4Addr::from(2 * n).to_string()).collect::<Vec<_>>().join(" ");
        for (text, expected) in [
            ("", Err(Empty)),
            ("  ", Err(Empty)),
            ("* 192.0.2.1", Err(Unreadable)),
            ("192.0.2.1/33", Err(Unreadable)),
            ("192.0.2", Err(Unreadable)),
            ("192.0.2.1,192.0.2.2", Err(Unreadable)),
            (&many(101), Err(TooMany)),
            (&many(100_000), Err(TooMany)),
            (&many(100), Ok(100)),
            ("192.0.2.7/24 192.0.2.1", Ok(1)),
            ("::/0", Ok(1)),
        ] {
            let parsed = text.parse::<AllowedNetworks>();
            assert_eq!(parsed.map(|parsed| parsed.networks().map_or(0, <[_]>::len)), expected, "{text:.40}");
        }
        assert_eq!("*".parse(), Ok(AllowedNetworks::ANYWHERE));
        assert!(!"::/0".parse::<AllowedNetworks>().unwrap().contains([192, 0, 2, 1].into()));
    }

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
