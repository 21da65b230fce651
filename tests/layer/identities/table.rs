//! Real layers for each [`Case`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures::executor::block_on;
use http::{Method, Request, Response};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::auth::{Caller, Identity, RequireScopesLayer};
use tower_api_key::key::{KeyDigest, KeyFormat, KeyId, KeyRecord};
use tower_api_key::observe::Outcome;
use tower_api_key::routes::{RouteTable, Unlisted};
use tower_api_key::scope::avala::{DATASETS_READ, DATASETS_WRITE};
use tower_api_key::{Access, ApiKeyLayer, BoxError, MemoryStore, OrganizationId, Requirement};

use super::oracle::{Case, May, Required, Route, Seen, Sent};
use crate::support::awaited::Awaited;

const ACME: OrganizationId = OrganizationId::from_static("acme");
const JWT: &str = "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x";
const EVERY_MAY: [May; 4] = [May::Nothing, May::Read, May::Write, May::Everything];

/// Cases: 219, 220.
#[test]
fn each_key_identity_and_route_matches_oracle() {
    let (keys, mut cases, mut outcomes) = (Keys::new(), 0, BTreeSet::new());
    for case in every_case() {
        let (outcome, seen) = case.expected();
        let status = match outcome {
            Outcome::Rejected(rejection) => rejection.status().as_u16(),
            _ => 200,
        };
        assert_eq!(keys.ask(&case, ApiKeyLayer::new(keys.store.clone())), (status, outcome, seen), "{case:?}");
        let awaited = ApiKeyLayer::new(Awaited(keys.store.clone())).without_lookup_timeout();
        assert_eq!(keys.ask(&case, awaited), (status, outcome, seen), "awaited, {case:?}");
        outcomes.insert((format!("{outcome:?}"), format!("{seen:?}")));
        cases += 1;
    }
    assert!(cases > 8_000, "{cases} cases");
    assert!(outcomes.len() >= 12, "{outcomes:?}");
}

fn every_case() -> impl Iterator<Item = Case> {
    let mut sent = vec![
        Sent::Nothing,
        Sent::Blank,
        Sent::Revoked,
        Sent::Expired,
        Sent::Unknown,
        Sent::Malformed,
        Sent::Twice,
        Sent::ForeignBearer,
        Sent::KeyAndForeignBearer(May::Read),
    ];
    sent.extend(EVERY_MAY.map(Sent::Key));
    let identities = [None].into_iter().chain(EVERY_MAY.map(Some));
    let required = [Required::AnyKey, Required::Read, Required::ReadOrWrite, Required::Full];
    let routes = [
        Route::NoTable,
        Route::Function,
        Route::Listed,
        Route::Inner,
        Route::Public,
        Route::Preflight,
        Route::Denied,
        Route::UnlistedFull,
    ];
    let mut cases = Vec::new();
    for sent in sent {
        for identity in identities.clone() {
            for (accepts, anonymous) in [(false, false), (false, true), (true, false), (true, true)] {
                for required in required {
                    for route in routes {
                        cases.push(Case { sent, identity, accepts, anonymous, required, route });
                    }
                }
            }
        }
    }
    cases.into_iter()
}

/// What an outer authenticator has put into the extensions of a request.
#[derive(Clone, Copy)]
struct Session(May);

struct Keys {
    store: MemoryStore,
    plaintexts: BTreeMap<Sent, String>,
}

impl Keys {
    fn new() -> Self {
        let (store, mut plaintexts) = (MemoryStore::new(), BTreeMap::new());
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        let all = EVERY_MAY.map(Sent::Key).into_iter().chain([Sent::Revoked, Sent::Expired, Sent::Unknown]);
        for (id, sent) in (1..).zip(all) {
            let plaintext = KeyFormat::AVALA.generate().unwrap().expose_secret().to_owned();
            let digest = KeyDigest::hash(plaintext.as_bytes());
            plaintexts.insert(sent, plaintext);
            let may = if let Sent::Key(may) = sent { may } else { May::Everything };
            let record = KeyRecord::new(KeyId::from_u128(id), digest, ACME, access(may));
            store
                .add(match sent {
                    Sent::Revoked => record.with_revoked_at(long_ago),
                    Sent::Expired => record.with_expires_at(long_ago),
                    Sent::Unknown => continue,
                    _ => record,
                })
                .unwrap();
        }
        Self { store, plaintexts }
    }

