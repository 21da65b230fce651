//! A guarded service on a real socket that knows what came through, and how often the store was asked.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use http_body_util::Empty;
use hyper::client::conn::http2::SendRequest;
use tower::ServiceExt;
use tower_api_key::key::KeyFormat;
use tower_api_key::scope::avala;
use tower_api_key::{ApiKey, ApiKeyLayer};

use super::counting::Counting;
use super::keys::{now, store};
use crate::support::axum_server::serve_axum;
use crate::support::http2_client::connect_http2;
use crate::support::seen::Seen;
use crate::support::server::Server;
use crate::support::wire::Wire;

pub(crate) struct World {
    pub(crate) server: Server,
    http2: SendRequest<Empty<Bytes>>,
    router: Router,
    store: Arc<Counting>,
    called: Arc<Mutex<Vec<Called>>>,
}

/// What the handler was called with.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) headers: HeaderMap,
    pub(crate) key: ApiKey,
}

/// What a request must come to. The handler is called for the first one alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Accepted, after one lookup.
    Accepted,
    /// The 401 for no key, without a lookup.
    Missing,
    /// The 401 for an invalid key, after this many lookups.
    Invalid(usize),
    /// The 401 for an expired key, after one lookup.
    Expired,
    /// The 403, after one lookup.
    Forbidden,
    /// This status of the server itself: the request never reaches the layer.
    Server(u16),
}

/// What a test adds to the layer.
pub(crate) type Configure = fn(ApiKeyLayer) -> ApiKeyLayer;

impl World {
    /// With a store that answers at once, and with one that has to be awaited. The layer asks for
    /// `datasets.read`, which the valid key has, unless `configure` changes that.
    pub(crate) async fn each(configure: impl Fn(ApiKeyLayer) -> ApiKeyLayer) -> [Self; 2] {
        Self::each_behind(|router| router, configure).await
    }

    /// The same, with more layers outside.
    pub(crate) async fn each_behind(
        outside: impl Fn(Router) -> Router,
        configure: impl Fn(ApiKeyLayer) -> ApiKeyLayer,
    ) -> [Self; 2] {
        let world = async |awaited| {
            let (store, called) = (Counting::new(store(), awaited), Arc::default());
            let layer = ApiKeyLayer::new(Arc::clone(&store)).clock(now).require(avala::DATASETS_READ);
            let router = outside(recording(&called).layer(configure(layer)));
            let server = serve_axum(router.clone()).await;
            Self { http2: connect_http2(server.http2).await, server, router, store, called }
        };
        [world(false).await, world(true).await]
    }

    /// Sends a request with these header lines, each of which ends with CRLF.
    pub(crate) async fn lines(&self, lines: &[u8], verdict: Verdict) -> Option<Called> {
        self.bytes(&[b"GET /datasets/ HTTP/1.1\r\nHost: test\r\n", lines, b"\r\n"].concat(), verdict).await
    }

    /// Sends a request with these bytes in the key header.
    pub(crate) async fn value(&self, value: &[u8], verdict: Verdict) -> Option<Called> {
        self.lines(&[b"X-Avala-Api-Key: ", value, b"\r\n"].concat(), verdict).await
    }

    /// Writes these bytes to a new connection.
    pub(crate) async fn bytes(&self, request: &[u8], verdict: Verdict) -> Option<Called> {
        let mut wire = Wire::connect(self.server.http1).await;
        // The server may reply and stop reading before the end.
        let _ = wire.send(request).await;
        let (reply, _) = wire.reply(&Method::GET).await.expect("a reply");
        if let Verdict::Server(_) = verdict {
            assert_eq!(wire.rest().await, "", "the server closes the connection");
        }
        let shown = &request[..request.len().min(300)];
        self.check(reply, verdict, &shown.escape_ascii().to_string())
    }

