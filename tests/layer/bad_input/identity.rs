//! The layer alone identifies the client, and the key itself goes no further.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::middleware::map_request;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use http::{Response, StatusCode};
use tower::util::MapRequestLayer;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::auth::RequireScopesLayer;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::scope::avala;
use tower_api_key::{Access, ApiKey, ApiKeyLayer, MemoryStore};

use super::keys::{EXPIRED, KEY, REVOKED, UNKNOWN, store};
use super::world::Verdict::{Accepted, Expired, Forbidden, Invalid, Missing};
use super::world::{Called, Configure, World};

const NAME: &str = "x-avala-api-key";

/// Cases: 23.
/// An outer layer claims that the client has full access: with a forged identity, and with one that a layer on another
/// store has authenticated.
#[tokio::test]
async fn foreign_identity_is_removed_and_grants_nothing() {
    let outsides: [fn(Router) -> Router; 2] =
        [|router| router.layer(map_request(forge)), |router| router.layer(elsewhere().keep_header())];
    for outside in outsides {
        for world in World::each_behind(outside, |layer| layer).await {
            for (key, verdict) in [(UNKNOWN, Invalid(1)), (REVOKED, Invalid(1)), (EXPIRED, Expired)] {
                world.value(key.as_bytes(), verdict).await;
                world.direct(&[(NAME, key.as_bytes())], verdict).await;
            }
            assert_is_acme(&world.value(KEY.as_bytes(), Accepted).await.unwrap());
            assert_is_acme(&world.direct(&[(NAME, KEY.as_bytes())], Accepted).await.unwrap());
        }
        for world in World::each_behind(outside, |layer| layer.require(avala::DATASETS_WRITE)).await {
            world.value(KEY.as_bytes(), Forbidden).await;
        }
    }
    for world in World::each_behind(outsides[0], |layer| layer).await {
        world.lines(b"", Missing).await;
        world.value(b"", Missing).await;
        world.lines(format!("X-Avala-Api-Key: {KEY}\r\n").repeat(2).as_bytes(), Invalid(0)).await;
    }
}

/// Cases: 23.
/// An inner layer checks the identity that the key layer authenticated, not the one that came with the request.
#[tokio::test]
async fn route_scopes_check_the_authenticated_key() {
    let forged = MapRequestLayer::new(|mut request: http::Request<()>| {
        request.extensions_mut().insert(ApiKey::for_test_of(evil(UNKNOWN)));
        request
    });
    let request = || http::Request::builder().header(NAME, KEY).body(()).unwrap();
    for (required, status) in [(avala::DATASETS_READ, StatusCode::OK), (avala::DATASETS_WRITE, StatusCode::FORBIDDEN)] {
        let handler = service_fn(|_: http::Request<()>| async { Ok::<_, Infallible>(Response::new(String::new())) });
        let route = RequireScopesLayer::new(required).layer(handler);
        let guarded = forged.layer(ApiKeyLayer::new(store()).layer(route.clone()));
        assert_eq!(guarded.oneshot(request()).await.unwrap().status(), status);
        // Without the layer between them the forged one would do, so it is the layer that it fails on.
        assert_eq!(forged.layer(route).oneshot(request()).await.unwrap().status(), StatusCode::OK);
    }
}

/// Cases: 23.
/// Identities are extensions of the request, which no client can set. Headers that look like one are nothing but
/// headers.
#[tokio::test]
async fn client_identity_headers_grant_nothing() {
    let claims = [
        "X-Avala-Organization: evil",
        "X-Avala-Scopes: datasets.write",
        "X-Consumer-ID: evil",
        "X-Consumer-Username: evil",
        "X-Credential-Identifier: evil",
        "X-Authenticated-Userid: evil",
        "X-Anonymous-Consumer: true",
        "X-Forwarded-User: evil",
        "Forwarded: for=127.0.0.1;by=evil",
    ];
    let lines: String = claims.map(|line| format!("{line}\r\n")).concat();
    for world in World::each(|layer| layer).await {
        world.lines(lines.as_bytes(), Missing).await;
        let called = world.lines(format!("{lines}X-Avala-Api-Key: {KEY}\r\n").as_bytes(), Accepted).await.unwrap();
        assert_is_acme(&called);
        for claim in claims {
            let (name, value) = claim.split_once(": ").unwrap();
            assert_eq!(called.headers[name], value);
        }
    }
}

/// Cases: 24.
#[tokio::test]
async fn handler_never_sees_the_key() {
    let custom = |layer: ApiKeyLayer| layer.header(HeaderName::from_static("x-acme-key"));
    let places: [(Configure, &str); 5] = [
        (|layer| layer, "X-Avala-Api-Key: "),
        (|layer| layer.require_formats([tower_api_key::key::KeyFormat::AVALA]), "x-avala-api-key: "),
        (|layer| layer.accept_bearer(), "X-Avala-Api-Key: "),
        (|layer| layer.accept_bearer(), "Authorization: Bearer "),
        (custom, "X-Acme-Key: "),
    ];
    for (configure, place) in places {
        for world in World::each(configure).await {
            let lines = format!("Accept: */*\r\n{place}{KEY}\r\nX-Last: 1\r\n");
            let called = world.lines(lines.as_bytes(), Accepted).await.unwrap();
            let left: Vec<_> = called.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
            assert_eq!(left.len(), 3, "{left:?}");
            for header in [("host", &b"test"[..]), ("accept", b"*/*"), ("x-last", b"1")] {
                assert!(left.contains(&header), "{left:?}");
            }
            assert!(!format!("{called:?}").contains(KEY), "{called:?}");
        }
    }
    // Credentials of another kind are not ours to take away.
    for world in World::each(|layer| layer.accept_bearer()).await {
        let lines = format!("Authorization: Basic eDp5\r\nX-Avala-Api-Key: {KEY}\r\n");
        let called = world.lines(lines.as_bytes(), Accepted).await.unwrap();
        assert_eq!(called.headers[AUTHORIZATION], "Basic eDp5");
    }
}

