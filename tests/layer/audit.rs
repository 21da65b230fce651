//! What hooks and renderers see of a request: who sent it, which one it was, and what its key lacked. Rejections of
//! handlers have the form of the layer.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::auth::{HandlerRejection, RequireScopesLayer};
use tower_api_key::client::ClientInfo;
use tower_api_key::decision::Denial;
use tower_api_key::observe::Outcome;
use tower_api_key::rejection::RejectedRequest;
use tower_api_key::routes::RouteTable;
use tower_api_key::scope::avala;
use tower_api_key::{Access, ApiKey, ApiKeyLayer, Rejection, Requirement, Scope};

use crate::support::keys::KEY;
use crate::support::reply::Reply;
use crate::support::store::store;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORBIDDEN: &str = r#"{"detail":"You do not have permission to perform this action."}"#;

fn problem(rejected: &RejectedRequest<'_>) -> Response<Bytes> {
    let mut response = rejected.response();
    let problem = json!({
        "status": response.status().as_u16(),
        "code": rejected.rejection().public_code(),
        "request_id": rejected.request_id(),
        "client": rejected.client().and_then(|client| client.address()).map(|address| address.to_string()),
        "requirement": rejected.requirement().map(ToString::to_string),
        "missing": rejected.missing_scopes().iter().map(Scope::as_str).collect::<Vec<_>>(),
    });
    *response.body_mut() = problem.to_string().into();
    let form = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert("content-type", form);
    response
}

/// What the hook sees: the outcome, and the fields of [`problem`].
type Seen = Arc<Mutex<Vec<(Outcome, Value)>>>;

fn watched(layer: ApiKeyLayer) -> (ApiKeyLayer, Seen) {
    let seen = Seen::default();
    let shown = Arc::clone(&seen);
    let layer = layer.request_id_header(REQUEST_ID).on_decision(move |event| {
        let code = match event.outcome() {
            Outcome::Rejected(rejection) => Some(rejection.public_code()),
            _ => None,
        };
        let fields = json!({
            "status": event.status().map(|status| status.as_u16()),
            "code": code,
            "request_id": event.request_id(),
            "client": event.client().and_then(|client| client.address()).map(|address| address.to_string()),
            "requirement": event.requirement().map(ToString::to_string),
            "missing": event.missing_scopes().iter().map(Scope::as_str).collect::<Vec<_>>(),
        });
        shown.lock().unwrap().push((event.outcome(), fields));
    });
    (layer, seen)
}

fn request(key: &str) -> Request<Body> {
    let mut request = Request::get("/datasets/").header("X-Avala-Api-Key", key).header(REQUEST_ID, "id-1");
    let client = ClientInfo::new(Some("192.0.2.7".parse().unwrap()), true);
    request.extensions_mut().unwrap().insert(client);
    request.body(Body::empty()).unwrap()
}

/// Its name, the service behind a layer, the requirement and the scopes that the key lacks.
type Forbidding = (&'static str, fn(ApiKeyLayer) -> Router, &'static str, &'static [&'static str]);

/// The key may read datasets. Whatever requires more, hook and renderer name it.
fn forbidding() -> Vec<Forbidding> {
    let write = "datasets.write";
    vec![
        ("the layer", |layer| around(&layer.require(avala::DATASETS_WRITE), handled()), write, &["datasets.write"]),
        (
            "a function",
            |layer| {
                let both = || Requirement::all_of([avala::DATASETS_READ, avala::DATASETS_WRITE]);
                around(&layer.require_fn(move |_| both()), handled())
            },
            "datasets.read, datasets.write",
            &["datasets.write"],
        ),
        (
            "the table",
            |layer| {
                let either = Requirement::any_of([avala::TASKS_READ, avala::PROJECTS_READ]);
                let table = RouteTable::builder().route(Method::GET, "/datasets/", either).build().unwrap();
                around(&layer.routes(table), handled())
            },
            "any of projects.read, tasks.read",
            &["projects.read", "tasks.read"],
        ),
        (
            "a layer on the route",
            |layer| around(&layer, handled().layer(RequireScopesLayer::new(avala::DATASETS_WRITE))),
            write,
            &["datasets.write"],
        ),
        (
            "a layer inside",
            |layer| around(&layer, handled().layer(layer.clone().require(avala::DATASETS_WRITE))),
            write,
            &["datasets.write"],
        ),
        (
            "a handler",
            |layer| around(&layer, Router::new().route("/datasets/", get(requires))),
            write,
            &["datasets.write"],
        ),
        ("full access", |layer| around(&layer.require(Requirement::full_access()), handled()), "full access", &[]),
    ]
}

fn around(layer: &ApiKeyLayer, router: Router) -> Router {
    Router::new().fallback_service(layer.layer(router))
}

fn handled() -> Router {
    Router::new().route("/datasets/", get(async || "handled"))
}

async fn requires(key: ApiKey, head: Parts) -> Result<Json<bool>, HandlerRejection> {
    key.require(&Requirement::from(avala::DATASETS_READ), &head)?;
    key.require(&Requirement::from(avala::DATASETS_WRITE), &head)?;
    Ok(Json(true))
}