    /// Sends a request with these headers over HTTP/2.
    pub(crate) async fn http2(&self, headers: &[(&str, &[u8])], verdict: Verdict) -> Option<Called> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = Uri::from_static("http://test/datasets/");
        *request.headers_mut() = header_map(headers);
        let response = self.http2.clone().send_request(request).await.unwrap();
        self.check(Seen::of(response).await.unwrap(), verdict, &format!("HTTP/2, {}", shown(headers)))
    }

    /// Calls the service with these headers, without a server that would trim or reject anything.
    pub(crate) async fn direct(&self, headers: &[(&str, &[u8])], verdict: Verdict) -> Option<Called> {
        let mut request = Request::new(Body::empty());
        *request.headers_mut() = header_map(headers);
        self.call(request, verdict, &format!("direct, {}", shown(headers))).await
    }

    pub(crate) async fn call(&self, request: Request, verdict: Verdict, context: &str) -> Option<Called> {
        let Ok(response) = self.router.clone().oneshot(request).await;
        self.check(Seen::of(response).await.unwrap(), verdict, context)
    }

    /// Asserts the whole reply, the number of lookups and the number of calls.
    pub(crate) fn check(&self, mut seen: Seen, verdict: Verdict, context: &str) -> Option<Called> {
        let (reply, lookups, calls) = verdict.expected();
        let of_server = ["date: ", "content-length: ", "connection: "];
        seen.headers.retain(|line| !of_server.iter().any(|name| line.starts_with(name)));
        // A layer that accepts bearer tokens has a challenge for them too.
        let error = if matches!(verdict, Verdict::Missing) { "" } else { r#", error="invalid_token""# };
        let bearer = format!(r#"www-authenticate: Bearer realm="api"{error}"#);
        seen.headers.retain(|line| reply.status != 401 || *line != bearer);
        assert_eq!(seen, reply, "{context}");
        self.check_counts(lookups, calls, context)
    }

    /// Asserts the number of lookups and of calls since the last check.
    pub(crate) fn check_counts(&self, lookups: usize, calls: usize, context: &str) -> Option<Called> {
        assert_eq!(self.store.take_lookups(), lookups, "lookups: {context}");
        let mut called = std::mem::take(&mut *self.called.lock().unwrap());
        assert_eq!(called.len(), calls, "calls: {context}");
        called.pop()
    }
}

/// Layers that take a key of any form, and layers that know the one form of their keys; and how many lookups a
/// key of another form costs them.
pub(crate) async fn opaque_and_formatted() -> [([World; 2], usize); 2] {
    let formatted = World::each(|layer| layer.require_formats([KeyFormat::AVALA]));
    [(World::each(|layer| layer).await, 1), (formatted.await, 0)]
}

impl Verdict {
    /// The reply, without what servers add, the number of lookups, and how often the handler is called.
    fn expected(self) -> (Seen, usize, usize) {
        const PLAIN: [&str; 2] = ["content-type: application/json", "cache-control: no-store"];
        const CHALLENGE: &str = r#"www-authenticate: ApiKey realm="api", header="X-Avala-Api-Key""#;
        let unauthorized = |body: &'static str| Seen::new(401, PLAIN.into_iter().chain([CHALLENGE]), body);
        match self {
            Self::Accepted => {
                (Seen::new(200, ["cache-control: private", "content-type: text/plain; charset=utf-8"], HANDLED), 1, 1)
            }
            Self::Missing => (unauthorized(r#"{"detail":"Authentication credentials were not provided."}"#), 0, 0),
            Self::Invalid(lookups) => (unauthorized(r#"{"detail":"Invalid API key."}"#), lookups, 0),
            Self::Expired => (unauthorized(r#"{"detail":"API key has expired."}"#), 1, 0),
            Self::Forbidden => {
                let body = r#"{"detail":"You do not have permission to perform this action."}"#;
                (Seen::new(403, PLAIN, body), 1, 0)
            }
            Self::Server(status) => (Seen::new(status, [], ""), 0, 0),
        }
    }
}

const HANDLED: &str = "the datasets";

/// A router that takes every path and notes what it was called with.
fn recording(called: &Arc<Mutex<Vec<Called>>>) -> Router {
    let called = Arc::clone(called);
    Router::new().fallback(async move |request: Request| {
        let key = request.extensions().get::<ApiKey>().expect("the layer is outside").clone();
        called.lock().unwrap().push(Called { headers: request.headers().clone(), key });
        HANDLED
    })
}

fn header_map(headers: &[(&str, &[u8])]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value).unwrap());
    }
    map
}

fn shown(headers: &[(&str, &[u8])]) -> String {
    let lines = headers.iter().take(5).map(|(name, value)| {
        let value = &value[..value.len().min(300)];
        format!("{name}: {}", value.escape_ascii())
    });
    lines.collect::<Vec<_>>().join(", ")
}
