use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tower_api_key::store::PostgresStore;

use super::figures::Figures;
use super::load::Load;
use super::service::{Revoking, Service};
use crate::support::cluster::{Cluster, free_port};
use crate::support::postgres::Sql;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Victim {
    Postgres,
    Service,
}

/// Undoes our setting inside each of our transactions. The program stays the same.
const NOT_DURABLE: &str = "
CREATE FUNCTION not_durable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    RETURN NULL;
END
$$;
CREATE TRIGGER not_durable BEFORE INSERT OR UPDATE ON tower_api_key_keys
    FOR EACH STATEMENT EXECUTE FUNCTION not_durable()";

/// How many keys are acknowledged as dead between two kills, at least.
const DEATHS: usize = 30;

fn kills() -> usize {
    std::env::var("KILLS").map_or(5, |kills| kills.parse().unwrap())
}

/// Cases: 105, 107, 199.
#[test]
#[ignore = "needs Postgres"]
fn killed_postgres_loses_no_acknowledged_revoke() {
    let figures = run(Victim::Postgres, "", Revoking::Properly);
    println!("\nkill -9 of Postgres, default synchronous_commit=off\n{figures}");
    assert_eq!(faults(&figures), [0, 0, 0], "wrong accepts, revokes lost, valid keys rejected");
    assert!(figures.longest_until_serving() <= Duration::from_secs(1), "{:?}", figures.longest_until_serving());
}

/// Cases: 105, 107.
/// Without the override, the same run shows a loss.
#[test]
#[ignore = "needs Postgres"]
fn harness_detects_revokes_lost_without_override() {
    let figures = run(Victim::Postgres, NOT_DURABLE, Revoking::Properly);
    println!("\nkill -9 of Postgres, default synchronous_commit=off, control: our override taken back\n{figures}");
    let [wrong_accepts, lost_revokes, _] = faults(&figures);
    assert!(wrong_accepts > 0 && lost_revokes > 0, "the harness does not detect the loss");
}

/// Cases: 105, 199.
#[test]
#[ignore = "needs Postgres"]
fn killed_service_loses_no_acknowledged_revoke() {
    let figures = run(Victim::Service, "", Revoking::Properly);
    println!("\nkill -9 of the service\n{figures}");
    assert_eq!(faults(&figures), [0, 0, 0], "wrong accepts, revokes lost, valid keys rejected");
    assert!(figures.longest_until_serving() <= Duration::from_secs(1), "{:?}", figures.longest_until_serving());
}

/// Cases: 105.
/// The same run with a service that acknowledges before the store has revoked.
#[test]
#[ignore = "needs Postgres"]
fn harness_detects_early_acknowledgement() {
    let figures = run(Victim::Service, "", Revoking::Hastily);
    println!("\nkill -9 of the service, control: it acknowledges before the store has revoked\n{figures}");
    let [wrong_accepts, lost_revokes, _] = faults(&figures);
    assert!(wrong_accepts > 0 && lost_revokes > 0, "the harness does not detect the loss");
}

fn faults(figures: &Figures) -> [u64; 3] {
    [figures.wrong_accepts.get(), figures.lost_revokes.get(), figures.valid_rejected.get()]
}

/// Starts a Postgres, a service and clients that never stop, and kills one of the first two again and again.
fn run(victim: Victim, then: &str, revoking: Revoking) -> Figures {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // Without a flush at commit, a change stays in memory for as long as possible, so that a kill can lose it.
    let mut cluster = Cluster::start(&["wal_writer_delay=10s", "max_wal_size=1GB", "autovacuum=off"]);
    let (database, port) = (cluster.url(), free_port());
    runtime.block_on(async {
        let mut sql = Sql::connect(&database).await;
        sql.run("ALTER DATABASE postgres SET synchronous_commit = off").await.unwrap();
        PostgresStore::connect(&database).await.unwrap().migrate().await.unwrap();
        sql.run(then).await.unwrap();
        let off = "SELECT (current_setting('synchronous_commit') = 'off')::int::bigint";
        assert_eq!(Sql::connect(&database).await.int(off).await, 1);
    });

    let mut service = Service::spawn(&database, port, revoking);
    wait_until(|| accepts_tcp(port));
    let load = Load::new(port);
    let clients = runtime.block_on(load.start());

    let (mut acknowledged, mut lost) = (0, Vec::new());
    for round in 0..kills() {
        // In the middle of work, and at a different moment of it in each round.
        let dead = load.dead.lock().unwrap().len();
        wait_until(|| load.dead.lock().unwrap().len() >= dead + DEATHS);
        std::thread::sleep(Duration::from_millis((round as u64 * 37) % 200));
        let killed;
        match victim {
            Victim::Postgres => {
                cluster.end("KILL");
                load.figures.killed();
                killed = Instant::now();
                cluster.begin();
                wait_until(|| runtime.block_on(PgConnection::connect(&database)).is_ok());
            }
            Victim::Service => {
                service.kill();
                load.figures.killed();
                killed = Instant::now();
                service = Service::spawn(&database, port, revoking);
                wait_until(|| accepts_tcp(port));
            }
        }
        let away = killed.elapsed();
        let ready = Instant::now();
        wait_until(|| load.figures.accepted_since_kill());
        load.figures.recovered(away, ready.elapsed());

        // The keys of this round, and once more those acknowledged shortly before it.
        lost.extend(runtime.block_on(not_revoked(&database, &load, acknowledged)));
        acknowledged = load.dead.lock().unwrap().len().saturating_sub(100);
    }

    load.stop();
    for client in clients {
        runtime.block_on(client).unwrap();
    }
    lost.extend(runtime.block_on(not_revoked(&database, &load, 0)));
    lost.sort();
    lost.dedup();
    load.figures.lost_revokes.add(lost.len() as u64);
    drop(service);
    Arc::into_inner(load).expect("the clients have ended").figures
}

/// Returns the ids of acknowledged dead keys, from this one on, that the database does not have as they ended. A revoked
/// key may be purged by now.
async fn not_revoked(database: &str, load: &Load, from: usize) -> Vec<String> {
    let ids: Vec<_> =
        load.dead.lock().unwrap()[from..].iter().map(|key| format!("('{}', '{}')", key.id, key.ending)).collect();
    if ids.is_empty() {
        return Vec::new();
    }
    let live = format!(
        "SELECT a.id FROM (VALUES {}) AS a (id, ending) JOIN tower_api_key_keys k ON k.id = a.id \
         WHERE CASE a.ending WHEN 'purge' THEN true WHEN 'suspend' THEN k.suspended = 0 \
         WHEN 'narrow' THEN k.access <> 'scoped' ELSE k.revoked_at IS NULL END",
        ids.join(", ")
    );
    Sql::connect(database).await.texts(live).await
}

fn accepts_tcp(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "the condition was not met in time");
        std::thread::sleep(Duration::from_millis(1));
    }
}
