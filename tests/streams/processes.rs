//! Open streams of two processes on one Postgres, over HTTP and `WebSocket`: each ends within a second after its key is
//! revoked, and none before.
//!
//! `STREAM_ROUNDS` is the number of revokes, 10 unless it is set.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use axum::{Router, serve};
use base64ct::{Base64UrlUnpadded, Encoding};
use bytes::Bytes;
use futures::stream::{Stream, StreamExt, repeat};
use http::{HeaderName, Request};
use http_body_util::{BodyExt, Empty};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message as Received;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tower_api_key::auth::{CredentialSource, EndStreamsLayer};
use tower_api_key::manage::IssuedKey;
use tower_api_key::scope::avala::{DATASETS_READ, DATASETS_WRITE};
use tower_api_key::store::{CachedStore, KeyBackend, KeyUpdate, PostgresStore};
use tower_api_key::{ApiKey, ApiKeyLayer};

use crate::support::http1_client::connect_http1;
use crate::support::other_process::{OtherProcess, serve_commands};
use crate::support::postgres::Schema;
use crate::world::{ACME, issue};

const TICK: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);

/// Cases: 230.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn streams_of_two_processes_end_within_a_second() {
    let rounds = std::env::var("STREAM_ROUNDS").map_or(10, |rounds| rounds.parse().unwrap());
    let world = World::new(true).await;
    let bystanders = world.open(&issue(&world.store).await).await;
    let mut times = Vec::new();
    for round in 0..rounds {
        let issued = issue(&world.store).await;
        let streams = world.open(&issued).await;
        sleep(Duration::from_millis(round % 7 * 10)).await;
        assert!(streams.iter().all(|stream| !stream.is_finished()), "a stream has ended before the revoke");
        let began = Instant::now();
        world.end(round, &issued).await;
        for stream in streams {
            let ended = timeout(5 * SECOND, stream).await.expect("it ends").unwrap();
            assert!(ended >= began, "{round}: it has ended before the revoke");
            times.push(ended - began);
        }
        assert!(times.iter().all(|time| *time <= SECOND), "{round}: {times:?}");
    }
    assert!(bystanders.iter().all(|stream| !stream.is_finished()), "the streams of another key have ended");
    bystanders.iter().for_each(JoinHandle::abort);
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!("{} streams, {rounds} revokes: median {:?}, p99 {:?}, last {:?}", times.len(), at(50), at(99), at(100));
}

/// Cases: 230.
///
/// The same, with handlers and without a layer that end nothing.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn streams_without_the_layer_stay_open() {
    let world = World::new(false).await;
    let issued = issue(&world.store).await;
    let streams = world.open(&issued).await;
    world.store.revoke(&ACME, issued.record.id()).await.unwrap();
    sleep(2 * SECOND).await;
    assert!(streams.iter().all(|stream| !stream.is_finished()));
    streams.iter().for_each(JoinHandle::abort);
}

struct World {
    store: PostgresStore,
    servers: [SocketAddr; 2],
    _other: OtherProcess,
    _schema: Schema,
}

impl World {
    async fn new(ends: bool) -> Self {
        let schema = Schema::new().await;
        let store = schema.store().await;
        let here = start(&schema.url(), ends).await;
        let mut other = OtherProcess::start("processes::other_process");
        let there = other.ask(&format!("{ends} {}", schema.url())).await.parse().unwrap();
        // Both follow the changes by then.
        sleep(SECOND).await;
        Self { store, servers: [here, there], _other: other, _schema: schema }
    }

    /// Opens an event stream and a WebSocket in each process. Each task returns when its stream has ended.
    async fn open(&self, issued: &IssuedKey) -> Vec<JoinHandle<Instant>> {
        let key = issued.secret.expose_secret();
        let (mut tasks, mut ready) = (Vec::new(), Vec::new());
        for server in self.servers {
            for is_socket in [false, true] {
                let (sender, receiver) = oneshot::channel();
                let key = key.to_owned();
                tasks.push(tokio::spawn(async move {
                    if is_socket {
                        read_socket(server, &key, sender).await
                    } else {
                        read_events(server, &key, sender).await
                    }
                }));
                ready.push(receiver);
            }
        }
        for ready in ready {
            ready.await.expect("the stream is open");
        }
        tasks
    }

