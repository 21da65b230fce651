use tower_api_key::OrganizationId;
use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::manage::{ImportedKey, ManageError};
use tower_api_key::store::KeyStore;

use super::Counts;
use super::row::Row;
use crate::database::Keys;
use crate::failure::Failure;
use crate::progress::Progress;

/// Keys that are imported in one transaction.
pub(super) struct Batch {
    lines: Vec<(u64, KeyDigest)>,
    keys: Vec<(OrganizationId, ImportedKey)>,
}

const SIZE: usize = 500;

impl Batch {
    pub(super) fn new() -> Self {
        Self { lines: Vec::with_capacity(SIZE), keys: Vec::with_capacity(SIZE) }
    }

    pub(super) fn add(&mut self, line: u64, row: Row) {
        self.lines.push((line, row.digest));
        self.keys.push((row.organization, row.key));
    }

    pub(super) fn is_full(&self) -> bool {
        self.keys.len() >= SIZE
    }

    /// Forgets the keys without importing them. Returns how many there were.
    pub(super) fn forget(&mut self) -> usize {
        self.lines.clear();
        self.keys.drain(..).count()
    }

    /// Imports the keys, and forgets them.
    pub(super) async fn import(
        &mut self,
        keys: &Keys,
        counts: &mut Counts,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let Some((first, _)) = self.lines.first() else { return Ok(()) };
        let report = keys.import_all(&self.keys).await.map_err(|error| {
            let error = Failure::from(error);
            Failure::failed(format!("from line {first} on, nothing was imported: {}", error.line()))
        })?;
        let lines = self.lines.drain(..).zip(self.keys.drain(..));
        for (((line, digest), (organization, _)), result) in lines.zip(report.keys) {
            match result {
                Ok(_) => counts.imported += 1,
                Err(ManageError::AlreadyExists) => match stored(keys, &digest, &organization).await? {
                    Stored::AsAsked => counts.already_there += 1,
                    Stored::Elsewhere => counts.reject(progress, line, "is a key of another organization"),
                    Stored::Purged => counts.reject(progress, line, "was imported before, and is purged"),
                },
                Err(error) => counts.reject(progress, line, &error.to_string()),
            }
        }
        Ok(())
    }
}

/// How a key is stored that cannot be imported again.
enum Stored {
    AsAsked,
    Elsewhere,
    Purged,
}

async fn stored(keys: &Keys, digest: &KeyDigest, organization: &OrganizationId) -> Result<Stored, Failure> {
    let found = keys.backend().find(digest).await.map_err(ManageError::Store)?;
    Ok(match found {
        Some(record) if *record == KeyRecord::tombstone(record.id(), *digest) => Stored::Purged,
        Some(record) if record.organization() != organization => Stored::Elsewhere,
        _ => Stored::AsAsked,
    })
}
