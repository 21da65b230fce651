//! What handlers, limits and caches see of an identity.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::request::Parts;
use http::{Method, Request};
use tower::ServiceExt;
use tower_api_key::auth::{Attempt, Caller, HandlerRejection, Identity, Limit, LimitCaller, LimitState, Limiter};
use tower_api_key::observe::Outcome;
use tower_api_key::request::RequestHead;
use tower_api_key::routes::RouteTable;
use tower_api_key::scope::avala;
use tower_api_key::throttle::{LimitRule, ThrottleLayer};
use tower_api_key::{Access, ApiKey, ApiKeyLayer, MemoryStore, OrganizationId, Requirement};

use crate::support::keys::KEY;
use crate::support::reply::Reply;
use crate::support::store::store;

const ACME: OrganizationId = OrganizationId::from_static("acme");

/// Who is logged in: organization and actor.
#[derive(Clone)]
struct Login(&'static str, &'static str);

fn identity(extensions: &http::Extensions) -> Option<Identity> {
    let Login(organization, actor) = extensions.get::<Login>()?.clone();
    let access = Access::scoped([avala::DATASETS_READ]);
    Some(Identity::new(OrganizationId::from_static(organization), access, actor))
}

fn request(path: &str, login: Option<Login>, key: Option<&str>) -> Request<Body> {
    let mut request = Request::get(path).body(Body::empty()).unwrap();
    if let Some(login) = login {
        request.extensions_mut().insert(login);
    }
    if let Some(key) = key {
        request.headers_mut().insert("x-avala-api-key", key.parse().unwrap());
    }
    request
}

fn shown<B>(response: &http::Response<B>, header: &str) -> (u16, String) {
    (response.status().as_u16(), response.headers()[header].to_str().unwrap().to_owned())
}

/// Cases: 222.
#[tokio::test]
async fn handler_takes_key_or_identity_and_rejects_either() {
    async fn update(caller: Caller, head: Parts) -> Result<String, HandlerRejection> {
        caller.require(&Requirement::from(avala::DATASETS_WRITE), &head)?;
        Ok(format!("written by {}", caller.organization()))
    }
    async fn refuse(caller: Caller, head: Parts) -> HandlerRejection {
        caller.reject(tower_api_key::Rejection::NotFound, &head)
    }
    async fn optional(caller: Option<Caller>) -> String {
        caller.map_or("no caller".to_owned(), |caller| caller.organization().to_string())
    }
    let events = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&events);
    let public = RouteTable::builder()
        .public(Method::GET, "/public")
        .public(Method::GET, "/public-caller")
        .route(Method::GET, "/{*path}", Requirement::any_key())
        .build()
        .unwrap();
    let layer = ApiKeyLayer::new(store(Access::Full)).routes(public).accept_identity(identity);
    let layer = layer.rejection_response(|rejected| rejected.response().map(|_| rejected.rejection().code().into()));
    let layer = layer.on_decision(move |event| hook.lock().unwrap().push(event.outcome()));
    let app = Router::new()
        .route("/update", get(update))
        .route("/refuse", get(refuse))
        .route("/key", get(async |key: ApiKey| key.id().to_string()))
        .route("/optional", get(optional))
        .route("/public", get(optional))
        .route("/public-caller", get(async |caller: Caller| caller.organization().to_string()))
        .layer(layer);
    for (path, key, status, body) in [
        ("/update", Some(KEY), 200, "written by acme"),
        ("/update", None, 403, "insufficient_scope"),
        ("/refuse", Some(KEY), 404, "not_found"),
        ("/refuse", None, 404, "not_found"),
        ("/key", None, 401, "missing"),
        ("/optional", Some(KEY), 200, "acme"),
        ("/optional", None, 200, "globex"),
        ("/public", Some(KEY), 200, "no caller"),
        ("/public", None, 200, "no caller"),
        ("/public-caller", None, 401, "missing"),
    ] {
        let request = request(path, Some(Login("globex", "ada")), key);
        let reply = Reply::of(app.clone().oneshot(request).await.unwrap()).await;
        assert_eq!((reply.status, &*reply.body), (status, body), "{path} {key:?}");
        let [outcome] = events.lock().unwrap()[..] else { panic!("{path}: one event") };
        assert_eq!(matches!(outcome, Outcome::Rejected(_)), status >= 400, "{path} {key:?}: {outcome:?}");
        events.lock().unwrap().clear();
    }
}

