//! Keys on an axum service: some routes for any key, some for a scope, one for everybody.
//!
//! ```text
//! cargo run --example axum_router --features axum -- [PORT]
//! ```
//!
//! Paste the line it prints. Then try it without the header (401), with `-X POST` (403) and on `/health` (open).

use std::process::ExitCode;

use axum::Router;
use axum::handler::Handler;
use axum::routing::get;
use tokio::net::TcpListener;
use tower_api_key::{
    Access, ApiKey, ApiKeyLayer, BoxError, KeyManager, MemoryStore, NewKey, RequireScopesLayer, Scope,
};

const INVOICES_READ: Scope = Scope::from_static("invoices.read");
const INVOICES_WRITE: Scope = Scope::from_static("invoices.write");

async fn serve(port: u16) -> Result<(), BoxError> {
    let keys = MemoryStore::new();
    let new = NewKey::new("first key", Access::scoped([INVOICES_READ]))?;
    let issued = keys.issue(&"acme".parse()?, new).await?;

    let (read, write) = (RequireScopesLayer::new(INVOICES_READ), RequireScopesLayer::new(INVOICES_WRITE));
    let guarded = Router::new()
        .route("/me", get(me))
        .route("/invoices", get(list.layer(read)).post(create.layer(write)))
        .layer(ApiKeyLayer::new(keys));
    // A router of its own, since the layer wraps only the routes that were added before it.
    let public = Router::new().route("/health", get(|| async { "ok\n" }));
    let app = public.merge(guarded);

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let (address, key) = (listener.local_addr()?, issued.secret.expose_secret());
    println!("The first key, shown this once:\ncurl -i http://{address}/invoices -H 'X-Avala-Api-Key: {key}'");
    drop(issued);
    Ok(axum::serve(listener, app).await?)
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
