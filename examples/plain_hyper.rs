//! Keys on a plain hyper server, HTTP/1.1 and HTTP/2, without a router.
//!
//! ```text
//! cargo run --example plain_hyper --features routes -- [PORT]
//! ```
//!
//! Paste the line it prints. Then try it without the header (401) and with `-X POST` (403).

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::{ServiceBuilder, service_fn};
use tower_api_key::routes::{RouteTable, RouteTableError};
use tower_api_key::{Access, ApiKey, ApiKeyLayer, BoxError, KeyManager, MemoryStore, NewKey, Scope};

const INVOICES_READ: Scope = Scope::from_static("invoices.read");
const INVOICES_WRITE: Scope = Scope::from_static("invoices.write");

async fn serve(port: u16) -> Result<(), BoxError> {
    let store = MemoryStore::new();
    let new = NewKey::new("first key", Access::scoped([INVOICES_READ]))?;
    let issued = KeyManager::new(store.clone()).issue(&"acme".parse()?, new).await?;

    let guard = ApiKeyLayer::new(store).routes(table()?);
    let service = ServiceBuilder::new().layer(guard).service(service_fn(handle));

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let (address, key) = (listener.local_addr()?, issued.secret.expose_secret());
    println!("The first key, shown this once:\ncurl -i http://{address}/invoices -H 'X-Avala-Api-Key: {key}'");
    drop(issued);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // A client that went away, or too many open files: neither is a reason to stop.
                eprintln!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                eprintln!("a connection failed: {error}");
            }
        });
    }
}

/// What each route requires. Unlisted routes are denied.
fn table() -> Result<RouteTable, RouteTableError> {
    RouteTable::builder()
        .route(Method::GET, "/invoices", INVOICES_READ)
        .route(Method::POST, "/invoices", INVOICES_WRITE)
        .build()
}

async fn handle(request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let key = request.extensions().get::<ApiKey>().expect("the layer is outside");
    let (status, text) = match (request.method().as_str(), request.uri().path()) {
        ("GET" | "HEAD", "/invoices") => (StatusCode::OK, format!("the invoices of {}\n", key.organization())),
        ("POST", "/invoices") => (StatusCode::CREATED, format!("a new invoice of {}\n", key.organization())),
        _ => (StatusCode::NOT_FOUND, "not found\n".to_owned()),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    Ok(response)
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