/// Cases: 24.
#[tokio::test]
async fn kept_key_is_marked_sensitive() {
    let places: [(Configure, &str, &str); 3] = [
        (|layer| layer.keep_header(), NAME, ""),
        (|layer| layer.keep_header().accept_bearer(), NAME, ""),
        (|layer| layer.keep_header().accept_bearer(), "authorization", "Bearer "),
    ];
    for (configure, name, scheme) in places {
        for world in World::each(configure).await {
            let value = format!("{scheme}{KEY}");
            let called = world.lines(format!("{name}: {value}\r\nAccept: */*\r\n").as_bytes(), Accepted).await.unwrap();
            assert_eq!(called.headers.len(), 3);
            assert_eq!(called.headers[name], value);
            let sensitive = called.headers.iter().filter(|(_, value)| value.is_sensitive());
            assert_eq!(sensitive.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), [name]);
            assert!(!format!("{called:?}").contains(KEY), "{called:?}");
        }
    }
}

/// Cases: 24.
/// A renderer sees the rejected request, and may log it.
#[tokio::test]
async fn renderer_never_sees_the_key() {
    let places: [(Configure, &str, usize); 5] = [
        (|layer| layer, "X-Avala-Api-Key: ", 0),
        (|layer| layer.accept_bearer(), "X-Avala-Api-Key: ", 0),
        (|layer| layer.accept_bearer(), "Authorization: Bearer ", 0),
        (|layer| layer.keep_header(), "X-Avala-Api-Key: ", 1),
        (|layer| layer.keep_header().accept_bearer(), "Authorization: Bearer ", 1),
    ];
    for (configure, place, kept) in places {
        for (world, seen) in rendering(|layer| configure(layer.require(avala::DATASETS_WRITE))).await {
            for (key, verdict) in [(KEY, Forbidden), (UNKNOWN, Invalid(1)), (EXPIRED, Expired)] {
                world.lines(format!("{place}{key}\r\n").as_bytes(), verdict).await;
                let headers = std::mem::take(&mut *seen.lock().unwrap());
                assert_eq!(headers.len(), 1 + kept, "{headers:?}");
                assert!(!format!("{headers:?}").contains("avk_"), "{headers:?}");
            }
        }
    }
    for (world, seen) in rendering(|layer| layer.accept_bearer()).await {
        for lines in repeated() {
            world.lines(lines.as_bytes(), Invalid(0)).await;
            let headers = std::mem::take(&mut *seen.lock().unwrap());
            assert!(!format!("{headers:?}").contains("avk_"), "{headers:?}");
        }
    }
}

/// Cases: 24.
#[tokio::test]
async fn each_copy_of_kept_key_is_marked_sensitive() {
    for (world, seen) in rendering(|layer| layer.keep_header().accept_bearer()).await {
        for lines in repeated() {
            world.lines(lines.as_bytes(), Invalid(0)).await;
            let headers = std::mem::take(&mut *seen.lock().unwrap());
            assert_eq!(headers.len(), 3, "{headers:?}");
            assert!(!format!("{headers:?}").contains("avk_"), "{headers:?}");
        }
    }
}

/// Requests with more than one key.
fn repeated() -> [String; 6] {
    let own = |key: &str| format!("X-Avala-Api-Key: {key}\r\n");
    let bearer = |key: &str| format!("Authorization: Bearer {key}\r\n");
    [
        own(KEY) + &own(KEY),
        own("bad") + &own(KEY),
        own(KEY) + &bearer(KEY),
        bearer(KEY) + &bearer(KEY),
        bearer("bad") + &bearer(KEY),
        "Authorization: Basic eDp5\r\n".to_owned() + &bearer(KEY),
    ]
}

/// Worlds whose renderer keeps the headers of the last rejected request.
async fn rendering(configure: impl Fn(ApiKeyLayer) -> ApiKeyLayer) -> Vec<(World, Arc<Mutex<HeaderMap>>)> {
    let seen = Arc::new(Mutex::new(HeaderMap::new()));
    let worlds = World::each(|layer| {
        let seen = Arc::clone(&seen);
        configure(layer).rejection_response(move |rejected| {
            *seen.lock().unwrap() = rejected.request().headers().clone();
            rejected.response()
        })
    });
    worlds.await.into_iter().map(|world| (world, Arc::clone(&seen))).collect()
}

async fn forge(mut request: Request) -> Request {
    request.extensions_mut().insert(ApiKey::for_test_of(evil(UNKNOWN)));
    request
}

/// A layer on a store that knows all these keys, as those of another organization.
fn elsewhere() -> ApiKeyLayer {
    let keys = MemoryStore::new();
    for key in [KEY, UNKNOWN, REVOKED, EXPIRED] {
        keys.add(evil(key)).unwrap();
    }
    ApiKeyLayer::new(keys)
}

fn evil(key: &str) -> KeyRecord {
    let digest = KeyDigest::hash(key.as_bytes());
    let id = KeyId::from_u128(u128::from_le_bytes(digest.as_bytes()[..16].try_into().unwrap()));
    KeyRecord::new(id, digest, "evil".parse().unwrap(), Access::Full)
}

fn assert_is_acme(called: &Called) {
    let key = &called.key;
    assert_eq!((key.organization().as_str(), key.id()), ("acme", KeyId::from_u128(1)));
    assert_eq!(key.access(), &Access::scoped([avala::DATASETS_READ]));
}
