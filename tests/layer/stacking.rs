//! Layers of this crate inside each other: which one authenticates, which one only adds a requirement, and how a stack
//! that can never work responds.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::{HeaderName, Request, Response};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_api_key::auth::RequireScopesLayer;
use tower_api_key::decision::Denial;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord, OrganizationPolicy};
use tower_api_key::observe::Outcome;
use tower_api_key::scope::avala;
use tower_api_key::store::{
    BackendError, DynKeyBackend, InsertRules, Inserted, KeyBackend, KeyCounts, KeyUpdate, KeyUsage, ListKeys, Lookup,
    NewRecord, Organizations, Page, Replacement, StoreId,
};
use tower_api_key::{
    Access, ApiKey, ApiKeyLayer, KeyStore, MemoryStore, OrganizationId, Rejection, Requirement, Scope,
};

use crate::support::awaited::Awaited;
use crate::support::handler::Handler;
use crate::support::keys::{KEY, record};
use crate::support::log_lines::{record_log, take_log};
use crate::support::reply::{INVALID, Reply};
use crate::support::request::request;

const MISSING: &str = r#"{"detail":"Authentication credentials were not provided."}"#;
const FORBIDDEN: &str = r#"{"detail":"You do not have permission to perform this action."}"#;
const MISCONFIGURED: &str = r#"{"detail":"Internal server error."}"#;

/// Cases: 36.
#[tokio::test]
async fn one_layer_authenticates_and_routes_require_scopes() {
    let keys = Keys::new();
    let route = |requirement: Requirement| get(async || "handled").layer(RequireScopesLayer::new(requirement));
    let app = Router::new()
        .route("/read", route(avala::DATASETS_READ.into()))
        .route("/write", route(avala::DATASETS_WRITE.into()))
        .route("/both", route(Requirement::all_of([avala::DATASETS_READ, avala::DATASETS_WRITE])))
        .route("/manage", route(Requirement::full_access()))
        .route("/unmeetable", route(Requirement::any_of([])))
        .route("/undeclared", get(async || "handled"))
        .layer(ApiKeyLayer::new(keys.store.clone()));
    let paths = ["/read", "/write", "/both", "/manage", "/unmeetable", "/undeclared"];
    for (key, statuses) in [
        (&*keys.read, [200, 403, 403, 403, 403, 200]),
        (&*keys.write, [403, 200, 403, 403, 403, 200]),
        (&*keys.both, [200, 200, 200, 403, 403, 200]),
        (&*keys.nothing, [403, 403, 403, 403, 403, 200]),
        (&*keys.full, [200, 200, 200, 200, 403, 200]),
        ("unknown", [401; 6]),
        ("", [401; 6]),
    ] {
        for (path, status) in paths.iter().zip(statuses) {
            let mut request = request(key);
            *request.uri_mut() = path.parse().unwrap();
            let reply = Reply::of(app.clone().oneshot(request).await.unwrap()).await;
            assert_eq!(reply.status, status, "{path} {key}");
            let body = match (status, key) {
                (200, _) => "handled",
                (403, _) => FORBIDDEN,
                (_, "") => MISSING,
                _ => INVALID,
            };
            assert_eq!(reply.body, body, "{path} {key}");
        }
    }
}

#[tokio::test]
async fn scopes_layer_outside_key_layer_is_500() {
    let (keys, handler) = (Keys::new(), Handler::default());
    let outer = RequireScopesLayer::new(avala::DATASETS_READ);
    for layer in [ApiKeyLayer::new(keys.store.clone()), ApiKeyLayer::new(Awaited(keys.store.clone()))] {
        let wrong = outer.layer(layer.layer(handler.service()));
        for key in [&keys.full, "unknown", ""] {
            record_log();
            let reply = Reply::of(wrong.clone().oneshot(request(key)).await.unwrap()).await;
            assert_eq!((reply.status, &*reply.body), (500, MISCONFIGURED), "{key}");
            assert_eq!(reply.headers["cache-control"], "no-store");
            let [line] = &take_log()[..] else { panic!("one line is expected") };
            for part in ["ERROR ", "RequireScopesLayer", "no ApiKeyLayer is outside it", "answering 500"] {
                assert!(line.contains(part), "{part:?} in {line}");
            }
        }
    }
    // In a router, the layer that is added last is outside.
    let wrong = Router::new().route("/datasets/", get(async || "handled"));
    let wrong = wrong.layer(ApiKeyLayer::new(keys.store.clone())).layer(outer);
    assert_eq!(wrong.oneshot(request(&keys.full)).await.unwrap().status(), 500);
    assert_eq!(handler.calls(), 0);
}

