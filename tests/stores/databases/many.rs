//! Lists, updates and purges among many keys of one organization, of which the matching ones are the oldest. Prints the times.
//!
//! ```text
//! KEYS=1000,1000000 cargo test --release --all-features --test stores databases::many::times -- --ignored --nocapture
//! ```

use std::time::{Duration, Instant, SystemTime};

use tower_api_key::Access;
use tower_api_key::key::{KeyDigest, KeyId, KeyStatus, OrganizationPolicy};
use tower_api_key::store::{InsertRules, KeyBackend, KeyUpdate, ListKeys, NewRecord, Organizations};

use super::database::Database;
use crate::support::calls::acme;

on_each_database! {
    rare_keys_among_many_are_on_the_first_page
}

/// Cases: 194.
async fn rare_keys_among_many_are_on_the_first_page<D: Database>() {
    Times::<D>::of(6_000).await;
}

/// Cases: 194.
#[cfg(all(feature = "postgres", feature = "sqlite"))]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn times_of_lists_updates_and_purges() {
    let sizes = std::env::var("KEYS").unwrap_or_else(|_| "1000".to_owned());
    let (mut title, mut rows) = ("| milliseconds |".to_owned(), Vec::<String>::new());
    for size in sizes.split(',').map(|size| size.parse().expect("a number of keys")) {
        let sqlite = Times::<super::sqlite::Sqlite>::of(size).await.taken;
        let postgres = Times::<super::postgres::Postgres>::of(size).await.taken;
        title += &format!(" SQLite, {size} keys | Postgres, {size} keys |");
        rows.resize_with(sqlite.len(), String::new);
        for ((row, (what, one)), (_, other)) in rows.iter_mut().zip(sqlite).zip(postgres) {
            if row.is_empty() {
                *row = format!("| {what} |");
            }
            *row += &format!(" {one:.1} | {other:.1} |");
        }
    }
    println!("{title}\n|---|{}\n{}", "---:|".repeat(sizes.split(',').count() * 2), rows.join("\n"));
}

/// How long each call takes on one database.
struct Times<D: Database> {
    store: D::Store,
    taken: Vec<(&'static str, f64)>,
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
    database.run(D::VACUUM).await.unwrap();
}

impl<D: Database> Times<D> {
    async fn of(keys: i64) -> Self {
        let database = D::new().await;
        let store = database.store().await;
        fill(&database, keys).await;
        let mut times = Self { store, taken: Vec::new() };
        times.of_lists().await;
        times.of_changes().await;

        // Now nearly all have expired, and the oldest ones are active.
        let active = 1_000.min(keys / 2);
        let now = D::NOW;
        let expire = format!(
            "UPDATE tower_api_key_keys SET expires_at = {now} - 5 WHERE created_at > {now} - {keys} + {active}"
        );
        database.run(expire).await.unwrap();
        times.list("active, the oldest, before a vacuum", new().with_status(KeyStatus::Active), 100).await;
        database.run(D::VACUUM).await.unwrap();
        times.list("active, the oldest", new().with_status(KeyStatus::Active), 100).await;
        times.list("expired, most", new().with_status(KeyStatus::Expired), 100).await;
        times.purge("purge, 200 of most", acme().into(), 200, 200).await;
        times.purge("purge of all organizations, 200 of most", Organizations::All, 200, 200).await;
        times
    }

