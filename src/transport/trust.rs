use std::cell::Cell;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

use super::forwarded::{self, Claim, Forwarded, XForwarded};

/// How the client is found in the headers that trusted proxies wrote.
#[derive(Clone, Debug, Default)]
pub(super) enum Located {
    /// The first entry from the right that is not in a trusted network.
    #[default]
    Network,
    /// The entry at this place from the right, if there are so many. The last is at 1.
    Hops(u8),
    /// The one value of this header.
    Header(HeaderName),
}

/// Which headers the proxies write.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Written {
    #[default]
    Unknown,
    XForwarded,
    Forwarded,
}

impl Located {
    /// Reads what the headers state. `None` where there are no such headers.
    pub(super) fn read(
        &self,
        written: Written,
        headers: &HeaderMap,
        is_trusted: impl Fn(IpAddr) -> bool,
    ) -> Option<Claim> {
        match self {
            Self::Network => written.read(headers, |family| family.read(&is_trusted)),
            Self::Hops(hops) => Some(written.read(headers, |family| by_hops(&family, *hops)).unwrap_or(Claim::UNKNOWN)),
            Self::Header(name) => {
                let address = forwarded::single(headers, name);
                Some(Claim { address, https: address.is_some() && XForwarded::is_https(headers) })
            }
        }
    }
}

impl Written {
    fn read(self, headers: &HeaderMap, read: impl Fn(Family<'_>) -> Claim) -> Option<Claim> {
        let x_forwarded = || XForwarded::of(headers).map(|it| read(Family::XForwarded(it)));
        let forwarded = || Forwarded::of(headers).map(|it| read(Family::Forwarded(it)));
        match self {
            Self::XForwarded => x_forwarded(),
            Self::Forwarded => forwarded(),
            Self::Unknown => match (x_forwarded(), forwarded()) {
                (Some(one), Some(other)) => Some(one.and(other)),
                (one, other) => one.or(other),
            },
        }
    }
}

enum Family<'a> {
    XForwarded(XForwarded<'a>),
    Forwarded(Forwarded<'a>),
}

impl Family<'_> {
    fn read(&self, is_trusted: impl Fn(IpAddr) -> bool) -> Claim {
        match self {
            Self::XForwarded(family) => family.read(is_trusted),
            Self::Forwarded(family) => family.read(is_trusted),
        }
    }
}

/// Takes the entries to the right of the client for those of proxies, whatever they name.
fn by_hops(family: &Family<'_>, hops: u8) -> Claim {
    let left = Cell::new(hops);
    let claim = family.read(|_| {
        left.set(left.get().saturating_sub(1));
        left.get() > 0
    });
    // Fewer readable entries than proxies: the request came some other way.
    if left.get() > 0 { Claim::UNKNOWN } else { claim }
}
