//! The layer itself, on a store that fails or a cache in front of it, around a handler that counts.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::client::ClientInfo;
use tower_api_key::key::{KeyDigest, KeyFormat, KeyId, KeyRecord, OrganizationPolicy};
use tower_api_key::manage::RegenerateOptions;
use tower_api_key::routes::{RouteTable, Unlisted};
use tower_api_key::scope::ScopeSet;
use tower_api_key::store::{CachedStore, DynKeyBackend, Expiry, KeyBackend, KeyUpdate};
use tower_api_key::test_kit::{Fault, FaultyStore, InjectedFault};
use tower_api_key::time::Clock;
use tower_api_key::{Access, ApiKey, ApiKeyLayer, MemoryStore, OrganizationId, Requirement, Scope};

use super::generated::{Case, Change, Guard, OFFICE, ORGANIZATIONS, OVERLAP, Step};
use super::reference::{Expected, Headers, Reference, START};
use super::seeded::{Seed, SeededStore};
use crate::silent::Silent;
use crate::support::clock::Hands;
use crate::support::manage::Manage;

pub(crate) struct Subject {
    layer: ApiKeyLayer,
    /// As the layer has it, and as others do.
    own: DynKeyBackend,
    keys: FaultyStore<MemoryStore>,
    hands: Hands,
    /// How many seconds have passed, whatever the clock was set to.
    passed: Arc<AtomicU64>,
    seed: Seed,
    calls: Arc<AtomicUsize>,
}

impl Subject {
    pub(crate) fn new(case: &Case, seed: Seed) -> Self {
        let hands = Hands::at(time(START));
        let memory = MemoryStore::builder().clock(hands.clone()).build();
        let reference = Reference::new(case);
        for (which, key) in case.keys.iter().enumerate() {
            let known = reference.key(which);
            let access = key.scopes.as_ref().map_or(Access::Full, |scopes| Access::scoped(named(scopes)));
            let digest = KeyDigest::hash(&known.text);
            let record = KeyRecord::new(KeyId::from_u128(known.id), digest, organization(key.organization), access)
                .with_created_at(time(START))
                .with_expires_at(key.expires.map(time));
            memory.add(record).unwrap();
        }
        let keys = FaultyStore::new(memory);
        keys.set_always_pending(case.awaited);
        let (passed, start) = (Arc::new(AtomicU64::new(0)), Instant::now());
        let own = if case.cached {
            let life = if seed == Seed::Undying { 3_600 } else { 5 };
            let passed = Arc::clone(&passed);
            let monotonic = move || start + Duration::from_secs(passed.load(Ordering::Relaxed));
            // What others change is changed in another process.
            let cache = CachedStore::builder(Silent(keys.clone())).time_to_live(Duration::from_secs(life));
            DynKeyBackend::new(cache.clocks(monotonic, hands.clone()).build())
        } else {
            DynKeyBackend::new(keys.clone())
        };
        let layer = ApiKeyLayer::new(SeededStore::new(own.clone(), seed)).clock(hands.clone());
        Self { layer: configured(layer, case), own, keys, hands, passed, seed, calls: Arc::default() }
    }

    /// The id and the text of the key that the change made, if it made one. `None` when the change was rejected.
    pub(crate) async fn change(
        &self,
        change: &Change,
        elsewhere: bool,
        reference: &Reference,
    ) -> Option<(u128, Vec<u8>)> {
        let nothing = (0, Vec::new());
        let others = DynKeyBackend::new(self.keys.clone());
        let keys = if elsewhere || self.seed == Seed::Deaf { &others } else { &self.own };
        let owned = |which: usize| {
            let key = reference.key(which);
            (organization(key.organization), KeyId::from_u128(key.id))
        };
        let policy = |(disabled, age): (bool, Option<u64>)| {
            let policy = OrganizationPolicy::default().with_disabled(disabled);
            age.map_or(policy, |age| policy.with_max_key_age(Duration::from_secs(age)))
        };
        match *change {
            Change::Revoke(which) => {
                let (organization, id) = owned(which);
                keys.revoke(&organization, id).await.ok()?;
            }
            Change::Regenerate(which) => {
                let (organization, id) = owned(which);
                let new = keys.manage().regenerate(&organization, id, Expiry::Never).await.ok()?;
                return Some((new.record.id().as_u128(), new.secret.expose_secret().as_bytes().to_vec()));
            }
            Change::Narrow(which, ref left) => {
                let (organization, id) = owned(which);
                let left: ScopeSet = named(left).into_iter().collect();
                keys.update(&organization, id, KeyUpdate::new().with_scopes(left)).await.ok()?;
            }
            Change::Overlap(which) => {
                let (organization, id) = owned(which);
                let options = RegenerateOptions::new().with_expiry(Expiry::Never);
                let options = options.with_overlap(Duration::from_secs(OVERLAP));
                let new = keys.manage().regenerate(&organization, id, options).await.ok()?;
                return Some((new.record.id().as_u128(), new.secret.expose_secret().as_bytes().to_vec()));
            }
            Change::Suspend(which, suspended) => {
                let (organization, id) = owned(which);
                keys.update(&organization, id, KeyUpdate::new().with_suspended(suspended)).await.ok()?;
            }
            Change::Shorten(which, at) => {
                let (organization, id) = owned(which);
                keys.update(&organization, id, KeyUpdate::new().with_expires_at(time(at))).await.ok()?;
            }
            Change::Confine(which) => {
                let (organization, id) = owned(which);
                let update = KeyUpdate::new().with_networks(OFFICE.parse().unwrap());
                keys.update(&organization, id, update).await.ok()?;
            }
            Change::Purge(which) => {
                keys.manage().purge(&organization(which), Duration::ZERO).await.ok()?;
            }
            Change::Disable(which, disabled) => {
                let (_, age) = reference.policy(which);
                keys.set_organization_policy(&organization(which), policy((disabled, age))).await.ok()?;
            }
            Change::MaximumAge(which, age) => {
                let (disabled, _) = reference.policy(which);
                keys.set_organization_policy(&organization(which), policy((disabled, age))).await.ok()?;
            }
            Change::Clock(now) => self.hands.set(time(now)),
            Change::Wait(seconds) => {
                self.hands.set(self.hands.now() + Duration::from_secs(seconds));
                self.passed.fetch_add(seconds, Ordering::Relaxed);
            }
        }
        Some(nothing)
    }

