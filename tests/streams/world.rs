//! Keys that a layer has accepted.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use http::{Request, Response};
use tokio::time::{Instant, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_api_key::auth::{KeyEnded, RequireScopesLayer};
use tower_api_key::manage::IssuedKey;
use tower_api_key::scope::avala::{DATASETS_READ, DATASETS_WRITE};
use tower_api_key::store::KeyBackend;
use tower_api_key::{Access, ApiKey, ApiKeyLayer, KeyManager, NewKey, OrganizationId, Rejection};

pub(crate) const ACME: OrganizationId = OrganizationId::from_static("acme");

pub(crate) async fn issue(store: &(impl KeyBackend + Clone)) -> IssuedKey {
    let new = NewKey::new("stream", Access::scoped([DATASETS_READ, DATASETS_WRITE])).unwrap();
    KeyManager::new(store.clone()).issue(&ACME, new).await.unwrap()
}

fn handler() -> impl Service<Request<String>, Response = Response<String>, Error = Infallible, Future: Send> + Clone {
    service_fn(async |request: Request<String>| {
        let key = request.extensions().get::<ApiKey>().cloned().unwrap();
        Ok(Response::builder().extension(key).body(String::new()).unwrap())
    })
}

/// Returns the key of a request as its handler has it.
pub(crate) async fn accepted(layer: &ApiKeyLayer, issued: &IssuedKey) -> ApiKey {
    let response = layer.layer(handler()).oneshot(request(issued)).await.unwrap();
    response.extensions().get::<ApiKey>().cloned().expect("the request is accepted")
}

/// The same, inside layers that require scopes.
pub(crate) async fn accepted_inside(layer: &ApiKeyLayer, gates: [RequireScopesLayer; 2], issued: &IssuedKey) -> ApiKey {
    let [outer, inner] = gates;
    let service = layer.layer(outer.layer(inner.layer(handler())));
    service.oneshot(request(issued)).await.unwrap().extensions().get::<ApiKey>().cloned().expect("it is accepted")
}

fn request(issued: &IssuedKey) -> Request<String> {
    let key = issued.secret.expose_secret();
    Request::get("/datasets/").header("x-avala-api-key", key).body(String::new()).unwrap()
}

/// Waits for the end of a key, and returns the reason with the time that it has taken.
pub(crate) async fn end(ended: &mut KeyEnded) -> (Rejection, Duration) {
    let begun = Instant::now();
    let rejection = timeout(Duration::from_secs(60), ended).await.expect("the key ends");
    (rejection, begun.elapsed())
}

/// Returns whether the key is still valid after ten seconds.
pub(crate) async fn is_open(ended: &mut KeyEnded) -> bool {
    timeout(Duration::from_secs(10), ended).await.is_err()
}

/// Polls once, so that the key is watched.
pub(crate) fn watch(ended: &mut (impl Future<Output = Rejection> + Unpin)) {
    assert_eq!(ended.now_or_never(), None, "the key has ended already");
}
