//! Exactly one event for each request, whatever becomes of it, and what is in it.

use std::convert::Infallible;
use std::future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use futures::executor::block_on;
use http::{HeaderValue, Method, Request, Response};
use tokio::task::yield_now;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_api_key::auth::RequireScopesLayer;
use tower_api_key::decision::{Denial, decide};
use tower_api_key::key::{KeyDigest, KeyFormat, KeyId, KeyRecord, OrganizationPolicy};
use tower_api_key::observe::{LookupKind, Outcome};
use tower_api_key::rejection::{CredentialError, Outage};
use tower_api_key::scope::avala;
use tower_api_key::store::{KeyBackend, Lookup};
use tower_api_key::{Access, ApiKeyLayer, BoxError, KeyStore, MemoryStore, Rejection, Requirement};

use crate::support::awaited::Awaited;
use crate::support::handler::Handler;
use crate::support::keys::{KEY, record};
use crate::support::log_lines::{record_log, take_log};
use crate::support::poll::poll;
use crate::support::request::request;
use crate::support::store::store;

#[tokio::test]
async fn decided_request_is_reported_once() {
    let keys = every_kind_of_key().await;
    for (layer, kind) in [
        (ApiKeyLayer::new(keys.clone()), LookupKind::Immediate),
        (ApiKeyLayer::new(Awaited(keys.clone())), LookupKind::Awaited),
    ] {
        let service = |events: &Events| events.of(layer.clone().require(avala::DATASETS_READ));
        for (key, denial, status) in [
            ("live", None, 200),
            ("unknown", Some(Denial::Unknown), 401),
            ("revoked", Some(Denial::Revoked), 401),
            ("disabled", Some(Denial::OrganizationDisabled), 401),
            ("expired", Some(Denial::Expired), 401),
            ("limited", Some(Denial::InsufficientScope), 403),
        ] {
            let (events, handler) = (Events::default(), Handler::default());
            let call = service(&events).layer(handler.service()).oneshot(request(key));
            assert_eq!(call.await.unwrap().status(), status, "{key}");
            assert_eq!(handler.calls(), usize::from(denial.is_none()), "{key}");
            let outcome = denial.map_or(Outcome::Accepted, |denial| Outcome::Rejected(denial.into()));
            let key_id = Some(id_of(key)).filter(|_| key != "unknown");
            assert_eq!(events.take(), [Seen { key: key_id, ..seen(key, outcome, Some(status), kind) }], "{key}");
        }
    }
}

/// What cannot be looked up has neither a digest nor a key.
#[tokio::test]
async fn malformed_credential_is_reported_without_lookup() {
    let mut repeated = request(KEY);
    repeated.headers_mut().append("x-avala-api-key", HeaderValue::from_static(KEY));
    let keys = store(Access::Full);
    for layer in [ApiKeyLayer::new(keys.clone()), ApiKeyLayer::new(Awaited(keys))] {
        for (request, error) in [
            (request(""), CredentialError::Missing),
            (request(" "), CredentialError::Missing),
            (repeated.clone(), CredentialError::Repeated),
            (request(&"x".repeat(513)), CredentialError::TooLong),
            (request("avk_typo"), CredentialError::Malformed),
        ] {
            let events = Events::default();
            let layer = events.of(layer.clone().require_formats([KeyFormat::AVALA]));
            assert_eq!(layer.layer(Handler::default().service()).oneshot(request).await.unwrap().status(), 401);
            let outcome = Outcome::Rejected(error.into());
            let expected = Seen { digest: None, ..seen("", outcome, Some(401), LookupKind::None) };
            assert_eq!(events.take(), [expected], "{error:?}");
        }
    }
}

/// Has one record for every key.
struct Confused;

impl KeyStore for Confused {
    type Error = Infallible;

    async fn find(&self, _: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        Ok(Some(Arc::new(record(Access::Full))))
    }
}

