//! Forwarding headers, from a trusted proxy and from any other peer.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use tower_api_key::transport::{Connection, TrustedProxies};

/// The address of the proxy that is trusted by its own address.
pub(crate) const PROXY: &str = "127.0.0.1";
/// In the network that is trusted as a whole.
const INNER: &str = "10.0.0.9";
const CLIENT: &str = "192.0.2.1";
/// A client without an address.
const UNKNOWN: &str = "unknown";

pub(crate) fn proxies() -> TrustedProxies {
    TrustedProxies::new([PROXY, "10.0.0.0/8", "2001:db8:ffff::/48"]).unwrap()
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The address that a case expects.
fn expected(text: &str) -> Option<IpAddr> {
    (text != UNKNOWN).then(|| address(text))
}

/// One `name: value` in each line.
pub(crate) fn headers(lines: &[impl AsRef<[u8]>]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let line = line.as_ref();
        let colon = line.iter().position(|&byte| byte == b':').expect("a header line");
        let name = HeaderName::from_bytes(&line[..colon]).unwrap();
        headers.append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).unwrap());
    }
    headers
}

/// Each way of writing down one address, where it can be read at all.
const READABLE: [(&str, &str); 12] = [
    ("192.0.2.1", CLIENT),
    ("192.0.2.1:80", CLIENT),
    ("192.0.2.1:65535", CLIENT),
    ("::ffff:192.0.2.1", CLIENT),
    ("[::ffff:192.0.2.1]", CLIENT),
    ("[::ffff:c000:201]:80", CLIENT),
    ("2001:db8::1", "2001:db8::1"),
    ("2001:DB8:0:0::1", "2001:db8::1"),
    ("[2001:db8::1]", "2001:db8::1"),
    ("[2001:db8::1]:443", "2001:db8::1"),
    ("2001:db8::1:443", "2001:db8::1:443"),
    ("0.0.0.0", "0.0.0.0"),
];

/// What cannot be read as an address, in `X-Forwarded-For` and inside the quotes of `Forwarded`.
const UNREADABLE: [&str; 30] = [
    "",
    "unknown",
    "_hidden",
    "_SEVKISEK",
    "localhost",
    "192.0.2",
    "192.0.2.1.1",
    "192.0.2.256",
    "192.0.2.01",
    "0xc0000201",
    "3221225985",
    "192.0.2.1:",
    "192.0.2.1:http",
    "192.0.2.1:123456",
    "192.0.2.1:-1",
    "192.0.2.1 192.0.2.2",
    "192.0.2.1/32",
    "[192.0.2.1]",
    "[192.0.2.1]:80",
    "[2001:db8::1",
    "2001:db8::1]",
    "[2001:db8::1]80",
    "[2001:db8::1]:",
    "[[2001:db8::1]]",
    "[2001:db8::1%eth0]",
    "fe80::1%1",
    "2001:db8::g",
    ":::1",
    "192.0.2.1;",
    "for=192.0.2.1",
];

/// One case: what a request carries, and who made it when a trusted proxy sent it.
struct Case {
    lines: Vec<String>,
    address: String,
    https: bool,
}

fn case(lines: &[&str], address: &str, https: bool) -> Case {
    Case { lines: lines.iter().map(ToString::to_string).collect(), address: address.to_owned(), https }
}

