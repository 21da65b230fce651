//! What ends the stream of a key, and what does not.

use std::time::{Duration, SystemTime};

use http::Method;
use tower_api_key::auth::{KeyEnded, RequireScopesLayer};
use tower_api_key::background::Background;
use tower_api_key::client::AllowedNetworks;
use tower_api_key::key::{KeyDigest, Metadata, OrganizationPolicy};
use tower_api_key::manage::IssuedKey;
use tower_api_key::routes::RouteTable;
use tower_api_key::scope::avala::{DATASETS_READ, DATASETS_WRITE, EXPORTS_CREATE};
use tower_api_key::store::{CachedStore, Expiry, KeyBackend, KeyUpdate};
use tower_api_key::test_kit::ManualClock;
use tower_api_key::{Access, ApiKey, ApiKeyLayer, KeyManager, KeyStore, MemoryStore, Requirement};

use crate::support::awaited::Awaited;
use crate::world::{ACME, accepted, accepted_inside, end, is_open, issue, watch};

const SECOND: Duration = Duration::from_secs(1);

/// What happens to a key.
#[derive(Clone, Copy, Debug)]
enum Change {
    Revoke,
    Regenerate,
    Purge,
    Suspend,
    Disable,
    Expire,
    LoseAScope,
    LoseAnotherScope,
    Rename,
    Annotate,
    Overlap,
    UseOfAnotherKey,
}

impl Change {
    /// Each change, and the code of the rejection if it ends a stream that needs `datasets.read`.
    const ALL: [(Self, Option<&'static str>); 12] = [
        (Self::Revoke, Some("revoked")),
        (Self::Regenerate, Some("revoked")),
        (Self::Purge, Some("unknown")),
        (Self::Suspend, Some("suspended")),
        (Self::Disable, Some("organization_disabled")),
        (Self::Expire, Some("expired")),
        (Self::LoseAScope, Some("insufficient_scope")),
        (Self::LoseAnotherScope, None),
        (Self::Rename, None),
        (Self::Annotate, None),
        (Self::Overlap, None),
        (Self::UseOfAnotherKey, None),
    ];

    async fn make(self, store: &MemoryStore, clock: &ManualClock, issued: &IssuedKey) {
        let id = issued.record.id();
        let update = |update| async move { store.update(&ACME, id, update).await.map(drop).unwrap() };
        match self {
            Self::Revoke => drop(store.revoke(&ACME, id).await.unwrap()),
            Self::Regenerate => {
                drop(KeyManager::new(store.clone()).regenerate(&ACME, id, Expiry::Never).await.unwrap());
            }
            Self::Purge => {
                store.revoke(&ACME, id).await.unwrap();
                KeyManager::new(store.clone()).purge(&ACME, Duration::ZERO).await.unwrap();
            }
            Self::Suspend => update(KeyUpdate::new().with_suspended(true)).await,
            Self::Disable => {
                let disabled = OrganizationPolicy::default().with_disabled(true);
                store.set_organization_policy(&ACME, disabled).await.unwrap();
            }
            Self::Expire => clock.advance(2 * SECOND),
            Self::LoseAScope => update(KeyUpdate::new().with_scopes([DATASETS_WRITE])).await,
            Self::LoseAnotherScope => update(KeyUpdate::new().with_scopes([DATASETS_READ])).await,
            Self::Rename => update(KeyUpdate::new().with_name("another name")).await,
            Self::Annotate => update(KeyUpdate::new().with_metadata(Metadata::new([("a", "b")]).unwrap())).await,
            Self::Overlap => {
                let options = tower_api_key::manage::RegenerateOptions::new().with_overlap(Duration::from_secs(3_600));
                drop(KeyManager::new(store.clone()).regenerate(&ACME, id, options).await.unwrap());
            }
            Self::UseOfAnotherKey => {
                let other = issue(store).await;
                store.revoke(&ACME, other.record.id()).await.unwrap();
            }
        }
    }
}

/// A store in one of the ways in which a service has it, over one that publishes its changes or does not.
fn layers(store: &MemoryStore) -> [(&'static str, ApiKeyLayer); 3] {
    [
        ("at once, with changes", ApiKeyLayer::new(store.clone())),
        ("cached, with changes", ApiKeyLayer::new(CachedStore::new(store.clone()))),
        ("awaited, without changes", ApiKeyLayer::new(Awaited(store.clone()))),
    ]
}

/// Cases: 225.
#[tokio::test(start_paused = true)]
async fn key_ends_by_each_change_within_a_second() {
    for (change, code) in Change::ALL {
        for way in 0..3 {
            for driven in [false, true] {
                let clock = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000));
                let store = MemoryStore::builder().clock(clock.clone()).build();
                let expiry = matches!(change, Change::Expire).then(|| clock.now() + SECOND);
                let new =
                    tower_api_key::NewKey::new("stream", Access::scoped([DATASETS_READ, DATASETS_WRITE])).unwrap();
                let new = expiry.into_iter().fold(new, tower_api_key::NewKey::with_expires_at);
                let issued = KeyManager::new(store.clone()).issue(&ACME, new).await.unwrap();
                let (name, layer) = layers(&store).into_iter().nth(way).unwrap();
                let layer = layer.clock(clock.clone()).require(DATASETS_READ);
                let background = Background::new();
                if driven {
                    background.run(layer.watch_streams());
                }
                let mut ended = accepted(&layer, &issued).await.ended();
                watch(&mut ended);
                assert!(is_open(&mut ended).await, "{change:?}, {name}: before the change");
                change.make(&store, &clock, &issued).await;
                match code {
                    Some(code) => {
                        let (rejection, took) = end(&mut ended).await;
                        assert!(took <= SECOND, "{change:?}, {name}: {took:?}");
                        assert_eq!(rejection.code(), code, "{change:?}, {name}");
                    }
                    None => assert!(is_open(&mut ended).await, "{change:?}, {name}"),
                }
                background.shutdown().await;
            }
        }
    }
}

