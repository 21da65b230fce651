//! A gRPC stream of a real tonic server: its client reads a status.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tonic::metadata::MetadataValue;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Status, Streaming};
use tonic_health::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower::ServiceBuilder;
use tower_api_key::auth::EndStreamsLayer;
use tower_api_key::manage::IssuedKey;
use tower_api_key::scope::avala::{DATASETS_READ, DATASETS_WRITE};
use tower_api_key::store::{KeyBackend, KeyUpdate};
use tower_api_key::{ApiKeyLayer, MemoryStore};

use crate::world::{ACME, issue};

/// Cases: 230.
#[tokio::test]
async fn grpc_stream_ends_with_a_status() {
    let store = MemoryStore::new();
    let layer = ApiKeyLayer::new(store.clone()).grpc_responses().require(DATASETS_READ);
    let guard = ServiceBuilder::new().layer(layer).layer(EndStreamsLayer::new());
    let (health, service) = tonic_health::server::health_reporter();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().layer(guard).add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();

    let (revoked, narrowed, other) = (issue(&store).await, issue(&store).await, issue(&store).await);
    let mut streams = [
        watch(&channel, &revoked).await.unwrap(),
        watch(&channel, &narrowed).await.unwrap(),
        watch(&channel, &other).await.unwrap(),
    ];
    for status in [ServingStatus::Serving, ServingStatus::NotServing] {
        health.set_service_status("", status).await;
        for stream in &mut streams {
            while stream.message().await.unwrap().unwrap().status != status as i32 {}
        }
    }
    let began = Instant::now();
    store.revoke(&ACME, revoked.record.id()).await.unwrap();
    let write = KeyUpdate::new().with_scopes([DATASETS_WRITE]);
    store.update(&ACME, narrowed.record.id(), write).await.unwrap();
    let [of_revoked, of_narrowed, of_other] = &mut streams;
    for (stream, code, message) in [
        (of_revoked, Code::Unauthenticated, "Invalid API key."),
        (of_narrowed, Code::PermissionDenied, "You do not have permission to perform this action."),
    ] {
        let status = stream.message().await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, message));
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    health.set_service_status("", ServingStatus::Serving).await;
    assert_eq!(of_other.message().await.unwrap().unwrap().status, ServingStatus::Serving as i32);
    assert_eq!(watch(&channel, &revoked).await.unwrap_err().code(), Code::Unauthenticated);
}

async fn watch(channel: &Channel, issued: &IssuedKey) -> Result<Streaming<HealthCheckResponse>, Status> {
    let mut request = Request::new(HealthCheckRequest { service: String::new() });
    let key = MetadataValue::try_from(issued.secret.expose_secret()).unwrap();
    request.metadata_mut().insert("x-avala-api-key", key);
    Ok(HealthClient::new(channel.clone()).watch(request).await?.into_inner())
}
