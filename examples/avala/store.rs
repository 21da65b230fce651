use std::error::Error;
use std::iter::successors;

use tower_api_key::scope::avala;
use tower_api_key::{
    AuditedStore, BoxError, CachedStore, IssuePolicy, MemoryStore, PostgresStore, SharedStore, SqlError, SqliteStore,
    SystemClock,
};

use crate::audit;
use crate::database::Database;

/// The keys, wherever they are kept. Each change that is made through it is told to the audit trail.
pub(crate) type Keys = AuditedStore<SharedStore>;

/// Where keys and accounts are kept.
pub(crate) struct Store {
    pub(crate) keys: Keys,
    pub(crate) database: Database,
}

impl Store {
    /// Opens what the URL names, creates the tables that are missing, and listens to what other processes change.
    pub(crate) async fn open(url: &str) -> Result<Self, BoxError> {
        // Nobody gets a key with a scope that no route knows.
        let policy = IssuePolicy::default().with_catalogue(avala::catalogue());
        let (keys, database) = match url.split(':').next() {
            Some("memory") => (SharedStore::new(MemoryStore::with(policy, SystemClock)), Database::in_memory().await?),
            Some("sqlite") => {
                let keys = SqliteStore::connect(url).await?.with_issue_policy(policy);
                keys.migrate().await?;
                let (database, keys) = (Database::Sqlite(keys.pool().clone()), CachedStore::new(keys));
                tokio::spawn(keys.watch());
                (SharedStore::new(keys), database)
            }
            _ => {
                let keys = PostgresStore::connect(url).await.map_err(unreachable)?.with_issue_policy(policy);
                keys.migrate().await?;
                let (database, keys) = (Database::Postgres(keys.pool().clone()), CachedStore::new(keys));
                tokio::spawn(keys.watch());
                (SharedStore::new(keys), database)
            }
        };
        database.create_table().await?;
        Ok(Self { keys: AuditedStore::new(keys, audit::record_change), database })
    }
}

/// The driver tries again for a while where nobody listens, and then says only that it has waited.
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
