use std::error::Error;
use std::iter::successors;

use tower_api_key::background::Background;
use tower_api_key::key::{Environment, KeyFormat};
use tower_api_key::manage::IssueRules;
use tower_api_key::scope::avala;
use tower_api_key::store::{CachedStore, DynKeyBackend, PostgresStore, SqlError, SqliteStore};
use tower_api_key::{BoxError, KeyManager, MemoryStore};

use crate::audit;
use crate::database::Database;

/// Manages the keys of any store. The audit trail records each change.
pub(crate) type Keys = KeyManager<DynKeyBackend>;

/// How many keys are in memory before the first request.
const WARM_KEYS: usize = 10_000;

/// Where keys and accounts are kept.
pub(crate) struct Store {
    pub(crate) keys: Keys,
    pub(crate) database: Database,
}

impl Store {
    /// Opens the store that the URL names, creates missing tables, and watches for changes of other processes in the
    /// background.
    pub(crate) async fn open(url: &str, background: &Background) -> Result<Self, BoxError> {
        let (keys, database) = match url.split(':').next() {
            Some("memory") => (DynKeyBackend::new(MemoryStore::new()), Database::in_memory().await?),
            Some("sqlite") => {
                let keys = SqliteStore::connect(url).await?.with_catalog(avala::catalog());
                keys.migrate().await?;
                let (database, keys) = (Database::Sqlite(keys.pool().clone()), CachedStore::new(keys));
                background.run(keys.watch());
                background.run(keys.refresh());
                keys.warm(WARM_KEYS).await?;
                (DynKeyBackend::new(keys), database)
            }
            _ => {
                let keys = PostgresStore::connect(url).await.map_err(unreachable)?.with_catalog(avala::catalog());
                keys.migrate().await?;
                let (database, keys) = (Database::Postgres(keys.pool().clone()), CachedStore::new(keys));
                background.run(keys.watch());
                background.run(keys.refresh());
                keys.warm(WARM_KEYS).await?;
                (DynKeyBackend::new(keys), database)
            }
        };
        database.create_table().await?;
        // New keys have only scopes that a route requires.
        let rules = IssueRules::new().with_catalog(avala::catalog()).with_formats(formats()?);
        let keys = KeyManager::new(keys).with_rules(rules).on_change(audit::record_change);
        Ok(Self { keys, database })
    }
}

/// The formats of new keys, the default first.
fn formats() -> Result<[KeyFormat; 2], BoxError> {
    let test = KeyFormat::new("avk_test_")?.with_environment(Environment::from_static("test"));
    Ok([KeyFormat::AVALA.with_environment(Environment::from_static("live")), test])
}

/// The driver tries again for a while where no server listens, and then reports only that it has waited.
fn unreachable(error: SqlError) -> BoxError {
    match error {
        SqlError::Database(sqlx::Error::PoolTimedOut) => "the database server cannot be reached".into(),
        other => other.into(),
    }
}

/// An error and what led to it, on one line. No database puts a password or a key there.
pub(crate) fn causes<'a>(error: &'a (dyn Error + 'static)) -> String {
    let errors = successors(Some(error), |error: &&'a (dyn Error + 'static)| (**error).source());
    let mut texts: Vec<String> = Vec::new();
    for text in errors.map(|error| error.to_string().replace(char::is_control, " ")) {
        // Some errors repeat what they come from.
        if !texts.last().is_some_and(|last| last.ends_with(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ")
}
