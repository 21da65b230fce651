//! Guarded services on real sockets that record which handlers ran.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::Method;
use hyper::body::Incoming;
use tower::{Layer, service_fn};
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::routes::{RouteTable, RouteTableBuilder, Unlisted};
use tower_api_key::scope::avala;
use tower_api_key::{Access, ApiKeyLayer, MemoryStore, Requirement};

use super::lenient;
use crate::support::axum_server::serve_axum;
use crate::support::hyper_server::serve_hyper;
use crate::support::server::Server;
use crate::support::wire::Wire;

pub(crate) const FULL: &str = "full";
pub(crate) const READ: &str = "read";
pub(crate) const WRITE: &str = "write";
/// Valid, without a scope.
pub(crate) const NOTHING: &str = "nothing";
pub(crate) const UNKNOWN: &str = "unknown";
pub(crate) const NO_KEY: &str = "";

/// Every key that is valid.
pub(crate) const VALID: [&str; 4] = [FULL, READ, WRITE, NOTHING];

pub(crate) fn keys() -> MemoryStore {
    let keys = MemoryStore::new();
    for (id, (name, access)) in (1..).zip([
        (FULL, Access::Full),
        (READ, Access::scoped([avala::DATASETS_READ])),
        (WRITE, Access::scoped([avala::DATASETS_WRITE])),
        (NOTHING, Access::scoped([])),
    ]) {
        let digest = KeyDigest::hash(name.as_bytes());
        keys.add(KeyRecord::new(KeyId::from_u128(id), digest, "acme".parse().unwrap(), access)).unwrap();
    }
    keys
}

/// The names of the handlers that ran.
#[derive(Clone, Default)]
pub(crate) struct Ran(Arc<Mutex<Vec<String>>>);

impl Ran {
    /// A handler that responds with this name.
    pub(crate) fn handler(&self, name: &'static str) -> impl Fn() -> std::future::Ready<&'static str> + Clone + use<> {
        let ran = self.clone();
        move || {
            ran.note(name);
            std::future::ready(name)
        }
    }

    pub(crate) fn note(&self, name: &str) {
        self.0.lock().unwrap().push(name.to_owned());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// The routes of [`router`] and of [`lenient`], and what they require.
pub(crate) fn lines(unlisted: Unlisted) -> RouteTableBuilder {
    RouteTable::builder()
        .unlisted(unlisted)
        .catalog(avala::catalog())
        .public(Method::POST, "/signup")
        .public(Method::GET, "/files/{*path}")
        .route(Method::GET, "/", Requirement::any_key())
        .route(Method::GET, "/admin", Requirement::full_access())
        .route(Method::GET, "/items/{id}", avala::DATASETS_READ)
        .route(Method::DELETE, "/items/{id}", avala::DATASETS_WRITE)
}

/// With a handler that no table lists.
pub(crate) fn router(ran: &Ran) -> Router {
    Router::new()
        .route("/signup", post(ran.handler("sign up")))
        .route("/files/{*path}", get(ran.handler("file")))
        .route("/", get(ran.handler("root")))
        .route("/admin", get(ran.handler("admin")))
        .route("/items/{id}", get(ran.handler("read")).merge(delete(ran.handler("delete"))))
        .route("/forgotten", get(ran.handler("forgotten")))
}

pub(crate) struct World {
    pub(crate) name: &'static str,
    pub(crate) server: Server,
    ran: Ran,
}

impl World {
    pub(crate) async fn each(unlisted: Unlisted) -> [Self; 2] {
        let layer = ApiKeyLayer::new(keys()).routes(lines(unlisted).build().unwrap());
        [Self::axum(&layer, |router| router).await, Self::hyper(&layer).await]
    }

    /// A router behind the layer, with more layers in between.
    pub(crate) async fn axum(layer: &ApiKeyLayer, inside: impl Fn(Router) -> Router) -> Self {
        let ran = Ran::default();
        let guarded = layer.layer(inside(router(&ran)));
        Self::of("axum", Router::new().fallback_service(guarded), ran).await
    }

    pub(crate) async fn of(name: &'static str, router: Router, ran: Ran) -> Self {
        Self { name, server: serve_axum(router).await, ran }
    }

    /// A service behind the layer that accepts any spelling of a path.
    async fn hyper(layer: &ApiKeyLayer) -> Self {
        let ran = Ran::default();
        let service = service_fn({
            let ran = ran.clone();
            move |request: http::Request<Incoming>| {
                let name = lenient::route(request.method(), request.uri().path());
                if let Some(name) = name {
                    ran.note(name);
                }
                let response: Response<Body> = name.ok_or(http::StatusCode::NOT_FOUND).into_response();
                async { Ok::<_, Infallible>(response) }
            }
        });
        Self { name: "hyper", server: serve_hyper(layer.layer(service)).await, ran }
    }

    /// Sends a request over HTTP/1.1 with exactly this target, and without a key if `key` is empty. The handlers that ran
    /// are those of this request.
    pub(crate) async fn ask(&self, method: &str, target: &str, key: &str) -> Got {
        self.ask_with(method, target, key, "").await
    }

    /// With more header lines, each of which ends with CRLF.
    pub(crate) async fn ask_with(&self, method: &str, target: &str, key: &str, lines: &str) -> Got {
        let credential = if key.is_empty() { String::new() } else { format!("X-Avala-Api-Key: {key}\r\n") };
        let request =
            format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{credential}{lines}Connection: close\r\n\r\n");
        let mut wire = Wire::connect(self.server.http1).await;
        wire.send(request.as_bytes()).await.unwrap();
        let (seen, text) = wire.reply(&Method::from_bytes(method.as_bytes()).unwrap()).await.expect("a reply");
        assert_eq!(wire.rest().await, "", "{request}");
        let shown = format!("{}: {method} {target} with key {key:?}: {text}", self.name);
        Got { status: seen.status, headers: seen.headers, text, ran: self.ran.take(), shown }
    }

    pub(crate) fn take_ran(&self) -> Vec<String> {
        self.ran.take()
    }
}

#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: Vec<String>,
    /// All of the reply, but for the date.
    pub(crate) text: String,
    pub(crate) ran: Vec<String>,
    /// For the message of a failed test.
    pub(crate) shown: String,
}

impl Got {
    #[track_caller]
    pub(crate) fn is_rejected(&self, status: u16) {
        assert_eq!((self.status, &self.ran[..]), (status, &[][..]), "{}", self.shown);
    }

    #[track_caller]
    pub(crate) fn ran(&self, name: &str) {
        assert_eq!((self.status, &self.ran[..]), (200, &[name.to_owned()][..]), "{}", self.shown);
    }
}

/// The status of a denied route: 401 without a valid key, 404 with one.
pub(crate) fn absent(key: &str) -> u16 {
    if VALID.contains(&key) { 404 } else { 401 }
}

/// A request without a body, for a service that is called without a server.
pub(crate) fn request(method: &Method, target: &str, key: &str) -> Request {
    let request = Request::builder().method(method).uri(target);
    let request = if key.is_empty() { request } else { request.header("X-Avala-Api-Key", key) };
    request.body(Body::empty()).unwrap()
}
