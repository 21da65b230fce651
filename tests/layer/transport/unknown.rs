//! Clients of a trusted proxy whose forwarding headers are unreadable or contradict each other.

use tower_api_key::client::ClientNetwork;
use tower_api_key::transport::Connection;

use super::spoofing::{PROXY, address, headers, proxies};

/// Cases: 122.
/// The proxy writes `X-Forwarded-For`, the client sent `Forwarded`.
#[test]
fn client_of_contradicting_headers_is_unknown() {
    let headers = headers(&["x-forwarded-for: 203.0.113.9", "forwarded: for=6.6.6.6"]);
    let client = proxies().client(Connection::plain(address(PROXY)), &headers);
    assert_eq!((client.address(), client.network()), (None, ClientNetwork::UNKNOWN));
    assert_eq!(client.network().to_string(), "unknown");
}

#[test]
fn unknown_clients_share_one_network() {
    let peer = Connection::plain(address(PROXY));
    let network = |lines: &[&str]| proxies().client(peer, &headers(lines)).network();
    for lines in [
        &["x-forwarded-for: unknown"][..],
        &["x-forwarded-proto: https"],
        &["forwarded: for=\"203.0.113.9"],
        &["forwarded: proto=https"],
        &["x-forwarded-for: 203.0.113.9", "forwarded: for=203.0.113.8"],
    ] {
        assert_eq!(network(lines), ClientNetwork::UNKNOWN, "{lines:?}");
    }
    for text in ["0.0.0.0", "::", "127.0.0.1", "::1", "10.0.0.1", "fe80::1"] {
        assert_ne!(ClientNetwork::from(address(text)), ClientNetwork::UNKNOWN, "{text}");
    }
}
