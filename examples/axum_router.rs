//! Keys on an axum service: some routes for any key, some for a scope, one for everybody.
//!
//! ```text
//! cargo run --example axum_router --features axum,routes -- [PORT]
//! ```
//!
//! It prints its table of routes first. Paste the line that it prints then; try it without the header (401), with
//! `-X POST` (403), on `/health` (open) and on `/nowhere` (404).

use std::process::ExitCode;

use axum::Router;
use axum::http::Method;
use axum::routing::get;
use tokio::net::TcpListener;
use tower::Layer;
use tower_api_key::routes::{RouteTable, RouteTableError};
use tower_api_key::{Access, ApiKey, ApiKeyLayer, BoxError, KeyManager, MemoryStore, NewKey, Requirement, Scope};

const INVOICES_READ: Scope = Scope::from_static("invoices.read");
const INVOICES_WRITE: Scope = Scope::from_static("invoices.write");

async fn serve(port: u16) -> Result<(), BoxError> {
    let store = MemoryStore::new();
    let new = NewKey::new("first key", Access::scoped([INVOICES_READ]))?;
    let issued = KeyManager::new(store.clone()).issue(&"acme".parse()?, new).await?;

    let table = table()?;
    println!("{table}");
    let router = Router::new()
        .route("/health", get(|| async { "ok\n" }))
        .route("/me", get(me))
        .route("/invoices", get(list).post(create));
    // Around the finished router, so that no route can come after it.
    let guarded = ApiKeyLayer::new(store).routes(table).layer(router);
    let app = Router::new().fallback_service(guarded);

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let (address, key) = (listener.local_addr()?, issued.secret.expose_secret());
    println!("The first key, shown this once:\ncurl -i http://{address}/invoices -H 'X-Avala-Api-Key: {key}'");
    drop(issued);
    Ok(axum::serve(listener, app).await?)
}

/// What each route asks of a key.
fn table() -> Result<RouteTable, RouteTableError> {
    RouteTable::builder()
        .public(Method::GET, "/health")
        .route(Method::GET, "/me", Requirement::any_key())
        .route(Method::GET, "/invoices", INVOICES_READ)
        .route(Method::POST, "/invoices", INVOICES_WRITE)
        .build()
}

async fn me(key: ApiKey) -> String {
    format!("{:?} of {}\n", key.record().name(), key.organization())
}

async fn list(key: ApiKey) -> String {
    format!("the invoices of {}\n", key.organization())
}

async fn create(key: ApiKey) -> String {
    format!("a new invoice of {}\n", key.organization())
}

#[tokio::main]
async fn main() -> ExitCode {
    let Ok(port) = std::env::args().nth(1).map_or(Ok(0), |port| port.parse()) else {
        eprintln!("error: the port is a number from 0 to 65535; 0, the default, picks a free one");
        return ExitCode::FAILURE;
    };
    if let Err(error) = serve(port).await {
        eprintln!("error: cannot serve on 127.0.0.1:{port}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
