//! Clients behind proxies that are counted, or behind a platform that names them in a header of its own.

use std::net::IpAddr;

use http::HeaderName;
use tower_api_key::client::ClientInfo;
use tower_api_key::transport::{Connection, TrustedProxies};

use super::hops::{CHOSEN, CLIENT, Line, Message, OUTER, Reads, each_request};
use super::spoofing::{PROXY, address, headers, proxies};

type Claim = (Option<IpAddr>, bool);

const UNKNOWN: Claim = (None, false);

fn found(client: ClientInfo) -> Claim {
    (client.address(), client.is_https())
}

/// The oracle: the entry at this place from the right, if it and those to its right can be read.
fn at(lines: &[Line], place: usize) -> Option<Claim> {
    let mut entries = lines.iter().rev().flat_map(|line| line.entries.iter().rev().map(|entry| (line.broken, entry)));
    let mut claim = None;
    for _ in 0..place {
        let (broken, entry) = entries.next()?;
        claim = Some((entry.address.filter(|_| !broken)?, entry.https));
    }
    claim.map(|(address, https)| (Some(address), https))
}

fn counted(message: &Message, reads: Reads, hops: usize) -> Claim {
    let x_forwarded = || {
        let mut protos = message.x_forwarded_proto.iter().flat_map(|line| &line.entries).peekable();
        let https = protos.peek().is_some() && protos.all(|entry| entry.https);
        at(&message.x_forwarded_for, hops).map_or(UNKNOWN, |(address, _)| (address, https))
    };
    match reads {
        Reads::Forwarded => at(&message.forwarded, hops).unwrap_or(UNKNOWN),
        _ => x_forwarded(),
    }
}

/// Cases: 157.
///
/// Any count of hops, behind one and two proxies.
#[test]
fn client_by_hop_count_is_itself_or_unknown() {
    let (mut requests, mut itself, mut unknown, mut spoofed) = (0, 0, 0, 0);
    let readers: Vec<_> = (1..=3)
        .flat_map(|hops| {
            let x_forwarded = TrustedProxies::by_hops(hops);
            let forwarded = x_forwarded.clone().only_forwarded();
            [(Reads::XForwarded, usize::from(hops), x_forwarded), (Reads::Forwarded, usize::from(hops), forwarded)]
        })
        .collect();
    let peer = Connection::plain(address(PROXY));
    let (client, chosen) = (address(CLIENT), address(CHOSEN));
    each_request(|message, https, chain| {
        let headers = message.headers(requests % 4 < 2);
        for (reads, hops, proxies) in &readers {
            let seen = found(proxies.client(peer, &headers));
            assert_eq!(seen, counted(message, *reads, *hops), "{reads:?} {hops} {headers:?}");
            requests += 1;
            if *hops == chain.len() && reads.fits(chain) {
                assert!(seen.0.is_none_or(|it| it == client), "{reads:?} {hops} {headers:?}");
                assert!(https || !seen.1, "{reads:?} {hops} {headers:?}");
                itself += usize::from(seen.0 == Some(client));
                unknown += usize::from(seen.0.is_none());
            }
            // Why the count must be exact.
            spoofed += usize::from(*hops > chain.len() && seen.0 == Some(chosen));
        }
    });
    assert!(
        requests > 400_000 && itself > 5_000 && unknown > 5_000 && spoofed > 1_000,
        "{requests} {itself} {unknown} {spoofed}"
    );
}

#[test]
fn counted_proxy_without_header_is_unknown() {
    let peer = Connection::tls(address(PROXY));
    for (hops, lines, expected) in [
        (0, &["x-forwarded-for: 6.6.6.6"][..], (Some(address(PROXY)), true)),
        (1, &[], UNKNOWN),
        (1, &["x-forwarded-proto: https"], UNKNOWN),
        (2, &["x-forwarded-for: 203.0.113.9", "x-forwarded-proto: https"], UNKNOWN),
        (2, &["x-forwarded-for: unknown, 203.0.113.9"], UNKNOWN),
        (255, &["x-forwarded-for: 203.0.113.9"], UNKNOWN),
    ] {
        assert_eq!(found(TrustedProxies::by_hops(hops).client(peer, &headers(lines))), expected, "{hops} {lines:?}");
    }
}

/// What a platform makes of the value of its header that the client sent.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Replaces,
    AddsALine,
    AddsToTheLine,
    PassesOn,
}

