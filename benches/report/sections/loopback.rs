//! Over HTTP/1.1 on the loopback interface: axum on hyper, 16 connections that stay open, each with one request at a
//! time. Servers take turns. A second bare server shows how far apart two equal ones are.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower_api_key::BoxError;

use crate::bars::Bars;
use crate::guard::by_default;
use crate::keys::{store, text, tomorrow};
use crate::peers::cases::{ASYNC_CAREFUL, Stores};
use crate::peers::{READ, careful};
use crate::rounds::median;

const ROUNDS: usize = 15;
const TURN: Duration = Duration::from_millis(300);
const CONNECTIONS: u64 = 16;
const KEYS: u64 = 100_000;

pub(crate) fn report(bars: &Bars) -> Result<(), BoxError> {
    let careful = Stores::of(KEYS).careful(READ);
    let routers = [
        ("bare service", router()),
        ("bare service, again", router()),
        (ASYNC_CAREFUL, router().layer(careful::async_require!(&careful))),
        ("this crate, default", router().layer(by_default(store(KEYS, Some(tomorrow()))))),
    ];
    let (names, routers): (Vec<_>, Vec<_>) = routers.into_iter().unzip();
    let addresses = serve(routers)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut rates = vec![Vec::new(); names.len()];
    for _ in 0..ROUNDS {
        for (rates, address) in rates.iter_mut().zip(&addresses) {
            rates.push(runtime.block_on(load(*address))?);
        }
    }
    println!("\n## End to end, on loopback, {KEYS} keys\n\n| server | requests a second | of bare |\n|---|--:|--:|");
    let of = |one: usize, other: usize| median((0..ROUNDS).map(|round| rates[one][round] / rates[other][round]));
    for (number, name) in names.iter().enumerate() {
        println!("| {name} | {:.0} | {:.2} |", median(rates[number].iter().copied()), of(number, 0));
    }
    bars.at_least("end to end: requests a second, of bare", of(3, 0), 0.90, 2);
    bars.at_least("end to end: requests a second, of careful", of(3, 2), 1.00, 2);
    Ok(())
}

fn router() -> Router {
    Router::new().route("/datasets", get(|| async { "{\"ok\":true}" }))
}

/// All of them in one thread of their own.
fn serve(routers: Vec<Router>) -> Result<Vec<SocketAddr>, BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut addresses = Vec::new();
    for router in routers {
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        addresses.push(listener.local_addr()?);
        runtime.spawn(async move { axum::serve(listener, router).await });
    }
    thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    Ok(addresses)
}

/// Requests a second.
async fn load(address: SocketAddr) -> Result<f64, BoxError> {
    let start = Instant::now();
    let connections = (0..CONNECTIONS).map(|number| requests(address, number * 5_000, start + TURN));
    let answered = futures::future::try_join_all(connections).await?;
    Ok(answered.iter().sum::<u64>() as f64 / start.elapsed().as_secs_f64())
}

/// Sends requests over one connection until `end`, with one key after the other.
async fn requests(address: SocketAddr, first_key: u64, end: Instant) -> Result<u64, BoxError> {
    let mut connection = TcpStream::connect(address).await?;
    connection.set_nodelay(true)?;
    let requests: Vec<_> = (first_key..first_key + 64)
        .map(|number| format!("GET /datasets HTTP/1.1\r\nhost: bench\r\nx-avala-api-key: {}\r\n\r\n", text(number)))
        .collect();
    let (mut answer, mut answered) = (Vec::with_capacity(1_024), 0);
    while Instant::now() < end {
        connection.write_all(requests[answered as usize % requests.len()].as_bytes()).await?;
        answer.clear();
        while !answer.ends_with(b"{\"ok\":true}") {
            assert_ne!(connection.read_buf(&mut answer).await?, 0, "{}", String::from_utf8_lossy(&answer));
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
        answered += 1;
    }
    Ok(answered)
}
