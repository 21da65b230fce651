//! Limits of clients without an address.

use http::Request;
use tower::{ServiceBuilder, ServiceExt};
use tower_api_key::throttle::ThrottleLayer;
use tower_api_key::transport::{ClientInfoLayer, TrustedProxies};
use tower_api_key::{Access, ApiKeyLayer};

use super::world::{Hand, from};
use crate::support::handler::Handler;
use crate::support::store::store;

const PROXY: &str = "127.0.0.1";

fn clients() -> ClientInfoLayer {
    ClientInfoLayer::new().trust(TrustedProxies::new([PROXY]).unwrap())
}

/// Sent by [`PROXY`] with these headers.
fn forwarded(key: &str, lines: &[(&'static str, &str)]) -> Request<String> {
    let mut request = from(PROXY, key);
    for (name, value) in lines {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

/// Cases: 122.
/// With a limit of two, two requests of all unknown clients are accepted.
#[tokio::test]
async fn unknown_clients_share_one_count() {
    let layer = ThrottleLayer::new(Hand::default().per_client(2));
    let service = ServiceBuilder::new().layer(clients()).layer(layer).service(Handler::default().service());
    for (lines, status) in [
        (&[("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=6.6.6.6")][..], 200),
        (&[("x-forwarded-for", "203.0.113.8"), ("forwarded", "for=6.6.6.7")], 200),
        (&[("x-forwarded-for", "unknown")], 429),
        (&[("forwarded", "for=\"6.6.6.6")], 429),
        (&[("x-forwarded-proto", "https")], 429),
        // A known client and the proxy itself have their own counts.
        (&[("x-forwarded-for", "203.0.113.9")], 200),
        (&[], 200),
    ] {
        let reply = service.clone().oneshot(forwarded("", lines)).await.unwrap();
        assert_eq!(reply.status(), status, "{lines:?}");
    }
}

/// Cases: 122.
/// With a limit of two failures.
#[tokio::test]
async fn failures_of_unknown_clients_share_one_count() {
    let keys = ApiKeyLayer::new(store(Access::Full)).throttle_failures(Hand::default().per_client(2));
    let service = ServiceBuilder::new().layer(clients()).layer(keys).service(Handler::default().service());
    for (lines, status) in [
        (&[("x-forwarded-for", "unknown")][..], 401),
        (&[("x-forwarded-for", "_hidden")], 401),
        (&[("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=6.6.6.6")], 429),
        (&[("x-forwarded-for", "203.0.113.9")], 401),
        (&[], 401),
    ] {
        let reply = service.clone().oneshot(forwarded("guess", lines)).await.unwrap();
        assert_eq!(reply.status(), status, "{lines:?}");
    }
}