/// Cases: 157.
#[test]
fn platform_header_is_the_client_or_unknown() {
    let names = ["fly-client-ip", "cf-connecting-ip", "true-client-ip", "x-real-ip", "x-azure-clientip"];
    let sent = [None, Some(CHOSEN), Some(PROXY), Some(""), Some("unknown"), Some("6.6.6.6, 203.0.113.9")];
    let others = [
        &[][..],
        &["x-forwarded-for: 6.6.6.6", "forwarded: for=6.6.6.6;proto=https"],
        &["x-real-ip-2: 6.6.6.6", "forwarded: for=\"6.6.6.6"],
    ];
    let written = [("203.0.113.9", Some(CLIENT)), ("203.0.113.9:4711", Some(CLIENT)), ("unknown", None), ("", None)];
    let (mut itself, mut unknown, mut spoofed) = (0, 0, 0);
    for name in names {
        let proxies = TrustedProxies::by_header(HeaderName::from_static(name));
        for (sent, others) in sent.iter().flat_map(|sent| others.map(|others| (*sent, others))) {
            for way in [Way::Replaces, Way::AddsALine, Way::AddsToTheLine, Way::PassesOn] {
                for ((text, named), proto) in written.iter().flat_map(|it| ["https", "http"].map(|proto| (*it, proto)))
                {
                    let own = match (way, sent) {
                        (Way::Replaces, _) | (Way::AddsALine | Way::AddsToTheLine, None) => vec![text.to_owned()],
                        (Way::AddsALine, Some(sent)) => vec![sent.to_owned(), text.to_owned()],
                        (Way::AddsToTheLine, Some(sent)) => vec![format!("{sent}, {text}")],
                        (Way::PassesOn, sent) => sent.map(str::to_owned).into_iter().collect(),
                    };
                    let own = own.iter().map(|value| format!("{name}: {value}"));
                    let rest = others.iter().map(|&line| line.to_owned());
                    let lines: Vec<_> = rest.chain(own).chain([format!("x-forwarded-proto: {proto}")]).collect();
                    for lines in [lines.clone(), lines.into_iter().rev().collect()] {
                        let seen = found(proxies.client(Connection::plain(address(PROXY)), &headers(&lines)));
                        assert!(seen.0.is_some() || !seen.1, "{lines:?}");
                        if way == Way::PassesOn {
                            // Why the platform must overwrite its header.
                            spoofed += usize::from(seen.0 == Some(address(CHOSEN)));
                            continue;
                        }
                        let alone = way == Way::Replaces || sent.is_none();
                        let expected = named.filter(|_| alone).map(address);
                        assert_eq!(seen, (expected, expected.is_some() && proto == "https"), "{way:?} {lines:?}");
                        itself += usize::from(seen.0.is_some());
                        unknown += usize::from(seen.0.is_none());
                    }
                }
            }
        }
    }
    assert!(itself > 500 && unknown > 500 && spoofed > 0, "{itself} {unknown} {spoofed}");
}

/// Cases: 157.
///
/// Who connects past the platform is a client, whatever headers it sends.
#[test]
fn peer_outside_the_platform_is_itself() {
    let lines = ["cf-connecting-ip: 6.6.6.6", "x-forwarded-for: 6.6.6.6", "x-forwarded-proto: https"];
    let by_header = TrustedProxies::by_header(HeaderName::from_static("cf-connecting-ip"));
    for all in [by_header, TrustedProxies::by_hops(1)] {
        let limited = all.clone().only_from(proxies());
        for peer in [PROXY, OUTER, CLIENT, "2001:db8:ffff::1"] {
            let client = |proxies: &TrustedProxies| proxies.client(Connection::plain(address(peer)), &headers(&lines));
            assert_eq!(client(&all).address(), Some(address(CHOSEN)), "{peer}");
            let expected = if peer == CLIENT { (Some(address(CLIENT)), false) } else { (Some(address(CHOSEN)), true) };
            assert_eq!(found(client(&limited)), expected, "{peer}");
        }
        // Networks that are not named trust no peer.
        let none = all.only_from(TrustedProxies::default());
        let client = none.client(Connection::plain(address(PROXY)), &headers(&lines));
        assert_eq!(found(client), (Some(address(PROXY)), false));
    }
}
