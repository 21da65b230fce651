//! Forwarding headers of a client and of one or two proxies in every combination, against an oracle that knows what
//! each entry states without parsing it.

use std::net::IpAddr;

use http::HeaderMap;
use tower_api_key::transport::{Connection, TrustedProxies};

use super::spoofing::{PROXY, address, headers, proxies};

/// Between the client and [`PROXY`], where there are two proxies.
pub(super) const OUTER: &str = "10.0.0.9";
pub(super) const CLIENT: &str = "203.0.113.9";
pub(super) const CHOSEN: &str = "6.6.6.6";

/// One entry of a list, and what it states.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) text: String,
    pub(super) address: Option<IpAddr>,
    pub(super) https: bool,
}

/// One header line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) entries: Vec<Entry>,
    /// An open quote or another error makes the whole line unreadable.
    pub(super) broken: bool,
}

/// How a proxy writes its own entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Way {
    Replace,
    OwnLine,
    /// In the last line, which may be one of the client.
    SameLine,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Spelling {
    Plain,
    Quoted,
    Port,
}

/// Which families a proxy writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writes {
    pub(super) x_forwarded: bool,
    pub(super) forwarded: bool,
}

const WRITES: [Writes; 3] = [
    Writes { x_forwarded: true, forwarded: false },
    Writes { x_forwarded: false, forwarded: true },
    Writes { x_forwarded: true, forwarded: true },
];

#[derive(Clone, Copy, Debug)]
pub(super) enum Reads {
    Both,
    XForwarded,
    Forwarded,
}

impl Reads {
    fn proxies(self) -> TrustedProxies {
        match self {
            Self::Both => proxies(),
            Self::XForwarded => proxies().only_x_forwarded(),
            Self::Forwarded => proxies().only_forwarded(),
        }
    }

    /// Whether these proxies are configured as documented: they write what is read.
    pub(super) fn fits(self, hops: &[Writes]) -> bool {
        match self {
            // The family that the first proxy does not write is the client's, and has to agree with the other one.
            Self::Both => true,
            Self::XForwarded => hops.iter().all(|writes| writes.x_forwarded),
            Self::Forwarded => hops.iter().all(|writes| writes.forwarded),
        }
    }
}

/// The lines of each header.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    pub(super) x_forwarded_for: Vec<Line>,
    pub(super) x_forwarded_proto: Vec<Line>,
    pub(super) forwarded: Vec<Line>,
}

impl Message {
    pub(super) fn headers(&self, forwarded_first: bool) -> HeaderMap {
        let mut names = [
            ("x-forwarded-for", &self.x_forwarded_for),
            ("x-forwarded-proto", &self.x_forwarded_proto),
            ("forwarded", &self.forwarded),
        ];
        if forwarded_first {
            names.reverse();
        }
        let text = |line: &Line| line.entries.iter().map(|entry| &*entry.text).collect::<Vec<_>>().join(", ");
        let lines =
            names.iter().flat_map(|(name, lines)| lines.iter().map(move |line| format!("{name}: {}", text(line))));
        headers(&lines.collect::<Vec<_>>())
    }

    /// What a proxy makes of the message of this peer.
    fn pass(&mut self, writes: Writes, way: Way, spelling: Spelling, peer: Option<&str>, https: bool) {
        let proto = if https { "https" } else { "http" };
        let name = peer.unwrap_or("unknown");
        let address = peer.map(address);
        if writes.x_forwarded {
            let text = match spelling {
                Spelling::Plain | Spelling::Quoted => name.to_owned(),
                Spelling::Port => format!("{name}:4711"),
            };
            add(&mut self.x_forwarded_for, way, Entry { text, address, https });
            add(&mut self.x_forwarded_proto, way, Entry { text: proto.to_owned(), address: None, https });
        }
        if writes.forwarded {
            let text = match spelling {
                Spelling::Plain => format!("for={name};proto={proto}"),
                Spelling::Quoted => format!("proto=\"{proto}\";for=\"{name}\""),
                Spelling::Port => format!("for=\"{name}:4711\";proto={proto};by=\"[2001:db8:ffff::1]\""),
            };
            add(&mut self.forwarded, way, Entry { text, address, https });
        }
    }

