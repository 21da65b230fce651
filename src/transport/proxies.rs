use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use ipnet::{IpNet, Ipv4Net};

use super::Connection;
use super::forwarded::Claim;
use super::trust::{Located, Written};
use crate::client::ClientInfo;

/// The proxies whose forwarding headers are trusted. The default trusts none.
///
/// The headers are read from the right, because each proxy adds the address of its own peer there. Entries to the left of
/// the client may be spoofed and are not read.
///
/// | constructor | proxies | client |
/// |---|---|---|
/// | [`new`](Self::new) | those in named networks | the first address from the right that is not in a named network |
/// | [`by_hops`](Self::by_hops) | a number of them, at any address | the entry at that place from the right |
/// | [`by_header`](Self::by_header) | those of a platform, at any address | the value of the platform's own header |
///
/// | header | supplies |
/// |---|---|
/// | `X-Forwarded-For` | the address |
/// | `X-Forwarded-Proto` | HTTPS, if every value is `https` |
/// | `Forwarded` (RFC 7239) | the address, and HTTPS if the element that names the client has `proto=https` |
/// | the header of [`by_header`](Self::by_header) | the address. `X-Forwarded-Proto` supplies HTTPS |
///
/// # Missing, unreadable and contradicting headers
///
/// A header that is unreadable or contradicts another never yields the address of a proxy. It makes the client
/// *unknown*: the client has no [`address`](ClientInfo::address), and all unknown clients share one
/// [`network`](ClientInfo::network) and thus one count. The first row that applies decides:
///
/// | a trusted proxy sent | address | HTTPS |
/// |---|---|---|
/// | no forwarding header | the proxy: it made the request itself, such as a health check. Unknown for `by_hops` and `by_header` | no |
/// | fewer readable entries than `by_hops` counts | unknown | no |
/// | the header of `by_header` not exactly once, or with another value than one address | unknown | no |
/// | both `X-Forwarded-` headers and `Forwarded`, the rows below yield one address | that address | if both state it |
/// | both, the rows below yield two addresses or an unknown one | unknown | if both state it |
/// | a `Forwarded` line with an open quote or another syntax error | unknown | no |
/// | an entry that is no address, such as `unknown`, `_hidden` or an empty one | unknown | as stated |
/// | `X-Forwarded-Proto` alone, or an element of `Forwarded` without `for` | unknown | as stated |
/// | `X-Forwarded-For` alone, or an element of `Forwarded` without `proto` | as stated | no |
/// | only addresses of trusted proxies | the leftmost: that proxy made the request | as stated |
///
/// Entries and lines to the left of the client decide nothing, even if they are unreadable. A header that
/// [`only_x_forwarded`](Self::only_x_forwarded) or [`only_forwarded`](Self::only_forwarded) excludes counts as missing.
///
/// **A trusted proxy must write the headers itself.** A proxy that passes on the headers of its clients lets every
/// client choose an address.
///
/// **Name the headers that your proxies write**, with [`only_x_forwarded`](Self::only_x_forwarded) or
/// [`only_forwarded`](Self::only_forwarded). Otherwise a client can send the headers that its proxy passes on and
/// become unknown, which gives it the shared count in addition to its own.
///
/// ```
/// use std::net::IpAddr;
/// use http::{HeaderMap, HeaderValue};
/// use tower_api_key::transport::{Connection, TrustedProxies};
///
/// let proxies = TrustedProxies::new(["10.0.0.0/8", "2001:db8::7"])?;
/// let mut headers = HeaderMap::new();
/// headers.insert("x-forwarded-for", HeaderValue::from_static("6.6.6.6, 192.0.2.1, 10.0.0.9"));
/// headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
///
/// let client = proxies.client(Connection::plain("10.0.0.1".parse()?), &headers);
/// assert_eq!(client.address(), Some("192.0.2.1".parse::<IpAddr>()?));
/// assert!(client.is_https());
///
/// // The headers of other peers are ignored.
/// let client = proxies.client(Connection::plain("203.0.113.5".parse()?), &headers);
/// assert_eq!(client.address(), Some("203.0.113.5".parse::<IpAddr>()?));
/// assert!(!client.is_https());
///
/// // The proxy hides the address of its client.
/// headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1, unknown"));
/// let client = proxies.client(Connection::plain("10.0.0.1".parse()?), &headers);
/// assert_eq!(client.address(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TrustedProxies {
    /// Any peer at all is trusted, if no networks are named.
    networks: Option<Vec<IpNet>>,
    located: Located,
    written: Written,
}

