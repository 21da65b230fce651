//! Rows of any values: a key has exactly the access in its row, or less, and an invalid row is no key.
//!
//! Each line of the input is a column of a row that is otherwise valid: which column, of which type, its value.
#![no_main]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use tokio::runtime::{Builder, Runtime};
use tower_api_key::key::{KeyDigest, KeyRecord, KeyStatus};
use tower_api_key::scope::ScopeSet;
use tower_api_key::store::{KeyBackend, ListKeys, SqliteStore};
use tower_api_key::{KeyStore, OrganizationId, Scope};

/// Tables without types and checks, as a migration by hand may have left them.
const TABLES: &str = "CREATE TABLE it (row INTEGER PRIMARY KEY, id, digest, organization, name, hint, access, scopes, \
    created_at, expires_at, revoked_at, replaced_by, last_used_at, requests, max_key_age, disabled); \
    CREATE TABLE tower_api_key_migrations (version, compatible_from, applied_at); \
    CREATE VIEW tower_api_key_keys AS SELECT *, NULL AS environment, '*' AS networks, '{}' AS metadata, \
    NULL AS created_by, 0 AS imported, 0 AS suspended FROM it; \
    CREATE VIEW tower_api_key_usage AS SELECT id AS key, last_used_at, requests FROM it; \
    CREATE VIEW tower_api_key_organizations AS SELECT organization, max_key_age, disabled FROM it";

/// Each value twice: whether it is text, and the value.
const WRITE: &str = "REPLACE INTO it VALUES (1, iif(?1, CAST(?2 AS TEXT), ?2), iif(?3, CAST(?4 AS TEXT), ?4), \
    iif(?5, CAST(?6 AS TEXT), ?6), iif(?7, CAST(?8 AS TEXT), ?8), iif(?9, CAST(?10 AS TEXT), ?10), \
    iif(?11, CAST(?12 AS TEXT), ?12), iif(?13, CAST(?14 AS TEXT), ?14), iif(?15, CAST(?16 AS TEXT), ?16), \
    iif(?17, CAST(?18 AS TEXT), ?18), iif(?19, CAST(?20 AS TEXT), ?20), iif(?21, CAST(?22 AS TEXT), ?22), \
    iif(?23, CAST(?24 AS TEXT), ?24), iif(?25, CAST(?26 AS TEXT), ?26), iif(?27, CAST(?28 AS TEXT), ?28), \
    iif(?29, CAST(?30 AS TEXT), ?30))";

const DIGEST: [u8; 32] = [7; 32];

