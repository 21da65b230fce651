//! Redis killed, stopped and flushed while requests come.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Request;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::{Layer, service_fn};
use tower_api_key::ApiKeyLayer;
use tower_api_key::throttle::{Limit, LimitRule, RedisLimits};

use super::processes::{key, store};
use crate::support::hyper_server::serve_hyper;
use crate::support::redis::RedisServer;
use crate::support::server::Server;

const TIMEOUT: Duration = Duration::from_millis(100);
/// Of scheduling, on a machine that does other work as well.
const SLACK: Duration = Duration::from_millis(900);
const LIMIT: u32 = 40;

/// A connection that is kept alive.
pub(super) struct Client(TcpStream);

impl Client {
    pub(super) async fn connect(port: u16) -> Self {
        Self(TcpStream::connect(("127.0.0.1", port)).await.unwrap())
    }

    /// The status of a request with this key.
    pub(super) async fn get(&mut self, key: &str) -> u16 {
        let request = format!("GET / HTTP/1.1\r\nhost: x\r\nx-avala-api-key: {key}\r\n\r\n");
        self.0.write_all(request.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        loop {
            let mut part = [0; 1024];
            let length = self.0.read(&mut part).await.unwrap();
            assert_ne!(length, 0, "the connection is closed");
            reply.extend_from_slice(&part[..length]);
            let text = std::str::from_utf8(&reply).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() == length.unwrap_or(0) {
                return head.split(' ').nth(1).unwrap().parse().unwrap();
            }
        }
    }
}

/// Serves a rule over Redis.
async fn serve(redis: &RedisServer, local: bool) -> Server {
    let redis = RedisLimits::new(&redis.url()).unwrap().with_timeout(TIMEOUT);
    let rule = LimitRule::per_key(Limit::per_hour(LIMIT)).store(redis);
    let rule = if local { rule } else { rule.reject_when_away() };
    let handler = service_fn(async |_: Request<Incoming>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::<bytes::Bytes>::default()))
    });
    serve_hyper(ApiKeyLayer::new(store()).limit(rule).layer(handler)).await
}

/// A reply: the number of the key, the status, and how long it took.
type Reply = (usize, u16, Duration);

/// Eight clients that send requests until the end, each with two keys.
fn load(port: u16) -> (watch::Sender<bool>, JoinSet<Vec<Reply>>) {
    let (end, ended) = watch::channel(false);
    let mut clients = JoinSet::new();
    for client in 0..8 {
        let ended = ended.clone();
        clients.spawn(async move {
            let mut connection = Client::connect(port).await;
            let mut replies = Vec::new();
            while !*ended.borrow() {
                let number = 2 * client + replies.len() % 2;
                let began = Instant::now();
                let status = connection.get(&key(number)).await;
                replies.push((number, status, began.elapsed()));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            replies
        });
    }
    (end, clients)
}

async fn stop((end, clients): (watch::Sender<bool>, JoinSet<Vec<Reply>>)) -> Vec<Reply> {
    end.send(true).unwrap();
    clients.join_all().await.into_iter().flatten().collect()
}

fn accepted(replies: &[Reply], number: usize) -> usize {
    replies.iter().filter(|reply| (reply.0, reply.1) == (number, 200)).count()
}

/// What fails, for a while.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Killed,
    Stopped,
    Flushed,
}

const FAULTS: [Fault; 3] = [Fault::Killed, Fault::Stopped, Fault::Flushed];

/// Redis works, fails, and works again.
async fn break_redis(redis: &mut RedisServer, fault: Fault) {
    let a_while = || tokio::time::sleep(Duration::from_millis(1_500));
    tokio::time::sleep(Duration::from_millis(150)).await;
    match fault {
        Fault::Killed => redis.kill(),
        Fault::Stopped => redis.signal("STOP"),
        Fault::Flushed => {
            let () = ::redis::cmd("FLUSHALL").query(&mut redis.connection()).unwrap();
        }
    }
    a_while().await;
    match fault {
        Fault::Killed => redis.begin(),
        Fault::Stopped => redis.signal("CONT"),
        Fault::Flushed => {}
    }
    a_while().await;
}

/// Two processes: each accepts no more than the limit, and nothing but 200 and 429 is answered.
/// Cases: 259.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn broken_redis_keeps_local_limits_and_times() {
    for fault in FAULTS {
        let mut redis = RedisServer::start();
        let servers = [serve(&redis, true).await, serve(&redis, true).await];
        let loads = servers.each_ref().map(|server| load(server.http1.port()));
        break_redis(&mut redis, fault).await;
        let mut total = [0; 16];
        for load in loads {
            let replies = stop(load).await;
            assert!(replies.len() > 200, "{fault:?}: {} replies", replies.len());
            for &(number, status, time) in &replies {
                assert!(matches!(status, 200 | 429), "{fault:?}: {status} for {number}");
                assert!(time < TIMEOUT + SLACK, "{fault:?}: {time:?}");
            }
            for (number, total) in total.iter_mut().enumerate() {
                let accepted = accepted(&replies, number);
                assert!(accepted <= LIMIT as usize, "{fault:?}: {accepted} of {number}");
                *total += accepted;
            }
        }
        println!("{fault:?}: {total:?}");
        assert!(total.iter().all(|&total| total >= LIMIT as usize), "{fault:?}: {total:?}");
    }
}

/// Rejected with a 503 where that is configured, and accepted again without a restart.
/// Cases: 259.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn broken_redis_rejects_if_asked_to() {
    for fault in [Fault::Killed, Fault::Stopped] {
        let mut redis = RedisServer::start();
        let server = serve(&redis, false).await;
        let load = load(server.http1.port());
        break_redis(&mut redis, fault).await;
        // After the fault, the other half of the limit of each key is left, or all of it.
        let mut client = Client::connect(server.http1.port()).await;
        assert_ne!(client.get(&key(15)).await, 503, "{fault:?}: it is back");
        let replies = stop(load).await;
        let statuses = Arc::new(replies.iter().map(|reply| reply.1).collect::<Vec<_>>());
        assert!(statuses.contains(&503) && statuses.contains(&200), "{fault:?}");
        assert!(statuses.iter().all(|status| matches!(status, 200 | 429 | 503)), "{fault:?}");
        assert!(replies.iter().all(|reply| reply.2 < TIMEOUT + SLACK), "{fault:?}");
    }
}

/// The service starts while Redis is away.
/// Cases: 259.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn redis_that_comes_later_is_used() {
    let mut redis = RedisServer::start();
    redis.kill();
    let server = serve(&redis, true).await;
    let mut client = Client::connect(server.http1.port()).await;
    for _ in 0..5 {
        assert_eq!(client.get(&key(0)).await, 200);
    }
    redis.begin();
    let deadline = Instant::now() + Duration::from_secs(20);
    while redis.keys().is_empty() {
        assert!(Instant::now() < deadline, "Redis is not used");
        client.get(&key(1)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