/// Cases: 165.
#[tokio::test]
async fn hook_and_renderer_see_what_key_lacks() {
    for (name, guarded, requirement, missing) in forbidding() {
        let reader = ApiKeyLayer::new(store(Access::scoped([avala::DATASETS_READ])));
        let (layer, seen) = watched(reader);
        let expected = json!({
            "status": 403, "code": "insufficient_scope", "request_id": "id-1", "client": "192.0.2.7",
            "requirement": requirement, "missing": missing,
        });
        let rejected = Outcome::Rejected(Denial::InsufficientScope.into());

        // Without a renderer, the response has the documented bytes.
        let reply = Reply::of(guarded(layer.clone()).oneshot(request(KEY)).await.unwrap()).await;
        assert_eq!((reply.status, &*reply.body), (403, FORBIDDEN), "{name}");
        assert_eq!(std::mem::take(&mut *seen.lock().unwrap()), [(rejected, expected.clone())], "{name}");

        let service = guarded(layer.rejection_response(problem));
        let reply = Reply::of(service.clone().oneshot(request(KEY)).await.unwrap()).await;
        assert_eq!(reply.headers["content-type"], "application/problem+json");
        assert_eq!(serde_json::from_str::<Value>(&reply.body).unwrap(), expected, "{name}");
        assert_eq!(std::mem::take(&mut *seen.lock().unwrap()), [(rejected, expected)], "{name}");

        // Another rejection names no requirement.
        let reply = Reply::of(service.oneshot(request("unknown")).await.unwrap()).await;
        let expected = json!({
            "status": 401, "code": "invalid_key", "request_id": "id-1", "client": "192.0.2.7",
            "requirement": null, "missing": [],
        });
        assert_eq!(serde_json::from_str::<Value>(&reply.body).unwrap(), expected, "{name}");
        assert_eq!(seen.lock().unwrap()[0].1, expected, "{name}");
    }
}

/// Cases: 165.
#[tokio::test]
async fn unusable_request_id_is_not_shown() {
    let (layer, seen) = watched(ApiKeyLayer::new(store(Access::Full)));
    let service = layer.layer(handled());
    for (sent, shown) in [(&b"id-2"[..], Some("id-2")), (b"caf\xe9", None)] {
        let mut request = request(KEY);
        request.headers_mut().insert(REQUEST_ID, HeaderValue::from_bytes(sent).unwrap());
        request.extensions_mut().remove::<ClientInfo>();
        assert_eq!(service.clone().oneshot(request).await.unwrap().status(), 200);
        let (outcome, fields) = seen.lock().unwrap().pop().unwrap();
        assert_eq!(
            (outcome, &fields["request_id"], &fields["client"]),
            (Outcome::Accepted, &json!(shown), &Value::Null)
        );
    }
}

/// Cases: 166.
/// A handler of any service, for any reason.
#[tokio::test]
async fn handler_rejects_in_the_form_of_the_layer() {
    for rejection in [Denial::InsufficientScope.into(), Rejection::NotFound, Rejection::Throttled { retry_after: 7 }] {
        let (layer, seen) = watched(ApiKeyLayer::new(store(Access::Full)));
        let handler = service_fn(move |request: Request<Body>| {
            let key = request.extensions().get::<ApiKey>().unwrap();
            let response = key.reject(rejection, &request).respond().map(Body::from);
            async { Ok::<_, Infallible>(response) }
        });
        let reply = Reply::of(layer.layer(handler).oneshot(request(KEY)).await.unwrap()).await;
        let documented = rejection.to_response();
        assert_eq!((reply.status, reply.body.as_bytes()), (documented.status().as_u16(), &documented.body()[..]));
        assert_eq!(reply.headers.get("retry-after"), documented.headers().get("retry-after"));

        let rendered = layer.rejection_response(problem).layer(handler).oneshot(request(KEY)).await.unwrap();
        let rendered: Value = serde_json::from_str(&Reply::of(rendered).await.body).unwrap();
        assert_eq!(rendered["code"], rejection.public_code());
        let outcomes: Vec<_> = seen.lock().unwrap().iter().map(|(outcome, _)| *outcome).collect();
        assert_eq!(outcomes, [Outcome::Rejected(rejection); 2]);
    }
}

/// Cases: 166.
/// A rejection that the handler drops is none.
#[tokio::test]
async fn dropped_rejection_of_handler_is_not_reported() {
    let (layer, seen) = watched(ApiKeyLayer::new(store(Access::scoped([]))));
    let lenient = async |key: ApiKey, head: Parts| {
        let required = key.require(&Requirement::full_access(), &head);
        required.map_or_else(|rejected| rejected.rejection().code().to_owned(), |()| "full".to_owned())
    };
    let service = layer.layer(Router::new().route("/datasets/", get(lenient)));
    let reply = Reply::of(service.oneshot(request(KEY)).await.unwrap()).await;
    assert_eq!((reply.status, &*reply.body), (200, "insufficient_scope"));
    assert_eq!(seen.lock().unwrap()[0].0, Outcome::Accepted);
}