impl TrustedProxies {
    /// Trusts these addresses and networks, such as `10.0.0.7`, `10.0.0.0/8` or `2001:db8::/32`.
    ///
    /// # Errors
    /// When an entry is not an address or a network, has bits beyond its prefix, or is the network of all addresses.
    pub fn new<I>(proxies: I) -> Result<Self, InvalidProxy>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let networks = proxies.into_iter().map(|entry| network(entry.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { networks: Some(networks), ..Self::NONE })
    }

    /// Trusts so many proxies in front of this process, at whatever addresses: each adds one entry, and the client is the
    /// entry of the outermost. With 0, the peer of the connection is the client.
    ///
    /// The proxies count in one family of headers: `X-Forwarded-`, or `Forwarded` with
    /// [`only_forwarded`](Self::only_forwarded). A proxy that writes the other family alone is not counted.
    ///
    /// **Count exactly, and let nothing else connect to this process.** With too many hops, or over a connection that
    /// avoids a proxy, the client chooses its address; with too few, all clients have the address of a proxy.
    /// [`only_from`](Self::only_from) limits who may connect as a proxy.
    ///
    /// ```
    /// use http::{HeaderMap, HeaderValue};
    /// use tower_api_key::transport::{Connection, TrustedProxies};
    ///
    /// // A load balancer that appends the address of the client.
    /// let proxies = TrustedProxies::by_hops(1);
    /// let mut headers = HeaderMap::new();
    /// headers.insert("x-forwarded-for", HeaderValue::from_static("6.6.6.6, 192.0.2.1"));
    /// let client = proxies.client(Connection::plain("172.31.4.5".parse()?), &headers);
    /// assert_eq!(client.address(), Some("192.0.2.1".parse()?));
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    #[must_use]
    pub fn by_hops(hops: u8) -> Self {
        if hops == 0 {
            return Self::NONE;
        }
        // Not both families: proxies of which each writes another one would agree on what the client chose.
        Self { networks: None, located: Located::Hops(hops), written: Written::XForwarded }
    }

    /// Trusts this header of a platform, such as `Fly-Client-IP` or `CF-Connecting-IP`: its one value is the address of
    /// the client.
    ///
    /// **The platform must overwrite the header, and nothing else may connect to this process**: a client that can send the
    /// header past the platform chooses its address. [`only_from`](Self::only_from) limits who may connect as the
    /// platform.
    ///
    /// ```
    /// use http::{HeaderMap, HeaderName, HeaderValue};
    /// use tower_api_key::transport::{Connection, TrustedProxies};
    ///
    /// let fly = TrustedProxies::by_header(HeaderName::from_static("fly-client-ip"));
    /// let mut headers = HeaderMap::new();
    /// headers.insert("fly-client-ip", HeaderValue::from_static("192.0.2.1"));
    /// headers.insert("x-forwarded-for", HeaderValue::from_static("6.6.6.6"));
    /// let client = fly.client(Connection::plain("172.16.0.2".parse()?), &headers);
    /// assert_eq!(client.address(), Some("192.0.2.1".parse()?));
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    #[must_use]
    pub fn by_header(name: HeaderName) -> Self {
        Self { networks: None, located: Located::Header(name), ..Self::NONE }
    }

    /// Trusts only the peers in the networks of these proxies. Any other peer is a client itself, and its headers are
    /// ignored. Replaces earlier networks.
    ///
    /// ```
    /// use http::HeaderName;
    /// use tower_api_key::transport::TrustedProxies;
    ///
    /// let cloudflare = TrustedProxies::new(["173.245.48.0/20", "103.21.244.0/22"])?;
    /// let proxies = TrustedProxies::by_header(HeaderName::from_static("cf-connecting-ip")).only_from(cloudflare);
    /// # Ok::<(), tower_api_key::transport::InvalidProxy>(())
    /// ```
    #[must_use]
    pub fn only_from(self, peers: Self) -> Self {
        Self { networks: Some(peers.networks.unwrap_or_default()), ..self }
    }

