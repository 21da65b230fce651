//! A TCP proxy in front of a database that can stop passing bytes on, for a while or for good, without closing
//! anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
    from_clients: Arc<AtomicUsize>,
}

#[derive(Clone, Copy)]
pub(crate) enum Mode {
    Pass,
    /// Nothing is passed on and nothing is closed. New connections are accepted, and receive nothing.
    Hold,
    /// Every connection is closed, and new ones at once.
    Cut,
}

struct State {
    mode: Mode,
    /// Connections before this one pass nothing any more, whatever the mode.
    lost: usize,
    accepted: usize,
}

impl Proxy {
    pub(crate) async fn start(upstream: (String, u16)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, _) = watch::channel(State { mode: Mode::Pass, lost: 0, accepted: 0 });
        let from_clients = Arc::default();
        let accepting = tokio::spawn(accept(listener, upstream, state.clone(), Arc::clone(&from_clients)));
        Self { address, state, accepting, from_clients }
    }

    /// Returns how many pieces of data have come from clients. A message that a client sends at once is one.
    pub(crate) fn messages(&self) -> usize {
        self.from_clients.load(Ordering::Relaxed)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.state.send_modify(|state| state.mode = mode);
    }

    /// The connections there are pass nothing any more, as when what kept track of them has forgotten them. New ones
    /// work.
    pub(crate) fn lose_connections(&self) {
        self.state.send_modify(|state| state.lost = state.accepted);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.set(Mode::Cut);
    }
}

async fn accept(
    listener: TcpListener,
    upstream: (String, u16),
    state: watch::Sender<State>,
    from_clients: Arc<AtomicUsize>,
) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let mut number = 0;
        state.send_modify(|state| {
            number = state.accepted;
            state.accepted += 1;
        });
        let (state, upstream, from_clients) = (state.subscribe(), upstream.clone(), Arc::clone(&from_clients));
        tokio::spawn(async move {
            let Some(()) = may_pass(&state, number).await else { return };
            let Ok(server) = TcpStream::connect(upstream).await else { return };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let to_clients = AtomicUsize::new(0);
            // Either way ends both: the sockets are closed together.
            tokio::select! {
                () = pump(from_client, to_server, &state, number, &from_clients) => {}
                () = pump(from_server, to_client, &state, number, &to_clients) => {}
            }
        });
    }
}

async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    state: &watch::Receiver<State>,
    number: usize,
    pieces: &AtomicUsize,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            () = cut(state) => return,
        };
        pieces.fetch_add(1, Ordering::Relaxed);
        // What was read while nothing passes waits here, and so does the end of a connection.
        if may_pass(state, number).await.is_none() || read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Waits for as long as nothing passes; `None` when the connection is to be closed.
async fn may_pass(state: &watch::Receiver<State>, number: usize) -> Option<()> {
    let mut state = state.clone();
    let passes =
        |state: &State| matches!(state.mode, Mode::Cut) || matches!(state.mode, Mode::Pass) && number >= state.lost;
    let state = state.wait_for(passes).await.ok()?;
    matches!(state.mode, Mode::Pass).then_some(())
}

async fn cut(state: &watch::Receiver<State>) {
    let _ = state.clone().wait_for(|state| matches!(state.mode, Mode::Cut)).await;
}
