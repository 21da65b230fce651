//! Reads every row, for an operator who wants to know of invalid ones before a request does.

use super::database::{Database, Value};
use super::listing::Plan;
use super::row::{self, InvalidRow};
use super::{SqlError, SqlStore, timestamp};

/// What [`SqlStore::check_rows`] found in some of the rows.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CheckedRows {
    /// How many rows were read.
    pub read: usize,
    /// Why no record can be made of a row: a request with such a key gets a 503.
    pub undecodable: Vec<SqlError>,
    /// Rows that may grant less than they were meant to.
    pub invalid: Vec<InvalidRow>,
}

impl<B: Database> SqlStore<B> {
    /// Reads the row of every key, and calls `found` with what is in each thousand of them. Tombstones are not read.
    ///
    /// Neither the log nor the hooks of [`on_invalid_row`](Self::on_invalid_row) report these rows.
    ///
    /// # Errors
    /// When the database fails, or the tables are missing.
    pub async fn check_rows(&self, mut found: impl FnMut(CheckedRows) + Send) -> Result<(), SqlError> {
        // No row sorts before this place.
        let mut place = (Value::from(i64::MAX), Value::from("g".to_owned()));
        loop {
            let now = timestamp(&self.database.read(B::NOW, vec![]).await?)?;
            let any = || Value::from(String::new());
            let (created, id) = place;
            let limit = Value::from(PAGE as i64);
            let values = vec![
                any(),
                created,
                id,
                now.into(),
                any(),
                limit,
                any(),
                any(),
                any(),
                i64::MAX.into(),
                i64::MIN.into(),
            ];
            let rows = self.database.read(B::list(Plan::All), values).await?;
            let mut checked = CheckedRows { read: rows.len(), ..CheckedRows::default() };
            for row in &rows {
                match self.decode(row) {
                    Ok((record, kinds)) => {
                        checked.invalid.extend(kinds.into_iter().map(|kind| InvalidRow::new(record.id(), kind)));
                    }
                    Err(error) => checked.undecodable.push(error),
                }
            }
            found(checked);
            match rows.last() {
                Some(last) if rows.len() == PAGE => place = row::place(last)?,
                _ => return Ok(()),
            }
        }
    }
}

const PAGE: usize = 1000;
