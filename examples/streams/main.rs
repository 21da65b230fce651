//! An event stream and a WebSocket that end within a second after their key is revoked, with a page that opens both.
//!
//! ```text
//! cargo run --example streams --features axum,routes
//! ```
//!
//! The page is on <http://127.0.0.1:3000>. Enter in the terminal revokes the key.

mod app;

use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tower_api_key::background::Background;
use tower_api_key::store::KeyBackend;
use tower_api_key::{Access, ApiKeyLayer, BoxError, KeyManager, MemoryStore, NewKey};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("streams: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), BoxError> {
    let store = MemoryStore::new();
    let acme = "acme".parse()?;
    let new = NewKey::new("browser", Access::scoped([app::TICKS_READ]))?;
    let issued = KeyManager::new(store.clone()).issue(&acme, new).await?;

    let layer = ApiKeyLayer::new(store.clone());
    let background = Background::new();
    // One task checks the keys of all open streams.
    background.run(layer.watch_streams());
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 3000))).await?;
    let address = listener.local_addr()?;
    let app = app::app(layer)?;
    tokio::spawn(async move { axum::serve(listener, app).await });

    let key = issued.secret.expose_secret();
    println!("Open http://{address} and connect with the key {key}, or:");
    println!("    curl -N -H 'X-Avala-Api-Key: {key}' http://{address}/events");
    println!("Press Enter to revoke the key.");
    BufReader::new(tokio::io::stdin()).lines().next_line().await?;
    store.revoke(&acme, issued.record.id()).await?;
    println!("Revoked. Press Enter to end.");
    BufReader::new(tokio::io::stdin()).lines().next_line().await?;
    background.shutdown().await;
    Ok(())
}