fn cases() -> Vec<Case> {
    let mut cases = vec![
        // No header names a client: the proxy made the request, or hides the client. Its own TLS proves nothing.
        case(&[], PROXY, false),
        case(&["x-real-ip: 192.0.2.1", "x-forwarded: for=192.0.2.1;proto=https", "x-forwarded-ssl: on"], PROXY, false),
        case(&["front-end-https: on", "x-forwarded-scheme: https", "x_forwarded_for: 192.0.2.1"], PROXY, false),
        // One hop, two, and a client that invented some before them.
        case(&["x-forwarded-for: 192.0.2.1"], CLIENT, false),
        case(&["x-forwarded-for: 192.0.2.1, 10.0.0.9"], CLIENT, false),
        case(&["x-forwarded-for: 6.6.6.6, 192.0.2.1"], CLIENT, false),
        case(&["x-forwarded-for: 10.0.0.1, 192.0.2.1, 10.0.0.9"], CLIENT, false),
        case(&["x-forwarded-for: 127.0.0.1,192.0.2.1"], CLIENT, false),
        case(&["x-forwarded-for: unknown, 192.0.2.1 ,\t10.0.0.9"], CLIENT, false),
        // Several lines are one list.
        case(&["x-forwarded-for: 6.6.6.6", "x-forwarded-for: 192.0.2.1"], CLIENT, false),
        case(&["x-forwarded-for: 192.0.2.1", "x-forwarded-for: 10.0.0.9"], CLIENT, false),
        case(&["x-forwarded-for: 6.6.6.6, 192.0.2.1", "x-forwarded-for: 10.0.0.9, 10.0.0.8"], CLIENT, false),
        case(&["x-forwarded-for: 192.0.2.1", "x-forwarded-for:", "x-forwarded-for: 10.0.0.9"], UNKNOWN, false),
        // Only proxies: the first of them made the request.
        case(&["x-forwarded-for: 10.0.0.9"], INNER, false),
        case(&["x-forwarded-for: 2001:db8:ffff::1, 10.0.0.9"], "2001:db8:ffff::1", false),
        case(&["x-forwarded-for: ::ffff:10.0.0.9"], INNER, false),
        // A missing entry is not skipped: the proxy that omitted it did not write the entries to its left.
        case(&["x-forwarded-for: 192.0.2.1,"], UNKNOWN, false),
        case(&["x-forwarded-for: 192.0.2.1,,10.0.0.9"], UNKNOWN, false),
        // Every value must be https.
        case(&["x-forwarded-proto: https"], UNKNOWN, true),
        case(&["x-forwarded-for: 192.0.2.1", "x-forwarded-proto: https"], CLIENT, true),
        case(&["x-forwarded-for: 192.0.2.1", "x-forwarded-proto: HTTPS"], CLIENT, true),
        case(&["x-forwarded-for: 192.0.2.1", "x-forwarded-proto: https, https"], CLIENT, true),
        case(&["x-forwarded-for: unknown", "x-forwarded-proto: https"], UNKNOWN, true),
    ];
    for proto in [
        "",
        "http",
        "https,http",
        "http,https",
        "https,",
        ",https",
        "https https",
        "\"https\"",
        "https;",
        "httpss",
        "wss",
        "on",
        "1",
        "https://",
    ] {
        cases.push(case(&["x-forwarded-for: 192.0.2.1", &format!("x-forwarded-proto: {proto}")], CLIENT, false));
        cases.push(case(&["x-forwarded-proto: https", &format!("x-forwarded-proto: {proto}")], UNKNOWN, false));
        cases.push(case(&[&format!("x-forwarded-proto: {proto}"), "x-forwarded-proto: https"], UNKNOWN, false));
    }
    for (text, readable) in READABLE {
        for (prefix, suffix) in [("", ""), ("6.6.6.6, ", ""), ("", ", 10.0.0.9")] {
            cases.push(case(&[&format!("x-forwarded-for: {prefix}{text}{suffix}")], readable, false));
        }
        cases.push(case(&[&format!("forwarded: for=\"{text}\";proto=https")], readable, true));
        cases.push(case(&[&format!("forwarded: for=\"{text}\", for=10.0.0.9;proto=https")], readable, false));
        cases.push(case(&[&format!("forwarded: for=6.6.6.6;proto=https, for=\"{text}\";proto=http")], readable, false));
    }
    for text in UNREADABLE {
        cases.push(case(&[&format!("x-forwarded-for: 192.0.2.1, {text}")], UNKNOWN, false));
        cases.push(case(&[&format!("x-forwarded-for: 192.0.2.1, {text}, 10.0.0.9")], UNKNOWN, false));
        cases.push(case(&[&format!("forwarded: for=192.0.2.1, for=\"{text}\"")], UNKNOWN, false));
        cases.push(case(&[&format!("forwarded: for=192.0.2.1, for=\"{text}\", for=10.0.0.9")], UNKNOWN, false));
        // A proxy that hides a client may still state its protocol.
        cases.push(case(&[&format!("forwarded: for=192.0.2.1, for=\"{text}\";proto=https")], UNKNOWN, true));
    }
    cases.extend([
        case(&["forwarded: for=192.0.2.1"], CLIENT, false),
        case(&["forwarded: for=192.0.2.1;proto=https"], CLIENT, true),
        case(&["forwarded: Proto=HTTPS;For=192.0.2.1;by=_x;host=example.com"], CLIENT, true),
        case(&[r#"forwarded: for="192.0.2.1:_port";proto="https""#], CLIENT, true),
        // The element that names the client states its protocol; that of a proxy states the protocol of the proxy.
        case(&["forwarded: for=192.0.2.1;proto=https, for=10.0.0.9;proto=http"], CLIENT, true),
        case(&["forwarded: for=192.0.2.1;proto=http, for=10.0.0.9;proto=https"], CLIENT, false),
        case(&["forwarded: for=6.6.6.6;proto=https, for=192.0.2.1"], CLIENT, false),
        case(&["forwarded: for=6.6.6.6;proto=https", "forwarded: for=192.0.2.1"], CLIENT, false),
        case(&["forwarded: for=10.0.0.9;proto=https"], INNER, true),
        case(&["forwarded: proto=https"], UNKNOWN, true),
        case(&["forwarded: for=192.0.2.1;proto=https, proto=http"], UNKNOWN, false),
    ]);
    for broken in [
        "for=192.0.2.1:80;proto=https",
        "for=[2001:db8::1];proto=https",
        "for=192.0.2.1;proto=https;proto=https",
        "for=192.0.2.1;for=192.0.2.1;proto=https",
        "for=\"192.0.2.1;proto=https",
        "for=192.0.2.1;proto=\"https",
        "for=192.0.2.1 proto=https",
        "for:192.0.2.1;proto=https",
        "192.0.2.1;proto=https",
        "proto = https",
        "for=\"6.6.6.6, for=192.0.2.1;proto=https",
    ] {
        cases.push(case(&[&format!("forwarded: {broken}")], UNKNOWN, false));
        // The lines to its right were read before it.
        cases.push(case(&[&format!("forwarded: {broken}"), "forwarded: for=192.0.2.1;proto=https"], CLIENT, true));
        cases.push(case(&[&format!("forwarded: {broken}"), "forwarded: for=10.0.0.9;proto=https"], UNKNOWN, false));
    }
    // Both families: an address only if they agree, and HTTPS only if both state it.
    let x_forwarded = ["x-forwarded-for: 192.0.2.1", "x-forwarded-proto: https"];
    for (forwarded, address, https) in [
        ("for=192.0.2.1;proto=https", CLIENT, true),
        ("for=\"[::ffff:192.0.2.1]:80\";proto=https", CLIENT, true),
        ("for=192.0.2.1", CLIENT, false),
        ("for=192.0.2.1;proto=http", CLIENT, false),
        ("for=6.6.6.6;proto=https", UNKNOWN, true),
        ("for=10.0.0.9;proto=https", UNKNOWN, true),
        ("for=unknown;proto=https", UNKNOWN, true),
        ("for=6.6.6.6", UNKNOWN, false),
        ("", UNKNOWN, false),
        ("nonsense", UNKNOWN, false),
    ] {
        let forwarded = format!("forwarded: {forwarded}");
        cases.push(case(&[x_forwarded[0], x_forwarded[1], &forwarded], address, https));
        cases.push(case(&[&forwarded, x_forwarded[1], x_forwarded[0]], address, https));
        cases.push(case(&[x_forwarded[0], &forwarded], address, false));
    }
    cases.push(case(&["x-forwarded-proto: https", "forwarded: for=192.0.2.1;proto=https"], UNKNOWN, true));
    cases.push(case(&["x-forwarded-proto: http", "forwarded: for=192.0.2.1;proto=https"], UNKNOWN, false));
    cases
}

/// Cases: 42.
#[test]
fn trusted_proxy_is_trusted_for_its_own_hop() {
    let cases = cases();
    assert!(cases.len() > 250, "{}", cases.len());
    for Case { lines, address: text, https } in cases {
        // The proxy's own connection proves nothing about the client's, whether it is TLS or not.
        for connection in [
            Connection::plain(address(PROXY)),
            Connection::tls(address(PROXY)),
            Connection::plain(address("::ffff:127.0.0.1")),
        ] {
            let client = proxies().client(connection, &headers(&lines));
            assert_eq!((client.address(), client.is_https()), (expected(&text), https), "{lines:?}");
        }
    }
}

/// Cases: 42.
#[test]
fn untrusted_peer_is_ignored() {
    for Case { lines, .. } in cases() {
        for peer in ["203.0.113.5", "127.0.0.2", "9.255.255.255", "2001:db8:fffe::1", "::ffff:11.0.0.1", "::"] {
            for trusted in
                [proxies(), proxies().only_forwarded(), proxies().only_x_forwarded(), TrustedProxies::default()]
            {
                let client = trusted.client(Connection::plain(address(peer)), &headers(&lines));
                assert_eq!(
                    (client.address(), client.is_https()),
                    (Some(address(peer).to_canonical()), false),
                    "{lines:?}"
                );
                let client = trusted.client(Connection::tls(address(peer)), &headers(&lines));
                assert_eq!(
                    (client.address(), client.is_https()),
                    (Some(address(peer).to_canonical()), true),
                    "{lines:?}"
                );
            }
        }
    }
}

/// Where one family was named, the other one might as well not be there.
#[test]
fn unconfigured_header_family_is_ignored() {
    let own = ["x-forwarded-for: 192.0.2.1", "x-forwarded-proto: https"];
    let other = ["forwarded: for=192.0.2.2;proto=https"];
    let both: Vec<_> = own.iter().chain(&other).collect();
    let connection = Connection::plain(address(PROXY));
    let x_forwarded = proxies().only_x_forwarded();
    assert_eq!(x_forwarded.client(connection, &headers(&both)), proxies().client(connection, &headers(&own)));
    assert_eq!(x_forwarded.client(connection, &headers(&other)), proxies().client(connection, &HeaderMap::new()));
    let forwarded = proxies().only_forwarded();
    assert_eq!(forwarded.client(connection, &headers(&both)), proxies().client(connection, &headers(&other)));
    assert_eq!(forwarded.client(connection, &headers(&own)), proxies().client(connection, &HeaderMap::new()));
}