struct World {
    runtime: Runtime,
    pool: SqlitePool,
    store: SqliteStore,
    /// How many rows were reported as invalid.
    reported: Arc<AtomicUsize>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let pool = runtime.block_on(async {
        let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.connect("sqlite::memory:").await.unwrap();
        sqlx::raw_sql(TABLES).execute(&pool).await.unwrap();
        pool
    });
    let reported = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reported);
    let store = SqliteStore::from_pool(pool.clone()).on_invalid_row(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    World { runtime, pool, store, reported }
});

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Null,
    Int(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

/// The columns in the order of the table.
struct Row([Value; 15]);

impl Row {
    fn valid() -> Self {
        let text = |text: &str| Value::Text(text.into());
        Self([
            text("00000000-0000-4000-8000-000000000007"),
            Value::Blob(DIGEST.to_vec()),
            text("acme"),
            text("nightly export"),
            text("avk_...4567"),
            text("scoped"),
            text("items.read items.write"),
            Value::Int(1_000),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Int(0),
            Value::Null,
            Value::Int(0),
        ])
    }

    fn with(mut self, line: &[u8]) -> Self {
        let [column, kind, value @ ..] = line else { return self };
        let number = || std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        let columns = self.0.len();
        self.0[usize::from(*column) % columns] = match kind % 5 {
            0 => Value::Null,
            1 => Value::Int(number().unwrap_or(value.len() as i64)),
            2 => Value::Real(value.len() as f64),
            3 => Value::Text(value.to_vec()),
            _ => Value::Blob(value.to_vec()),
        };
        self
    }

    fn text(&self, column: usize) -> Option<&str> {
        if let Value::Text(bytes) = &self.0[column] { std::str::from_utf8(bytes).ok() } else { None }
    }

    /// `Err` for what is neither a number nor nothing.
    fn time(&self, column: usize) -> Result<Option<SystemTime>, ()> {
        match self.0[column] {
            Value::Null => Ok(None),
            Value::Int(seconds) => Ok(Some(time(seconds))),
            _ => Err(()),
        }
    }

    /// Whether the driver has an answer at all.
    fn is_readable(&self) -> bool {
        self.0.iter().all(|value| match value {
            Value::Real(_) => false,
            Value::Text(bytes) => std::str::from_utf8(bytes).is_ok(),
            _ => true,
        })
    }

    fn organization(&self) -> Option<OrganizationId> {
        self.text(2).filter(|text| (1..=128).contains(&text.len()) && !text.chars().any(char::is_control))?.parse().ok()
    }

    /// Whether everything makes sense that decides if the key is valid, but for its digest.
    fn makes_sense(&self) -> bool {
        let id = self.text(0).is_some_and(|text| {
            let groups: Vec<&str> = text.split('-').collect();
            groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
                && groups.concat().bytes().all(|byte| b"0123456789abcdef".contains(&byte))
        });
        let replaced_alone = self.0[10] != Value::Null && self.0[9] == Value::Null && self.0[8] == Value::Null;
        self.is_readable()
            && id
            && self.organization().is_some()
            && matches!(self.0[7], Value::Int(_))
            && [8, 9, 11].iter().all(|column| self.time(*column).is_ok())
            && !replaced_alone
            && matches!(self.0[13], Value::Null | Value::Int(0..))
    }

    /// The scopes that the row names, where it can be read and they are not too many.
    fn scopes(&self) -> Option<BTreeSet<&str>> {
        let words: Vec<&str> = match self.text(6)? {
            "" => vec![],
            text => text.split(' ').collect(),
        };
        let is_scope = |word: &&str| Scope::new(word).is_ok();
        (words.len() <= ScopeSet::MAX_LEN && words.iter().all(is_scope)).then(|| words.into_iter().collect())
    }
}

fuzz_target!(|data: &[u8]| {
    let World { runtime, pool, store, reported } = &*WORLD;
    let row = data.split(|byte| *byte == b'\n').take(16).fold(Row::valid(), Row::with);
    runtime.block_on(async {
        write(pool, &row).await;
        reported.store(0, Ordering::Relaxed);
        let found = store.find(&KeyDigest::from_bytes(DIGEST)).await;
        if row.0[1] != Value::Blob(DIGEST.to_vec()) {
            assert!(matches!(found, Ok(None)), "found by another digest: {found:?}");
        } else if row.makes_sense() {
            let found = found.expect("the row makes sense").expect("the row is there");
            assert_is(&found, &row, reported.load(Ordering::Relaxed));
        } else {
            assert!(found.is_err(), "a row that makes no sense is a key: {found:?}");
        }
        if let Some(organization) = row.organization() {
            let listed = store.list((&organization).into(), &ListKeys::new()).await;
            assert!(listed.is_ok() || !row.is_readable(), "a row that makes no sense hides others");
            for key in listed.iter().flat_map(|page| &page.keys) {
                assert!(row.is_readable());
                if row.makes_sense() && matches!(&row.0[1], Value::Blob(digest) if digest.len() == 32) {
                    assert_eq!(key.id().to_string().as_str(), row.text(0).unwrap());
                } else {
                    assert_ne!(key.status(UNIX_EPOCH), KeyStatus::Active, "{key:?}");
                    assert_eq!(key.access().scopes().map(ScopeSet::len), Some(0), "{key:?}");
                }
            }
        }
    });
});

async fn write(pool: &SqlitePool, row: &Row) {
    let write = row.0.iter().fold(sqlx::query(WRITE), |write, value| {
        let write = write.bind(matches!(value, Value::Text(_)));
        match value {
            Value::Null => write.bind(None::<i64>),
            Value::Int(int) => write.bind(*int),
            Value::Real(real) => write.bind(*real),
            Value::Text(bytes) | Value::Blob(bytes) => write.bind(bytes.clone()),
        }
    });
    write.execute(pool).await.unwrap();
}

/// Asserts that the key has exactly the access in its row, and less where a value cannot be read. Less is reported.
fn assert_is(key: &KeyRecord, row: &Row, reported: usize) {
    assert_eq!(key.id().to_string().as_str(), row.text(0).unwrap());
    assert_eq!(key.organization().as_str(), row.text(2).unwrap());
    let name = row.text(3).unwrap_or_default();
    assert!(name.starts_with(key.name()) && key.name().chars().count() == name.chars().count().min(100));
    let hint = key.hint().as_str();
    assert!(hint.chars().count() <= 23 && !hint.chars().any(char::is_control));

    let scopes = row.scopes();
    let (full, understood) = match row.text(5) {
        Some("full") => (true, true),
        Some("scoped") => (false, scopes.is_some()),
        _ => (false, false),
    };
    let granted = if understood && !full { scopes.unwrap_or_default() } else { BTreeSet::new() };
    assert_eq!(key.access().is_full(), full);
    let has = key.access().scopes().into_iter().flat_map(ScopeSet::iter).map(Scope::as_str);
    assert_eq!(has.collect::<BTreeSet<_>>(), granted);
    // What would be written back.
    let written = key.access().scopes().map(ToString::to_string).unwrap_or_default();
    assert_eq!(written.split(' ').filter(|word| !word.is_empty()).collect::<BTreeSet<_>>(), granted);
    assert_eq!(reported, usize::from(!understood), "what grants less is reported");

    assert_eq!(Ok(Some(key.created_at())), row.time(7));
    assert_eq!(Ok(key.expires_at()), row.time(8));
    assert_eq!(Ok(key.revoked_at()), row.time(9));
    assert_eq!(Ok(key.last_used_at()), row.time(11));
    assert_eq!(key.is_revoked(), row.0[9] != Value::Null);
    if let Some(replacement) = key.replaced_by() {
        assert_eq!(Some(replacement.to_string().as_str()), row.text(10));
    }
    let number = |column: usize| if let Value::Int(number @ 0..) = row.0[column] { Some(number as u64) } else { None };
    assert_eq!(key.request_count(), number(12).unwrap_or(0));
    assert_eq!(key.policy().max_key_age(), number(13).map(Duration::from_secs));
    assert_eq!(key.policy().is_disabled(), row.0[14] != Value::Int(0));
}

fn time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.expect("this platform has every second of 64 bits")
}
