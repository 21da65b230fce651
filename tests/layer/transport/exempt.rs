//! Plain health probes where HTTPS is required.

use http::{Method, Request, Response};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::Rejection;
use tower_api_key::key::KeyDigest;
use tower_api_key::observe::Outcome;
use tower_api_key::transport::{ClientInfoLayer, Connection, RequireHttpsLayer, TrustedProxies};

use super::guarded::Seen;
use super::spoofing::address;
use crate::support::keys::KEY;

const TARGETS: [(&str, bool); 18] = [
    ("/health", true),
    ("/health?verbose=1", true),
    ("http://example.com/health", true),
    ("https://example.com/health", true),
    ("/", false),
    ("/health/", false),
    ("/Health", false),
    ("//health", false),
    ("/health/../invoices", false),
    ("/invoices/../health", false),
    ("/%68ealth", false),
    ("/health%2f", false),
    ("/health;x=1", false),
    ("/healthz", false),
    ("/invoices", false),
    ("/invoices?/health", false),
    ("http://health/invoices", false),
    ("*", false),
];

/// What a client may send to pass for a probe, or for a client on HTTPS.
const SPOOFS: [&[(&str, &str)]; 7] = [
    &[],
    &[("x-forwarded-proto", "https")],
    &[("forwarded", "for=10.0.0.1;proto=https")],
    &[("x-http-method-override", "GET")],
    &[("x-original-url", "/health"), ("x-rewrite-url", "/health")],
    &[("x-forwarded-uri", "/health"), ("x-forwarded-prefix", "/health")],
    &[("user-agent", "kube-probe/1.30"), ("host", "health")],
];

/// Cases: 156.
#[tokio::test]
async fn only_the_exempt_probe_passes_without_https() {
    let seen = Seen::default();
    let keys = seen.keys().allow_anonymous();
    let https = RequireHttpsLayer::new(&keys).exempt(Method::GET, "/health").exempt(Method::HEAD, "/health");
    let inner = service_fn(async |_: Request<String>| Ok::<_, std::convert::Infallible>(Response::new(String::new())));
    let client = ClientInfoLayer::new().trust(TrustedProxies::new(["10.0.0.0/8"]).unwrap());
    let service = client.layer(https.layer(keys.layer(inner)));
    let (mut passed, mut rejected) = (0, 0);
    for (target, listed) in TARGETS {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::OPTIONS, Method::from_bytes(b"get").unwrap()] {
            for spoof in SPOOFS {
                for key in [None, Some(KEY), Some("unknown"), Some(" ")] {
                    let mut request = Request::builder().method(&method).uri(target);
                    for (name, value) in spoof.iter().copied().chain(key.map(|key| ("x-avala-api-key", key))) {
                        request = request.header(name, value);
                    }
                    let mut request = request.body(String::new()).unwrap();
                    request.extensions_mut().insert(Connection::plain(address("192.0.2.1")));
                    let status = service.clone().oneshot(request).await.unwrap().status().as_u16();
                    let key = key.filter(|key| *key != " ");
                    let exempt = listed && (method == Method::GET || method == Method::HEAD) && key.is_none();
                    assert_eq!(status, if exempt { 200 } else { 403 }, "{method} {target} {spoof:?} {key:?}");
                    let [(outcome, _, _, exposed)] = seen.events()[..] else { panic!("one event") };
                    let digest = key.map(|key| KeyDigest::hash(key.as_bytes()));
                    if exempt {
                        passed += 1;
                    } else {
                        assert_eq!((outcome, exposed), (Outcome::Rejected(Rejection::HttpsRequired), digest));
                        rejected += 1;
                    }
                }
            }
        }
    }
    assert_eq!((passed, seen.lookups()), (4 * 2 * 7 * 2, 0));
    assert!(rejected > 2_000, "{rejected}");
}

/// Cases: 156.
///
/// An exemption from HTTPS is none from the key.
#[tokio::test]
async fn exempt_route_still_needs_a_key() {
    let seen = Seen::default();
    let keys = seen.keys();
    let https = RequireHttpsLayer::new(&keys).exempt(Method::GET, "/health");
    let inner = service_fn(async |_: Request<String>| Ok::<_, std::convert::Infallible>(Response::new(String::new())));
    let service = ClientInfoLayer::new().layer(https.layer(keys.layer(inner)));
    let mut request = Request::get("/health").body(String::new()).unwrap();
    request.extensions_mut().insert(Connection::plain(address("192.0.2.1")));
    assert_eq!(service.clone().oneshot(request).await.unwrap().status(), 401);
    // Without a connection there is no client: a wiring mistake, on an exempt route too.
    let request = Request::get("/health").body(String::new()).unwrap();
    assert_eq!(service.oneshot(request).await.unwrap().status(), 500);
}
