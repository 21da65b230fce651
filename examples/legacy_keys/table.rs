use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tower_api_key::BoxError;

/// In place of the old table, with an index on the column that finds a row.
pub(crate) struct Table<K, R>(HashMap<K, R>);

impl<K: Hash + Eq, R: Clone> Table<K, R> {
    pub(crate) fn new(rows: impl IntoIterator<Item = R>, index: impl Fn(&R) -> K) -> Self {
        Self(rows.into_iter().map(|row| (index(&row), row)).collect())
    }

    /// `SELECT * FROM ... WHERE ... = $1`
    pub(crate) async fn row(&self, key: &K) -> Result<Option<R>, BoxError> {
        Ok(self.0.get(key).cloned())
    }
}

/// Returns the time that a column has in seconds since the epoch.
pub(crate) fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}