/// Cases: 98, 133.
#[tokio::test]
async fn wrong_record_is_not_reported_as_presented_key() {
    let events = Events::default();
    let service = events.of(ApiKeyLayer::new(Confused)).layer(Handler::default().service());
    assert_eq!(service.oneshot(request("another")).await.unwrap().status(), 503);
    let outcome = Outcome::Rejected(Outage::OtherKey.into());
    let store_error = Some("the key store returned the record of another key".to_owned());
    let expected = Seen { store_error, ..seen("another", outcome, Some(503), LookupKind::Awaited) };
    assert_eq!(events.take(), [expected]);
}

/// Cases: 133.
/// Also with the decision made by hand, and with a limit for failed attempts: the client attempts nothing.
#[tokio::test]
async fn wrong_record_is_logged_as_an_error() {
    record_log();
    let service = ApiKeyLayer::new(Confused).layer(Handler::default().service());
    assert_eq!(service.clone().oneshot(request(KEY)).await.unwrap().status(), 200);
    assert_eq!(take_log(), [""; 0]);
    assert_eq!(service.oneshot(request("another")).await.unwrap().status(), 503);
    let line = "ERROR the key store returned the record of key 00000000-0000-0000-0000-000000000001 for another key, \
                answering 503: `find` must select by the digest it is given, and build the record with the digest of \
                the row";
    assert_eq!(take_log(), [line]);

    let (other, record) = (KeyDigest::hash(b"another"), record(Access::Full));
    let denial = decide(&other, Some(&record), &Requirement::any_key(), SystemTime::now, || None).unwrap_err();
    assert_eq!(denial, Denial::OtherKey);
    for rejection in [Rejection::from(denial), Rejection::Denied(denial), Outage::OtherKey.into()] {
        assert_eq!((rejection.status().as_u16(), rejection.code()), (503, "other_key"));
        assert_eq!(rejection.to_response().headers()["retry-after"], "1");
    }
}

#[tokio::test]
async fn inner_rejection_is_reported_by_outer_layer() {
    let keys = store(Access::scoped([avala::DATASETS_READ]));
    let events = Events::default();
    let layer = ApiKeyLayer::new(keys);
    let (outer, handler) = (events.of(layer.clone()), Handler::default().service());
    let beside = RequireScopesLayer::new(avala::DATASETS_WRITE).layer(handler.clone());
    let second = layer.require(avala::DATASETS_WRITE).layer(handler);
    let statuses = [
        outer.layer(beside).oneshot(request(KEY)).await.unwrap().status(),
        outer.layer(second).oneshot(request(KEY)).await.unwrap().status(),
    ];
    assert_eq!(statuses, [403, 403]);
    let outcome = Outcome::Rejected(Denial::InsufficientScope.into());
    let expected = || Seen { key: Some(KeyId::from_u128(1)), ..seen(KEY, outcome, Some(403), LookupKind::Immediate) };
    assert_eq!(events.take(), [expected(), expected()]);
}

/// Cases: 52.
/// A 403 of the handler is the response to an accepted request.
#[tokio::test]
async fn handler_response_is_not_a_rejection() {
    let forbids = service_fn(async |_: Request<String>| {
        Ok::<_, Infallible>(Response::builder().status(403).body(String::new()).unwrap())
    });
    let events = Events::default();
    let service = events.of(ApiKeyLayer::new(store(Access::Full))).layer(forbids);
    assert_eq!(service.oneshot(request(KEY)).await.unwrap().status(), 403);
    let expected =
        Seen { key: Some(KeyId::from_u128(1)), ..seen(KEY, Outcome::Accepted, Some(403), LookupKind::Immediate) };
    assert_eq!(events.take(), [expected]);
}

#[tokio::test]
async fn wrong_layer_order_is_reported() {
    let (outer, inner) = (Events::default(), Events::default());
    let inside = inner.of(ApiKeyLayer::new(MemoryStore::new())).layer(Handler::default().service());
    let service = outer.of(ApiKeyLayer::new(store(Access::Full))).layer(inside);
    assert_eq!(service.oneshot(request(KEY)).await.unwrap().status(), 500);
    let outcome = Outcome::Rejected(Rejection::Misconfigured);
    assert_eq!(inner.take(), [Seen { digest: None, ..seen("", outcome, Some(500), LookupKind::None) }]);
    let expected = Seen { key: Some(KeyId::from_u128(1)), ..seen(KEY, outcome, Some(500), LookupKind::Immediate) };
    assert_eq!(outer.take(), [expected], "the outer layer reports the rejection of the inner one");
}

