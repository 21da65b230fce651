//! The console behind a login of its own, with axum and SQLite.
//!
//! ```text
//! cargo run --example console --features console,sqlite
//! ```
//!
//! Then open the address it prints, with the name and the password it prints. `console_hyper` is the same without axum.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use base64ct::{Base64, Encoding};
use tower_api_key::console::{Console, Operator};
use tower_api_key::key::{KeyDigest, KeyFormat};
use tower_api_key::store::SqliteStore;
use tower_api_key::{BoxError, KeyManager, OrganizationId, Scope};

/// The login of this service: HTTP Basic, for which browsers ask by themselves. Elsewhere than on loopback it needs HTTPS.
async fn log_in(State(expected): State<KeyDigest>, mut request: Request, next: Next) -> Response {
    let given = request.headers().get(AUTHORIZATION).map(|given| KeyDigest::hash(given.as_bytes()));
    if given != Some(expected) {
        return (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Basic realm=\"keys\"")]).into_response();
    }
    request.extensions_mut().insert(Operator::new(OrganizationId::from_static("acme"), "ada"));
    next.run(request).await
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let store = SqliteStore::connect("sqlite:console.db").await?;
    store.migrate().await?;
    let console = Console::new(KeyManager::new(store))
        .title("Acme")
        .scope_meanings([(Scope::from_static("invoices.read"), "List and get invoices")]);
    let password = KeyFormat::AVALA.generate()?;
    let password = password.expose_secret();
    let expected = format!("Basic {}", Base64::encode_string(format!("ada:{password}").as_bytes()));
    let app = Router::new()
        .nest_service("/keys", console.page("/api/keys"))
        .nest_service("/api/keys", console.api())
        .layer(from_fn_with_state(KeyDigest::hash(expected.as_bytes()), log_in));

    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}/keys\nname: ada\npassword: {password}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}