/// Cases: 225.
///
/// No timer is needed where the store publishes its changes: neither the clock nor tokio's moves.
#[tokio::test(start_paused = true)]
async fn published_change_ends_the_key_at_once() {
    let store = MemoryStore::new();
    let (issued, other) = (issue(&store).await, issue(&store).await);
    let layer = ApiKeyLayer::new(store.clone());
    let [mut ended, mut stays] = [&issued, &other].map(|issued| {
        let layer = layer.clone();
        futures::executor::block_on(accepted(&layer, issued)).ended()
    });
    watch(&mut ended);
    watch(&mut stays);
    store.revoke(&ACME, issued.record.id()).await.unwrap();
    let (rejection, took) = end(&mut ended).await;
    assert_eq!((rejection.code(), took), ("revoked", Duration::ZERO));
    // A future that has resolved stays so.
    assert_eq!(end(&mut ended).await.0, rejection);
    assert!(is_open(&mut stays).await);
}

/// Where the requirement of a route is.
#[derive(Clone, Copy, Debug)]
enum Place {
    Layer,
    Table,
    Inner,
    SecondInner,
    Function,
    Handler,
    Message,
    Nowhere,
}

/// Cases: 226.
#[tokio::test(start_paused = true)]
async fn lost_scope_ends_the_key_where_it_is_required() {
    for (place, ends_by_another) in [
        (Place::Layer, false),
        (Place::Table, false),
        (Place::Inner, false),
        (Place::SecondInner, false),
        // What the function requires of the request is not known any more.
        (Place::Function, true),
        (Place::Handler, false),
        (Place::Message, false),
        (Place::Nowhere, false),
    ] {
        let needs = !matches!(place, Place::Nowhere);
        for (lost, ends) in [(DATASETS_READ, needs), (DATASETS_WRITE, ends_by_another)] {
            let store = MemoryStore::new();
            let issued = issue(&store).await;
            let mut ended = ended_at(place, &store, &issued).await;
            watch(&mut ended);
            assert!(is_open(&mut ended).await, "{place:?}");
            let kept = if lost == DATASETS_READ { DATASETS_WRITE } else { DATASETS_READ };
            store.update(&ACME, issued.record.id(), KeyUpdate::new().with_scopes([kept])).await.unwrap();
            if ends {
                assert_eq!(end(&mut ended).await.0.code(), "insufficient_scope", "{place:?} without {lost}");
            } else {
                assert!(is_open(&mut ended).await, "{place:?} without {lost}");
            }
        }
    }
}

