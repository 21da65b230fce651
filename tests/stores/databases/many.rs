//! Lists, updates and purges among many keys of one organization, of which the matching ones are the oldest. Prints the times
//! of each.
//!
//! ```text
//! KEYS=1000000 cargo test --release --all-features --test stores databases::many -- --ignored --nocapture --test-threads=1
//! ```

use std::time::{Duration, Instant, SystemTime};

use tower_api_key::key::{KeyId, KeyStatus};
use tower_api_key::store::{KeyBackend, KeyUpdate, ListKeys, Organizations};

use super::database::Database;
use crate::support::calls::acme;

mod sqlite {
    /// Cases: 194.
    #[cfg(feature = "sqlite")]
    #[tokio::test(flavor = "multi_thread")]
    async fn rare_keys_among_many_are_on_the_first_page() {
        super::rare_keys_are_on_the_first_page::<crate::databases::sqlite::Sqlite>().await;
    }
}

mod postgres {
    /// Cases: 194.
    #[cfg(feature = "postgres")]
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs Postgres"]
    async fn rare_keys_among_many_are_on_the_first_page() {
        super::rare_keys_are_on_the_first_page::<crate::databases::postgres::Postgres>().await;
    }
}

fn keys() -> i64 {
    std::env::var("KEYS").map_or(3_000, |text| text.parse().expect("a number"))
}

/// Twenty keys of each kind are the oldest ones, a second apart. All others are active and never expire.
async fn fill<D: Database>(database: &D, keys: i64) {
    let (series, now) = (D::series(keys), D::NOW);
    let insert = format!(
        "INSERT INTO tower_api_key_keys (id, digest, organization, name, hint, environment, access, scopes, created_at, \
         created_by, suspended, expires_at, revoked_at) SELECT {id}, {digest}, 'acme', \
         CASE WHEN i BETWEEN 100 AND 119 THEN 'Needle ' ELSE 'nightly export ' END || i, 'avk_...' || (1000 + i % 9000), \
         CASE WHEN i BETWEEN 60 AND 79 THEN 'test' ELSE 'live' END, 'scoped', 'datasets.read', {now} - ({keys} - i), \
         CASE WHEN i BETWEEN 80 AND 99 THEN 'ada' ELSE 'grace' END, CASE WHEN i < 20 THEN 1 ELSE 0 END, \
         CASE WHEN i BETWEEN 40 AND 59 THEN {now} - 10 WHEN i BETWEEN 120 AND 139 THEN {now} + 100000 END, \
         CASE WHEN i BETWEEN 20 AND 39 THEN {now} - 10 END FROM ({series}) n",
        id = D::ID_OF_I,
        digest = D::DIGEST_OF_I,
    );
    database.run(insert).await.unwrap();
    database.run("ANALYZE").await.unwrap();
}

async fn rare_keys_are_on_the_first_page<D: Database>() {
    let (database, keys) = (D::new().await, keys());
    let store = database.store().await;
    let began = Instant::now();
    fill(&database, keys).await;
    println!("{keys} keys in {:.1} s", began.elapsed().as_secs_f64());
    let soon = SystemTime::now() + Duration::from_secs(200_000);
    let new = ListKeys::new;
    let time = async |what: &str, query: ListKeys, found: usize| {
        let (mut best, limit) = (Duration::MAX, found.min(100));
        for _ in 0..3 {
            let began = Instant::now();
            let page = store.list(acme().into(), &query).await.unwrap();
            best = best.min(began.elapsed());
            assert_eq!(page.keys.len(), limit, "{what}");
        }
        println!("| {what} | {:.1} ms |", best.as_secs_f64() * 1000.0);
    };
    time("all", new(), 100).await;
    time("suspended, 20", new().with_status(KeyStatus::Suspended), 20).await;
    time("revoked, 20", new().with_status(KeyStatus::Revoked), 20).await;
    time("expired, 20", new().with_status(KeyStatus::Expired), 20).await;
    time("active, most", new().with_status(KeyStatus::Active), 100).await;
    time("environment, 20", new().with_environment("test".parse().unwrap()), 20).await;
    time("environment, most", new().with_environment("live".parse().unwrap()), 100).await;
    time("creator, 20", new().with_created_by("ada"), 20).await;
    time("creator, most", new().with_created_by("grace"), 100).await;
    time("expires before, 40", new().with_expires_before(soon), 40).await;
    time("search, most", new().with_search("NIGHT"), 100).await;
    time("search, 20", new().with_search("needle"), 20).await;
    time("search, none", new().with_search("haystack"), 0).await;

    let page = store.list(Organizations::All, &new()).await.unwrap();
    assert_eq!(page.keys.len(), 100);
    let id: KeyId = page.keys[0].id();
    let began = Instant::now();
    store.update(acme(), id, KeyUpdate::new().with_suspended(true)).await.unwrap();
    println!("| update | {:.1} ms |", began.elapsed().as_secs_f64() * 1000.0);
    let began = Instant::now();
    assert_eq!(store.counts(acme().into()).await.unwrap().suspended, 21);
    println!("| counts | {:.1} ms |", began.elapsed().as_secs_f64() * 1000.0);
    let began = Instant::now();
    assert_eq!(store.purge(acme().into(), Duration::ZERO, 500).await.unwrap().len(), 40);
    println!("| purge, 40 of the oldest | {:.1} ms |", began.elapsed().as_secs_f64() * 1000.0);

    // Now nearly all have expired, and the oldest ones are active.
    database
        .run(format!(
            "UPDATE tower_api_key_keys SET expires_at = {} - 5 WHERE created_at > {0} - {keys} + 1000",
            D::NOW
        ))
        .await
        .unwrap();
    database.run("ANALYZE").await.unwrap();
    time("expired, most", new().with_status(KeyStatus::Expired), 100).await;
    time("active, the oldest", new().with_status(KeyStatus::Active), 100).await;
    let began = Instant::now();
    assert_eq!(store.purge(acme().into(), Duration::ZERO, 500).await.unwrap().len(), 500.min(keys as usize - 1000));
    println!("| purge, a batch of 500 | {:.1} ms |", began.elapsed().as_secs_f64() * 1000.0);
}
