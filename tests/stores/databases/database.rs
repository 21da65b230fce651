//! What the tests need of a database and of its store.

use std::future::Future;

use tower_api_key::manage::IssuedKey;
use tower_api_key::scope::ScopeCatalog;
use tower_api_key::store::{ChangeFeed, InvalidRow, KeyBackend, SchemaError};

use super::previous_version::PreviousVersion;

/// The methods that the stores of both databases have and other backends lack.
pub(super) trait Store: KeyBackend + ChangeFeed<Error: std::fmt::Debug> + Clone {
    fn migrate(&self) -> impl Future<Output = Result<(), SchemaError>> + Send;

    fn check_schema(&self) -> impl Future<Output = Result<(), SchemaError>> + Send;

    fn with_catalog(self, catalog: ScopeCatalog) -> Self;

    fn on_invalid_row(self, hook: impl Fn(&InvalidRow) + Send + Sync + 'static) -> Self;
}

/// An empty database for one test, and connections to edit its tables by hand.
pub(super) trait Database: Sized {
    type Store: Store;
    type PreviousVersion: PreviousVersion;

    /// Migrations that each of two processes, and each of four pools, runs at the same time as the others.
    const RACING_MIGRATIONS: usize;
    /// The time of the database, in seconds.
    const NOW: &str;
    /// How a document names what the other database lacks.
    const ONLY_HERE: &str;
    /// Removes what changed rows have left behind, and counts the rows for the planner.
    const VACUUM: &str;
    /// 32 bytes that are no key's digest.
    const OTHER_DIGEST: &str;
    /// How an `UPDATE` of a table begins.
    const UPDATES: &[&str];
    /// The id and the digest of the key with the number `i`.
    const ID_OF_I: &str;
    const DIGEST_OF_I: &str;
    /// The error for a table that does not exist contains this.
    const NO_SUCH_TABLE: &str;
    /// The schema of the previous version.
    const PREVIOUS_SCHEMA: &str;
    /// A table as the driver's own migrator makes it, with rows, and tables with names that resemble those of the store.
    const APPLICATION: &str;
    const OBSTACLES: &[Obstacle];
    const INVALID_MIGRATIONS: &[InvalidMigrations];

    /// Selects the numbers from 0 as `i`.
    fn series(numbers: i64) -> String;

    async fn new() -> Self;

    fn url(&self) -> String;

    fn connect(url: &str) -> impl Future<Output = Self::Store> + Send;

    async fn previous_version(&self) -> Self::PreviousVersion;

    async fn run(&self, sql: impl Into<String>) -> Result<(), sqlx::Error>;

    /// The first column, which is text.
    async fn texts(&self, sql: impl Into<String>) -> Vec<String>;

    async fn int(&self, sql: impl Into<String>) -> i64;

    /// Every object with its definition, in order.
    async fn objects(&self) -> Vec<String>;

    /// The columns of a table, in order.
    async fn columns(&self, table: &str) -> Vec<String>;

    /// The objects in a form that does not depend on how a database came to them.
    fn shape(objects: Vec<String>) -> Vec<String>;

    /// Fails if a connection stays in a transaction.
    async fn assert_no_open_transaction(&self);

    /// Kills processes half-way through a migration. Each time, `check` finds the database as they have left it.
    async fn kill_migrations(check: impl AsyncFn(Self));

    /// Drops everything that keeps invalid rows out of the tables.
    async fn loosen(&self);

    /// A store with its tables.
    async fn store(&self) -> Self::Store {
        let store = Self::connect(&self.url()).await;
        store.migrate().await.unwrap();
        store
    }

    /// Makes the tables of the previous version.
    async fn create_previous(&self) {
        self.run(Self::PREVIOUS_SCHEMA).await.unwrap();
    }

    /// Changes the row of this key.
    async fn edit(&self, key: &IssuedKey, change: &str) {
        let update = format!("UPDATE tower_api_key_keys SET {change} WHERE id = '{}'", key.record.id());
        self.run(update).await.unwrap();
    }
}

/// Something in the way of a migration.
pub(super) struct Obstacle {
    pub(super) create: &'static str,
    pub(super) remove: &'static str,
    /// Whether it is still in the way of a database of the previous version.
    pub(super) after_previous: bool,
}

/// A table of migrations that cannot be read.
pub(super) struct InvalidMigrations {
    /// Whether the store has made its tables before.
    pub(super) after_migrating: bool,
    pub(super) edit: &'static str,
    /// Whether the types are right and a value is not.
    pub(super) is_bad_row: bool,
}

macro_rules! impl_store {
    ($store:ty) => {
        impl crate::databases::database::Store for $store {
            async fn migrate(&self) -> Result<(), tower_api_key::store::SchemaError> {
                self.migrate().await
            }

            async fn check_schema(&self) -> Result<(), tower_api_key::store::SchemaError> {
                self.check_schema().await
            }

            fn with_catalog(self, catalog: tower_api_key::scope::ScopeCatalog) -> Self {
                self.with_catalog(catalog)
            }

            fn on_invalid_row(self, hook: impl Fn(&tower_api_key::store::InvalidRow) + Send + Sync + 'static) -> Self {
                self.on_invalid_row(hook)
            }
        }
    };
}

pub(super) use impl_store;
