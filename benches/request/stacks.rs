//! The rows of the table: a floor, and after it what is compared with it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use futures::executor::block_on;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use tower::Layer;
use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::routes::{RouteTable, RouteTableBuilder};
use tower_api_key::scope::avala;
use tower_api_key::store::CachedStore;
use tower_api_key::throttle::{Limit, LimitHeaders, LimitRule};
use tower_api_key::usage::UsageTracker;
use tower_api_key::{ApiKeyLayer, KeyStore, MemoryStore, Requirement};

use crate::case::{Case, KEY, request};
use crate::inner::Inner;
use crate::keys::{presented, store, text, tomorrow, unknown, value};

pub(crate) struct Row {
    pub(crate) floor: bool,
    pub(crate) case: Case,
}

/// Layers that more than one table measures.
pub(crate) struct Stacks {
    pub(crate) same_work: ApiKeyLayer,
    pub(crate) default: ApiKeyLayer,
    pub(crate) recommended: ApiKeyLayer,
}

impl Stacks {
    pub(crate) fn new() -> Self {
        let keys = store(1_000, Some(tomorrow()));
        let default = ApiKeyLayer::new(keys.clone()).require(avala::DATASETS_READ);
        let values: Vec<_> = (0..1_000).map(|number| value(text(number))).collect();
        let recommended = ApiKeyLayer::new(cached(keys, &values)).routes(table()).limit(rule());
        let recommended = recommended.track_usage(&UsageTracker::new()).on_decision(hook);
        Self { same_work: lean(default.clone()), default, recommended }
    }
}

/// Requests for a path, with these keys in turns.
pub(crate) struct Requests {
    values: Arc<[HeaderValue]>,
    path: &'static str,
}

impl Requests {
    pub(crate) fn new(values: Arc<[HeaderValue]>, path: &'static str) -> Self {
        Self { values, path }
    }

    fn floor(&self, name: &'static str, inner: Inner) -> Row {
        Row { floor: true, case: Case::sending(name, self.next(), inner, StatusCode::OK) }
    }

    fn row(&self, name: &'static str, layer: &ApiKeyLayer, inner: Inner, status: StatusCode) -> Row {
        Row { floor: false, case: Case::sending(name, self.next(), layer.layer(inner), status) }
    }

    pub(crate) fn next(&self) -> Box<dyn FnMut() -> Request<Body>> {
        let (values, uri) = (Arc::clone(&self.values), Uri::from_static(self.path));
        let mut at = 0;
        Box::new(move || {
            let value = values.get(at);
            at = if at + 1 < values.len() { at + 1 } else { 0 };
            let mut request = request(&KEY, value);
            *request.uri_mut() = uri.clone();
            request
        })
    }
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = plain();
    rows.extend(tables());
    rows.extend(with_headers());
    rows
}

const OK: StatusCode = StatusCode::OK;

/// The inner response has no header.
fn plain() -> Vec<Row> {
    let values = presented(1_000);
    let keys = store(1_000, Some(tomorrow()));
    let layer = ApiKeyLayer::new(keys.clone());
    let default = layer.clone().require(avala::DATASETS_READ);
    let same = lean(default.clone());
    let (good, none) = (Requests::new(Arc::clone(&values), "/datasets"), Requests::new([].into(), "/datasets"));
    let eternal = lean(ApiKeyLayer::new(store(1_000, None)).require(avala::DATASETS_READ));
    vec![
        good.floor("bare service", Inner::PLAIN),
        good.row("same work", &same, Inner::PLAIN, OK),
        good.row("same work, keys without expiry", &eternal, Inner::PLAIN, OK),
        good.row("default", &default, Inner::PLAIN, OK),
        good.row("default, limit", &default.clone().limit(rule()), Inner::PLAIN, OK),
        good.row(
            "default, limit of the README",
            &default.clone().limit(LimitRule::per_key(Limit::per_minute(100))),
            Inner::PLAIN,
            OK,
        ),
        good.row(
            "default, limit, no headers",
            &default.clone().limit(rule().headers(LimitHeaders::None)),
            Inner::PLAIN,
            OK,
        ),
        good.row(
            "default, limit, five headers",
            &default.clone().limit(rule().headers(LimitHeaders::Both)),
            Inner::PLAIN,
            OK,
        ),
        good.row("same work, usage", &same.clone().track_usage(&UsageTracker::new()), Inner::PLAIN, OK),
        good.row("same work, hook", &same.clone().on_decision(hook), Inner::PLAIN, OK),
        good.row(
            "same work, cache",
            &lean(ApiKeyLayer::new(cached(keys, &values)).require(avala::DATASETS_READ)),
            Inner::PLAIN,
            OK,
        ),
        good.row("rejected: scope missing", &layer.require(avala::EXPORTS_CREATE), Inner::PLAIN, StatusCode::FORBIDDEN),
        Requests::new(unknown(), "/datasets").row(
            "rejected: unknown key",
            &default,
            Inner::PLAIN,
            StatusCode::UNAUTHORIZED,
        ),
        none.floor("bare service, no key", Inner::PLAIN),
        none.row("rejected: no header", &default, Inner::PLAIN, StatusCode::UNAUTHORIZED),
    ]
}

