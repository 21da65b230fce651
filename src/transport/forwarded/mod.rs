//! Forwarding headers, read from the right.

mod rfc7239;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};

use self::rfc7239::Element;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What one family of headers states about the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// `None` if the headers name no address, or an unreadable one.
    pub(super) address: Option<IpAddr>,
    pub(super) https: bool,
}

impl Claim {
    pub(super) const UNKNOWN: Self = Self { address: None, https: false };

    /// Combines two families of which one may be spoofed: keeps only what both state.
    pub(super) fn and(self, other: Self) -> Self {
        let address = self.address.filter(|_| self.address == other.address);
        Self { address, https: self.https && other.https }
    }
}

/// `X-Forwarded-For` and `X-Forwarded-Proto`. No standard relates their entries.
pub(super) struct XForwarded<'a>(&'a HeaderMap);

impl<'a> XForwarded<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Option<Self> {
        (headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(X_FORWARDED_PROTO)).then_some(Self(headers))
    }

    /// Reads the claim about the client: the first address from the right that is not trusted.
    pub(super) fn read(&self, is_trusted: impl Fn(IpAddr) -> bool) -> Claim {
        // Several lines are one list (RFC 9110, 5.3). Split from the right: what is left of the client is not read.
        let lines = self.0.get_all(X_FORWARDED_FOR).iter().rev();
        let entries = lines.flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b','));
        let mut address = None;
        for entry in entries {
            address = node(entry.trim_ascii());
            if !address.is_some_and(&is_trusted) {
                break;
            }
        }
        Claim { address, https: Self::is_https(self.0) }
    }

    /// Whether each value of each line is `https`. Some proxies replace the header and others append to it, so a list cannot
    /// be related to the addresses.
    pub(super) fn is_https(headers: &HeaderMap) -> bool {
        let lines = headers.get_all(X_FORWARDED_PROTO).iter();
        let mut values = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')).peekable();
        values.peek().is_some() && values.all(|value| value.trim_ascii().eq_ignore_ascii_case(b"https"))
    }
}

/// `Forwarded` (RFC 7239). Each element describes how one proxy saw its peer.
pub(super) struct Forwarded<'a>(&'a HeaderMap);

impl<'a> Forwarded<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Option<Self> {
        headers.contains_key(FORWARDED).then_some(Self(headers))
    }

    /// Reads the claim about the client: the first element from the right whose address is not trusted.
    pub(super) fn read(&self, is_trusted: impl Fn(IpAddr) -> bool) -> Claim {
        let mut claim = Claim::UNKNOWN;
        for line in self.0.get_all(FORWARDED).iter().rev().map(HeaderValue::as_bytes) {
            // An open quote in a line hides where the elements after the quote begin.
            let Some(elements) = rfc7239::elements(line) else { return Claim::UNKNOWN };
            for Element { node: text, https } in elements.iter().rev() {
                claim = Claim { address: text.as_deref().and_then(node), https: *https };
                if !claim.address.is_some_and(&is_trusted) {
                    return claim;
                }
            }
        }
        claim
    }
}

/// Reads the one address of a header. `None` for a header with another number of lines, or that is no address.
pub(super) fn single(headers: &HeaderMap, name: &HeaderName) -> Option<IpAddr> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => node(line.as_bytes().trim_ascii()),
        _ => None,
    }
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    if let Some(text) = text.strip_prefix('[') {
        let (address, port) = text.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        return (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then(|| canonical(address.into()));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(canonical(address));
    }
    let (address, port) = text.split_once(':')?;
    let address: Ipv4Addr = address.parse().ok()?;
    is_port(port).then_some(address.into())
}

fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// A number, or a name that hides it (RFC 7239, 6).
fn is_port(text: &str) -> bool {
    let hidden = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| matches!(byte, b'.' | b'_' | b'-') || byte.is_ascii_alphanumeric())
    };
    match text.strip_prefix('_') {
        Some(name) => hidden(name),
        None => (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_is_a_number_or_hidden_name() {
        for port in ["0", "80", "65535", "_a", "_hidden.name-of_9"] {
            assert!(is_port(port), "{port}");
        }
        for other in ["", "_", "_a b", "_a:1", "_\u{e9}", "123456", "8x", "-1", "+1", " 1"] {
            assert!(!is_port(other), "{other}");
        }
    }
}
