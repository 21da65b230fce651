//! A cluster of three nodes.

use std::time::{Duration, Instant};

use tower_api_key::OrganizationId;
use tower_api_key::key::KeyId;
use tower_api_key::throttle::{Hit, Limit, LimitStore, RedisLimits, Subject};

use crate::support::redis::RedisServer;

/// Three nodes that share the slots.
async fn cluster() -> [RedisServer; 3] {
    let arguments =
        ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "5000"];
    let nodes = [(); 3].map(|()| RedisServer::with(&arguments));
    for (node, slots) in nodes.iter().zip([(0, 5460), (5461, 10922), (10923, 16383)]) {
        let mut connection = node.connection();
        let add = ::redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(slots.0).arg(slots.1).query(&mut connection);
        let () = add.unwrap();
        for other in &nodes {
            let meet = ::redis::cmd("CLUSTER").arg("MEET").arg("127.0.0.1").arg(other.port()).query(&mut connection);
            let () = meet.unwrap();
        }
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    let is_up = |node: &RedisServer| {
        let info: String = ::redis::cmd("CLUSTER").arg("INFO").query(&mut node.connection()).unwrap();
        info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
    };
    while !nodes.iter().all(is_up) {
        assert!(Instant::now() < deadline, "the cluster does not form");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    nodes
}

/// All limits of a subject are on one node, and the subjects are on all nodes.
/// Cases: 258.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn subjects_are_spread_over_a_cluster() {
    let nodes = cluster().await;
    let redis = RedisLimits::cluster([&*nodes[0].url()]).unwrap().with_timeout(Duration::from_secs(20));
    let organization: OrganizationId = "ac}me{".parse().unwrap();
    let mut subjects: Vec<Subject> = (0..30).map(|id| KeyId::from_u128(id).into()).collect();
    subjects.extend([Subject::organization(&organization), Subject::text("}{"), Subject::text(&"x".repeat(100))]);
    let both = [Limit::per_minute(2), Limit::per_day(50)];
    for subject in &subjects {
        let hit = Hit::new(subject.clone(), both).with_name("requests");
        for allowed in [true, true, false] {
            assert_eq!(redis.acquire(&hit).await.unwrap().is_allowed(), allowed, "{subject}");
        }
    }
    let keys = nodes.each_ref().map(RedisServer::keys);
    assert_eq!(keys.iter().map(Vec::len).sum::<usize>(), 2 * subjects.len());
    assert!(keys.iter().all(|keys| !keys.is_empty()), "{keys:?}");
}
