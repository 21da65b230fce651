//! Keys that do not come in a request: the check is that of the layer.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures::executor::block_on;
use http::{Request, Response};
use proptest::prelude::*;
use proptest::sample::select;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::auth::{Authenticator, Limit};
use tower_api_key::client::ClientInfo;
use tower_api_key::key::{KeyDigest, KeyFormat, KeyId, KeyRecord, OrganizationPolicy};
use tower_api_key::observe::{LookupKind, Outcome};
use tower_api_key::scope::avala::{DATASETS_READ, DATASETS_WRITE};
use tower_api_key::store::KeyBackend;
use tower_api_key::test_kit::{Fault, FaultyStore};
use tower_api_key::throttle::LimitRule;
use tower_api_key::usage::UsageTracker;
use tower_api_key::{Access, ApiKeyLayer, KeyStore, MemoryStore, Rejection, Requirement, Scope};

use crate::support::awaited::Awaited;
use crate::world::{ACME, issue};

/// Everything that decides about a key.
#[derive(Clone, Debug)]
struct Facts {
    presented: Presented,
    access: Option<Vec<Scope>>,
    revoked: bool,
    suspended: bool,
    disabled: bool,
    expired: bool,
    network: Option<&'static str>,
    client: Option<[u8; 4]>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Presented {
    Known,
    Unknown,
    Malformed,
    Blank,
    TooLong,
}

fn facts() -> impl Strategy<Value = Facts> {
    let presented = prop_oneof![
        6 => Just(Presented::Known),
        1 => Just(Presented::Unknown),
        1 => Just(Presented::Malformed),
        1 => Just(Presented::Blank),
        1 => Just(Presented::TooLong)
    ];
    let scopes = prop::sample::subsequence(vec![DATASETS_READ, DATASETS_WRITE], 0..=2);
    let rarely = || prop::bool::weighted(0.1);
    let network = select(vec![None, None, Some("192.0.2.0/24")]);
    let client = select(vec![None, Some([192, 0, 2, 7]), Some([203, 0, 113, 9])]);
    (presented, prop::option::of(scopes), rarely(), rarely(), rarely(), rarely(), network, client).prop_map(
        |(presented, access, revoked, suspended, disabled, expired, network, client)| Facts {
            presented,
            access,
            revoked,
            suspended,
            disabled,
            expired,
            network,
            client,
        },
    )
}

fn requirement() -> impl Strategy<Value = Requirement> {
    select(vec![
        Requirement::any_key(),
        DATASETS_READ.into(),
        Requirement::any_of([DATASETS_READ, DATASETS_WRITE]),
        Requirement::all_of([DATASETS_READ, DATASETS_WRITE]),
        Requirement::any_of([]),
        Requirement::full_access(),
    ])
}

type Event = (Outcome, Option<KeyId>, Option<KeyDigest>, LookupKind, Vec<Scope>);

/// The events of a layer, and the uses that it counts.
#[derive(Clone, Default)]
struct Watcher {
    events: Arc<Mutex<Vec<Event>>>,
    usage: UsageTracker,
}

impl Watcher {
    fn watch(&self, layer: ApiKeyLayer) -> ApiKeyLayer {
        let events = Arc::clone(&self.events);
        let layer = layer.on_decision(move |event| {
            let id = event.key().map(KeyRecord::id);
            let missing = event.missing_scopes().to_vec();
            let event = (event.outcome(), id, event.digest().copied(), event.lookup(), missing);
            events.lock().unwrap().push(event);
        });
        layer.track_usage(&self.usage)
    }

    fn uses(&self, store: &MemoryStore) -> u64 {
        block_on(self.usage.flush(store)).unwrap();
        block_on(store.get(&ACME, KeyId::from_u128(1))).map_or(0, |record| record.request_count())
    }
}

fn long_ago() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1)
}

impl Facts {
    fn store(&self, plaintext: &str) -> MemoryStore {
        let store = MemoryStore::new();
        let access = self.access.clone().map_or(Access::Full, Access::scoped);
        let record = KeyRecord::new(KeyId::from_u128(1), KeyDigest::hash(plaintext.as_bytes()), ACME, access);
        let record = record.with_suspended(self.suspended).with_revoked_at(self.revoked.then(long_ago));
        let record = record.with_expires_at(self.expired.then(long_ago));
        let record = match self.network {
            Some(network) => record.with_networks(network.parse().unwrap()),
            None => record,
        };
        store.add(record).unwrap();
        let policy = OrganizationPolicy::default().with_disabled(self.disabled);
        block_on(store.set_organization_policy(&ACME, policy)).unwrap();
        store
    }

    fn presented(&self, plaintext: &str) -> String {
        match self.presented {
            Presented::Known => plaintext.to_owned(),
            Presented::Unknown => KeyFormat::AVALA.generate().unwrap().expose_secret().to_owned(),
            Presented::Malformed => "not a key".to_owned(),
            Presented::Blank => " ".to_owned(),
            Presented::TooLong => "a".repeat(513),
        }
    }
}

/// What the layer makes of a request with this key.
fn ask_layer(layer: &ApiKeyLayer, presented: &str, client: Option<ClientInfo>) -> u16 {
    let service = layer.layer(service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(String::new()))));
    let mut request = Request::builder().header("x-avala-api-key", presented).body(String::new()).unwrap();
    if let Some(client) = client {
        request.extensions_mut().insert(client);
    }
    block_on(service.oneshot(request)).unwrap().status().as_u16()
}

fn authenticate(authenticator: &Authenticator, presented: &str, requirement: &Requirement) -> Result<KeyId, Rejection> {
    block_on(authenticator.authenticate(presented, requirement)).map(|key| key.id())
}