#[tokio::test(start_paused = true)]
async fn outage_is_reported_with_its_cause() {
    for (fault, outage, kind, cause) in [
        (Fault::Fails, Outage::Failed, LookupKind::Awaited, "the pool is empty"),
        (Fault::Hangs, Outage::TimedOut, LookupKind::Awaited, "deadline has elapsed"),
        (Fault::Panics, Outage::Panicked, LookupKind::Awaited, "the key store panicked: find"),
        (Fault::PanicsAtOnce, Outage::Panicked, LookupKind::Immediate, "the key store panicked: try_find"),
    ] {
        let events = Events::default();
        let service = events.of(ApiKeyLayer::new(fault)).layer(Handler::default().service());
        assert_eq!(service.oneshot(request(KEY)).await.unwrap().status(), 503);
        let expected = seen(KEY, Outcome::Rejected(outage.into()), Some(503), kind);
        assert_eq!(events.take(), [Seen { store_error: Some(cause.to_owned()), ..expected }]);
    }
}

/// Cases: 51.
#[tokio::test]
async fn inner_error_is_reported_accepted_without_status() {
    let fails = service_fn(async |_: Request<String>| Err::<Response<String>, _>("broken pipe"));
    for (layer, kind) in both_kinds() {
        let events = Events::default();
        assert_eq!(events.of(layer).layer(fails).oneshot(request(KEY)).await.unwrap_err(), "broken pipe");
        let expected = Seen { key: Some(KeyId::from_u128(1)), ..seen(KEY, Outcome::Accepted, None, kind) };
        assert_eq!(events.take(), [expected]);
    }
}

/// Cases: 95.
#[tokio::test]
async fn request_dropped_before_first_poll_is_cancelled() {
    for (layer, kind) in both_kinds() {
        for key in [KEY, "unknown"] {
            let events = Events::default();
            let mut service = events.of(layer.clone()).layer(Handler::default().service());
            drop(service.ready().await.unwrap().call(request(key)));
            // Where the answer is not there at once, nothing is known of the key yet.
            let known = key == KEY && kind == LookupKind::Immediate;
            let key_id = Some(KeyId::from_u128(1)).filter(|_| known);
            assert_eq!(events.take(), [Seen { key: key_id, ..seen(key, Outcome::Cancelled, None, kind) }], "{key}");
        }
    }
}

/// Cases: 95.
#[tokio::test]
async fn request_dropped_in_lookup_is_cancelled() {
    let events = Events::default();
    let mut service = events.of(ApiKeyLayer::new(Fault::Hangs)).layer(Handler::default().service());
    let mut call = Box::pin(service.ready().await.unwrap().call(request(KEY)));
    assert!(poll(call.as_mut()).is_pending());
    assert_eq!(events.take(), []);
    drop(call);
    assert_eq!(events.take(), [seen(KEY, Outcome::Cancelled, None, LookupKind::Awaited)]);
}

/// Cases: 95.
#[tokio::test]
async fn request_dropped_in_handler_is_cancelled() {
    let hangs = service_fn(|_: Request<String>| future::pending::<Result<Response<String>, Infallible>>());
    for (layer, kind) in both_kinds() {
        let events = Events::default();
        let mut service = events.of(layer).layer(hangs);
        let mut call = Box::pin(service.ready().await.unwrap().call(request(KEY)));
        for _ in 0..5 {
            assert!(poll(call.as_mut()).is_pending());
        }
        assert_eq!(events.take(), []);
        drop(call);
        let expected = Seen { key: Some(KeyId::from_u128(1)), ..seen(KEY, Outcome::Cancelled, None, kind) };
        assert_eq!(events.take(), [expected]);
    }
}

