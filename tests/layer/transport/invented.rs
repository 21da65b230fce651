//! No header that a client invents gives it another address, or HTTPS.

use proptest::collection::vec;
use proptest::prelude::*;
use tower_api_key::transport::Connection;

use super::spoofing::{PROXY, address, headers, proxies};

/// Pieces from which headers that almost make sense are put together.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&str] = &[
        "for",
        "proto",
        "https",
        "http",
        "=",
        ";",
        ",",
        ", ",
        "\"",
        "\\",
        "[",
        "]",
        ":",
        " ",
        "\t",
        "192.0.2.1",
        "10.0.0.9",
        "127.0.0.1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "unknown",
        "_x",
        "80",
        "for=10.0.0.1",
        "for=\"",
        "proto=https",
        "for=192.0.2.9;proto=https",
        "for=10.0.0.2;proto=https, ",
    ];
    prop_oneof![
        9 => proptest::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(prop_oneof![Just(b'\t'), b' '..=b'~', 0x80..=0xff_u8], 0..6),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    vec(piece(), 0..8).prop_map(|pieces| pieces.concat())
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    const NAMES: &[&str] = &["x-forwarded-for", "x-forwarded-proto", "forwarded", "x-real-ip", "x-forwarded-host"];
    (proptest::sample::select(NAMES), value()).prop_map(|(name, value)| line_of(name, &value))
}

fn line_of(name: &str, value: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b":", value].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Cases: 42.
    /// Without a proxy in between.
    #[test]
    fn no_header_overrides_an_untrusted_connection(lines in vec(line(), 0..6), tls: bool, v6: bool) {
        let peer = address(if v6 { "2001:db8::5" } else { "203.0.113.5" });
        let connection = if tls { Connection::tls(peer) } else { Connection::plain(peer) };
        let client = proxies().client(connection, &headers(&lines));
        prop_assert_eq!((client.address(), client.is_https()), (Some(peer), tls));
    }

    /// Cases: 40.
    /// Through a proxy that adds to `X-Forwarded-For`, in the same line or in one of its own, and sets the protocol.
    #[test]
    fn x_forwarded_for_added_by_proxy_is_kept(before in vec(value(), 0..3), same_line: bool, https: bool) {
        let mut lines: Vec<_> = before.iter().map(|value| line_of("x-forwarded-for", value)).collect();
        match lines.last_mut() {
            Some(last) if same_line => last.extend_from_slice(b", 192.0.2.1"),
            _ => lines.push(b"x-forwarded-for: 192.0.2.1".to_vec()),
        }
        lines.push(line_of("x-forwarded-proto", if https { b"https" } else { b"http" }));
        let client = proxies().client(Connection::plain(address(PROXY)), &headers(&lines));
        prop_assert_eq!((client.address(), client.is_https()), (Some(address("192.0.2.1")), https));
    }

    /// Cases: 42.
    /// Through a proxy that adds to `X-Forwarded-Proto`.
    #[test]
    fn http_scheme_added_by_proxy_is_kept(before in vec(value(), 0..3)) {
        let mut lines: Vec<_> = before.iter().map(|value| line_of("x-forwarded-proto", value)).collect();
        lines.push(b"x-forwarded-proto: http".to_vec());
        let client = proxies().client(Connection::tls(address(PROXY)), &headers(&lines));
        prop_assert!(!client.is_https());
    }

    /// Cases: 42.
    /// Through a proxy that adds an element to `Forwarded`. In a line of its own the element is read. Added to a line
    /// with a syntax error of the client, the element is lost and the client is unknown.
    #[test]
    fn forwarded_added_by_proxy_is_kept_or_dropped(
        before in vec(value(), 0..3),
        same_line: bool,
        quoted: bool,
        https: bool,
    ) {
        let proto = if https { "https" } else { "http" };
        let (element, truth) = if quoted {
            (format!("for=\"[2001:db8::1]\";proto={proto}"), (Some(address("2001:db8::1")), https))
        } else {
            (format!("for=192.0.2.1;proto={proto}"), (Some(address("192.0.2.1")), https))
        };
        let mut lines: Vec<_> = before.iter().map(|value| line_of("forwarded", value)).collect();
        let own_line = match lines.last_mut() {
            Some(last) if same_line => {
                last.extend_from_slice(format!(", {element}").as_bytes());
                false
            }
            _ => {
                lines.push(line_of("forwarded", element.as_bytes()));
                true
            }
        };
        let client = proxies().client(Connection::tls(address(PROXY)), &headers(&lines));
        let verdict = (client.address(), client.is_https());
        let lost = (None, false);
        prop_assert!(verdict == truth || (!own_line && verdict == lost), "{verdict:?}");
    }

    /// Cases: 42.
    /// Through a proxy that writes the one family and passes the other one on.
    #[test]
    fn passed_on_header_family_adds_no_trust(passed in vec(value(), 1..3), https: bool, swap: bool) {
        let proto = if https { "https" } else { "http" };
        let mut lines = Vec::new();
        if swap {
            for (at, value) in passed.iter().enumerate() {
                lines.push(line_of(if at == 0 { "x-forwarded-for" } else { "x-forwarded-proto" }, value));
            }
            lines.push(format!("forwarded: for=192.0.2.1;proto={proto}").into_bytes());
        } else {
            lines.extend(passed.iter().map(|value| line_of("forwarded", value)));
            lines.push(b"x-forwarded-for: 192.0.2.1".to_vec());
            lines.push(format!("x-forwarded-proto: {proto}").into_bytes());
        }
        let client = proxies().client(Connection::plain(address(PROXY)), &headers(&lines));
        prop_assert!([Some(address("192.0.2.1")), None].contains(&client.address()), "{client:?}");
        prop_assert!(https || !client.is_https());
    }
}
