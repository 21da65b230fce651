//! An event stream and a WebSocket that end with their key, and a page that opens both.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::sse::{Event, Sse};
use axum::response::{Html, Response};
use axum::routing::get;
use futures::stream::{Stream, StreamExt, repeat};
use http::{HeaderName, Method};
use tokio::time::{sleep, timeout};
use tower_api_key::auth::{CredentialSource, EndStreamsLayer, KeyEnded};
use tower_api_key::routes::RouteTable;
use tower_api_key::{ApiKey, ApiKeyLayer, BoxError, Scope};

pub(crate) const TICKS_READ: Scope = Scope::from_static("ticks.read");

const TICK: Duration = Duration::from_millis(100);

/// Returns the service. The layer has a store and nothing else.
pub(crate) fn app(layer: ApiKeyLayer) -> Result<Router, BoxError> {
    let table = RouteTable::builder()
        .public(Method::GET, "/")
        .route(Method::GET, "/events", TICKS_READ)
        .route(Method::GET, "/socket", TICKS_READ)
        .build()?;
    // A script in a browser can set no header of a WebSocket but its subprotocol.
    let header = CredentialSource::header(HeaderName::from_static("x-avala-api-key"));
    let layer = layer.sources([header, CredentialSource::websocket_protocol()]).routes(table);
    Ok(Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
        .route("/events", get(events))
        .route("/socket", get(socket))
        .layer(EndStreamsLayer::new())
        .layer(layer))
}

/// The layer ends this stream. The handler need not know.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = repeat(()).then(async |()| sleep(TICK).await);
    Sse::new(ticks.map(|()| Ok(Event::default().data("tick"))))
}

/// What follows an upgrade is no response body: the handler ends the socket.
async fn socket(key: ApiKey, upgrade: WebSocketUpgrade) -> Response {
    let ended = key.ended();
    upgrade.protocols(["ticks.v1"]).on_upgrade(|socket| serve(socket, ended))
}

async fn serve(mut socket: WebSocket, ended: KeyEnded) {
    // Around the whole conversation: a client that does not read must not keep the socket open in a `send`.
    let rejection = tokio::select! {
        rejection = ended => rejection,
        () = talk(&mut socket) => return,
    };
    let reason = rejection.detail().into_owned().into();
    let close = Message::Close(Some(CloseFrame { code: close_code::POLICY, reason }));
    let _ = timeout(Duration::from_secs(1), socket.send(close)).await;
}

/// Sends ticks until the client goes away.
async fn talk(socket: &mut WebSocket) {
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            () = sleep(TICK) => if socket.send("tick".into()).await.is_err() {
                return;
            },
        }
    }
}
