//! Entries of the list of trusted proxies.

use std::net::IpAddr;

use tower_api_key::transport::{ProxyErrorKind, TrustedProxies};

#[test]
fn invalid_proxy_entry_is_named() {
    use ProxyErrorKind::{BitsBeyondPrefix, Everybody, Unreadable};
    for (entry, problem) in [
        ("", Unreadable),
        ("*", Unreadable),
        ("localhost", Unreadable),
        ("10.0.0.0/33", Unreadable),
        ("10.0.0.0/-1", Unreadable),
        ("10.0.0.0/+8", Unreadable),
        ("10.0.0.0/8/8", Unreadable),
        ("10.0.0.0/", Unreadable),
        ("10.0.0/8", Unreadable),
        ("10.0.0.0/255.0.0.0", Unreadable),
        ("010.0.0.0/8", Unreadable),
        (" 10.0.0.0/8", Unreadable),
        ("10.0.0.0/8,192.0.2.1", Unreadable),
        ("10.0.0.1:80", Unreadable),
        ("[::1]", Unreadable),
        ("fe80::1%eth0", Unreadable),
        ("::1/129", Unreadable),
        ("10.0.0.1/8", BitsBeyondPrefix),
        ("10.0.0.1/31", BitsBeyondPrefix),
        ("2001:db8::1/32", BitsBeyondPrefix),
        ("::ffff:10.0.0.1/104", BitsBeyondPrefix),
        ("0.0.0.0/0", Everybody),
        ("::/0", Everybody),
        ("::ffff:0.0.0.0/96", Everybody),
    ] {
        let error = TrustedProxies::new(["192.0.2.1", entry]).unwrap_err();
        assert_eq!((error.entry(), error.kind()), (entry, problem));
        let text = error.to_string();
        assert!(text.contains(&format!("{entry:?}")) && !text.contains('\n'), "{text}");
    }
}

#[test]
fn network_contains_exactly_its_addresses() {
    for (entry, inside, outside) in [
        ("10.0.0.7", &["10.0.0.7", "::ffff:10.0.0.7"][..], &["10.0.0.6", "10.0.0.8", "::10.0.0.7"][..]),
        ("10.0.0.0/8", &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], &["9.255.255.255", "11.0.0.0", "::a00:1"]),
        ("10.0.0.7/32", &["10.0.0.7"], &["10.0.0.6"]),
        ("::1", &["::1"], &["::2", "127.0.0.1"]),
        ("2001:db8::/32", &["2001:db8::", "2001:db8:ffff::1"], &["2001:db9::", "2001:db7::"]),
        ("::ffff:10.0.0.0/104", &["10.1.2.3", "::ffff:10.1.2.3"], &["11.0.0.0"]),
        ("::ffff:10.0.0.7", &["10.0.0.7"], &["10.0.0.8"]),
        // A network of IPv6 that has the other form of every IPv4 address contains no IPv4 address.
        ("::/1", &["::1", "7fff::"], &["10.0.0.1", "::ffff:10.0.0.1", "8000::"]),
    ] {
        let proxies = TrustedProxies::new([entry]).unwrap();
        let contains = |address: &&str| proxies.contains(address.parse::<IpAddr>().unwrap());
        assert!(inside.iter().all(contains), "{entry}");
        assert!(!outside.iter().any(contains), "{entry}");
    }
    assert!(!TrustedProxies::default().contains("127.0.0.1".parse().unwrap()));
}
