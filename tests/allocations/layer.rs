//! How often the layer allocates in addition to the inner service. Unlike times, these counts do not vary.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use allocation_counter::measure;
use futures::FutureExt;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use tower::{Layer, Service};
use tower_api_key::decision::Denial;
use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::routes::{RouteTable, Unlisted};
use tower_api_key::scope::avala;
use tower_api_key::usage::UsageTracker;
use tower_api_key::{Access, ApiKeyLayer, KeyStore, MemoryStore, Rejection, Requirement};

use crate::support::keys::KEY;
use crate::support::request::request;
use crate::support::store::store;

/// Responds at once, with or without a header of its own.
#[derive(Clone, Copy)]
struct Inner {
    header: bool,
}

const PLAIN: Inner = Inner { header: false };
const WITH_HEADER: Inner = Inner { header: true };

impl Service<Request<String>> for Inner {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        let mut response = Response::new(());
        if self.header {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        ready(Ok(response))
    }
}

/// A store that must be awaited.
struct Awaited(MemoryStore);

impl KeyStore for Awaited {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        self.0.find(digest).await
    }
}

/// The allocations of one call after a few earlier ones, without a key if `key` is empty.
fn allocations<S, B>(mut service: S, key: &str, status: StatusCode) -> u64
where
    S: Service<Request<String>, Response = Response<B>, Error = Infallible>,
{
    let mut allocations = 0;
    for _ in 0..3 {
        let request = request(key);
        allocations = measure(|| {
            let Some(Ok(response)) = service.call(request).now_or_never() else { panic!("it waits") };
            assert_eq!(response.status(), status);
        })
        .count_total;
    }
    allocations
}

fn over_inner(layer: &ApiKeyLayer, inner: Inner) -> u64 {
    let floor = allocations(inner, KEY, StatusCode::OK);
    allocations(layer.layer(inner), KEY, StatusCode::OK) - floor
}

fn layer() -> ApiKeyLayer {
    ApiKeyLayer::new(store(Access::scoped([avala::DATASETS_READ]))).require(avala::DATASETS_READ)
}

#[test]
fn accepted_request_allocates_only_extensions() {
    assert_eq!(over_inner(&layer().keep_header().without_cache_control(), PLAIN), 3);
    assert_eq!(over_inner(&layer().without_cache_control(), PLAIN), 3);
}

#[test]
fn cache_control_allocates_only_without_header() {
    assert_eq!(over_inner(&layer(), WITH_HEADER), 3);
    assert_eq!(over_inner(&layer(), PLAIN), 5);
}

#[tokio::test]
async fn pending_lookup_allocates_once_more() {
    let awaited = ApiKeyLayer::new(Awaited(store(Access::Full))).without_cache_control();
    assert_eq!(over_inner(&awaited, PLAIN), 4);
}

#[test]
fn usage_tracking_of_known_key_allocates_nothing() {
    let usage = UsageTracker::new();
    assert_eq!(over_inner(&layer().without_cache_control().track_usage(&usage), PLAIN), 3);
}

#[test]
fn route_table_allocates_nothing() {
    for patterns in [
        &["/datasets/", "/datasets"][..],
        &["/datasets/{uid}/tasks", "/{*path}"],
        &["/datasets/{*path}", "/{kind}/{uid}"],
        &["/data{kind}/", "/datasets"],
        &["/projects/"],
    ] {
        let table = patterns
            .iter()
            .fold(RouteTable::builder(), |table, pattern| table.route(Method::GET, *pattern, Requirement::any_key()));
        let table = table.unlisted(Unlisted::InsecureAnyKey).build().unwrap();
        let layer = ApiKeyLayer::new(store(Access::Full)).without_cache_control().routes(table);
        assert_eq!(over_inner(&layer, PLAIN), 3, "{patterns:?}");
    }
}

#[test]
fn rejection_allocates_only_headers() {
    let service = || layer().layer(PLAIN);
    assert_eq!(allocations(service(), "", StatusCode::UNAUTHORIZED), 2);
    assert_eq!(allocations(service(), "unknown", StatusCode::UNAUTHORIZED), 2);
    let scope = layer().require(avala::EXPORTS_CREATE).layer(PLAIN);
    assert_eq!(allocations(scope, KEY, StatusCode::FORBIDDEN), 2);
    let expired = Rejection::from(Denial::Expired);
    // The first response makes the headers that the others copy.
    drop(expired.to_response());
    assert_eq!(measure(|| drop(expired.to_response())).count_total, 2);
}
