//! A client of the console, over real HTTP.

use std::net::SocketAddr;

use axum::Router;
use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::Full;
use serde_json::Value;
use tower::ServiceBuilder;
use tower::util::MapRequestLayer;
use tower_api_key::console::{Console, ConsoleApi, Operator};
use tower_api_key::{KeyManager, MemoryStore};

use crate::support::axum_server::serve_axum;
use crate::support::http1_client::connect_http1;
use crate::support::http2_client::connect_http2;
use crate::support::hyper_server::serve_hyper;
use crate::support::reply::Reply;
use crate::support::server::Server;

pub(crate) const BASE: &str = "/api/keys";

/// The login of a service that believes a header: `acme/ada@example.com`, and `*` for all organizations.
pub(crate) fn log_in<B>(mut request: Request<B>) -> Request<B> {
    let login = request.headers().get("x-test-login").map(|login| login.to_str().unwrap().to_owned());
    if let Some((organization, actor)) = login.as_deref().and_then(|login| login.split_once('/')) {
        let operator = match organization {
            "*" => Operator::of_all_organizations(actor),
            organization => Operator::new(organization.parse().unwrap(), actor),
        };
        request.extensions_mut().insert(operator);
    }
    request
}

pub(crate) fn keys() -> KeyManager<MemoryStore> {
    KeyManager::new(MemoryStore::new())
}

/// The API mounted in an axum router.
pub(crate) async fn axum_server(api: ConsoleApi) -> Server {
    let router = Router::new().nest_service(BASE, api);
    serve_axum(router.layer(MapRequestLayer::new(log_in::<axum::body::Body>))).await
}

/// The API on bare hyper, which leaves the path as it is.
pub(crate) async fn hyper_server(api: ConsoleApi) -> Server {
    let log_in = MapRequestLayer::new(log_in::<hyper::body::Incoming>);
    serve_hyper(ServiceBuilder::new().layer(log_in).service(api.at(BASE))).await
}

#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    http2: bool,
    login: &'static str,
}

impl Client {
    /// One client for each version of HTTP.
    pub(crate) fn both(server: &Server, login: &'static str) -> [Self; 2] {
        let client = |address, http2| Self { address, http2, login };
        [client(server.http1, false), client(server.http2, true)]
    }

    pub(crate) fn of(server: &Server, login: &'static str) -> Self {
        Self { address: server.http1, http2: false, login }
    }

    /// The same client with another login.
    pub(crate) fn as_other(&self, login: &'static str) -> Self {
        Self { login, ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, &[("content-type", "application/json")], &body.to_string()).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::PATCH, path, &[("content-type", "application/json")], &body.to_string()).await
    }

    /// Sends a request to a path under the base.
    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let path = format!("{BASE}{path}");
        let authority = self.address.to_string();
        let mut request = Request::builder().method(method);
        request = if self.http2 {
            let uri = Uri::builder().scheme("http").authority(&*authority).path_and_query(path).build().unwrap();
            request.uri(uri)
        } else {
            request.uri(path).header("host", authority)
        };
        if !self.login.is_empty() {
            request = request.header("x-test-login", self.login);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        let response = if self.http2 {
            connect_http2(self.address).await.send_request(request).await
        } else {
            connect_http1(self.address).await.send_request(request).await
        };
        Reply::of(response.unwrap()).await
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

pub(crate) fn console(keys: &KeyManager<MemoryStore>) -> Console {
    Console::new(keys.clone())
}
