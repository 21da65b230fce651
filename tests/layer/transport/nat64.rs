//! Addresses that embed an IPv4 address (RFC 6052).

use http::HeaderMap;
use tower_api_key::client::ClientNetwork;
use tower_api_key::transport::{Connection, TrustedProxies};

use super::spoofing::{address, proxies};

/// Finding S20.
#[test]
fn nat64_client_counts_by_its_ipv4_address() {
    let network = |text: &str| ClientNetwork::from(address(text)).to_string();
    for (text, counted) in [
        ("64:ff9b::192.0.2.1", "192.0.2.1"),
        ("64:ff9b::", "0.0.0.0"),
        ("64:ff9b::ffff:ffff", "255.255.255.255"),
        // Outside of 64:ff9b::/96.
        ("64:ff9b::1:0:0", "64:ff9b::/64"),
        ("64:ff9b:0:0:1::192.0.2.1", "64:ff9b::/64"),
        ("64:ff9b:1::192.0.2.1", "64:ff9b:1::/64"),
        ("64:ff9a::192.0.2.1", "64:ff9a::/64"),
        ("::192.0.2.1", "::/64"),
    ] {
        assert_eq!(network(text), counted, "{text}");
    }
}

/// A NAT64 gateway does not make its clients trusted proxies.
#[test]
fn nat64_address_of_a_proxy_is_not_trusted() {
    let peer = address("64:ff9b::10.0.0.1");
    assert!(!proxies().contains(peer));
    let client = proxies().client(Connection::plain(peer), &HeaderMap::new());
    assert_eq!(client.address(), Some(peer));
    assert!(TrustedProxies::new(["64:ff9b::a00:1"]).unwrap().contains(peer));
}