    fn request(&self, case: &Case) -> Request<String> {
        let header = "x-avala-api-key";
        let key = |sent| &*self.plaintexts[&sent];
        let request = Request::builder().uri("/datasets/");
        let mut request = match case.sent {
            Sent::Nothing => request,
            Sent::Blank => request.header(header, " "),
            Sent::Key(_) | Sent::Revoked | Sent::Expired | Sent::Unknown => request.header(header, key(case.sent)),
            Sent::Malformed => request.header(header, "not a key of ours"),
            Sent::Twice => {
                let key = key(Sent::Key(May::Everything));
                request.header(header, key).header(header, key)
            }
            Sent::ForeignBearer => request.header("authorization", JWT),
            Sent::KeyAndForeignBearer(may) => request.header(header, key(Sent::Key(may))).header("authorization", JWT),
        };
        if case.route == Route::Preflight {
            request = request.method(Method::OPTIONS).header("origin", "https://app.example");
            request = request.header("access-control-request-method", "GET");
        }
        if let Some(may) = case.identity {
            request = request.extension(Session(may));
        }
        request.body(String::new()).unwrap()
    }

    fn ask(&self, case: &Case, layer: ApiKeyLayer) -> (u16, Outcome, Seen) {
        let events = Arc::new(Mutex::new(Vec::new()));
        let hook = Arc::clone(&events);
        let layer = layer.require_formats([KeyFormat::AVALA]).accept_bearer().allow_preflight();
        let layer = layer.on_decision(move |event| {
            let actor = event.identity().map(|identity| identity.actor().to_owned());
            hook.lock().unwrap().push((event.outcome(), event.status(), actor));
        });
        let layer = if case.anonymous { layer.allow_anonymous() } else { layer };
        let layer = if case.accepts { layer.accept_identity(identity) } else { layer };
        let required = requirement(case.required);
        let table = |path| RouteTable::builder().route(Method::GET, path, required.clone());
        let (layer, gate) = match case.route {
            Route::NoTable | Route::Preflight => (layer.require(required), None),
            Route::Function => {
                let required = required.clone();
                (layer.require_fn(move |_| required.clone()), None)
            }
            Route::Listed => (layer.routes(table("/datasets/").build().unwrap()), None),
            Route::Inner => (layer, Some(RequireScopesLayer::new(required))),
            Route::Public => {
                (layer.routes(RouteTable::builder().public(Method::GET, "/datasets/").build().unwrap()), None)
            }
            Route::Denied => (layer.routes(table("/projects/").build().unwrap()), None),
            Route::UnlistedFull => {
                (layer.routes(table("/projects/").unlisted(Unlisted::FullAccess).build().unwrap()), None)
            }
        };
        let seen = Arc::new(Mutex::new(Seen::Nothing));
        let handler = Arc::clone(&seen);
        let handler = service_fn(move |request: Request<String>| {
            *handler.lock().unwrap() = match Caller::of(request.extensions()) {
                Some(Caller::Key(key)) => {
                    assert_eq!(key.organization(), &ACME);
                    Seen::Key
                }
                Some(Caller::Identity(identity)) => {
                    assert_eq!((identity.organization(), identity.actor()), (&ACME, "ada"));
                    Seen::Identity
                }
                None => Seen::NoCaller,
            };
            async { Ok::<_, BoxError>(Response::new("handled".to_owned())) }
        });
        let request = self.request(case);
        let response = match gate {
            Some(gate) => block_on(layer.layer(gate.layer(handler)).oneshot(request)).unwrap().map(|_| ()),
            None => block_on(layer.layer(handler).oneshot(request)).unwrap().map(|_| ()),
        };
        let events = events.lock().unwrap();
        let [(outcome, status, actor)] = &events[..] else { panic!("one event: {events:?}") };
        assert_eq!(*status, Some(response.status()));
        let is_identity = *outcome == Outcome::Accepted && *seen.lock().unwrap() == Seen::Identity;
        assert!(!is_identity || actor.as_deref() == Some("ada"), "{case:?}");
        assert!(actor.is_none() || case.accepts, "{case:?}");
        // A preflight that no CORS layer answers reaches the handler, and its response is not used.
        let seen = if case.route == Route::Preflight { Seen::Nothing } else { *seen.lock().unwrap() };
        (response.status().as_u16(), *outcome, seen)
    }
}

fn identity(extensions: &http::Extensions) -> Option<Identity> {
    let Session(may) = extensions.get::<Session>()?;
    Some(Identity::new(ACME, access(*may), "ada"))
}

fn requirement(required: Required) -> Requirement {
    match required {
        Required::AnyKey => Requirement::any_key(),
        Required::Read => DATASETS_READ.into(),
        Required::ReadOrWrite => Requirement::any_of([DATASETS_READ, DATASETS_WRITE]),
        Required::Full => Requirement::full_access(),
    }
}

fn access(may: May) -> Access {
    match may {
        May::Nothing => Access::scoped([]),
        May::Read => Access::scoped([DATASETS_READ]),
        May::Write => Access::scoped([DATASETS_WRITE]),
        May::Everything => Access::Full,
    }
}