/// Cases: 51.
#[test]
fn handler_panic_propagates_and_is_cancelled() {
    let at_once =
        service_fn(|_: Request<String>| -> future::Ready<Result<Response<String>, Infallible>> { panic!("handler") });
    let later = service_fn(async |_: Request<String>| -> Result<Response<String>, Infallible> {
        yield_now().await;
        panic!("handler")
    });
    for (layer, kind) in both_kinds() {
        let events = Events::default();
        let layer = events.of(layer.without_lookup_timeout());
        assert_eq!(panic_of(layer.layer(at_once).oneshot(request(KEY))), "handler");
        assert_eq!(panic_of(layer.layer(later).oneshot(request(KEY))), "handler");
        let expected = || Seen { key: Some(KeyId::from_u128(1)), ..seen(KEY, Outcome::Cancelled, None, kind) };
        assert_eq!(events.take(), [expected(), expected()]);
    }
}

/// Two panics at once end the process, and with it every other request.
#[test]
fn hook_panic_during_unwind_does_not_abort() {
    let panics = service_fn(async |_: Request<String>| -> Result<Response<String>, Infallible> { panic!("handler") });
    for (layer, _) in both_kinds() {
        let unwinding = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&unwinding);
        let layer = layer.without_lookup_timeout().on_decision(move |event| {
            seen.lock().unwrap().push((event.outcome(), thread::panicking()));
            panic!("hook");
        });
        record_log();
        assert_eq!(panic_of(layer.layer(panics).oneshot(request(KEY))), "handler");
        assert_eq!(*unwinding.lock().unwrap(), [(Outcome::Cancelled, true)], "it ran while the handler unwound");
        assert_eq!(take_log(), ["ERROR a decision hook panicked on a cancelled request"]);
    }
}

#[tokio::test]
async fn hook_panic_on_cancelled_request_is_only_logged() {
    let layer = ApiKeyLayer::new(Fault::Hangs).on_decision(|_| panic!("hook"));
    let mut service = layer.layer(Handler::default().service());
    record_log();
    drop(service.ready().await.unwrap().call(request(KEY)));
    assert_eq!(take_log(), ["ERROR a decision hook panicked on a cancelled request"]);
}

/// A hook that panics has had its event: there is no second one for the same request.
#[test]
fn panicking_hook_is_not_called_again() {
    for key in [KEY, "unknown", ""] {
        for (layer, _) in both_kinds() {
            let calls = Arc::new(Mutex::new(0));
            let called = Arc::clone(&calls);
            let layer = layer.without_lookup_timeout().on_decision(move |_| {
                *called.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
                panic!("hook");
            });
            assert_eq!(panic_of(layer.layer(Handler::default().service()).oneshot(request(key))), "hook");
            assert_eq!(*calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner), 1, "{key}");
        }
    }
}

/// Cases: 95.
/// Dropped after any number of polls: one event each, and the right one.
#[tokio::test]
async fn request_dropped_anywhere_has_one_event() {
    let slow = service_fn(async |_: Request<String>| {
        for _ in 0..3 {
            yield_now().await;
        }
        Ok::<_, Infallible>(Response::new(String::new()))
    });
    for (layer, _) in both_kinds() {
        for key in [KEY, "unknown", ""] {
            let events = Events::default();
            let mut service = events.of(layer.clone()).layer(slow);
            let mut polls = 0;
            loop {
                let mut call = Box::pin(service.ready().await.unwrap().call(request(key)));
                let finished = (0..polls).any(|_| poll(call.as_mut()).is_ready());
                let before_drop = events.take();
                drop(call);
                let after_drop = events.take();
                assert_eq!((before_drop.len(), after_drop.len()), if finished { (1, 0) } else { (0, 1) }, "{polls}");
                if finished {
                    assert_ne!(before_drop[0].outcome, Outcome::Cancelled);
                    break;
                }
                assert_eq!(after_drop[0].outcome, Outcome::Cancelled);
                polls += 1;
            }
            assert!(polls >= if key == KEY { 4 } else { 1 }, "{polls}");
        }
    }
}