    /// The oracle: who a trusted [`PROXY`] sent this for.
    fn client(&self, reads: Reads) -> (Option<IpAddr>, bool) {
        let x_forwarded = (!self.x_forwarded_for.is_empty() || !self.x_forwarded_proto.is_empty()).then(|| {
            let address = deciding(&self.x_forwarded_for).and_then(|(address, _)| address);
            let mut protos = self.x_forwarded_proto.iter().flat_map(|line| &line.entries);
            (address, !self.x_forwarded_proto.is_empty() && protos.all(|entry| entry.https))
        });
        let forwarded = deciding(&self.forwarded);
        let claims = match reads {
            Reads::Both => [x_forwarded, forwarded],
            Reads::XForwarded => [x_forwarded, None],
            Reads::Forwarded => [None, forwarded],
        };
        match claims {
            [None, None] => (Some(address(PROXY)), false),
            [Some(claim), None] | [None, Some(claim)] => claim,
            [Some((one, https)), Some((other, also))] => (one.filter(|_| one == other), https && also),
        }
    }
}

fn add(lines: &mut Vec<Line>, way: Way, entry: Entry) {
    match lines.last_mut() {
        Some(last) if way == Way::SameLine => last.entries.push(entry),
        _ => {
            lines.retain(|_| way != Way::Replace);
            lines.push(Line { entries: vec![entry], broken: false });
        }
    }
}

/// The entry that names the client: the last that is not a trusted proxy, or the first of all.
fn deciding(lines: &[Line]) -> Option<(Option<IpAddr>, bool)> {
    let mut decides = None;
    for line in lines.iter().rev() {
        for entry in line.entries.iter().rev() {
            let claim = if line.broken { (None, false) } else { (entry.address, entry.https) };
            decides = Some(claim);
            if !claim.0.is_some_and(is_trusted) {
                return decides;
            }
        }
    }
    decides
}

fn is_trusted(it: IpAddr) -> bool {
    [PROXY, OUTER].map(address).contains(&it)
}

fn entry(text: &str, named: &str, https: bool) -> Entry {
    Entry { text: text.to_owned(), address: (!named.is_empty()).then(|| address(named)), https }
}

/// Lines of one entry each: what the client sends.
fn lines(of: &[(&str, &str)], broken: bool) -> Vec<Line> {
    let line = |&(text, named): &(&str, &str)| {
        let https = text.contains("proto=https");
        Line { entries: vec![entry(text, named, https)], broken }
    };
    of.iter().map(line).collect()
}

/// What a client can send as `X-Forwarded-For`.
fn x_forwarded_for() -> Vec<Vec<Line>> {
    [
        &[][..],
        &[(CHOSEN, CHOSEN)],
        &[(CLIENT, CLIENT)],
        &[(OUTER, OUTER)],
        &[("", "")],
        &[("\"6.6.6.6", "")],
        &[(CHOSEN, CHOSEN), (PROXY, PROXY)],
        &[(CHOSEN, CHOSEN), ("unknown", ""), (OUTER, OUTER)],
    ]
    .map(|of| lines(of, false))
    .into()
}

/// What a client can send as `Forwarded`.
fn forwarded() -> Vec<Vec<Line>> {
    let readable = [
        &[][..],
        &[("for=6.6.6.6", CHOSEN)],
        &[("proto=https;for=\"203.0.113.9:80\"", CLIENT)],
        &[("for=10.0.0.9;proto=https", OUTER)],
        &[("", "")],
        &[("proto=https", "")],
        &[("for=\"_hidden\";proto=https", "")],
        &[("for=\"6.6.6.6\";proto=https", CHOSEN), ("for=127.0.0.1;proto=https", PROXY)],
    ];
    // Each has an open quote, which swallows what a proxy adds to the line.
    let broken = [
        &[("for=\"6.6.6.6;proto=https", "")][..],
        &[("for=6.6.6.6;proto=https;by=\"", "")],
        &[("for=6.6.6.6, for=10.0.0.9;by=\"\\", "")],
    ];
    readable.iter().map(|of| lines(of, false)).chain(broken.iter().map(|of| lines(of, true))).collect()
}

