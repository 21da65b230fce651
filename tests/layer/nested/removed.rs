//! A guard inside an outer layer that has accepted the request without a key, and has removed the one that was sent.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Method, Request};
use tower::{Layer, ServiceExt};
use tower_api_key::auth::RequireScopesLayer;
use tower_api_key::routes::RouteTable;
use tower_api_key::scope::avala;
use tower_api_key::{Access, ApiKey, ApiKeyLayer, MemoryStore, Requirement};

use crate::support::keys::{KEY, record};
use crate::support::log_lines::{record_log, take_log};
use crate::support::reply::Reply;

const MISSING: &str = r#"{"detail":"Authentication credentials were not provided."}"#;
const MISCONFIGURED: &str = r#"{"detail":"Internal server error."}"#;

/// Cases: 138.
#[tokio::test]
async fn guard_inside_public_route_is_500_for_a_key() {
    let store = MemoryStore::new();
    store.add(record(Access::Full)).unwrap();
    let layer = ApiKeyLayer::new(store);
    let handler = || Router::new().route("/datasets/", get(async || "handled"));
    let extractor = Router::new().route("/datasets/", get(async |key: ApiKey| key.id().to_string()));
    for (name, guarded) in [
        ("an ApiKeyLayer", handler().layer(layer.clone())),
        ("an ApiKeyLayer", handler().layer(ApiKeyLayer::new(MemoryStore::new()))),
        ("an ApiKeyLayer", handler().layer(layer.clone().allow_anonymous())),
        ("a RequireScopesLayer", handler().layer(RequireScopesLayer::new(avala::DATASETS_READ))),
        ("a RequireScopesLayer", handler().layer(RequireScopesLayer::new(Requirement::any_key()))),
        ("a handler", extractor),
    ] {
        for keep in [false, true] {
            let table = RouteTable::builder().public(Method::GET, "/datasets/").build().unwrap();
            let outer = layer.clone().routes(table);
            let outer = if keep { outer.keep_header() } else { outer };
            let service = outer.layer(guarded.clone());
            let anonymous = name == "an ApiKeyLayer";
            for (key, sent) in [("", false), (" ", false), (KEY, true), ("unknown", true)] {
                let request = Request::get("/datasets/").header("X-Avala-Api-Key", key).body(Body::empty()).unwrap();
                record_log();
                let reply = Reply::of(service.clone().oneshot(request).await.unwrap()).await;
                let log = take_log();
                if sent && !keep {
                    assert_eq!((reply.status, &*reply.body), (500, MISCONFIGURED), "{name}, {key:?}");
                    let [line] = &log[..] else { panic!("one line is expected: {log:?}") };
                    for part in ["ERROR ", name, "public", "answering 500"] {
                        assert!(line.contains(part), "{part:?} in {line}");
                    }
                } else {
                    assert_ne!(reply.status, 500, "{name}, {key:?}");
                    assert!(reply.body == MISSING || anonymous, "{name}, {key:?}: {}", reply.body);
                    assert_eq!(log, [""; 0], "{name}, {key:?}");
                }
            }
        }
    }
}
