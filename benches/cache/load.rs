//! A server on loopback, and a client that sends requests at a fixed rate.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use futures::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep_until, timeout};
use tower_api_key::observe::LookupKind;
use tower_api_key::{ApiKeyLayer, BoxError};

const CONNECTIONS: u64 = 100;

/// What the layer did in one second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Second {
    pub(crate) requests: usize,
    /// Requests that waited for the store.
    pub(crate) waited: usize,
    pub(crate) unavailable: usize,
    /// Requests that took more than 5 ms in the layer.
    pub(crate) slow: usize,
}

/// A server in a thread of its own, which counts by second.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) began: Instant,
    seconds: Arc<Mutex<Vec<Second>>>,
}

impl Server {
    /// `start` runs on the runtime of the server, and may leave something running in it.
    pub(crate) fn start<T: Send + 'static>(
        layer: ApiKeyLayer,
        start: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Self, BoxError> {
        let (seconds, began) = (Arc::new(Mutex::new(Vec::<Second>::new())), Instant::now());
        let counted = Arc::clone(&seconds);
        let layer = layer.on_decision(move |event| {
            let second = began.elapsed().as_secs() as usize;
            let mut seconds = counted.lock().expect("no panic");
            if seconds.len() <= second {
                seconds.resize(second + 1, Second::default());
            }
            let seconds = &mut seconds[second];
            seconds.requests += 1;
            seconds.waited += usize::from(event.lookup() == LookupKind::Awaited);
            seconds.unavailable += usize::from(event.status().is_some_and(|status| status == 503));
            seconds.slow += usize::from(event.elapsed() > Duration::from_millis(5));
        });
        let router = Router::new().route("/", get(|| async { "ok" })).layer(layer);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            runtime.spawn(async move { axum::serve(listener, router).await });
            runtime.block_on(async move {
                let _started = start();
                pending::<()>().await;
            });
        });
        Ok(Self { address, began, seconds })
    }

    pub(crate) fn seconds(&self) -> Vec<Second> {
        self.seconds.lock().expect("no panic").clone()
    }
}

/// Sends so many requests a second for some time, each with the next one of these keys.
pub(crate) async fn send(
    address: SocketAddr,
    keys: &[String],
    per_second: u64,
    time: Duration,
) -> Result<(), BoxError> {
    let began = Instant::now();
    let connections = (0..CONNECTIONS).map(|connection| async move {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut answer = Vec::with_capacity(1_024);
        for number in (connection..).step_by(CONNECTIONS as usize) {
            let at = Duration::from_secs_f64(number as f64 / per_second as f64);
            if at > time {
                break;
            }
            sleep_until((began + at).into()).await;
            let key = &keys[number as usize % keys.len()];
            request(&mut stream, key, &mut answer).await?;
        }
        Ok::<_, BoxError>(())
    });
    try_join_all(connections).await?;
    Ok(())
}

/// Sends a request, and reads its answer whatever it is.
pub(crate) async fn request(stream: &mut TcpStream, key: &str, answer: &mut Vec<u8>) -> Result<(), BoxError> {
    let head = format!("GET / HTTP/1.1\r\nhost: bench\r\nx-avala-api-key: {key}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    answer.clear();
    while !is_complete(answer) {
        let read = timeout(Duration::from_secs(10), stream.read_buf(answer)).await??;
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(answer));
    }
    Ok(())
}

fn is_complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() == length.unwrap_or(0)
}