/// Cases: 38.
/// For every way of having one store twice.
#[tokio::test]
async fn second_layer_on_same_store_adds_requirement() {
    let keys = Keys::new();
    for stack in Stack::on_one_store(&keys) {
        let (events, handler) = (Events::default(), Handler::default());
        let outer = events.report(stack.outer).require(avala::DATASETS_READ);
        let inner = stack.inner.require(avala::DATASETS_WRITE);
        let service = outer.layer(inner.layer(handler.service()));
        let insufficient = Outcome::Rejected(Denial::InsufficientScope.into());
        let unknown = Outcome::Rejected(Denial::Unknown.into());
        for (key, status, outcome) in [
            (&*keys.read, 403, insufficient),
            (&*keys.write, 403, insufficient),
            (&*keys.both, 200, Outcome::Accepted),
            (&*keys.full, 200, Outcome::Accepted),
            ("unknown", 401, unknown),
        ] {
            record_log();
            let calls = handler.calls();
            let response = service.clone().oneshot(request(key)).await.unwrap();
            assert_eq!(response.status(), status, "{} {key}", stack.name);
            assert_eq!(events.take(), [(outcome, Some(status))], "{} {key}", stack.name);
            assert_eq!(stack.counted.take(), stack.lookups, "{} {key}", stack.name);
            assert_eq!(handler.calls() - calls, usize::from(status == 200), "{} {key}", stack.name);
            assert_eq!(take_log(), [""; 0], "{} {key}", stack.name);
        }
    }
}

/// Cases: 38.
/// Both layers have the hook, as they have when one is a clone of the other.
#[tokio::test]
async fn two_layers_with_one_hook_report_once() {
    let keys = Keys::new();
    let events = Events::default();
    let layer = events.report(ApiKeyLayer::new(keys.store.clone()));
    let service = layer.layer(layer.clone().require(avala::DATASETS_READ).layer(Handler::default().service()));
    for (key, status, outcome) in [
        (&*keys.read, 200, Outcome::Accepted),
        (&*keys.write, 403, Outcome::Rejected(Denial::InsufficientScope.into())),
    ] {
        assert_eq!(service.clone().oneshot(request(key)).await.unwrap().status(), status);
        assert_eq!(events.take(), [(outcome, Some(status))]);
    }
}

/// Cases: 38.
/// Four requirements in four places, each of which rejects in its turn.
#[tokio::test]
async fn deep_stack_enforces_each_requirement() {
    let keys = Keys::new();
    let all = [avala::DATASETS_READ, avala::DATASETS_WRITE, avala::TASKS_READ, avala::PROJECTS_READ];
    let events = Events::default();
    let layer = ApiKeyLayer::new(keys.store.clone());
    let service = events.report(layer.clone()).require(all[0].clone()).layer(
        RequireScopesLayer::new(all[1].clone()).layer(
            layer
                .require(all[2].clone())
                .layer(RequireScopesLayer::new(all[3].clone()).layer(Handler::default().service())),
        ),
    );
    for missing in 0..all.len() {
        let scopes = all.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, scope)| scope.clone());
        let key = keys.add(&format!("without-{missing}"), Access::scoped(scopes));
        assert_eq!(service.clone().oneshot(request(&key)).await.unwrap().status(), 403, "without {}", all[missing]);
        assert_eq!(events.take(), [(Outcome::Rejected(Denial::InsufficientScope.into()), Some(403))]);
    }
    let key = keys.add("with-all", Access::scoped(all));
    assert_eq!(service.oneshot(request(&key)).await.unwrap().status(), 200);
}

