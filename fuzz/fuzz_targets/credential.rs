//! Header lines of any bytes: the handler runs for the one key alone, and never sees it.
//!
//! Each line of the input is a header; its first byte selects which one.
#![no_main]

use std::convert::Infallible;
use std::future::ready;
use std::sync::LazyLock;

use futures::executor::block_on;
use http::{HeaderName, HeaderValue, Request, Response};
use libfuzzer_sys::fuzz_target;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::{Access, ApiKeyLayer, MemoryStore};

const KEY: &[u8] = b"key";
const NAMES: [&str; 4] = ["x-avala-api-key", "authorization", "x_avala_api_key", "x-api-key"];

static LAYERS: LazyLock<[ApiKeyLayer; 2]> = LazyLock::new(|| {
    let keys = MemoryStore::new();
    let digest = KeyDigest::hash(KEY);
    keys.add(KeyRecord::new(KeyId::from_u128(1), digest, "acme".parse().unwrap(), Access::Full)).unwrap();
    [ApiKeyLayer::new(keys.clone()), ApiKeyLayer::new(keys).accept_bearer()]
});

fuzz_target!(|data: &[u8]| {
    let line = |line: &[u8]| {
        let (first, value) = line.split_first()?;
        let value = HeaderValue::from_bytes(value).ok()?;
        Some((NAMES[usize::from(*first) % NAMES.len()], value))
    };
    let lines: Vec<_> = data.split(|byte| *byte == b'\n').filter_map(line).take(16).collect();
    for (layer, bearer) in LAYERS.iter().zip([false, true]) {
        let mut request = Request::new(());
        for (name, value) in &lines {
            request.headers_mut().append(HeaderName::from_static(name), value.clone());
        }
        let handler = service_fn(|request: Request<()>| {
            assert!(!request.headers().contains_key(NAMES[0]), "the handler was shown the key");
            ready(Ok::<_, Infallible>(Response::new(String::new())))
        });
        let status = block_on(layer.layer(handler).oneshot(request)).unwrap().status().as_u16();
        assert_eq!(status, if is_the_key(&lines, bearer) { 200 } else { 401 });
    }
});

/// Once, in one place.
fn is_the_key(lines: &[(&str, HeaderValue)], bearer: bool) -> bool {
    let of = |name: &'static str| lines.iter().filter(move |line| line.0 == name).map(|line| line.1.as_bytes());
    let tokens: Vec<&[u8]> = of(NAMES[1])
        .filter(|value| value.len() >= 6 && value[..6].eq_ignore_ascii_case(b"bearer"))
        .filter(|value| value.len() == 6 || value[6] == b' ')
        .map(|value| value.get(7..).unwrap_or_default())
        .collect();
    let own: Vec<&[u8]> = of(NAMES[0]).collect();
    if !bearer || tokens.is_empty() {
        return own == [KEY];
    }
    own.is_empty() && tokens == [KEY] && of(NAMES[1]).count() == 1
}
