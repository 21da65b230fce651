//! Lookups that were given up leave nothing behind in the server: no more backends last than the pool has places.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tower_api_key::KeyStore;
use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::store::PostgresStore;

use super::guarded::{Guarded, LOOKUP_TIMEOUT};
use crate::support::cluster::Cluster;
use crate::support::postgres::{Sql, with};
use crate::support::proxy::Proxy;

/// The places of a pool, by default.
const PLACES: i64 = 10;

const SECOND: Duration = Duration::from_secs(1);

/// How long a new backend may go without a look at its connection. A server that was stalled starts one for each connection that
/// was asked for meanwhile, and each ends when it sees that nobody waits for it.
const STARTING: Duration = Duration::from_millis(500);

/// Counts the backends of one program that have started, again and again, until it is dropped.
struct Backends {
    most: Arc<AtomicI64>,
    counting: tokio::task::JoinHandle<()>,
}

impl Backends {
    async fn of(server: &str, program: &str) -> Self {
        let most = Arc::new(AtomicI64::new(0));
        let mut sql = Sql::connect(server).await;
        let count = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{program}'
             AND backend_start < clock_timestamp() - interval '{} ms'",
            STARTING.as_millis(),
        );
        let seen = Arc::clone(&most);
        let counting = tokio::spawn(async move {
            loop {
                seen.fetch_max(sql.int(count.as_str()).await, Ordering::Relaxed);
                sleep(Duration::from_millis(10)).await;
            }
        });
        Self { most, counting }
    }

    /// Returns the most that there were at once since the last call.
    fn take_most(&self) -> i64 {
        self.most.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Backends {
    fn drop(&mut self) {
        self.counting.abort();
    }
}

/// Sends 20 requests a second until it is ended.
struct Load {
    over: Arc<AtomicBool>,
    sending: tokio::task::JoinHandle<()>,
}

impl Load {
    fn on(service: &Arc<Guarded>) -> Self {
        let (service, over) = (Arc::clone(service), Arc::new(AtomicBool::new(false)));
        let is_over = Arc::clone(&over);
        let sending = tokio::spawn(async move {
            let (mut ticks, mut requests) = (interval(Duration::from_millis(50)), JoinSet::new());
            while !is_over.load(Ordering::Relaxed) {
                ticks.tick().await;
                let service = Arc::clone(&service);
                requests.spawn(async move { service.accepts().await });
            }
            requests.join_all().await;
        });
        Self { over, sending }
    }

    async fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        self.sending.await.unwrap();
    }
}

fn program(url: &str, name: &str) -> String {
    with(url, "application_name", name)
}

async fn migrated(cluster: &Cluster) -> PostgresStore {
    let owner = PostgresStore::connect(&program(&cluster.url(), "owner")).await.unwrap();
    owner.migrate().await.unwrap();
    owner
}

/// Cases: 129.
/// A pool that `connect` opens, and one without any timeout that an application hands in.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn lookups_at_a_locked_table_keep_to_the_pool() {
    let cluster = Cluster::start(&["max_connections=100"]);
    let owner = migrated(&cluster).await;
    let own = PostgresStore::connect(&program(&cluster.url(), "own")).await.unwrap();
    let shared = PgPoolOptions::new().connect(&program(&cluster.url(), "shared")).await.unwrap();
    let mut services = Vec::new();
    for (name, store) in [("own", own), ("shared", PostgresStore::from_pool(shared))] {
        let service = Arc::new(Guarded::new(&store, &owner).await);
        service.serves().await;
        let backends = Backends::of(&cluster.url(), name).await;
        services.push((name, Load::on(&service), service, backends));
    }
    let mut holder = Sql::connect(&cluster.url()).await;
    holder.run("BEGIN; LOCK TABLE tower_api_key_keys IN ACCESS EXCLUSIVE MODE").await.unwrap();
    sleep(30 * SECOND).await;
    for (name, _, service, _) in &services {
        assert!(!service.accepts().await, "{name}");
    }
    holder.run("COMMIT").await.unwrap();
    for (name, load, service, backends) in services {
        service.recovers_within(SECOND, name).await;
        load.end().await;
        let most = backends.take_most();
        println!("{name}: at most {most} backends");
        assert!((1..=PLACES).contains(&most), "{name}: {most} backends");
    }
}

/// A store that closes a connection whose lookup was given up, and does not see to the statement in the server.
struct Closing(PgPool);

impl KeyStore for Closing {
    type Error = sqlx::Error;

