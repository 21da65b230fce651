//! The console behind a login of its own, on plain hyper and SQLite.
//!
//! ```text
//! cargo run --example console_hyper --features console,sqlite
//! ```
//!
//! Then open the address it prints, with the name and the password it prints.

use std::convert::Infallible;

use base64ct::{Base64, Encoding};
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use http_body_util::{Either, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tower::{ServiceExt, service_fn};
use tower_api_key::console::{Console, ConsoleApi, ConsoleBody, ConsolePage, Operator};
use tower_api_key::key::{KeyDigest, KeyFormat};
use tower_api_key::store::SqliteStore;
use tower_api_key::{BoxError, KeyManager, OrganizationId, Scope};

type Reply = Response<Either<ConsoleBody, Empty<Bytes>>>;

/// The login of this service: HTTP Basic, for which browsers ask by themselves. Elsewhere than on loopback it needs HTTPS.
fn log_in(request: &mut Request<Incoming>, expected: KeyDigest) -> bool {
    let given = request.headers().get(AUTHORIZATION).map(|given| KeyDigest::hash(given.as_bytes()));
    if given != Some(expected) {
        return false;
    }
    request.extensions_mut().insert(Operator::new(OrganizationId::from_static("acme"), "ada"));
    true
}

async fn handle(
    mut request: Request<Incoming>,
    (page, api): (ConsolePage, ConsoleApi),
    expected: KeyDigest,
) -> Result<Reply, Infallible> {
    if !log_in(&mut request, expected) {
        let mut reply = empty(StatusCode::UNAUTHORIZED);
        reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"keys\""));
        return Ok(reply);
    }
    let path = request.uri().path();
    let reply = if path.starts_with("/api/keys") {
        api.oneshot(request).await?
    } else if path == "/keys" || path.starts_with("/keys/") {
        page.oneshot(request).await?
    } else {
        return Ok(empty(StatusCode::NOT_FOUND));
    };
    Ok(reply.map(Either::Left))
}

fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Either::Right(Empty::new()));
    *reply.status_mut() = status;
    reply
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let store = SqliteStore::connect("sqlite:console.db").await?;
    store.migrate().await?;
    let console = Console::new(KeyManager::new(store))
        .title("Acme")
        .scope_meanings([(Scope::from_static("invoices.read"), "List and get invoices")]);
    let services = (console.page("/api/keys"), console.api().at("/api/keys"));
    let password = KeyFormat::AVALA.generate()?;
    let password = password.expose_secret();
    let expected = format!("Basic {}", Base64::encode_string(format!("ada:{password}").as_bytes()));
    let expected = KeyDigest::hash(expected.as_bytes());

    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}/keys\nname: ada\npassword: {password}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let services = services.clone();
        let service = service_fn(move |request| handle(request, services.clone(), expected));
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            if let Err(error) = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await {
                eprintln!("a connection failed: {error}");
            }
        });
    }
}