    async fn of_lists(&mut self) {
        let soon = SystemTime::now() + Duration::from_secs(200_000);
        self.list("all", new(), 100).await;
        self.list("suspended, 20", new().with_status(KeyStatus::Suspended), 20).await;
        self.list("revoked, 20", new().with_status(KeyStatus::Revoked), 20).await;
        self.list("expired, 20", new().with_status(KeyStatus::Expired), 20).await;
        self.list("active, most", new().with_status(KeyStatus::Active), 100).await;
        self.list("environment, 20", new().with_environment("test".parse().unwrap()), 20).await;
        self.list("environment, most", new().with_environment("live".parse().unwrap()), 100).await;
        self.list("creator, 20", new().with_created_by("ada"), 20).await;
        self.list("creator, most", new().with_created_by("grace"), 100).await;
        self.list("expires before, 40", new().with_expires_before(soon), 40).await;
        self.list("text, most", new().with_search("NIGHT"), 100).await;
        self.list("text, 20", new().with_search("needle"), 20).await;
        self.list("text, none", new().with_search("haystack"), 0).await;
        self.list("text of two characters, 20", new().with_search("dl"), 20).await;
        self.list("text of one character, 20", new().with_search("d"), 20).await;
        self.list("text of most and creator, 20", new().with_search("night").with_created_by("ada"), 20).await;
        let suspended = new().with_status(KeyStatus::Suspended);
        self.list("text of most and status, 20", suspended.with_search("night"), 20).await;
        let active = new().with_status(KeyStatus::Active);
        self.list("text and status of most, 20", active.with_search("needle"), 20).await;

        self.list_of_all("all organizations", new(), 100).await;
        self.list_of_all("all organizations, text of most", new().with_search("NIGHT"), 100).await;
        self.list_of_all("all organizations, text, 20", new().with_search("needle"), 20).await;
        self.list_of_all("all organizations, text, none", new().with_search("haystack"), 0).await;
        let store = self.store.clone();
        let counted = self.best("counts by status", async || store.counts(acme().into()).await.unwrap()).await;
        assert_eq!((counted.suspended, counted.revoked, counted.expired), (20, 20, 20));
    }

    async fn of_changes(&mut self) {
        let store = self.store.clone();
        let page = store.list(acme().into(), &new()).await.unwrap();
        let ids: Vec<KeyId> = page.keys.iter().map(|key| key.id()).collect();
        let mut places = ids.iter();
        let suspend = async || {
            let id = places.next().expect("a key for each attempt");
            store.update(acme(), *id, KeyUpdate::new().with_suspended(true)).await.unwrap();
            store.update(acme(), *id, KeyUpdate::new().with_suspended(false)).await.unwrap()
        };
        self.best("update, two", suspend).await;
        let mut number = 1_u128 << 100;
        let mut record = || {
            number += 1;
            let digest = KeyDigest::hash(&number.to_be_bytes());
            NewRecord {
                name: "weekly".into(),
                ..NewRecord::new(KeyId::from_u128(number), digest, acme().clone(), Access::Full)
            }
        };
        self.best("insert", async || store.insert(record(), InsertRules::new()).await.unwrap()).await;
        let insert_many = async || {
            let batch = (0..1_000).map(|_| record()).collect();
            store.insert_many(batch, InsertRules::new()).await.unwrap().len()
        };
        assert_eq!(self.best("insert of 1,000", insert_many).await, 1_000);
        self.purge("purge, 40 of the oldest", acme().into(), 500, 40).await;
        let policy = OrganizationPolicy::default().with_max_key_age(Duration::from_secs(1_000_000_000));
        store.set_organization_policy(acme(), policy).await.unwrap();
        self.purge("purge of all organizations, none", Organizations::All, 500, 0).await;
        store.set_organization_policy(acme(), OrganizationPolicy::default()).await.unwrap();
    }

    async fn list(&mut self, what: &'static str, query: ListKeys, found: usize) {
        self.list_of(acme().into(), what, query, found).await;
    }

    async fn list_of_all(&mut self, what: &'static str, query: ListKeys, found: usize) {
        self.list_of(Organizations::All, what, query, found).await;
    }

    async fn list_of(&mut self, whose: Organizations<'_>, what: &'static str, query: ListKeys, found: usize) {
        let store = self.store.clone();
        let page = self.best(what, async || store.list(whose, &query).await.unwrap()).await;
        assert_eq!(page.keys.len(), found, "{what}");
    }

    async fn purge(&mut self, what: &'static str, whose: Organizations<'_>, limit: usize, purged: usize) {
        let began = Instant::now();
        assert_eq!(self.store.purge(whose, Duration::ZERO, limit).await.unwrap().len(), purged, "{what}");
        self.taken.push((what, began.elapsed().as_secs_f64() * 1_000.0));
    }

    /// Returns what the call returns, and notes the shortest of three times.
    async fn best<T>(&mut self, what: &'static str, mut call: impl AsyncFnMut() -> T) -> T {
        let mut best = Duration::MAX;
        let mut returned = None;
        for _ in 0..3 {
            let began = Instant::now();
            returned = Some(call().await);
            best = best.min(began.elapsed());
        }
        self.taken.push((what, best.as_secs_f64() * 1_000.0));
        returned.expect("three calls")
    }
}

fn new() -> ListKeys {
    ListKeys::new()
}