/// A store without an id is not recognized.
#[tokio::test]
async fn store_without_id_is_never_the_same_store() {
    let counted = Arc::new(Counted { keys: MemoryStore::new(), lookups: AtomicUsize::new(0), named: false });
    counted.keys.add(record(Access::Full)).unwrap();
    let layer = || ApiKeyLayer::new(Arc::clone(&counted));
    let service = layer().layer(layer().layer(Handler::default().service()));
    assert_eq!(service.oneshot(request(KEY)).await.unwrap().status(), 500);
    let service = layer().keep_header().layer(layer().layer(Handler::default().service()));
    assert_eq!(service.oneshot(request(KEY)).await.unwrap().status(), 200);
    assert_eq!(counted.take(), 3);
}

#[tokio::test]
async fn inner_layer_of_other_store_without_header_is_500() {
    let (outside, inside, handler) = (Keys::new(), Keys::new(), Handler::default());
    let events = Events::default();
    for inner in [ApiKeyLayer::new(inside.store.clone()), ApiKeyLayer::new(Awaited(inside.store.clone()))] {
        let inner = events.report(inner);
        let service = ApiKeyLayer::new(outside.store.clone()).layer(inner.layer(handler.service()));
        record_log();
        let reply = Reply::of(service.clone().oneshot(request(&outside.full)).await.unwrap()).await;
        assert_eq!((reply.status, &*reply.body), (500, MISCONFIGURED));
        let [line] = &take_log()[..] else { panic!("one line is expected") };
        for part in ["ERROR ", "an ApiKeyLayer is inside another one", "keep_header()", "answering 500"] {
            assert!(line.contains(part), "{part:?} in {line}");
        }
        assert_eq!(events.take(), [(Outcome::Rejected(Rejection::Misconfigured), Some(500))]);

        // What does not pass the outer layer never gets to the mistake.
        for key in ["unknown", ""] {
            assert_eq!(service.clone().oneshot(request(key)).await.unwrap().status(), 401);
        }
        assert_eq!(take_log(), [""; 0]);
    }
    assert_eq!(handler.calls(), 0);
}

