//! Four processes with one Redis, over real sockets.

use std::time::Duration;

use tokio::task::JoinSet;
use tower::ServiceBuilder;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::throttle::{Limit, LimitRule, RedisLimits};
use tower_api_key::{Access, ApiKeyLayer, MemoryStore};

use super::faults::Client;
use crate::support::hyper_server::serve_hyper;
use crate::support::other_process::{OtherProcess, serve_commands};
use crate::support::redis::RedisServer;
use crate::support::server::Server;

const KEYS: usize = 16;
const REQUESTS: usize = 10_000;
const LIMIT: u32 = 100;

pub(super) fn key(number: usize) -> String {
    format!("key-{number}")
}

/// A store of [`KEYS`] keys.
pub(super) fn store() -> MemoryStore {
    let keys = MemoryStore::new();
    for number in 0..KEYS {
        let digest = KeyDigest::hash(key(number).as_bytes());
        let organization = "acme".parse().unwrap();
        keys.add(KeyRecord::new(KeyId::from_u128(number as u128), digest, organization, Access::Full)).unwrap();
    }
    keys
}

/// Serves a limit of so many requests of each key an hour. The command is a URL of Redis, or `memory`, the answer the port.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "another process runs it"]
async fn guarded_server() {
    let mut running: Vec<Server> = Vec::new();
    serve_commands(async |url| {
        let rule = LimitRule::per_key(Limit::per_hour(LIMIT));
        let rule = match url {
            "memory" => rule,
            url => rule.store(RedisLimits::new(url).unwrap().with_timeout(Duration::from_millis(500))),
        };
        let guard = ServiceBuilder::new().layer(ApiKeyLayer::new(store()).limit(rule));
        let server = serve_hyper(guard.service(tower::service_fn(async |_: http::Request<hyper::body::Incoming>| {
            Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::<bytes::Bytes>::default()))
        })))
        .await;
        let port = server.http1.port();
        running.push(server);
        port.to_string()
    })
    .await;
}

/// Sends all requests to four processes over 32 connections: how many of each key were accepted and how many rejected.
async fn send_to_four_processes(command: &str) -> Vec<(usize, usize)> {
    let (mut processes, mut clients) = (Vec::new(), JoinSet::new());
    for _ in 0..4 {
        let mut process = OtherProcess::start("redis::processes::guarded_server");
        let port = process.ask(command).await.parse().unwrap();
        for client in 0..8 {
            let first = 8 * processes.len() + client;
            clients.spawn(async move {
                let (mut connection, mut replies) = (Client::connect(port).await, Vec::new());
                for number in (first..REQUESTS).step_by(32) {
                    let key_number = number / 32 % KEYS;
                    replies.push((key_number, connection.get(&key(key_number)).await));
                }
                replies
            });
        }
        processes.push(process);
    }
    let replies: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    assert_eq!(replies.len(), REQUESTS);
    assert!(replies.iter().all(|(_, status)| matches!(status, 200 | 429)));
    for process in processes {
        process.kill().await;
    }
    let of = |reply: (usize, u16)| replies.iter().filter(|&&other| other == reply).count();
    (0..KEYS).map(|number| (of((number, 200)), of((number, 429)))).collect()
}

/// Cases: 258.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn four_processes_accept_exactly_the_limit() {
    let server = RedisServer::start();
    for (accepted, rejected) in send_to_four_processes(&server.url()).await {
        assert_eq!(accepted, LIMIT as usize);
        assert!(rejected > 400, "{rejected}");
    }
}

/// Without a shared count, each process accepts as many: the test above detects the difference.
/// Cases: 258.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs other processes"]
async fn processes_with_own_counts_exceed_the_limit() {
    for (accepted, _) in send_to_four_processes("memory").await {
        assert_eq!(accepted, 4 * LIMIT as usize);
    }
}