async fn ended_at(place: Place, store: &MemoryStore, issued: &IssuedKey) -> KeyEnded {
    let layer = ApiKeyLayer::new(store.clone());
    let any = || RequireScopesLayer::new(Requirement::any_key());
    let read = || RequireScopesLayer::new(DATASETS_READ);
    match place {
        Place::Layer => accepted(&layer.require(DATASETS_READ), issued).await.ended(),
        Place::Table => {
            let table = RouteTable::builder().route(Method::GET, "/datasets/", DATASETS_READ).build().unwrap();
            accepted(&layer.routes(table), issued).await.ended()
        }
        Place::Inner => accepted_inside(&layer, [read(), any()], issued).await.ended(),
        Place::SecondInner => accepted_inside(&layer, [any(), read()], issued).await.ended(),
        Place::Function => accepted(&layer.require_fn(|_| DATASETS_READ.into()), issued).await.ended(),
        Place::Handler => accepted(&layer, issued).await.ended().require(DATASETS_READ),
        Place::Message => {
            let requirement = Requirement::from(DATASETS_READ);
            let authenticator = layer.authenticator();
            authenticator.authenticate(issued.secret.expose_secret(), &requirement).await.unwrap().ended()
        }
        Place::Nowhere => accepted(&layer, issued).await.ended(),
    }
}

/// Cases: 226.
///
/// A handler may find out what it requires in the middle of a conversation.
#[tokio::test(start_paused = true)]
async fn requirement_of_an_open_stream_is_checked() {
    let store = MemoryStore::new();
    let issued = issue(&store).await;
    let key = accepted(&ApiKeyLayer::new(store), &issued).await;
    let (mut kept, mut lost) = (key.ended(), key.ended());
    watch(&mut kept);
    watch(&mut lost);
    let (mut kept, mut lost) = (kept.require(DATASETS_READ), lost.require(EXPORTS_CREATE));
    assert_eq!(end(&mut lost).await.0.code(), "insufficient_scope");
    assert!(is_open(&mut kept).await);
}

/// Cases: 226.
///
/// The client is not known any more, so that any lost network may be its own.
#[tokio::test(start_paused = true)]
async fn lost_network_ends_the_key() {
    use tower_api_key::NewKey;
    use tower_api_key::client::ClientInfo;

    let store = MemoryStore::new();
    let networks: AllowedNetworks = "192.0.2.0/24 198.51.100.0/24".parse().unwrap();
    let new = NewKey::new("network", Access::Full).unwrap().with_networks(networks);
    let issued = KeyManager::new(store.clone()).issue(&ACME, new).await.unwrap();
    let client = ClientInfo::new(Some([192, 0, 2, 7].into()), false);
    let authenticator = ApiKeyLayer::new(store.clone()).authenticator().with_client(client);
    let key = authenticator.authenticate(issued.secret.expose_secret(), &Requirement::any_key()).await.unwrap();
    let mut ended = key.ended();
    watch(&mut ended);
    assert!(is_open(&mut ended).await);
    let fewer: AllowedNetworks = "192.0.2.0/24".parse().unwrap();
    store.update(&ACME, issued.record.id(), KeyUpdate::new().with_networks(fewer)).await.unwrap();
    assert_eq!(end(&mut ended).await.0.code(), "network_not_allowed");
}

/// Cases: 226.
///
/// A store that mixes up its records keeps no stream open.
#[tokio::test(start_paused = true)]
async fn record_of_another_key_ends_the_key() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tower_api_key::key::KeyRecord;

    #[derive(Clone)]
    struct Mixed(MemoryStore, Arc<AtomicBool>, KeyDigest);
    impl KeyStore for Mixed {
        type Error = std::convert::Infallible;
        async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Self::Error> {
            self.0.find(if self.1.load(Ordering::SeqCst) { &self.2 } else { digest }).await
        }
    }
    let store = MemoryStore::new();
    let (issued, other) = (issue(&store).await, issue(&store).await);
    let mixed = Arc::new(AtomicBool::new(false));
    let layer = ApiKeyLayer::new(Mixed(store, Arc::clone(&mixed), *other.record.digest()));
    let mut ended = accepted(&layer, &issued).await.ended();
    watch(&mut ended);
    assert!(is_open(&mut ended).await);
    mixed.store(true, Ordering::SeqCst);
    assert_eq!(end(&mut ended).await.0.code(), "other_key");
}

#[tokio::test(start_paused = true)]
async fn key_of_no_layer_never_ends() {
    assert!(is_open(&mut ApiKey::for_test("acme", Access::Full).ended()).await);
}