/// What a table takes, by its patterns and the path.
fn tables() -> Vec<Row> {
    let keys = lean(ApiKeyLayer::new(store(1_000, Some(tomorrow()))).require(avala::DATASETS_READ));
    let route = |table: RouteTableBuilder, pattern: &str| table.route(Method::GET, pattern, avala::DATASETS_READ);
    let filled = |number: usize, slash: &str| {
        (1..number).fold(RouteTable::builder(), |table, n| route(table, &format!("/resource{n}/{{uid}}{slash}")))
    };
    let built = |table: RouteTableBuilder| keys.clone().routes(table.build().expect("no two lines are alike"));
    let both = route(route(filled(100, "/"), "/datasets"), "/datasets/");
    let net = route(filled(100, ""), "/datasets").route(Method::GET, "/{*path}", Requirement::full_access());
    let long = "/organizations/acme/projects/0195f3a2-77c1-7e3a-9c55-1f0f3a6f0a11/datasets/4711/items";
    let deep = route(filled(100, ""), "/organizations/{organization}/projects/{project}/datasets/{uid}/items");
    let open = filled(100, "").unlisted(tower_api_key::routes::Unlisted::InsecureAnyKey);
    let short = Requests::new(presented(1_000), "/datasets");
    let deeper = Requests::new(presented(1_000), long);
    vec![
        short.floor("same service, no table", Inner::PLAIN),
        short.row("no table", &keys, Inner::PLAIN, OK),
        short.row("table of 10, no slashes", &built(route(filled(10, ""), "/datasets")), Inner::PLAIN, OK),
        short.row("table of 10, slashes", &built(route(filled(10, "/"), "/datasets")), Inner::PLAIN, OK),
        short.row("table of 1,000, slashes", &built(route(filled(1_000, "/"), "/datasets")), Inner::PLAIN, OK),
        short.row("table, both forms listed", &built(both), Inner::PLAIN, OK),
        short.row("table, a net for the rest", &built(net.clone()), Inner::PLAIN, OK),
        short.row("table, unlisted route", &built(open), Inner::PLAIN, OK),
        deeper.floor("same service, no table, long path", Inner::PLAIN),
        deeper.row("no table, long path", &keys, Inner::PLAIN, OK),
        deeper.row("table, long path", &built(deep), Inner::PLAIN, OK),
    ]
}

/// The inner response has a header, and parts are added until the stack is what the README recommends.
fn with_headers() -> Vec<Row> {
    let values = presented(1_000);
    let good = Requests::new(Arc::clone(&values), "/datasets");
    let keys = store(1_000, Some(tomorrow()));
    let row = |name, layer: &ApiKeyLayer| good.row(name, layer, Inner::WITH_HEADER, OK);
    let memory = ApiKeyLayer::new(keys.clone()).require(avala::DATASETS_READ);
    let cached = ApiKeyLayer::new(cached(keys, &values));
    let table = cached.clone().routes(table());
    let limited = table.clone().limit(rule());
    let counted = limited.clone().track_usage(&UsageTracker::new());
    vec![
        good.floor("bare service, response with a header", Inner::WITH_HEADER),
        row("default, response with a header", &memory),
        row("stack: cache", &cached),
        row("stack: cache, table", &table),
        row("stack: cache, table, limit", &limited),
        row("stack: cache, table, limit, usage", &counted),
        row("stack: cache, table, limit, usage, hook", &counted.on_decision(hook)),
    ]
}

fn hook(event: &tower_api_key::observe::DecisionEvent<'_>) {
    std::hint::black_box(event.outcome());
}

fn lean(layer: ApiKeyLayer) -> ApiKeyLayer {
    layer.keep_header().without_cache_control()
}

fn rule() -> LimitRule {
    LimitRule::per_key(Limit::per_day(u32::MAX))
}

fn table() -> RouteTable {
    let table = (1..100).fold(RouteTable::builder(), |table, number| {
        table.route(Method::GET, format!("/resource{number}/{{uid}}/"), avala::DATASETS_READ)
    });
    table.route(Method::GET, "/datasets", avala::DATASETS_READ).build().expect("no two lines are alike")
}

/// A cache in front of a store that must be awaited, with these keys in it.
fn cached(store: MemoryStore, values: &[HeaderValue]) -> impl KeyStore {
    let cache = CachedStore::builder(Awaited(store)).time_to_live(std::time::Duration::from_secs(3_600)).build();
    for value in values {
        let found = block_on(cache.find(&KeyDigest::hash(value.as_bytes()))).expect("memory does not fail");
        assert!(found.is_some());
    }
    cache
}

struct Awaited(MemoryStore);

impl KeyStore for Awaited {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        self.0.find(digest).await
    }
}
