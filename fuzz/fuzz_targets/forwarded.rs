//! Forwarding headers of any bytes: those of an untrusted peer change nothing, and those of a proxy name only addresses that
//! they contain.
//!
//! Each line of the input is a header; its first byte selects which one.
#![no_main]

use std::net::IpAddr;
use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use tower_api_key::transport::{Connection, TrustedProxies};

const NAMES: [&str; 3] = ["forwarded", "x-forwarded-for", "x-forwarded-proto"];
const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

static PROXIES: LazyLock<TrustedProxies> = LazyLock::new(|| TrustedProxies::new(["10.0.0.0/8"]).unwrap());

fuzz_target!(|data: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(16) {
        let Some((first, value)) = line.split_first() else { continue };
        let Ok(value) = HeaderValue::from_bytes(value) else { continue };
        headers.append(HeaderName::from_static(NAMES[usize::from(*first) % NAMES.len()]), value);
    }
    let other = PROXIES.client(Connection::plain(OTHER), &headers);
    assert_eq!((other.address(), other.is_https()), (Some(OTHER), false));

    for proxies in [PROXIES.clone(), PROXIES.clone().only_forwarded(), PROXIES.clone().only_x_forwarded()] {
        let client = proxies.client(Connection::plain(PROXY), &headers);
        let has = |byte: u8| headers.values().any(|value| value.as_bytes().contains(&byte));
        if client.address().is_some_and(|address| address != PROXY) {
            assert!(has(b'.') || has(b':'), "{client:?} out of {headers:?}");
        }
        if client.is_https() {
            let names =
                |value: &HeaderValue| value.as_bytes().to_ascii_lowercase().windows(5).any(|word| word == b"https");
            assert!(headers.values().any(names), "{client:?} out of {headers:?}");
        }
    }
});