#[tokio::test]
async fn event_has_method_and_path_without_query() {
    for (method, target, path) in [
        (Method::GET, "/datasets/?token=hunter2", "/datasets/"),
        (Method::HEAD, "/datasets/%2e%2e/a%0ab;c=d?x=/y", "/datasets/%2e%2e/a%0ab;c=d"),
        (Method::POST, "http://example.com/exports/?a=b", "/exports/"),
        (Method::OPTIONS, "*", "*"),
        (Method::from_bytes(b"BREW").unwrap(), "/", "/"),
    ] {
        for key in [KEY, "unknown", ""] {
            let events = Events::default();
            let mut request = request(key);
            *request.method_mut() = method.clone();
            *request.uri_mut() = target.parse().unwrap();
            let service = events.of(ApiKeyLayer::new(store(Access::Full))).layer(Handler::default().service());
            service.oneshot(request).await.unwrap();
            let [event] = &events.take()[..] else { panic!("one event is expected") };
            assert_eq!((&event.method, &*event.path), (&method, path));
        }
    }
}

/// An event, kept.
#[derive(Debug, PartialEq)]
struct Seen {
    outcome: Outcome,
    key: Option<KeyId>,
    digest: Option<KeyDigest>,
    method: Method,
    path: String,
    status: Option<u16>,
    lookup: LookupKind,
    store_error: Option<String>,
}

/// The event of `GET /datasets/` with this key, of which no record was found.
fn seen(key: &str, outcome: Outcome, status: Option<u16>, lookup: LookupKind) -> Seen {
    Seen {
        outcome,
        key: None,
        digest: Some(KeyDigest::hash(key.as_bytes())),
        method: Method::GET,
        path: "/datasets/".to_owned(),
        status,
        lookup,
        store_error: None,
    }
}

#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<Seen>>>);

impl Events {
    fn of(&self, layer: ApiKeyLayer) -> ApiKeyLayer {
        let events = self.clone();
        layer.on_decision(move |event| {
            let seen = Seen {
                outcome: event.outcome(),
                key: event.key().map(KeyRecord::id),
                digest: event.digest().copied(),
                method: event.method().clone(),
                path: event.path().to_owned(),
                status: event.status().map(|status| status.as_u16()),
                lookup: event.lookup(),
                store_error: event.store_error().map(ToString::to_string),
            };
            events.0.lock().unwrap().push(seen);
        })
    }

    fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Layers on a store that answers at once and on one that must be awaited, which know [`KEY`].
fn both_kinds() -> [(ApiKeyLayer, LookupKind); 2] {
    let keys = store(Access::Full);
    [(ApiKeyLayer::new(keys.clone()), LookupKind::Immediate), (ApiKeyLayer::new(Awaited(keys)), LookupKind::Awaited)]
}

/// Keys that are called what is the matter with them.
async fn every_kind_of_key() -> MemoryStore {
    let keys = MemoryStore::new();
    let key = |name: &str, organization: &str, access| {
        KeyRecord::new(id_of(name), KeyDigest::hash(name.as_bytes()), organization.parse().unwrap(), access)
    };
    for record in [
        key("live", "acme", Access::scoped([avala::DATASETS_READ])),
        key("limited", "acme", Access::scoped([avala::DATASETS_WRITE])),
        key("revoked", "acme", Access::Full).with_revoked_at(UNIX_EPOCH),
        key("expired", "acme", Access::Full).with_expires_at(UNIX_EPOCH),
        key("disabled", "closed", Access::Full),
    ] {
        keys.add(record).unwrap();
    }
    let disabled = OrganizationPolicy::default().with_disabled(true);
    keys.set_organization_policy(&"closed".parse().unwrap(), disabled).await.unwrap();
    keys
}

fn id_of(name: &str) -> KeyId {
    KeyId::from_u128(name.bytes().fold(0, |id, byte| id << 8 | u128::from(byte)))
}

fn panic_of<F: Future>(call: F) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(block_on(call)))).expect_err("it should have panicked");
    (*panic.downcast_ref::<&str>().unwrap()).to_owned()
}

/// A store that never has an answer.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Fails,
    Hangs,
    Panics,
    PanicsAtOnce,
}

impl KeyStore for Fault {
    type Error = BoxError;

    async fn find(&self, _: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
        match self {
            Self::Fails => Err("the pool is empty".into()),
            Self::Hangs => future::pending().await,
            Self::Panics | Self::PanicsAtOnce => panic!("find"),
        }
    }

    fn try_find(&self, _: &KeyDigest) -> Lookup {
        assert!(*self != Self::PanicsAtOnce, "try_find");
        Lookup::Pending
    }
}