/// Cases: 223.
#[tokio::test]
async fn identity_has_a_count_of_its_own() {
    const ADA: Option<Login> = Some(Login("globex", "ada"));
    const BOB: Option<Login> = Some(Login("globex", "bob"));
    const EVE: Option<Login> = Some(Login("acme", "ada"));
    let one = Limit::per_minute(1);
    // By key, everyone counts alone. By organization, ada and bob count together, and no identity counts as a key of acme.
    for (rule, second_of_globex) in [
        (LimitRule::per_key as fn(Limit) -> LimitRule, 200),
        (LimitRule::per_organization as fn(Limit) -> LimitRule, 429),
    ] {
        for inside in [false, true] {
            let layer = ApiKeyLayer::new(store(Access::Full)).accept_identity(identity).allow_anonymous();
            let router = Router::new().route("/", get(async || "handled"));
            let app = match inside {
                false => router.layer(layer.limit(rule(one))),
                true => router.layer(ThrottleLayer::new(rule(one))).layer(layer),
            };
            for (login, key, status) in [
                (None, None, 200),
                (ADA, None, 200),
                (BOB, None, second_of_globex),
                (EVE, None, 200),
                (EVE, Some(KEY), 200),
                (None, None, 429),
                (ADA, None, 429),
                (EVE, None, 429),
                (EVE, Some(KEY), 429),
            ] {
                let shown = format!("{:?} {key:?}, inside: {inside}", login.as_ref().map(|Login(_, actor)| actor));
                let reply = app.clone().oneshot(request("/", login, key)).await.unwrap();
                assert_eq!(reply.status(), status, "{shown}");
            }
        }
    }
}

/// Cases: 223.
///
/// A limiter of one's own sees who is calling, also when it has to be awaited.
#[tokio::test]
async fn awaited_limiter_sees_the_identity() {
    struct Remote(Arc<Mutex<Vec<String>>>);
    impl Limiter for Remote {
        fn try_acquire(&self, _: RequestHead<'_>, caller: LimitCaller<'_>) -> Attempt {
            let LimitCaller::Identity(identity) = caller else { return Attempt::Unlimited };
            self.0.lock().unwrap().push(identity.actor().to_owned());
            let allowed = identity.actor() == "ada";
            Attempt::Pending(Box::pin(async move {
                tokio::task::yield_now().await;
                let state = LimitState::new(Limit::per_minute(1), 0, Duration::from_secs(60));
                Ok(if allowed { Attempt::Allowed(state) } else { Attempt::Limited(state) })
            }))
        }
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let layer = ApiKeyLayer::new(MemoryStore::new()).accept_identity(identity).limit(Remote(Arc::clone(&seen)));
    let handler = get(async |caller: Caller| caller.organization().to_string());
    let app = Router::new().route("/", handler.clone()).layer(layer.clone());
    for (actor, status) in [("ada", 200), ("bob", 429)] {
        let response = app.clone().oneshot(request("/", Some(Login("globex", actor)), None)).await.unwrap();
        assert_eq!(shown(&response, "x-ratelimit-limit"), (status, "1".to_owned()), "{actor}");
    }
    let denied = Router::new().route("/", handler).layer(layer.require(avala::DATASETS_WRITE));
    let response = denied.oneshot(request("/", Some(Login("globex", "ada")), None)).await.unwrap();
    assert_eq!(shown(&response, "x-ratelimit-limit"), (403, "1".to_owned()));
    assert_eq!(*seen.lock().unwrap(), ["ada", "bob", "ada"]);
}

/// Cases: 224.
///
/// A response that a handler shares may depend on what the outer authenticator has read.
#[tokio::test]
async fn shared_response_varies_with_logins() {
    let shared = || Router::new().route("/", get(async || ([("cache-control", "public")], "shared")));
    let layer = ApiKeyLayer::new(MemoryStore::new()).allow_anonymous();
    for (layer, vary) in [
        (layer.clone(), "X-Avala-Api-Key"),
        (layer.clone().accept_identity(identity), "X-Avala-Api-Key, Authorization, Cookie"),
        (layer.clone().accept_identity(identity).accept_bearer(), "X-Avala-Api-Key, Authorization, Cookie"),
        (layer.accept_bearer().accept_identity(identity), "X-Avala-Api-Key, Authorization, Cookie"),
    ] {
        for login in [None, Some(Login("acme", "ada"))] {
            let response = shared().layer(layer.clone()).oneshot(request("/", login, None)).await.unwrap();
            assert_eq!(shown(&response, "vary"), (200, vary.to_owned()));
        }
    }
}

/// Cases: 224.
#[tokio::test]
async fn functions_of_several_logins_add_up() {
    let layer = ApiKeyLayer::new(MemoryStore::new())
        .accept_identity(|extensions| extensions.get::<u8>().map(|_| Identity::new(ACME, Access::Full, "first")))
        .accept_identity(|extensions| extensions.get::<u16>().map(|_| Identity::new(ACME, Access::Full, "second")));
    let app = Router::new()
        .route("/", get(async |caller: Caller| format!("{:?}", caller.access()) + &caller.organization().to_string()))
        .layer(
            layer
                .on_decision(|event| {
                    let expected = event.identity().map(|identity| identity.actor().to_owned());
                    assert_eq!(expected.as_deref(), event.request_id(), "{event:?}");
                })
                .request_id_header(http::HeaderName::from_static("expected")),
        );
    for (first, second, expected, status) in
        [(true, true, "first", 200), (true, false, "first", 200), (false, true, "second", 200), (false, false, "", 401)]
    {
        let mut request = request("/", None, None);
        if first {
            request.extensions_mut().insert(1_u8);
        }
        if second {
            request.extensions_mut().insert(2_u16);
        }
        if !expected.is_empty() {
            request.headers_mut().insert("expected", expected.parse().unwrap());
        }
        assert_eq!(app.clone().oneshot(request).await.unwrap().status(), status, "{expected:?}");
    }
}