    const NONE: Self = Self { networks: Some(Vec::new()), located: Located::Network, written: Written::Unknown };

    /// Reads `X-Forwarded-For` and `X-Forwarded-Proto`, and never `Forwarded`.
    #[must_use]
    pub fn only_x_forwarded(self) -> Self {
        Self { written: Written::XForwarded, ..self }
    }

    /// Reads `Forwarded`, and never `X-Forwarded-For` and `X-Forwarded-Proto`.
    #[must_use]
    pub fn only_forwarded(self) -> Self {
        Self { written: Written::Forwarded, ..self }
    }

    /// Returns whether a peer at this address is one of these proxies.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.as_ref().is_none_or(|networks| networks.iter().any(|network| network.contains(&address)))
    }

    /// Returns the client of a request with these headers that arrived over this connection.
    #[must_use]
    pub fn client(&self, connection: Connection, headers: &HeaderMap) -> ClientInfo {
        let peer = connection.peer();
        if !self.contains(peer) {
            return ClientInfo::new(Some(peer), connection.is_tls());
        }
        let claim = self.located.read(self.written, headers, |address| self.contains(address));
        let Claim { address, https } = claim.unwrap_or(Claim { address: Some(peer), https: false });
        ClientInfo::new(address, https)
    }
}

impl Default for TrustedProxies {
    fn default() -> Self {
        Self::NONE
    }
}

fn network(entry: &str) -> Result<IpNet, InvalidProxy> {
    let invalid = |kind| InvalidProxy { entry: entry.to_owned(), kind };
    let network = read(entry).ok_or_else(|| invalid(ProxyErrorKind::Unreadable))?;
    if network.addr() != network.network() {
        return Err(invalid(ProxyErrorKind::BitsBeyondPrefix));
    }
    let network = canonical(network);
    if network.prefix_len() == 0 {
        return Err(invalid(ProxyErrorKind::Everybody));
    }
    Ok(network)
}

/// Stricter than `IpNet`: `010.0.0.0/8` may be meant as octal.
fn read(entry: &str) -> Option<IpNet> {
    let Some((address, prefix)) = entry.split_once('/') else {
        return entry.parse::<IpAddr>().ok().map(IpNet::from);
    };
    let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
    IpNet::new(address.parse().ok()?, prefix.parse().ok().filter(|_| digits)?).ok()
}

/// A network of IPv4 that is written in the form that IPv6 has for it. Addresses are compared as IPv4.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    match network.addr().to_canonical() {
        IpAddr::V4(address) if network.prefix_len() >= MAPPED && matches!(network, IpNet::V6(_)) => {
            Ipv4Net::new(address, network.prefix_len() - MAPPED).map_or(network, IpNet::V4)
        }
        _ => network,
    }
}

/// An entry that names no proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid proxy {entry:?}: {kind}")]
pub struct InvalidProxy {
    entry: String,
    kind: ProxyErrorKind,
}

impl InvalidProxy {
    /// Returns the entry, as it was given.
    #[must_use]
    pub fn entry(&self) -> &str {
        &self.entry
    }

    /// Returns what is wrong with it.
    #[must_use]
    pub const fn kind(&self) -> ProxyErrorKind {
        self.kind
    }
}

/// What is wrong with an entry of [`TrustedProxies`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyErrorKind {
    /// It is neither an address nor a network.
    #[error("expected an address or a network, such as 10.0.0.7 or 10.0.0.0/8")]
    Unreadable,
    /// It may be meant as one address or as the whole network.
    #[error("the address has bits beyond the prefix; write one address without a prefix, or the first of the network")]
    BitsBeyondPrefix,
    /// Trusting every address lets each client choose its own.
    #[error("the network contains every address")]
    Everybody,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_mapped_network_is_ipv4() {
        for (written, meant) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
            // Wider than all of IPv4, or none of it.
            ("::ffff:0.0.0.0/95", "::ffff:0.0.0.0/95"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(canonical(written.parse().unwrap()), meant.parse::<IpNet>().unwrap(), "{written}");
        }
    }
}