#[tokio::test]
async fn inner_layer_with_other_header_requires_it() {
    let (outside, inside) = (Keys::new(), Keys::new());
    let partner = HeaderName::from_static("x-partner-key");
    let inner = ApiKeyLayer::new(inside.store.clone()).header(partner.clone());
    let service = ApiKeyLayer::new(outside.store.clone()).layer(inner.layer(whoami()));
    record_log();
    let reply = Reply::of(service.clone().oneshot(request(&outside.full)).await.unwrap()).await;
    assert_eq!((reply.status, &*reply.body), (401, MISSING));
    assert_eq!(reply.headers["www-authenticate"], r#"ApiKey realm="api", header="X-Partner-Key""#);

    for (key, status) in [(&*inside.full, 200), (&*outside.full, 401)] {
        let mut request = request(&outside.full);
        request.headers_mut().insert(partner.clone(), key.parse().unwrap());
        let reply = Reply::of(service.clone().oneshot(request).await.unwrap()).await;
        assert_eq!(reply.status, status);
        if status == 200 {
            assert_eq!(reply.body, id_of(&inside.full), "the handler sees whom the inner layer let in");
        }
    }
    assert_eq!(take_log(), [""; 0]);
}

#[tokio::test]
async fn outer_layer_keeping_header_allows_both_layers() {
    let (outside, inside) = (Counted::named(), Counted::named());
    for counted in [&outside, &inside] {
        counted.keys.add(record(Access::scoped([avala::DATASETS_READ]))).unwrap();
    }
    let only_outside = add(&outside.keys, "only-outside", Access::Full);
    let only_inside = add(&inside.keys, "only-inside", Access::Full);
    let outer = ApiKeyLayer::new(Arc::clone(&outside)).keep_header();
    let service = outer.layer(ApiKeyLayer::new(Arc::clone(&inside)).require(avala::DATASETS_READ).layer(whoami()));
    for (key, status, lookups) in [(KEY, 200, [1, 1]), (&only_outside, 401, [1, 1]), (&only_inside, 401, [1, 0])] {
        let response = service.clone().oneshot(request(key)).await.unwrap();
        assert_eq!(response.status(), status, "{key}");
        assert_eq!([outside.take(), inside.take()], lookups, "{key}");
    }
}

#[tokio::test]
async fn header_is_removed_if_either_layer_removes_it() {
    let keys = Keys::new();
    let layer = || ApiKeyLayer::new(keys.store.clone());
    let has_header = service_fn(async |request: Request<String>| {
        Ok::<_, Infallible>(Response::new(request.headers().contains_key("x-avala-api-key").to_string()))
    });
    for (outer, inner, kept) in [
        (layer(), layer(), "false"),
        (layer().keep_header(), layer(), "false"),
        (layer(), layer().keep_header(), "false"),
        (layer().keep_header(), layer().keep_header(), "true"),
    ] {
        let response = outer.layer(inner.layer(has_header)).oneshot(request(&keys.full)).await.unwrap();
        assert_eq!(Reply::of(response).await.body, kept);
    }
}

#[tokio::test]
async fn require_and_require_with_are_both_enforced() {
    let keys = Keys::new();
    for layer in [ApiKeyLayer::new(keys.store.clone()), ApiKeyLayer::new(Awaited(keys.store.clone()))] {
        let asked = Arc::new(AtomicUsize::new(0));
        let asks = Arc::clone(&asked);
        let layer = layer.require(avala::DATASETS_READ).require_fn(move |request| {
            asks.fetch_add(1, Ordering::SeqCst);
            assert_eq!((request.method().as_str(), request.path()), ("GET", "/datasets/"));
            avala::DATASETS_WRITE.into()
        });
        let service = layer.layer(Handler::default().service());
        for (key, status) in
            [(&*keys.read, 403), (&*keys.write, 403), (&*keys.nothing, 403), (&*keys.both, 200), (&*keys.full, 200)]
        {
            assert_eq!(service.clone().oneshot(request(key)).await.unwrap().status(), status);
        }
        asked.store(0, Ordering::SeqCst);
        for key in ["unknown", ""] {
            assert_eq!(service.clone().oneshot(request(key)).await.unwrap().status(), 401);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 0, "it is asked for valid keys only");
    }
}

#[tokio::test]
async fn second_layer_requirement_function_is_enforced() {
    let keys = Keys::new();
    let layer = ApiKeyLayer::new(keys.store.clone());
    let inner = layer.clone().require_fn(|_| avala::DATASETS_WRITE.into());
    let service = layer.require(avala::DATASETS_READ).layer(inner.layer(Handler::default().service()));
    for (key, status) in [(&*keys.read, 403), (&*keys.write, 403), (&*keys.both, 200)] {
        assert_eq!(service.clone().oneshot(request(key)).await.unwrap().status(), status);
    }
}

/// Each key layer responds in its own form, and a layer on a route in that of the key layer outside it.
#[tokio::test]
async fn route_rejections_are_rendered_by_outer_layer() {
    let keys = Keys::new();
    let outer = ApiKeyLayer::new(keys.store.clone()).expose_rejection().rejection_response(|rejected| {
        let mut response = rejected.response();
        *response.body_mut() = format!("no: {}", rejected.rejection().code()).into();
        response
    });
    let service = outer.layer(RequireScopesLayer::new(avala::DATASETS_WRITE).layer(Handler::default().service()));
    let response = service.oneshot(request(&keys.read)).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&Rejection::from(Denial::InsufficientScope)));
    let reply = Reply::of(response).await;
    assert_eq!((reply.status, &*reply.body), (403, "no: insufficient_scope"));
}

/// Cases: 23.
/// An identity that is not this crate's own neither counts as a first layer nor reaches the handler.
#[tokio::test]
async fn forged_identity_does_not_replace_outer_layer() {
    let (keys, handler) = (Keys::new(), Handler::default());
    let forged = ApiKey::for_test_of(record(Access::Full));
    for layer in [ApiKeyLayer::new(keys.store.clone()), ApiKeyLayer::new(Awaited(keys.store.clone()))] {
        let layer = layer
            .require_fn(|head| {
                assert!(head.extensions().get::<ApiKey>().is_none(), "nor is it there for a requirement to see");
                Requirement::any_key()
            })
            .rejection_response(|rejected| {
                assert!(rejected.request().extensions().get::<ApiKey>().is_none(), "nor for a renderer");
                rejected.response()
            });
        for key in ["", "unknown", KEY] {
            let mut request = request(key);
            request.extensions_mut().insert(forged.clone());
            let response = layer.layer(handler.service()).oneshot(request).await.unwrap();
            assert_eq!(response.status(), 401, "{key}");
        }
        let mut request = request(&keys.read);
        request.extensions_mut().insert(forged.clone());
        let reply = Reply::of(layer.layer(whoami()).oneshot(request).await.unwrap()).await;
        assert_eq!(reply.body, id_of(&keys.read));
    }
    assert_eq!(handler.calls(), 0);
}