proptest! {
    /// Cases: 229.
    #[test]
    fn message_is_decided_as_a_request(facts in facts(), requirement in requirement(), awaited in any::<bool>(), formats in any::<bool>()) {
        let plaintext = KeyFormat::AVALA.generate().unwrap().expose_secret().to_owned();
        let store = facts.store(&plaintext);
        let client = facts.client.map(|address| ClientInfo::new(Some(address.into()), false));
        let layer = || {
            let layer = match awaited {
                true => ApiKeyLayer::new(Awaited(store.clone())).without_lookup_timeout(),
                false => ApiKeyLayer::new(store.clone()),
            };
            if formats { layer.require_formats([KeyFormat::AVALA]) } else { layer }
        };
        let presented = facts.presented(&plaintext);
        let of_layer = Watcher::default();
        let status = ask_layer(&of_layer.watch(layer()).require(requirement.clone()), &presented, client);
        let of_messages = Watcher::default();
        let authenticator = of_messages.watch(layer()).authenticator();
        let authenticator = client.into_iter().fold(authenticator, Authenticator::with_client);
        let accepted = authenticate(&authenticator, &presented, &requirement);
        prop_assert_eq!(accepted.map_or_else(|rejection| rejection.status().as_u16(), |_| 200), status);
        prop_assert_eq!(&*of_messages.events.lock().unwrap(), &*of_layer.events.lock().unwrap());
        let events = of_messages.events.lock().unwrap();
        prop_assert_eq!(events.len(), 1);
        match accepted {
            Ok(id) => prop_assert_eq!((events[0].0, events[0].1), (Outcome::Accepted, Some(id))),
            Err(rejection) => prop_assert_eq!(events[0].0, Outcome::Rejected(rejection)),
        }
        let uses = [of_layer.uses(&store), of_messages.uses(&store)];
        // The second count adds to the first one.
        prop_assert_eq!(uses[1], 2 * uses[0]);
    }
}

/// Cases: 229.
#[tokio::test(start_paused = true)]
async fn outage_of_a_message_is_never_a_wrong_key() {
    let store = FaultyStore::new(MemoryStore::new());
    let issued = issue(&store).await;
    let watcher = Watcher::default();
    let authenticator = watcher.watch(ApiKeyLayer::new(store.clone())).authenticator();
    let (key, any) = (issued.secret.expose_secret(), Requirement::any_key());
    for (fault, code) in
        [(Fault::Error, "store_failed"), (Fault::Hang, "store_timed_out"), (Fault::Panic, "store_panicked")]
    {
        store.set_fault(fault);
        let rejection = authenticator.authenticate(key, &any).await.unwrap_err();
        assert_eq!((rejection.code(), rejection.status().as_u16()), (code, 503));
        assert_eq!(watcher.events.lock().unwrap().pop().unwrap().0, Outcome::Rejected(rejection));
    }
    store.set_fault(Fault::Hang);
    let dropped = tokio::time::timeout(Duration::from_millis(10), authenticator.authenticate(key, &any)).await;
    assert!(dropped.is_err());
    assert_eq!(watcher.events.lock().unwrap().pop().unwrap().0, Outcome::Cancelled);
    store.set_fault(Fault::None);
    assert!(authenticator.authenticate(key, &any).await.is_ok());
}

/// Cases: 229.
///
/// What is computed from a request, or counts requests, does not apply; the requirement of the layer does.
#[test]
fn message_needs_what_the_layer_requires() {
    let store = MemoryStore::new();
    let issued = block_on(issue(&store));
    let key = issued.secret.expose_secret();
    let layer = ApiKeyLayer::new(store)
        .require(DATASETS_READ)
        .require_fn(|_| Requirement::full_access())
        .allow_anonymous()
        .accept_identity(|_| Some(tower_api_key::auth::Identity::new(ACME, Access::Full, "ada")))
        .limit(LimitRule::per_key(Limit::per_minute(0)))
        .throttle_failures(LimitRule::per_client(Limit::per_minute(0)));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&seen);
    let layer = layer.on_decision(move |event| {
        hook.lock().unwrap().push((event.method().to_string(), event.path().to_owned(), event.status()));
    });
    let authenticator = layer.clone().authenticator().with_path("/queues/uploads".parse().unwrap());
    assert!(authenticate(&authenticator, key, &DATASETS_WRITE.into()).is_ok());
    assert_eq!(authenticate(&authenticator, "", &Requirement::any_key()).unwrap_err().code(), "missing");
    assert_eq!(authenticate(&authenticator, "unknown", &Requirement::any_key()).unwrap_err().code(), "unknown");
    let event = ("MESSAGE".to_owned(), "/queues/uploads".to_owned(), None);
    assert_eq!(*seen.lock().unwrap(), [event.clone(), event.clone(), event]);

    let writer = layer.require(Requirement::full_access()).authenticator();
    let rejection = authenticate(&writer, key, &Requirement::any_key()).unwrap_err();
    assert_eq!(rejection.code(), "insufficient_scope");
}

/// A key is bytes, also such that no header can hold.
#[test]
fn message_with_any_bytes_is_decided() {
    let authenticator = ApiKeyLayer::new(MemoryStore::new()).authenticator();
    for bytes in [&b"\r\n"[..], b"\0", b"\xff\xfe"] {
        let rejection = block_on(authenticator.authenticate(bytes, &Requirement::any_key())).unwrap_err();
        assert_eq!(rejection.code(), "unknown", "{bytes:?}");
    }
    fn is_send(_: impl Send + 'static) {}
    let store = MemoryStore::new();
    is_send(async move {
        let authenticator = ApiKeyLayer::new(Awaited(store)).authenticator();
        authenticator.authenticate(String::new(), &Requirement::any_key()).await.map(drop)
    });
    let _ = <MemoryStore as KeyStore>::id;
}