    pub(crate) async fn ask(&self, step: &Step, headers: &Headers) -> Expected {
        let mut request = Request::new(String::new());
        *request.method_mut() = Method::from_bytes(step.method.as_bytes()).unwrap();
        *request.uri_mut() = step.path.parse().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        let address = step.client.map_or([198, 51, 100, 7], |last| [192, 0, 2, last]);
        request.extensions_mut().insert(ClientInfo::new(Some(address.into()), true));
        self.seed.spoil(request.headers_mut());

        self.keys.set_fault(step.fault);
        let (calls, lookups) = (self.calls.load(Ordering::Relaxed), self.keys.lookups());
        let response = self.layer.layer(service_fn(|request| self.handle(&request))).oneshot(request).await.unwrap();
        self.keys.set_fault(Fault::None);

        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Expected {
            status: head.status.as_u16(),
            body: String::from_utf8(body.to_vec()).unwrap(),
            handled: self.calls.load(Ordering::Relaxed) - calls,
            lookups: self.keys.lookups() - lookups,
            challenge: head.headers.contains_key("www-authenticate"),
            retry_after: head.headers.get("retry-after").is_some_and(|value| value == "1"),
            no_store: is_no_store(&head.headers),
        }
    }

    /// Responds with the id of the key, which is gone from the request.
    fn handle(&self, request: &Request<String>) -> std::future::Ready<Result<Response<String>, Infallible>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        assert!(!request.headers().contains_key("x-avala-api-key"), "the handler was shown the key");
        let key = request.extensions().get::<ApiKey>();
        let text = key.map_or_else(|| "no key".to_owned(), |key| format!("key {}", key.id().as_u128()));
        std::future::ready(Ok(Response::new(text)))
    }
}

/// The panics of a store that a test asked for are not printed.
pub(crate) fn silence_injected_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload().downcast_ref::<String>();
            if text.is_none_or(|text| *text != InjectedFault.to_string()) {
                hook(info);
            }
        }));
    });
}

fn configured(layer: ApiKeyLayer, case: &Case) -> ApiKeyLayer {
    let layer = match &case.guard {
        Guard::AnyKey => layer,
        Guard::FullAccess => layer.require(Requirement::full_access()),
        Guard::AllOf(scopes) => layer.require(Requirement::all_of(named(scopes))),
        Guard::AnyOf(scopes) => layer.require(Requirement::any_of(named(scopes))),
        Guard::Table(otherwise) => layer.routes(table(*otherwise)),
    };
    let layer = if case.bearer { layer.accept_bearer() } else { layer };
    let layer = if case.require_formats { layer.require_formats([KeyFormat::AVALA]) } else { layer };
    if case.optional { layer.allow_anonymous() } else { layer }
}

fn table(otherwise: Unlisted) -> RouteTable {
    RouteTable::builder()
        .unlisted(otherwise)
        .public(Method::GET, "/open")
        .route(Method::GET, "/any", Requirement::any_key())
        .route(Method::GET, "/full", Requirement::full_access())
        .route(Method::GET, "/items/{id}", Scope::from_static("datasets.read"))
        .route(Method::POST, "/items/{id}", Requirement::any_of(named(&["items.write", "items"])))
        .build()
        .unwrap()
}

fn named(scopes: &[&'static str]) -> Vec<Scope> {
    scopes.iter().map(|scope| Scope::from_static(scope)).collect()
}

fn organization(which: usize) -> OrganizationId {
    ORGANIZATIONS[which].parse().unwrap()
}

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn is_no_store(headers: &HeaderMap) -> bool {
    headers.get("cache-control").is_some_and(|value| value == "no-store")
}