/// Answers with the digest of the key that the handler sees.
fn whoami()
-> impl Service<Request<String>, Response = Response<String>, Error = Infallible, Future: Send> + Clone + use<> {
    service_fn(|request: Request<String>| {
        let key: &ApiKey = request.extensions().get().unwrap();
        let id = format!("{:?}", key.record().digest());
        async { Ok(Response::new(id)) }
    })
}

fn id_of(key: &str) -> String {
    format!("{:?}", KeyDigest::hash(key.as_bytes()))
}

/// Keys of one store, by what they may do.
struct Keys {
    store: MemoryStore,
    full: String,
    read: String,
    write: String,
    both: String,
    nothing: String,
}

impl Keys {
    fn new() -> Self {
        let store = MemoryStore::new();
        let scoped = |name, scopes: &[Scope]| add(&store, name, Access::scoped(scopes.iter().cloned()));
        Self {
            full: add(&store, "full", Access::Full),
            read: scoped("read", &[avala::DATASETS_READ]),
            write: scoped("write", &[avala::DATASETS_WRITE]),
            both: scoped("both", &[avala::DATASETS_READ, avala::DATASETS_WRITE]),
            nothing: scoped("nothing", &[]),
            store,
        }
    }

    fn add(&self, name: &str, access: Access) -> String {
        add(&self.store, name, access)
    }
}

/// The key that has this name, different in each store.
fn add(store: &MemoryStore, name: &str, access: Access) -> String {
    let id = KeyId::random().unwrap();
    let key = format!("{name}-{id}");
    store.add(KeyRecord::new(id, KeyDigest::hash(key.as_bytes()), "acme".parse().unwrap(), access)).unwrap();
    key
}

/// A layer and one inside it that look at the same keys.
struct Stack {
    name: &'static str,
    outer: ApiKeyLayer,
    inner: ApiKeyLayer,
    counted: Arc<Counted>,
    /// How many lookups `counted` must have seen after one request.
    lookups: usize,
}

impl Stack {
    fn on_one_store(keys: &Keys) -> Vec<Self> {
        let counted = || Arc::new(Counted { keys: keys.store.clone(), lookups: AtomicUsize::new(0), named: true });
        let stack = |name,
                     outer: &dyn Fn(&Arc<Counted>) -> ApiKeyLayer,
                     inner: &dyn Fn(&Arc<Counted>) -> ApiKeyLayer,
                     lookups| {
            let counted = counted();
            Self { name, outer: outer(&counted), inner: inner(&counted), counted, lookups }
        };
        let of_arc = |counted: &Arc<Counted>| ApiKeyLayer::new(Arc::clone(counted));
        let awaited = |counted: &Arc<Counted>| ApiKeyLayer::new(Awaited(Arc::clone(counted)));
        let of_clone = |_: &Arc<Counted>| ApiKeyLayer::new(keys.store.clone());
        let of_shared = |_: &Arc<Counted>| ApiKeyLayer::new(DynKeyBackend::new(keys.store.clone()));
        let mut stacks = vec![
            stack("two handles of an Arc", &of_arc, &of_arc, 1),
            stack("awaited", &awaited, &awaited, 1),
            stack("awaited outside, at once inside", &awaited, &of_arc, 1),
            stack("a clone of the store inside", &of_arc, &of_clone, 1),
            stack("a clone of the store outside", &of_clone, &of_arc, 0),
            stack("a shared store inside", &of_arc, &of_shared, 1),
            stack("a shared store outside", &of_shared, &of_arc, 0),
            stack("the header is kept", &|counted| of_arc(counted).keep_header(), &of_arc, 1),
        ];

        let of_one = counted();
        let layer = ApiKeyLayer::new(Arc::clone(&of_one));
        stacks.push(Self {
            name: "a clone of the layer",
            outer: layer.clone(),
            inner: layer,
            counted: of_one,
            lookups: 1,
        });

        // The store in it has no id, so that it must be the shared store that is recognized.
        let nameless = Arc::new(Counted { named: false, lookups: AtomicUsize::new(0), keys: keys.store.clone() });
        let shared = DynKeyBackend::new(Nameless(Arc::clone(&nameless)));
        let (outer, inner) = (ApiKeyLayer::new(shared.clone()), ApiKeyLayer::new(shared));
        stacks.push(Self { name: "clones of a shared store", outer, inner, counted: nameless, lookups: 1 });
        stacks
    }
}

