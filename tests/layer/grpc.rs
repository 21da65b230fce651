//! Rejected gRPC calls: a real tonic client sees the right status, and other clients see no change.
#![cfg(all(feature = "routes", feature = "test-kit"))]

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::{Layer, Service, ServiceExt};
use tower_api_key::auth::RequireScopesLayer;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::routes::RouteTable;
use tower_api_key::scope::avala;
use tower_api_key::test_kit::{Fault, FaultyStore};
use tower_api_key::{Access, ApiKeyLayer, BoxError, MemoryStore, Requirement};

use crate::support::handler::Handler;
use crate::support::keys::{KEY, record};
use crate::support::reply::{INVALID, Reply};

#[tokio::test]
async fn tonic_client_sees_each_status() {
    let store = FaultyStore::new(keys());
    let channel = serve(ApiKeyLayer::new(store.clone()).grpc_responses().require(avala::TASKS_READ)).await;
    for (key, code, message) in [
        ("", Code::Unauthenticated, "Authentication credentials were not provided."),
        ("unknown", Code::Unauthenticated, "Invalid API key."),
        ("expired", Code::Unauthenticated, "API key has expired."),
        ("limited", Code::PermissionDenied, "You do not have permission to perform this action."),
    ] {
        let status = check(&channel, key).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, message), "{key}");
    }
    assert_eq!(check(&channel, KEY).await.unwrap(), ServingStatus::Serving as i32);
    for fault in [Fault::Error, Fault::Panic] {
        store.set_fault(fault);
        let status = check(&channel, KEY).await.unwrap_err();
        let expected = (Code::Unavailable, "Service temporarily unavailable, try again later.");
        assert_eq!((status.code(), status.message()), expected, "{fault:?}");
    }
}

/// One request too many, counted inside the key layer.
#[cfg(feature = "throttle")]
#[tokio::test]
async fn tonic_client_sees_limit_reached() {
    use tower_api_key::throttle::{Limit, LimitRule};

    let layer = ApiKeyLayer::new(keys()).grpc_responses().limit(LimitRule::per_key(Limit::per_minute(2)));
    let channel = serve(layer).await;
    for _ in 0..2 {
        assert_eq!(check(&channel, KEY).await.unwrap(), ServingStatus::Serving as i32);
    }
    let status = check(&channel, KEY).await.unwrap_err();
    let message = "Request was throttled. Expected available in 60 seconds.";
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, message));
    assert_eq!(check(&channel, "unknown").await.unwrap_err().code(), Code::Unauthenticated);
}

/// A limit outside the key layer, and one of failures inside it.
#[cfg(feature = "throttle")]
#[tokio::test]
async fn client_limit_uses_the_key_layer_form() {
    use tonic::transport::server::TcpConnectInfo;
    use tower::ServiceBuilder;
    use tower_api_key::throttle::{Limit, LimitRule, ThrottleLayer};
    use tower_api_key::transport::{ClientInfoLayer, Connection};

    let keys = ApiKeyLayer::new(keys()).grpc_responses();
    let client = ClientInfoLayer::new().connection_from(|info: &TcpConnectInfo| {
        Connection::plain(info.remote_addr().expect("a connection over TCP").ip())
    });
    let two_an_hour = || LimitRule::per_client(Limit::per_hour(2));
    let limit = ThrottleLayer::new(two_an_hour()).reject_as(&keys);
    let outside = ServiceBuilder::new().layer(client.clone()).layer(limit).layer(keys.clone());
    let failures = ServiceBuilder::new().layer(client).layer(keys.throttle_failures(two_an_hour()));
    let good = (KEY, Ok(ServingStatus::Serving as i32));
    let bad = ("unknown", Err((Code::Unauthenticated, "Invalid API key.".to_owned())));
    for (channel, (key, first)) in [(serve(outside).await, good), (serve(failures).await, bad)] {
        let mut answers = Vec::new();
        for _ in 0..3 {
            let answer = check(&channel, key).await;
            answers.push(answer.map_err(|status| (status.code(), status.message().to_owned())));
        }
        let throttled = "Request was throttled. Expected available in 3600 seconds.";
        assert_eq!(answers, [first.clone(), first, Err((Code::ResourceExhausted, throttled.to_owned()))]);
    }
}

/// Without `reject_as`, a limit outside the key layer has no gRPC form.
#[cfg(feature = "throttle")]
#[tokio::test]
async fn outer_limit_uses_its_configured_form() {
    use tower_api_key::throttle::{Limit, LimitRule, Subject, ThrottleLayer};

    let keys = ApiKeyLayer::new(keys());
    let limit = || ThrottleLayer::new(LimitRule::by(Limit::per_hour(2), |_, _| Some(Subject::text("all"))));
    for (limit, status, grpc_status) in [
        (limit().reject_as(&keys.clone().grpc_responses()), 200, Some("8")),
        (limit().reject_as(&keys), 429, None),
        (limit(), 429, None),
    ] {
        let service = limit.layer(Handler::default().service());
        for _ in 0..2 {
            let reply = service.clone().oneshot(call("application/grpc", "")).await.unwrap();
            assert!(!reply.headers().contains_key("grpc-status"));
        }
        let reply = Reply::of(service.oneshot(call("application/grpc", "")).await.unwrap()).await;
        let grpc = reply.headers.get("grpc-status").map(|status| status.to_str().unwrap());
        assert_eq!((reply.status, grpc, reply.body.is_empty()), (status, grpc_status, status == 200));
        assert_eq!(reply.headers["x-ratelimit-remaining"], "0");
    }
}

