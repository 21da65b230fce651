//! What makes no identity: what clients send, and what other layers have left in the extensions.

use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::auth::{Caller, Identity, RequireScopesLayer};
use tower_api_key::scope::avala;
use tower_api_key::{Access, ApiKey, ApiKeyLayer, BoxError, MemoryStore, OrganizationId, Requirement};

use crate::support::keys::KEY;
use crate::support::store::store;

const ACME: OrganizationId = OrganizationId::from_static("acme");

/// What the outer authenticator has established. Only its layer can make one.
#[derive(Clone)]
struct Login;

fn identity(extensions: &http::Extensions) -> Option<Identity> {
    extensions.get::<Login>().map(|Login| Identity::new(ACME, Access::Full, "ada"))
}

/// Returns the status, and who the handler has seen.
async fn ask(layers: &[ApiKeyLayer], request: Request<String>) -> (u16, String) {
    let handler = service_fn(async |request: Request<String>| {
        let seen = match Caller::of(request.extensions()) {
            Some(Caller::Key(key)) => format!("key of {}", key.organization()),
            Some(Caller::Identity(identity)) => identity.actor().to_owned(),
            None => "no caller".to_owned(),
        };
        Ok::<_, BoxError>(Response::new(seen))
    });
    let (status, body) = match layers {
        [one] => {
            let response = one.layer(handler).oneshot(request).await.unwrap();
            (response.status(), response.into_body().collect().await.unwrap().to_bytes())
        }
        [outer, inner] => {
            let response = outer.layer(inner.layer(handler)).oneshot(request).await.unwrap();
            (response.status(), response.into_body().collect().await.unwrap().to_bytes())
        }
        _ => unreachable!("one or two layers"),
    };
    (status.as_u16(), String::from_utf8(body.into()).unwrap())
}

/// Cases: 220.
#[tokio::test]
async fn identity_from_a_client_or_another_layer_is_none() {
    let layer = [ApiKeyLayer::new(MemoryStore::new()).accept_identity(identity)];
    let named = Request::builder().header("identity", "ada").header("x-identity", "ada").header("cookie", "login=ada");
    assert_eq!(ask(&layer, named.body(String::new()).unwrap()).await.0, 401);
    // An identity that is only in the extensions is that of another program, or of a test.
    let foreign = Request::builder().extension(Identity::new(ACME, Access::Full, "ada"));
    assert_eq!(ask(&layer, foreign.body(String::new()).unwrap()).await.0, 401);
    let key = Request::builder().extension(ApiKey::for_test("acme", Access::Full));
    assert_eq!(ask(&layer, key.body(String::new()).unwrap()).await.0, 401);
    let login = Request::builder().extension(Login).body(String::new()).unwrap();
    assert_eq!(ask(&layer, login).await, (200, "ada".to_owned()));
}

/// Cases: 221.
///
/// An inner layer decides by its own function, its own requirement and its own store.
#[tokio::test]
async fn inner_layer_accepts_only_its_own_identities() {
    let request = |key: Option<&str>, login: bool| {
        let request = key.into_iter().fold(Request::builder(), |request, key| request.header("x-avala-api-key", key));
        let request = if login { request.extension(Login) } else { request };
        request.body(String::new()).unwrap()
    };
    let keys = store(Access::scoped([avala::DATASETS_READ]));
    let plain = || ApiKeyLayer::new(keys.clone());
    let accepting = || plain().accept_identity(identity);
    let seen = |status: u16, seen: &str| (status, seen.to_owned());
    let missing = seen(401, r#"{"detail":"Authentication credentials were not provided."}"#);
    let forbidden = seen(403, r#"{"detail":"You do not have permission to perform this action."}"#);

    assert_eq!(ask(&[accepting(), plain()], request(None, true)).await, missing);
    assert_eq!(ask(&[plain(), accepting()], request(None, true)).await, missing);
    assert_eq!(ask(&[accepting(), accepting()], request(None, true)).await, seen(200, "ada"));
    assert_eq!(ask(&[accepting(), plain().allow_anonymous()], request(None, true)).await, seen(200, "no caller"));
    // The inner function returns an identity that may do less.
    let reader = |extensions: &http::Extensions| {
        extensions.get::<Login>().map(|Login| Identity::new(ACME, Access::scoped([]), "a reader"))
    };
    let inner = plain().accept_identity(reader);
    assert_eq!(ask(&[accepting(), inner.clone()], request(None, true)).await, seen(200, "a reader"));
    let inner = inner.require(avala::DATASETS_READ);
    assert_eq!(ask(&[accepting(), inner.clone()], request(None, true)).await, forbidden);
    // A function that returns the caller of the outer layer gets none.
    let caller = |extensions: &http::Extensions| match Caller::of(extensions)? {
        Caller::Identity(identity) => Some(identity),
        Caller::Key(key) => Some(Identity::new(key.organization().clone(), key.access().clone(), "a key")),
    };
    for key in [None, Some(KEY)] {
        let inner = ApiKeyLayer::new(MemoryStore::new()).header(http::HeaderName::from_static("x-inner"));
        let asked = ask(&[accepting(), inner.accept_identity(caller)], request(key, true)).await;
        assert_eq!(asked, missing, "{key:?}");
    }
    // A key is never replaced, not even by an identity that may do more.
    let full = accepting().require(Requirement::full_access());
    assert_eq!(ask(&[accepting(), full.clone()], request(Some(KEY), true)).await, forbidden);
    assert_eq!(ask(&[accepting(), full], request(None, true)).await, seen(200, "ada"));
    // The outer layer has removed the key that the inner one would have to look up in its own store.
    let elsewhere = ApiKeyLayer::new(MemoryStore::new()).accept_identity(identity);
    assert_eq!(ask(&[accepting(), elsewhere], request(Some(KEY), true)).await.0, 500);
}

/// Cases: 221.
#[tokio::test]
async fn scopes_layer_requires_them_of_an_identity() {
    for (access, status) in [
        (Access::Full, 200),
        (Access::scoped([avala::DATASETS_READ]), 200),
        (Access::scoped([avala::DATASETS_WRITE]), 403),
        (Access::scoped([]), 403),
    ] {
        let given = access.clone();
        let layer = ApiKeyLayer::new(MemoryStore::new())
            .accept_identity(move |_| Some(Identity::new(ACME, given.clone(), "ada")))
            .layer(
                RequireScopesLayer::new(avala::DATASETS_READ)
                    .layer(service_fn(async |_: Request<String>| Ok::<_, BoxError>(Response::new(String::new())))),
            );
        let response = layer.oneshot(Request::new(String::new())).await.unwrap();
        assert_eq!(response.status(), status, "{access:?}");
    }
}