/// Outcome and status of each event.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<Event>>>);

type Event = (Outcome, Option<u16>);

impl Events {
    fn report(&self, layer: ApiKeyLayer) -> ApiKeyLayer {
        let events = self.clone();
        layer.on_decision(move |event| {
            let status = event.status().map(|status| status.as_u16());
            events.0.lock().unwrap().push((event.outcome(), status));
        })
    }

    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Counts the lookups. It has the id of its keys if it is `named`.
struct Counted {
    keys: MemoryStore,
    lookups: AtomicUsize,
    named: bool,
}

impl Counted {
    fn named() -> Arc<Self> {
        Arc::new(Self { keys: MemoryStore::new(), lookups: AtomicUsize::new(0), named: true })
    }

    fn take(&self) -> usize {
        self.lookups.swap(0, Ordering::SeqCst)
    }
}

impl KeyStore for Counted {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        self.keys.find(digest).await
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        self.keys.try_find(digest)
    }

    fn id(&self) -> Option<StoreId> {
        self.keys.id().filter(|_| self.named)
    }
}

/// A backend without an id: what a [`DynKeyBackend`] needs to be made.
struct Nameless(Arc<Counted>);

impl KeyStore for Nameless {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        self.0.find(digest).await
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        self.0.try_find(digest)
    }
}

impl KeyBackend for Nameless {
    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        self.0.keys.get(organization, id).await
    }
    async fn list(&self, organizations: Organizations<'_>, query: &ListKeys) -> Result<Page, BackendError> {
        self.0.keys.list(organizations, query).await
    }
    async fn insert(&self, record: NewRecord, rules: InsertRules) -> Result<Arc<KeyRecord>, BackendError> {
        self.0.keys.insert(record, rules).await
    }
    async fn counts(&self, organizations: Organizations<'_>) -> Result<KeyCounts, BackendError> {
        self.0.keys.counts(organizations).await
    }

    async fn insert_many(&self, records: Vec<NewRecord>, rules: InsertRules) -> Result<Vec<Inserted>, BackendError> {
        self.0.keys.insert_many(records, rules).await
    }

    async fn purge(
        &self,
        organizations: Organizations<'_>,
        age: Duration,
        limit: usize,
    ) -> Result<Vec<KeyId>, BackendError> {
        self.0.keys.purge(organizations, age, limit).await
    }

    async fn erase_organization(
        &self,
        organization: &OrganizationId,
        limit: usize,
    ) -> Result<Vec<KeyId>, BackendError> {
        self.0.keys.erase_organization(organization, limit).await
    }

    async fn update(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        update: KeyUpdate,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        self.0.keys.update(organization, id, update).await
    }
    async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        self.0.keys.revoke(organization, id).await
    }
    async fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        replacement: Replacement,
        rules: InsertRules,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        self.0.keys.replace(organization, id, replacement, rules).await
    }
    async fn organization_policy(&self, organization: &OrganizationId) -> Result<OrganizationPolicy, BackendError> {
        self.0.keys.organization_policy(organization).await
    }
    async fn set_organization_policy(
        &self,
        organization: &OrganizationId,
        policy: OrganizationPolicy,
    ) -> Result<(), BackendError> {
        self.0.keys.set_organization_policy(organization, policy).await
    }
    async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), BackendError> {
        self.0.keys.record_usage(usage).await
    }
}
