//! A small client. The tests spell out what it sends and receives.

use std::net::IpAddr;

use axum::http::{HeaderMap, Method, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::server::Server;

/// Calls the API of one server. An empty key is no key.
#[derive(Clone)]
pub(super) struct Api {
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// A user who has signed up.
pub(super) struct User {
    pub(super) key: String,
    pub(super) username: String,
}

impl Api {
    pub(super) fn of(server: &Server) -> Self {
        Self { base: server.base.clone(), client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// A client that speaks HTTP/2 from its first byte on.
    pub(super) fn http2(server: &Server) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        Self { base: server.base.clone(), client: builder.http2_only(true).build_http() }
    }

    /// A client at another address of this machine.
    pub(super) fn from_address(server: &Server, address: IpAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_local_address(Some(address));
        Self { base: server.base.clone(), client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    pub(super) async fn get(&self, key: &str, path: &str) -> Reply {
        self.call(Method::GET, key, path, None).await
    }

    pub(super) async fn post(&self, key: &str, path: &str, body: Value) -> Reply {
        self.call(Method::POST, key, path, Some(body)).await
    }

    /// A POST without a body.
    pub(super) async fn order(&self, key: &str, path: &str) -> Reply {
        self.call(Method::POST, key, path, None).await
    }

    pub(super) async fn call(&self, method: Method, key: &str, path: &str, body: Option<Value>) -> Reply {
        let headers: &[_] = if body.is_some() { &[("content-type", "application/json")] } else { &[] };
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.send(method, key, path, headers, body).await
    }

    pub(super) async fn send(
        &self,
        method: Method,
        key: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let url = if path.starts_with("http:") { path.to_owned() } else { format!("{}{path}", self.base) };
        let mut request = Request::builder().method(method).uri(url);
        if !key.is_empty() {
            request = request.header("X-Avala-Api-Key", key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        let (parts, body) = self.client.request(request).await.expect("a response").into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let body = String::from_utf8(body.to_vec()).expect("UTF-8");
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Signs up a user with this name.
    pub(super) async fn sign_up(&self, name: &str) -> User {
        let body = json!({"email": format!("{name}@example.com"), "password": "correct horse battery staple"});
        let reply = self.post("", "/signup/", body).await.expect(201);
        let user = &reply["user"];
        User { key: text(&reply["api_key"]), username: text(&user["username"]) }
    }

    /// Makes a key, and returns the response.
    pub(super) async fn make_key(&self, owner: &str, body: Value) -> Value {
        self.post(owner, "/api-keys/", body).await.expect(201)
    }
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the status and returns the body.
    pub(super) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }

    /// Checks status and body, byte for byte.
    pub(super) fn expect_text(&self, status: u16, body: &str) {
        assert_eq!((self.status, &*self.body), (status, body), "{self:?}");
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
    }

    /// The only value of a header, empty if there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str().expect("ASCII")).unwrap_or_default();
        assert!(values.next().is_none(), "{name} is repeated: {self:?}");
        value
    }
}

pub(super) const NO_KEY: &str = r#"{"detail":"Authentication credentials were not provided."}"#;
pub(super) const INVALID_KEY: &str = r#"{"detail":"Invalid API key."}"#;
pub(super) const EXPIRED: &str = r#"{"detail":"API key has expired."}"#;
pub(super) const FORBIDDEN: &str = r#"{"detail":"You do not have permission to perform this action."}"#;
pub(super) const NOT_FOUND: &str = r#"{"detail":"Not found."}"#;
pub(super) const CONFLICT: &str = r#"{"detail":"The key is revoked, replaced or suspended."}"#;

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

/// Sends these very bytes and returns the status and the whole response.
pub(super) async fn raw(server: &Server, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server.address()).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("a response in UTF-8");
    let status = response.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {response:?}")), response)
}