/// Whatever the client sent, with and without `X-Forwarded-Proto: https`.
fn sent() -> Vec<Message> {
    let mut messages = Vec::new();
    for x_forwarded_for in x_forwarded_for() {
        for forwarded in forwarded() {
            for x_forwarded_proto in [Vec::new(), vec![Line { entries: vec![entry("https", "", true)], broken: false }]]
            {
                messages.push(Message {
                    x_forwarded_for: x_forwarded_for.clone(),
                    x_forwarded_proto,
                    forwarded: forwarded.clone(),
                });
            }
        }
    }
    messages
}

/// One or two proxies, from the client on.
fn chains() -> Vec<Vec<Writes>> {
    let two = WRITES.iter().flat_map(|&outer| WRITES.map(|inner| vec![outer, inner]));
    WRITES.map(|only| vec![only]).into_iter().chain(two).collect()
}

/// Calls with each message that reaches the service, whether its client uses HTTPS, and what its proxies wrote.
pub(super) fn each_request(mut check: impl FnMut(&Message, bool, &[Writes])) {
    for (sent, hops) in sent().iter().flat_map(|sent| chains().into_iter().map(move |hops| (sent, hops))) {
        for way in [Way::Replace, Way::OwnLine, Way::SameLine] {
            for spelling in [Spelling::Plain, Spelling::Quoted, Spelling::Port] {
                for (name, https) in [(Some(CLIENT), true), (Some(CLIENT), false), (None, true), (None, false)] {
                    let mut message = sent.clone();
                    message.pass(hops[0], way, spelling, name, https);
                    if let Some(&inner) = hops.get(1) {
                        // A second proxy that replaced the headers of the first would name the first as the client.
                        let way = if way == Way::Replace { Way::OwnLine } else { way };
                        message.pass(inner, way, spelling, Some(OUTER), https);
                    }
                    check(&message, https, &hops);
                }
            }
        }
    }
}

/// Cases: 122.
#[test]
fn client_behind_proxies_is_itself_or_unknown() {
    let (mut requests, mut itself, mut unknown, mut proxy) = (0, 0, 0, 0);
    let chosen = Some(address(CHOSEN));
    let readers = [Reads::Both, Reads::XForwarded, Reads::Forwarded].map(|reads| (reads, reads.proxies()));
    let peer = Connection::plain(address(PROXY));
    each_request(|message, https, hops| {
        let orders = [message.headers(false), message.headers(true)];
        for (reads, proxies) in &readers {
            let expected = message.client(*reads);
            for headers in &orders {
                let client = proxies.client(peer, headers);
                let found = (client.address(), client.is_https());
                assert_eq!(found, expected, "{reads:?} {hops:?} {headers:?}");
                requests += 1;
                itself += usize::from(client.address() == Some(address(CLIENT)));
                unknown += usize::from(client.address().is_none());
                if client.address().is_some_and(is_trusted) {
                    proxy += 1;
                    assert!(!reads.fits(hops), "{reads:?} {hops:?} {headers:?}");
                }
                if reads.fits(hops) {
                    assert_ne!(client.address(), chosen, "{reads:?} {hops:?} {headers:?}");
                    assert!(https || !client.is_https(), "{reads:?} {hops:?} {headers:?}");
                }
            }
        }
    });
    // Every kind of answer is there, a proxy's own address only where the configuration names the wrong headers.
    assert!(
        requests > 200_000 && itself > 30_000 && unknown > 30_000 && proxy > 0,
        "{requests} {itself} {unknown} {proxy}"
    );
}

/// Cases: 122.
/// A health check sends no forwarding header, or is named as a proxy by the next one.
#[test]
fn proxy_that_asks_for_itself_keeps_its_address() {
    for reads in [Reads::Both, Reads::XForwarded, Reads::Forwarded] {
        let ask = |message: &Message| {
            let client = reads.proxies().client(Connection::plain(address(PROXY)), &message.headers(false));
            (client.address(), client.is_https())
        };
        assert_eq!(ask(&Message::default()), (Some(address(PROXY)), false));
        for writes in WRITES.into_iter().filter(|&writes| reads.fits(&[writes])) {
            let mut message = Message::default();
            message.pass(writes, Way::OwnLine, Spelling::Plain, Some(OUTER), false);
            assert_eq!(ask(&message), (Some(address(OUTER)), false), "{reads:?} {writes:?}");
        }
    }
}
