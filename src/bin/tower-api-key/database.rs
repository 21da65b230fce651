use std::path::Path;
use std::str::FromStr;

use sqlx::sqlite::SqliteConnectOptions;
use tower_api_key::KeyManager;
use tower_api_key::store::{CheckedRows, DynKeyBackend, PostgresStore, SchemaError, SqlError, SqliteStore};

use crate::args::Options;
use crate::failure::Failure;
use crate::{actor, audit};

/// Manages the keys of the database on behalf of the actor.
pub(crate) type Keys = KeyManager<DynKeyBackend>;

/// The database with the keys.
#[derive(Clone)]
pub(crate) enum Database {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

impl Database {
    /// Opens the database of the options, and creates no file.
    pub(crate) async fn open(options: &Options) -> Result<Self, Failure> {
        if let Some(url) = options.database.as_deref().filter(|url| url.starts_with("sqlite:")) {
            let path = SqliteConnectOptions::from_str(url).map_err(SqlError::from)?;
            let path = path.get_filename();
            if path != Path::new("") && !is_in_memory(path) && !path.exists() {
                let path = path.display();
                return Err(Failure::failed(format!(
                    "the file {path} does not exist: `tower-api-key migrate` creates it"
                )));
            }
        }
        Self::create(options).await
    }

    /// Opens the database of the options. An SQLite file is created if it is not there.
    pub(crate) async fn create(options: &Options) -> Result<Self, Failure> {
        let url = options.database.as_deref().filter(|url| !url.is_empty());
        // The URL may hold a password, so no message repeats it.
        match url {
            Some(url) if url.starts_with("sqlite:") => Ok(Self::Sqlite(SqliteStore::connect(url).await?)),
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Ok(Self::Postgres(PostgresStore::connect(url).await?))
            }
            Some(_) => Err(Failure::usage("the database is sqlite:PATH or postgres://USER@HOST/NAME")),
            None => Err(Failure::usage("no database: set DATABASE_URL, or pass --database URL")),
        }
    }

    /// Returns a manager of the keys.
    pub(crate) fn keys(&self, options: &Options) -> Result<Keys, Failure> {
        let backend = match self {
            Self::Sqlite(store) => DynKeyBackend::new(store.clone()),
            Self::Postgres(store) => DynKeyBackend::new(store.clone()),
        };
        let keys = KeyManager::new(backend).on_behalf_of(actor::of(options.actor.as_deref()));
        let Some(path) = &options.audit_log else { return Ok(keys) };
        let log = audit::open(path)?;
        Ok(keys.on_change(move |event| audit::record(&log, event)))
    }

    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    pub(crate) async fn migrate(&self) -> Result<(), SchemaError> {
        match self {
            Self::Sqlite(store) => store.migrate().await,
            Self::Postgres(store) => store.migrate().await,
        }
    }

    pub(crate) async fn check_schema(&self) -> Result<(), SchemaError> {
        match self {
            Self::Sqlite(store) => store.check_schema().await,
            Self::Postgres(store) => store.check_schema().await,
        }
    }

    pub(crate) async fn schema_version(&self) -> Result<i64, SchemaError> {
        match self {
            Self::Sqlite(store) => store.schema_version().await,
            Self::Postgres(store) => store.schema_version().await,
        }
    }

    pub(crate) async fn check_rows(&self, found: impl FnMut(CheckedRows) + Send) -> Result<(), SqlError> {
        match self {
            Self::Sqlite(store) => store.check_rows(found).await,
            Self::Postgres(store) => store.check_rows(found).await,
        }
    }
}

/// Opens the database of the options, for a command that manages keys.
pub(crate) async fn keys(options: &Options) -> Result<Keys, Failure> {
    Database::open(options).await?.keys(options)
}

/// The driver gives a database in memory the name of a file.
fn is_in_memory(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path == ":memory:" || path.starts_with("file:sqlx-in-memory"))
}
