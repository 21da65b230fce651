//! What every combination must answer.

use std::convert::Infallible;
use std::fmt;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::{Service, ServiceExt};
use tower_api_key::auth::RequireScopesLayer;
use tower_api_key::scope::avala;
use tower_api_key::{Access, ApiKeyLayer};

use crate::support::keys::KEY;
use crate::support::seen::Seen;
use crate::support::store::store;

pub(crate) const PATH: &str = "/v1/datasets";
pub(crate) const HANDLED: &str = "the datasets, at such length that they are worth compressing";

/// Accepts [`KEY`], which may read datasets and nothing else.
pub(crate) fn key_layer() -> ApiKeyLayer {
    ApiKeyLayer::new(store(Access::scoped([avala::DATASETS_READ])))
}

/// Accepts what [`key_layer`] accepts.
pub(crate) fn scopes_layer() -> RequireScopesLayer {
    RequireScopesLayer::new(avala::DATASETS_READ)
}

/// Rejects without a key, and handles with one. It has no errors, so that no outer layer has to handle any.
pub(crate) async fn assert_answers<S, B, R>(name: &str, service: S, body: impl Fn() -> B)
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible> + Clone,
    R: Body<Data = Bytes, Error: fmt::Debug>,
{
    let rejected = ask(service.clone(), request("", body())).await;
    assert_is_rejection(name, &rejected);
    let accepted = ask(service, request(KEY, body())).await;
    assert_eq!((accepted.status, &*accepted.body), (200, HANDLED.as_bytes()), "{name}");
}

pub(crate) fn assert_is_rejection(name: &str, reply: &Seen) {
    let body = r#"{"detail":"Authentication credentials were not provided."}"#;
    assert_eq!((reply.status, &*reply.body), (401, body.as_bytes()), "{name}");
    let challenge = r#"www-authenticate: ApiKey realm="api", header="X-Avala-Api-Key""#;
    for line in [challenge, "cache-control: no-store", "content-type: application/json"] {
        assert!(reply.headers.iter().any(|header| header == line), "{name}: {reply:?}");
    }
}

pub(crate) async fn ask<S, B, R>(service: S, request: Request<B>) -> Seen
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
    R: Body<Data = Bytes, Error: fmt::Debug>,
{
    let Ok(response) = service.oneshot(request).await;
    Seen::of(response).await.unwrap()
}

/// With this key; without one, when it is empty.
pub(crate) fn request<B>(key: &str, body: B) -> Request<B> {
    let request = Request::get(PATH);
    let request = if key.is_empty() { request } else { request.header("X-Avala-Api-Key", key) };
    request.body(body).unwrap()
}