    /// Ends the key in a way that depends on the round.
    async fn end(&self, round: u64, issued: &IssuedKey) {
        let id = issued.record.id();
        match round % 4 {
            0 | 1 => self.store.revoke(&ACME, id).await.map(drop).unwrap(),
            2 => self.store.update(&ACME, id, KeyUpdate::new().with_suspended(true)).await.map(drop).unwrap(),
            _ => {
                let write = KeyUpdate::new().with_scopes([DATASETS_WRITE]);
                self.store.update(&ACME, id, write).await.map(drop).unwrap();
            }
        }
    }
}

async fn read_events(server: SocketAddr, key: &str, ready: oneshot::Sender<()>) -> Instant {
    let request = Request::get("/events").header("host", server.to_string()).header("x-avala-api-key", key);
    let mut connection = connect_http1(server).await;
    let response = connection.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    let (mut body, mut ready) = (response.into_body(), Some(ready));
    while let Some(frame) = body.frame().await {
        frame.expect("an event stream ends cleanly");
        if let Some(ready) = ready.take() {
            ready.send(()).unwrap();
        }
    }
    Instant::now()
}

async fn read_socket(server: SocketAddr, key: &str, ready: oneshot::Sender<()>) -> Instant {
    let mut request = format!("ws://{server}/socket").into_client_request().unwrap();
    let protocols = format!("ticks, base64url.api-key.{}", Base64UrlUnpadded::encode_string(key.as_bytes()));
    request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    let (mut socket, _) = connect_async(request).await.unwrap();
    let mut ready = Some(ready);
    while let Some(Ok(message)) = socket.next().await {
        if matches!(message, Received::Close(_)) {
            break;
        }
        if let Some(ready) = ready.take() {
            ready.send(()).unwrap();
        }
    }
    Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "started by the other tests of this module"]
async fn other_process() {
    serve_commands(async |command| {
        let (ends, url) = command.split_once(' ').unwrap();
        start(url, ends == "true").await.to_string()
    })
    .await;
}

/// Whether sockets end with their keys.
#[derive(Clone, Copy)]
struct Ends(bool);

async fn start(url: &str, ends: bool) -> SocketAddr {
    let keys = CachedStore::new(PostgresStore::connect(url).await.unwrap());
    tokio::spawn(keys.watch());
    let header = CredentialSource::header(HeaderName::from_static("x-avala-api-key"));
    let sources = [header, CredentialSource::websocket_protocol()];
    let layer = ApiKeyLayer::new(keys).sources(sources).require(DATASETS_READ);
    let router = Router::new().route("/events", get(events)).route("/socket", get(socket)).with_state(Ends(ends));
    let router = if ends { router.layer(EndStreamsLayer::new()) } else { router };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { serve(listener, router.layer(layer)).await.unwrap() });
    address
}

async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = repeat(()).then(async |()| sleep(TICK).await);
    Sse::new(ticks.map(|()| Ok(Event::default().data("tick"))))
}

async fn socket(State(Ends(ends)): State<Ends>, key: ApiKey, upgrade: WebSocketUpgrade) -> Response {
    let ended = key.ended();
    upgrade.protocols(["ticks"]).on_upgrade(move |mut socket| async move {
        if ends {
            tokio::select! {
                _ = ended => {}
                () = tick(&mut socket) => {}
            }
        } else {
            tick(&mut socket).await;
        }
    })
}

async fn tick(socket: &mut WebSocket) {
    while socket.send(Message::Text("tick".into())).await.is_ok() {
        sleep(TICK).await;
    }
}
