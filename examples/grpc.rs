//! Keys on a gRPC service: a tonic server, and a client that is rejected for each reason.
//!
//! ```text
//! cargo run --example grpc --features test-kit,throttle
//! ```
//!
//! The service is the standard health check (`grpc.health.v1.Health`), so that nothing has to be generated.

use std::process::ExitCode;

use tokio::net::TcpListener;
use tonic::metadata::MetadataValue;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower_api_key::test_kit::{Fault, FaultyStore};
use tower_api_key::throttle::{Limit, LimitRule};
use tower_api_key::{Access, ApiKeyLayer, BoxError, KeyManager, MemoryStore, NewKey, Scope};

const HEALTH_READ: Scope = Scope::from_static("health.read");
const INVOICES_READ: Scope = Scope::from_static("invoices.read");

async fn run() -> Result<(), BoxError> {
    let store = FaultyStore::new(MemoryStore::new());
    let keys = KeyManager::new(store.clone());
    let acme = "acme".parse()?;
    let good = keys.issue(&acme, NewKey::new("monitor", Access::scoped([HEALTH_READ]))?).await?;
    let other = keys.issue(&acme, NewKey::new("accounting", Access::scoped([INVOICES_READ]))?).await?;

    // Rejects gRPC calls with a `grpc-status`. Without it the response is JSON, and a client derives another status from
    // the HTTP status. Inner layers reject in the same form.
    let two_a_minute = LimitRule::per_key(Limit::per_minute(2));
    let guard = ApiKeyLayer::new(store.clone()).grpc_responses().require(HEALTH_READ).limit(two_a_minute);
    let (health, service) = tonic_health::server::health_reporter();
    health.set_service_status("invoices", ServingStatus::Serving).await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = Server::builder().layer(guard).add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));

    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
    println!("no key:            {}", text_of(check(&channel, None).await));
    println!("an unknown key:    {}", text_of(check(&channel, Some("avk_nobody")).await));
    println!("without its scope: {}", text_of(check(&channel, Some(other.secret.expose_secret())).await));
    for _ in 0..3 {
        println!("a valid key:       {}", text_of(check(&channel, Some(good.secret.expose_secret())).await));
    }
    store.set_fault(Fault::Error);
    println!("the store is down: {}", text_of(check(&channel, Some(good.secret.expose_secret())).await));
    store.set_fault(Fault::None);
    keys.revoke(&acme, good.record.id()).await?;
    println!("the key revoked:   {}", text_of(check(&channel, Some(good.secret.expose_secret())).await));
    Ok(())
}

/// Asks whether the service `invoices` is up, with this key.
async fn check(channel: &Channel, key: Option<&str>) -> Result<i32, Status> {
    let mut request = Request::new(HealthCheckRequest { service: "invoices".into() });
    if let Some(key) = key {
        let mut key = MetadataValue::try_from(key).map_err(|_| Status::invalid_argument("not a key"))?;
        key.set_sensitive(true);
        request.metadata_mut().insert("x-avala-api-key", key);
    }
    Ok(HealthClient::new(channel.clone()).check(request).await?.into_inner().status)
}

fn text_of(reply: Result<i32, Status>) -> String {
    match reply {
        Ok(status) => format!("ok, status {status}"),
        Err(status) => format!("{:?}: {}", status.code(), status.message()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
