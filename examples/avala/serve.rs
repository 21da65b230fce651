use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceBuilder;
use tower_api_key::background::Background;

use crate::app::{self, App};
use crate::mission_control;
use crate::options::Options;
use crate::prometheus::{self, Prometheus};
use crate::store::causes;

/// How long requests that are under way may take after the signal to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// How long the headers of a request may take.
const HEADERS: Duration = Duration::from_secs(10);

/// Serves until Ctrl-C or SIGTERM.
pub(crate) async fn run(options: Options) -> Result<(), String> {
    let stop = stop_signal().map_err(|error| format!("cannot wait for signals: {error}"))?;
    let cannot_listen = |error| format!("cannot listen on {}: {error}", options.listen);
    let listener = TcpListener::bind(options.listen).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let metrics = match options.metrics_listen {
        Some(address) => Some(Prometheus::listen(address).await?),
        None => None,
    };
    let background = Background::new();
    let app = App::open(&options, &background).await.map_err(|error| format!("cannot start: {}", causes(&*error)))?;
    let router = app::router(app, &options).map_err(|error| format!("cannot start: {error}"))?;
    if options.require_https && options.trusted_proxy.is_empty() {
        tracing::warn!("every request will be rejected: nothing but a --trusted-proxy can bring HTTPS to this server");
    }
    welcome(address);
    if let Some(metrics) = metrics {
        let address = metrics.address().map_err(|error| format!("cannot serve metrics: {error}"))?;
        let _ = writeln!(io::stdout(), "Metrics at http://{}{}", Reachable(address), prometheus::PATH);
        background.run(metrics.serve());
    }

    serve(listener, router, stop).await;
    // After the last request, which the last usage report includes.
    background.shutdown().await;
    Ok(())
}

/// Ends when no request is under way, and some time after `stop` in any case. A client that sends its headers too slowly
/// loses its connection.
async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
    server.http2().timer(TokioTimer::new()).keep_alive_interval(HEADERS);
    let (connections, (running, _)) = (GracefulShutdown::new(), watch::channel(()));
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // A client that went away, or too many open files: neither is a reason to stop.
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        tracing::trace!("a connection from {peer}");
        let with_peer = move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request
        };
        let service = ServiceBuilder::new().map_request(with_peer).service(router.clone());
        let server = server.clone();
        let (watcher, mut stopped) = (connections.watcher(), running.subscribe());
        tokio::spawn(async move {
            let mut byte = [0];
            // Without a first byte, hyper does not know which version of HTTP to time.
            tokio::select! {
                first = timeout(HEADERS, stream.peek(&mut byte)) => if !matches!(first, Ok(Ok(1))) { return },
                _ = stopped.changed() => return,
            }
            let _ = stream.set_nodelay(true);
            let service = TowerToHyperService::new(service);
            let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), service);
            // An error is the end of one connection, which its client sees.
            let _ = watcher.watch(connection.into_owned()).await;
        });
    }
    tracing::info!("stopping");
    drop((listener, running));
    if timeout(DRAIN, connections.shutdown()).await.is_err() {
        tracing::warn!("stopped {} seconds after the signal, with requests under way", DRAIN.as_secs());
    }
}

/// Opens a page in the browser.
const OPEN: &str = if cfg!(target_os = "macos") {
    "open"
} else if cfg!(windows) {
    "start"
} else {
    "xdg-open"
};

/// Errors are ignored: a server whose output is closed still serves.
fn welcome(address: SocketAddr) {
    let host = Reachable(address);
    let (base, page) = (format!("http://{host}{}", app::BASE), format!("http://{host}{}", mission_control::PATH));
    let _ = writeln!(
        io::stdout(),
        "Serving {base}\n\
         Manage keys at {page}\n\
         Paste these lines to sign up, use the key, and open the page:\n\
         reply=$(curl -sS {base}/signup/ -H 'Content-Type: application/json' \
         -d '{{\"email\": \"you+'$(date +%s)'@example.com\", \"password\": \"correct horse battery staple\"}}'); \
         echo \"$reply\"\n\
         key=${{reply##*'\"api_key\":\"'}}; curl -sS {base}/datasets/ -H \"X-Avala-Api-Key: ${{key%%'\"'*}}\" -w '\\n'\n\
         {OPEN} {page}"
    );
}

/// Where a client on this machine reaches an address that may mean all of the machine's addresses.
struct Reachable(SocketAddr);

impl fmt::Display for Reachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ip = match self.0.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        SocketAddr::new(ip, self.0.port()).fmt(f)
    }
}

/// Ctrl-C or SIGTERM. They are caught from when this returns, not only once it is awaited.
#[cfg(unix)]
fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