    async fn find(&self, _: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, sqlx::Error> {
        let mut connection = self.0.acquire().await?.detach();
        sqlx::query("SELECT 1 FROM tower_api_key_keys").fetch_all(&mut connection).await?;
        Ok(None)
    }
}

/// Cases: 129.
/// The count above sees backends that are left behind.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn harness_counts_abandoned_backends() {
    let cluster = Cluster::start(&["max_connections=100"]);
    migrated(&cluster).await;
    let pool = PgPoolOptions::new().connect(&program(&cluster.url(), "closing")).await.unwrap();
    let backends = Backends::of(&cluster.url(), "closing").await;
    let mut holder = Sql::connect(&cluster.url()).await;
    holder.run("BEGIN; LOCK TABLE tower_api_key_keys IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let store = Closing(pool);
    for _ in 0..30 {
        let _ = timeout(Duration::from_millis(50), store.find(&KeyDigest::hash(b"any"))).await;
    }
    sleep(STARTING).await;
    let most = backends.take_most();
    assert!(most > PLACES, "{most} backends");
}

/// Cases: 129.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn lookups_at_a_stalled_server_keep_to_the_pool() {
    let cluster = Cluster::start(&["max_connections=100"]);
    let owner = migrated(&cluster).await;
    let store = PostgresStore::connect(&program(&cluster.url(), "stalled")).await.unwrap();
    let service = Arc::new(Guarded::new(&store, &owner).await);
    let load = Load::on(&service);
    let backends = Backends::of(&cluster.url(), "stalled").await;
    sleep(SECOND).await;
    cluster.stall();
    sleep(10 * SECOND).await;
    assert!(!service.accepts().await);
    cluster.go_on();
    service.recovers_within(SECOND, "server stalled").await;
    sleep(SECOND).await;
    load.end().await;
    let most = backends.take_most();
    println!("server stalled: at most {most} backends");
    assert!((1..=PLACES).contains(&most), "{most} backends");
}

/// Cases: 129.
/// The machine of the server is gone without a word, while lookups wait for a lock, and another one takes its address.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn lookups_at_a_dead_server_keep_to_the_pool() {
    let cluster = Cluster::start(&["max_connections=100"]);
    let owner = migrated(&cluster).await;
    let server: PgConnectOptions = cluster.url().parse().unwrap();
    let proxy = Proxy::start((server.get_host().to_owned(), server.get_port())).await;
    let url = program(&with(&cluster.url(), "port", &proxy.port().to_string()), "dead");
    let store = PostgresStore::connect(&url).await.unwrap();
    let service = Arc::new(Guarded::new(&store, &owner).await);
    let backends = Backends::of(&cluster.url(), "dead").await;
    let load = Load::on(&service);
    for _ in 0..3 {
        sleep(SECOND).await;
        let mut holder = Sql::connect(&cluster.url()).await;
        holder.run("BEGIN; LOCK TABLE tower_api_key_keys IN ACCESS EXCLUSIVE MODE").await.unwrap();
        sleep(2 * LOOKUP_TIMEOUT).await;
        proxy.lose_connections();
        let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'dead'";
        let start = Instant::now();
        holder.run(format!("{end}; COMMIT")).await.unwrap();
        service.recovers_within(SECOND, "server dead").await;
        println!("server dead: service back {:.1?} after the loss", start.elapsed());
    }
    load.end().await;
    let most = backends.take_most();
    println!("server dead: at most {most} backends");
    assert!((1..=PLACES).contains(&most), "{most} backends");
}

/// Cases: 129.
/// The log has the reason of the server, and the connection serves the next lookup.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn lookup_that_waits_for_a_lock_names_it() {
    let cluster = Cluster::start(&[]);
    let owner = migrated(&cluster).await;
    let pool = PgPoolOptions::new().max_connections(1);
    let shared = pool.clone().connect(&cluster.url()).await.unwrap();
    let options = PostgresStore::with_lookup_timeouts(cluster.url().parse().unwrap());
    let own = pool.connect_with(options).await.unwrap();
    let mut holder = Sql::connect(&cluster.url()).await;
    for store in [PostgresStore::from_pool(shared), PostgresStore::from_pool(own)] {
        holder.run("BEGIN; LOCK TABLE tower_api_key_keys IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let service = Guarded::without_keys(&store);
        let start = Instant::now();
        let error = store.find(&KeyDigest::hash(b"any")).await.unwrap_err();
        assert!(error.to_string().contains("canceling statement due to lock timeout"), "{error}");
        assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
        holder.run("COMMIT").await.unwrap();
        service.serves().await;
        let session: String = sqlx::query_scalar("SHOW lock_timeout").fetch_one(store.pool()).await.unwrap();
        assert!(["0", "700ms"].contains(&session.as_str()), "{session}");
    }
    drop(owner);
}