#[tokio::test]
async fn denied_route_is_unimplemented_method() {
    let table = |path| {
        let table = RouteTable::builder().route(Method::POST, path, Requirement::any_key());
        ApiKeyLayer::new(keys()).grpc_responses().routes(table.build().unwrap())
    };
    let listed = serve(table("/grpc.health.v1.Health/Check")).await;
    assert_eq!(check(&listed, KEY).await.unwrap(), ServingStatus::Serving as i32);
    let unlisted = serve(table("/grpc.health.v1.Health/Watch")).await;
    assert_eq!(check(&unlisted, KEY).await.unwrap_err().code(), Code::Unimplemented);
    assert_eq!(check(&unlisted, "").await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn wrong_layer_order_is_internal_error() {
    let other_store = ApiKeyLayer::new(MemoryStore::new()).grpc_responses();
    let service = ApiKeyLayer::new(keys()).layer(other_store.layer(Handler::default().service()));
    let reply = Reply::of(service.oneshot(call("application/grpc", KEY)).await.unwrap()).await;
    assert_eq!(reply.headers["grpc-status"], "13");
}

/// Byte for byte: no body, and no header but these.
#[tokio::test]
async fn rejected_call_gets_trailers_only() {
    for (sent, answered) in [
        ("application/grpc", "application/grpc"),
        ("application/grpc+proto", "application/grpc"),
        ("application/grpc-web+proto", "application/grpc-web"),
        ("application/grpc-web-text", "application/grpc-web-text"),
    ] {
        let handler = Handler::default();
        let service = ApiKeyLayer::new(keys()).grpc_responses().layer(handler.service());
        let reply = Reply::of(service.oneshot(call(sent, "unknown")).await.unwrap()).await;
        assert_eq!(handler.calls(), 0, "{sent}");
        assert_eq!((reply.status, &*reply.body), (200, ""), "{sent}");
        let expected = [
            ("content-type", answered),
            ("cache-control", "no-store"),
            ("grpc-status", "16"),
            ("grpc-message", "Invalid API key."),
        ];
        assert_eq!(reply.headers, headers(expected), "{sent}");
    }
}

#[tokio::test]
async fn route_scopes_reject_in_grpc_form() {
    let scoped = RequireScopesLayer::new(avala::TASKS_READ);
    let service = ApiKeyLayer::new(keys()).grpc_responses().layer(scoped.layer(Handler::default().service()));
    let reply = Reply::of(service.oneshot(call("application/grpc", "limited")).await.unwrap()).await;
    assert_eq!((reply.status, &reply.headers["grpc-status"]), (200, &HeaderValue::from_static("7")));
}

/// Neither other requests under the switch nor calls without it.
#[tokio::test]
async fn other_clients_get_the_json_response() {
    let plain = ApiKeyLayer::new(keys());
    for (layer, content_type) in [
        (plain.clone().grpc_responses(), "application/json"),
        (plain.clone().grpc_responses(), "application/grpcx"),
        (plain.clone(), "application/grpc"),
        (plain, "application/json"),
    ] {
        let service = layer.layer(Handler::default().service());
        let reply = Reply::of(service.oneshot(call(content_type, "unknown")).await.unwrap()).await;
        assert_eq!((reply.status, &*reply.body), (401, INVALID), "{content_type}");
        let expected = [
            ("content-type", "application/json"),
            ("cache-control", "no-store"),
            ("www-authenticate", r#"ApiKey realm="api", header="X-Avala-Api-Key""#),
        ];
        assert_eq!(reply.headers, headers(expected), "{content_type}");
    }
}

#[tokio::test]
async fn renderer_is_used_for_other_requests_only() {
    let layer = ApiKeyLayer::new(keys())
        .grpc_responses()
        .rejection_response(|rejected| rejected.response().map(|_| Bytes::from("mine")));
    for (content_type, body) in [("application/grpc", ""), ("text/plain", "mine")] {
        let service = layer.layer(Handler::default().service());
        let reply = Reply::of(service.oneshot(call(content_type, "")).await.unwrap()).await;
        assert_eq!(reply.body, body, "{content_type}");
    }
}

/// [`KEY`] with full access, and one key for each rejection.
fn keys() -> MemoryStore {
    let keys = MemoryStore::new();
    keys.add(record(Access::Full)).unwrap();
    let expired = SystemTime::now() - Duration::from_secs(60);
    for (number, key, access, expires_at) in
        [(2, "expired", Access::Full, Some(expired)), (3, "limited", Access::scoped([avala::DATASETS_READ]), None)]
    {
        let digest = KeyDigest::hash(key.as_bytes());
        let record = KeyRecord::new(KeyId::from_u128(number), digest, "acme".parse().unwrap(), access);
        keys.add(record.with_expires_at(expires_at)).unwrap();
    }
    keys
}

/// A client of a tonic server behind this layer.
async fn serve<L, B>(layer: L) -> Channel
where
    L: Layer<Routes> + Clone + Send + 'static,
    L::Service: Service<Request<tonic::body::Body>, Response = http::Response<B>, Error: Into<BoxError> + Send>
        + Clone
        + Send
        + 'static,
    <L::Service as Service<Request<tonic::body::Body>>>::Future: Send,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (health, service) = tonic_health::server::health_reporter();
    health.set_service_status("", ServingStatus::Serving).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().layer(layer).add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

async fn check(channel: &Channel, key: &str) -> Result<i32, Status> {
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    if !key.is_empty() {
        request.metadata_mut().insert("x-avala-api-key", key.parse().unwrap());
    }
    Ok(HealthClient::new(channel.clone()).check(request).await?.into_inner().status)
}

fn call(content_type: &str, key: &str) -> Request<String> {
    let request = Request::post("/grpc.health.v1.Health/Check").header("content-type", content_type);
    request.header("x-avala-api-key", key).body(String::new()).unwrap()
}

fn headers<const N: usize>(headers: [(&'static str, &'static str); N]) -> HeaderMap {
    headers.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}
