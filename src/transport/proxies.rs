use std::net::IpAddr;

use http::HeaderMap;
use ipnet::{IpNet, Ipv4Net};

use super::forwarded::{Forwarded, Said, XForwarded};
use super::{Client, Connection};

/// The proxies whose word about the client is believed. By default nobody's is.
///
/// A proxy is named by its address or by its network. What its connections carry is then read from the right, where
/// each proxy has added what it saw, up to the first address that is not named here: that is the client. Everything
/// left of it may be invented and is not read.
///
/// | header | what is taken from it |
/// |---|---|
/// | `X-Forwarded-For` | the address |
/// | `X-Forwarded-Proto` | HTTPS, when every value says `https` |
/// | `Forwarded` (RFC 7239) | the address, and HTTPS when the element that names the client says `proto=https` |
///
/// Where something cannot be read (`unknown`, an obfuscated name, nonsense), the reading ends, and the last address
/// that could be read stands for the client. A client behind a trusted proxy is on HTTPS only on the word of that
/// proxy. Where `Forwarded` and the `X-Forwarded-` headers are both there, both are asked: when they name different
/// addresses, the address is that of the connection, and it is HTTPS only when both say so. So a client whose proxy
/// writes the one and passes the other on can only make itself look worse. Better still, say which one your
/// proxies write, with [`only_x_forwarded`](Self::only_x_forwarded) or [`only_forwarded`](Self::only_forwarded).
///
/// **A proxy that is named here must write the headers itself.** One that passes on what its client sent lends its
/// trust to everybody.
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
/// assert_eq!(client.address(), "192.0.2.1".parse::<IpAddr>()?);
/// assert!(client.is_https());
///
/// // A stranger says the same, and nobody listens.
/// let client = proxies.client(Connection::plain("203.0.113.5".parse()?), &headers);
/// assert_eq!(client.address(), "203.0.113.5".parse::<IpAddr>()?);
/// assert!(!client.is_https());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    written: Written,
}

/// Which headers the proxies write.
#[derive(Clone, Copy, Debug, Default)]
enum Written {
    #[default]
    Unknown,
    XForwarded,
    Forwarded,
}

impl TrustedProxies {
    /// Believes these addresses and networks, such as `10.0.0.7`, `10.0.0.0/8` or `2001:db8::/32`.
    ///
    /// # Errors
    /// When an entry is not an address or a network, has bits beyond its prefix, or is a network of everybody.
    pub fn new<I>(proxies: I) -> Result<Self, InvalidProxy>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let networks = proxies.into_iter().map(|entry| network(entry.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { networks, written: Written::default() })
    }

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

    /// Whether this address is one of these proxies'.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Who made a request with these headers that came over this connection.
    #[must_use]
    pub fn client(&self, connection: Connection, headers: &HeaderMap) -> Client {
        let peer = connection.peer();
        if !self.contains(peer) {
            return Client::new(peer, connection.is_tls());
        }
        let x_forwarded = || XForwarded::of(headers).map(|it| it.read(peer, |address| self.contains(address)));
        let forwarded = || Forwarded::of(headers).map(|it| it.read(peer, |address| self.contains(address)));
        let said = match self.written {
            Written::XForwarded => x_forwarded(),
            Written::Forwarded => forwarded(),
            Written::Unknown => match (x_forwarded(), forwarded()) {
                (Some(one), Some(other)) => Some(one.and(other, peer)),
                (one, other) => one.or(other),
            },
        };
        let Said { address, https } = said.unwrap_or(Said { address: peer, https: false });
        Client::new(address, https)
    }
}

fn network(entry: &str) -> Result<IpNet, InvalidProxy> {
    let invalid = |problem| InvalidProxy { entry: entry.to_owned(), problem };
    let network = read(entry).ok_or_else(|| invalid(ProxyProblem::Unreadable))?;
    if network.addr() != network.network() {
        return Err(invalid(ProxyProblem::BitsBeyondPrefix));
    }
    let network = canonical(network);
    if network.prefix_len() == 0 {
        return Err(invalid(ProxyProblem::Everybody));
    }
    Ok(network)
}

/// Stricter than `IpNet` reads: of `010.0.0.0/8` nobody knows whether it is octal.
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

/// What stands where a proxy should be named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a proxy: {entry:?}: {problem}")]
pub struct InvalidProxy {
    entry: String,
    problem: ProxyProblem,
}

impl InvalidProxy {
    /// The entry, as it was given.
    #[must_use]
    pub fn entry(&self) -> &str {
        &self.entry
    }

    /// What is wrong with it.
    #[must_use]
    pub const fn problem(&self) -> ProxyProblem {
        self.problem
    }
}

/// What is wrong with an entry of [`TrustedProxies`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyProblem {
    /// It is neither an address nor a network.
    #[error("expected an address or a network, such as 10.0.0.7 or 10.0.0.0/8")]
    Unreadable,
    /// It may be meant as one address or as the whole network.
    #[error("the address has bits beyond the prefix; write one address without a prefix, or the first of the network")]
    BitsBeyondPrefix,
    /// To trust everybody is to believe what any client says about itself.
    #[error("this is every address there is")]
    Everybody,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv4_in_the_form_of_ipv6_is_one_of_ipv4() {
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
