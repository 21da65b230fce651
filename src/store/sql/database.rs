//! What differs between the databases.

use std::future::Future;

use super::error::SqlError;
use super::listing::Plan;
use super::lookups::Lanes;
use crate::key::{KeyDigest, KeyId, OrganizationId};
use crate::store::Organizations;

/// A database that a [`SqlStore`](super::SqlStore) keeps its keys in.
#[expect(unnameable_types, reason = "sealed: it is public only as the bound of a public type")]
pub trait Database: Send + Sync + 'static {
    /// A statement that selects the database's time in Unix seconds.
    const NOW: &'static str;
    /// A statement that selects the encodings of the database and of the connection.
    const ENCODINGS: &'static str;
    /// `statements::GET` with a lock: no other transaction changes the row until this one ends.
    const GET_LOCKED: &'static str;
    /// The keys with the ids of a list.
    const GET_MANY: &'static str;
    /// Inserts the keys of a list, and returns the ids and digests of those that were.
    const INSERT_MANY: &'static str;
    /// Locks the organization `$1` against others that count its keys, where a change does not lock the whole database.
    const LOCK_ORGANIZATION: Option<&'static str>;
    /// The ids of keys of one organization that ended, locked.
    const ENDED_OF_ONE: &'static str;
    /// The ids of keys of all organizations that ended, locked.
    const ENDED: &'static str;
    /// The ids of keys of an organization, locked.
    const OF_ORGANIZATION: &'static str;
    /// Deletes keys by a list of ids.
    const DELETE: [&'static str; 3];
    /// Adds the usage in the JSON text `$1`.
    const RECORD_USAGE: &'static str;
    const MIGRATIONS: &'static [Migration];

    type Transaction: Send + 'static;

    /// Returns the statement of a page of keys.
    fn list(plan: Plan) -> &'static str;

    /// Returns the query for the words of the keys with this text.
    fn words(organizations: Organizations<'_>, text: &str) -> String;

    /// Returns how many statements may run at once for lookups.
    fn lanes(&self) -> Lanes;

    /// Runs the statement of a lookup for a request, which does not wait long.
    fn find(&self, digest: &KeyDigest) -> impl Future<Output = Result<Rows, sqlx::Error>> + Send;

    /// Selects the rows with any of these digests, in any order, as `find` does. A digest may occur twice.
    fn find_many(&self, digests: &[KeyDigest]) -> impl Future<Output = Result<Rows, sqlx::Error>> + Send;

    /// Runs a statement for management, which may take longer than a request waits.
    fn read(
        &self,
        statement: &'static str,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Rows, sqlx::Error>> + Send;

    /// Begins a transaction that is durable when it is committed.
    fn begin(&self) -> impl Future<Output = Result<Self::Transaction, SqlError>> + Send;

    /// Begins a transaction that excludes other migrations.
    fn begin_migration(&self) -> impl Future<Output = Result<Self::Transaction, SqlError>> + Send;

    fn fetch_in(
        transaction: &mut Self::Transaction,
        statement: &'static str,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Rows, sqlx::Error>> + Send;

    fn run_script(
        transaction: &mut Self::Transaction,
        script: &'static str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    fn commit(transaction: Self::Transaction) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// A script that changes the tables of this crate.
#[expect(unnameable_types, reason = "part of a sealed trait")]
#[derive(Debug)]
pub struct Migration {
    pub(super) version: i64,
    /// The oldest schema version that a program must know to work with the tables after this migration. A migration that
    /// only adds does not raise it.
    pub(super) compatible_from: i64,
    pub(super) script: &'static str,
}

pub(super) type Rows = Vec<Vec<Value>>;

/// A value in a statement or a row. A row with a value of another type is an error.
#[expect(unnameable_types, reason = "part of a sealed trait")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// NULL of any type is `None`.
    Int(Option<i64>),
    Text(String),
    Bytes(Vec<u8>),
}

impl Value {
    pub(super) const fn int(&self) -> Option<i64> {
        if let Self::Int(int) = self { *int } else { None }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    pub(super) const fn is_null(&self) -> bool {
        matches!(self, Self::Int(None))
    }
}

impl From<i64> for Value {
    fn from(int: i64) -> Self {
        Self::Int(Some(int))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<KeyId> for Value {
    fn from(id: KeyId) -> Self {
        Self::Text(id.to_string())
    }
}

impl From<&OrganizationId> for Value {
    fn from(organization: &OrganizationId) -> Self {
        Self::Text(organization.as_str().to_owned())
    }
}

impl From<&KeyDigest> for Value {
    fn from(digest: &KeyDigest) -> Self {
        Self::Bytes(digest.as_bytes().to_vec())
    }
}

/// A query with its values.
macro_rules! query {
    ($statement:expr, $values:expr) => {
        $values.into_iter().fold(sqlx::query($statement), |query, value| match value {
            Value::Int(int) => query.bind(int),
            Value::Text(text) => query.bind(text),
            Value::Bytes(bytes) => query.bind(bytes),
        })
    };
}

/// The values of rows, each by its type in the database.
macro_rules! values {
    ($rows:expr) => {
        $rows
            .iter()
            .map(|row| {
                (0..row.len())
                    .map(|column| {
                        let raw = row.try_get_raw(column)?;
                        if raw.is_null() {
                            return Ok(Value::Int(None));
                        }
                        // The type is known, so that the driver need not look it up again.
                        match raw.type_info().name() {
                            "INTEGER" | "INT8" => row.try_get_unchecked(column).map(|int| Value::Int(Some(int))),
                            "TEXT" => row.try_get_unchecked(column).map(Value::Text),
                            "BLOB" | "BYTEA" => row.try_get_unchecked(column).map(Value::Bytes),
                            other => Err(sqlx::Error::Decode(format!("a column of type {other}").into())),
                        }
                    })
                    .collect()
            })
            .collect()
    };
}

pub(super) use {query, values};
