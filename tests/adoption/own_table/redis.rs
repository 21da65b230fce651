//! `examples/foreign_redis.rs` in two processes, on a real Redis.

use redis::{Client, Commands, Connection};
use tower_api_key::key::{KeyDigest, KeyId};
use tower_api_key::{ApiKeyLayer, BoxError};

use self::foreign_redis::ForeignRedis;
use super::{AFTER_LOSS, HEARTBEAT, Program, answer, followed, two_processes};
use crate::support::calls::call;
use crate::support::other_process::{OtherProcess, serve_commands};
use crate::support::redis::RedisServer;

#[path = "../../../examples/foreign_redis.rs"]
#[expect(dead_code, reason = "its program does not run here")]
mod foreign_redis;

const PREFIX: &str = "app:";

/// The program that owns the keys.
struct Owner(Connection);

impl Program for Owner {
    async fn add(&mut self, key: &str) -> Result<(), BoxError> {
        let digest = KeyDigest::hash(key.as_bytes());
        let (id, sha256) = (KeyId::random()?.to_string(), digest.to_hex());
        let fields =
            [("id", &*id), ("sha256", &sha256), ("customer", "acme"), ("plan", "pro"), ("scopes", "datasets.read")];
        let () = self.0.hset_multiple(ForeignRedis::hash(PREFIX, &digest), &fields)?;
        let () = self.0.hset(ForeignRedis::hash(PREFIX, &digest), "status", "active")?;
        Ok(self.0.publish(ForeignRedis::channel(PREFIX), sha256)?)
    }

    async fn revoke(&mut self, key: &str) -> Result<(), BoxError> {
        let digest = KeyDigest::hash(key.as_bytes());
        let () = self.0.hset(ForeignRedis::hash(PREFIX, &digest), "status", "revoked")?;
        Ok(self.0.publish(ForeignRedis::channel(PREFIX), digest.to_hex())?)
    }

    async fn end_listeners(&mut self) -> Result<(), BoxError> {
        let ended: i64 = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").query(&mut self.0)?;
        assert_eq!(ended, 2, "each process listens");
        Ok(())
    }
}

async fn open(url: &str) -> ApiKeyLayer {
    followed(ForeignRedis::new(Client::open(url).unwrap(), PREFIX, HEARTBEAT))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the other process of the test here, which starts it itself"]
async fn the_other_process() {
    let mut layer = None;
    serve_commands(async |line| answer(&mut layer, line, open).await).await;
}

/// Cases: 217.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn changes_in_a_foreign_redis_reach_each_process() {
    let server = RedisServer::start();
    let url = server.url();
    let start = async || {
        let mut process = OtherProcess::start("own_table::redis::the_other_process");
        assert_eq!(process.ask(&format!("open {url}")).await, "open");
        process
    };
    two_processes(&mut Owner(server.connection()), start).await.unwrap();
}

/// Cases: 217.
///
/// The server is stopped, and then killed: its keys are gone with it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn foreign_redis_that_is_killed_is_followed_again() {
    let mut server = RedisServer::start();
    let layer = open(&server.url()).await;
    let mut owner = Owner(server.connection());
    owner.add("key").await.unwrap();
    // Messages arrive in order: when the cache has dropped this key, no earlier message will drop the other one.
    owner.add("first").await.unwrap();
    assert_eq!(call(&layer, "first").await.status, 200);
    owner.revoke("first").await.unwrap();
    let dropped = async {
        while call(&layer, "first").await.status != 401 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(AFTER_LOSS, dropped).await.expect("the message arrives");
    assert_eq!(call(&layer, "key").await.status, 200);
    drop(owner);
    server.kill();
    assert_eq!(call(&layer, "key").await.status, 200, "an outage of the feed rejects no key");
    assert_eq!(call(&layer, "other").await.status, 503);
    server.begin();
    let rejected = async {
        while call(&layer, "key").await.status != 401 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(AFTER_LOSS, rejected).await.expect("the new server does not have the key");
    Owner(server.connection()).add("key").await.unwrap();
    let accepted = async {
        while call(&layer, "key").await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(AFTER_LOSS, accepted).await.expect("the feed works again");
}
