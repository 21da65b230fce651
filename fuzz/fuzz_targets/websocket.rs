//! Entries of `Sec-WebSocket-Protocol` of any bytes: the handler runs for the one key alone, and is left the other entries.
//!
//! Each line of the input is a header; its first byte selects `X-Avala-Api-Key` or `Sec-WebSocket-Protocol`.
#![no_main]

use std::convert::Infallible;
use std::future::ready;
use std::sync::LazyLock;

use futures::executor::block_on;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderName, HeaderValue, Request, Response};
use libfuzzer_sys::fuzz_target;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::auth::CredentialSource;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::{Access, ApiKeyLayer, MemoryStore};

/// The second one needs every character that base64url has in place of those of base64.
const KEYS: [&[u8]; 2] = [b"key", b"\xfb\xef\xbe\xff\xff"];
const OWN: HeaderName = HeaderName::from_static("x-avala-api-key");
const ENTRY: &[u8] = b"base64url.api-key.";

/// What the layers differ in.
#[derive(Clone, Copy)]
struct Case {
    reads_header: bool,
    keeps: bool,
}

static LAYERS: LazyLock<[(ApiKeyLayer, Case); 3]> = LazyLock::new(|| {
    let keys = MemoryStore::new();
    for (id, key) in (1..).zip(KEYS) {
        let organization = "acme".parse().unwrap();
        keys.add(KeyRecord::new(KeyId::from_u128(id), KeyDigest::hash(key), organization, Access::Full)).unwrap();
    }
    let protocol = || ApiKeyLayer::new(keys.clone()).sources([CredentialSource::websocket_protocol()]);
    let both = [CredentialSource::header(OWN), CredentialSource::websocket_protocol()];
    let both = || ApiKeyLayer::new(keys.clone()).sources(both.clone());
    [
        (protocol(), Case { reads_header: false, keeps: false }),
        (both(), Case { reads_header: true, keeps: false }),
        (both().keep_header(), Case { reads_header: true, keeps: true }),
    ]
});

/// What the handler got of `Sec-WebSocket-Protocol`.
#[derive(Clone)]
struct Got(Vec<HeaderValue>);

fuzz_target!(|data: &[u8]| {
    let (mut own, mut protocols) = (Vec::new(), Vec::new());
    for line in data.split(|byte| *byte == b'\n').take(16) {
        let Some((first, value)) = line.split_first() else { continue };
        let Ok(value) = HeaderValue::from_bytes(value) else { continue };
        if first % 4 == 0 { own.push(value) } else { protocols.push(value) }
    }
    for (layer, case) in LAYERS.iter() {
        let mut request = Request::new(());
        own.iter().for_each(|value| _ = request.headers_mut().append(OWN, value.clone()));
        protocols.iter().for_each(|value| _ = request.headers_mut().append(SEC_WEBSOCKET_PROTOCOL, value.clone()));
        let handler = service_fn(|request: Request<()>| {
            let mut response = Response::new(String::new());
            let values = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
            response.extensions_mut().insert(Got(values.iter().cloned().collect()));
            ready(Ok::<_, Infallible>(response))
        });
        let response = block_on(layer.layer(handler).oneshot(request)).unwrap();
        let sent: Vec<Vec<u8>> = match case.reads_header {
            true => own.iter().map(|value| value.as_bytes().to_vec()).chain(encoded_keys(&protocols)).collect(),
            false => encoded_keys(&protocols).collect(),
        };
        let is_valid = matches!(&sent[..], [key] if KEYS.contains(&&key[..]));
        assert_eq!(response.status(), if is_valid { 200 } else { 401 });

        let got = response.extensions().get::<Got>();
        assert_eq!(got.is_some(), is_valid);
        for values in got.iter().map(|got| &got.0) {
            if case.keeps {
                assert_eq!(*values, protocols);
                let is_marked = |value: &HeaderValue| value.is_sensitive() || !has_key(value.as_bytes());
                assert!(values.iter().all(is_marked), "the key can be logged");
            } else {
                let kept: Vec<_> = protocols.iter().filter_map(|value| without_key(value.as_bytes())).collect();
                assert!(values.iter().map(HeaderValue::as_bytes).eq(&kept), "{values:?} in place of {kept:?}");
                assert!(!values.iter().any(|value| has_key(value.as_bytes())), "the handler was shown the key");
            }
        }
    }
});

fn entries(line: &[u8]) -> Vec<&[u8]> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let entries = line.split(|byte| *byte == b',').map(|entry| {
        let start = entry.iter().take_while(|byte| is_blank(byte)).count();
        let end = entry.iter().rev().take_while(|byte| is_blank(byte)).count();
        if start == entry.len() { &[] } else { &entry[start..entry.len() - end] }
    });
    entries.filter(|entry| !entry.is_empty()).collect()
}

fn has_key(line: &[u8]) -> bool {
    entries(line).iter().any(|entry| entry.starts_with(ENTRY))
}

fn without_key(line: &[u8]) -> Option<Vec<u8>> {
    if !has_key(line) {
        return Some(line.to_vec());
    }
    let kept: Vec<_> = entries(line).into_iter().filter(|entry| !entry.starts_with(ENTRY)).collect();
    (!kept.is_empty()).then(|| kept.join(&b", "[..]))
}

/// The keys of all lines. One that cannot be decoded is empty, which no valid key is.
fn encoded_keys(lines: &[HeaderValue]) -> impl Iterator<Item = Vec<u8>> {
    let all = lines.iter().flat_map(|line| entries(line.as_bytes()));
    all.filter_map(|entry| entry.strip_prefix(ENTRY)).map(|text| decode(text).unwrap_or_default())
}

/// Base64url without padding, bit by bit. The bits after the last byte are zero.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = Vec::new();
    for byte in text {
        let value = DIGITS.iter().position(|digit| digit == byte)?;
        bits.extend((0..6).rev().map(|bit| value >> bit & 1));
    }
    let (bytes, rest) = bits.split_at(bits.len() / 8 * 8);
    if rest.len() == 6 || rest.contains(&1) {
        return None;
    }
    Some(bytes.chunks(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | *bit as u8)).collect())
}
