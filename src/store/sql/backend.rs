use std::sync::Arc;
use std::time::SystemTime;

use super::database::{Database, Rows, Value};
use super::statements as sql;
use super::{SqlError, SqlStore, row, timestamp};
use crate::key::{KeyId, KeyRecord, KeyStatus, OrganizationId, OrganizationPolicy};
use crate::store::{
    BackendError, Cursor, Invalidation, KeyBackend, KeyUpdate, KeyUsage, ListKeys, NewRecord, Page, Replacement,
};
use crate::time::Timestamp;

/// Longer than any key can live, and small enough to be added to a time.
const MAX_AGE: i64 = i64::MAX / 4;

impl<B: Database> KeyBackend for SqlStore<B> {
    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        let rows = self.database.read(sql::GET, vec![id.into(), organization.into()]).await;
        self.only(&rows.map_err(SqlError::from)?)
    }

    async fn list(&self, organization: &OrganizationId, query: &ListKeys) -> Result<Page, BackendError> {
        // No key sorts before this place.
        let (mut created, mut id) = match query.after() {
            Some(cursor) => (Timestamp::floor(cursor.created_at()).seconds().into(), cursor.id().into()),
            None => (i64::MAX.into(), Value::from("g".to_owned())),
        };
        let now = match query.status() {
            Some(_) => timestamp(&self.database.read(B::NOW, vec![]).await.map_err(SqlError::from)?)?,
            None => 0,
        };
        let status = query.status().map_or("", KeyStatus::as_str);
        let one_more = i64::try_from(query.limit() + 1).unwrap_or(i64::MAX);
        loop {
            let values = vec![organization.into(), created, id, now.into(), status.to_owned().into(), one_more.into()];
            let rows = self.database.read(sql::LIST, values).await.map_err(SqlError::from)?;
            let more = rows.len() > query.limit();
            let rows = &rows[..rows.len().min(query.limit())];
            let keys: Vec<_> = rows.iter().filter_map(|row| self.listed(row)).collect();
            match rows.last() {
                // A page of rows without a readable id. They must not hide the older keys.
                Some(last) if more && keys.is_empty() => (created, id) = row::place(last)?,
                _ => {
                    let next = if more { keys.last().map(|last| Cursor::after(last)) } else { None };
                    return Ok(Page { keys, next });
                }
            }
        }
    }

    async fn insert(&self, record: NewRecord) -> Result<Arc<KeyRecord>, BackendError> {
        let changed = [Invalidation::Digest(record.digest)];
        let mut change = Change::begin(self).await?;
        let record = record.into_record(change.time())?;
        let record = change.insert(record).await?;
        change.commit(changed).await?;
        Ok(record)
    }

    async fn update(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        update: KeyUpdate,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        let mut change = Change::begin(self).await?;
        let old = change.lock(organization, id).await?;
        let new = update.apply(&old)?;
        if update != KeyUpdate::new() {
            change.run(sql::UPDATE, row::encode_update(&new)).await?;
        }
        change.commit([Invalidation::Key(id)]).await?;
        Ok(Arc::new(new))
    }

    async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        let mut change = Change::begin(self).await?;
        let values = vec![id.into(), organization.into(), change.now.into()];
        change.run(sql::REVOKE, values).await?;
        let rows = change.run(sql::GET, vec![id.into(), organization.into()]).await;
        // Before the row is decoded, so that a key with an invalid row is revoked too.
        change.commit([Invalidation::Key(id)]).await?;
        self.only(&rows?)
    }

    async fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        replacement: Replacement,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        let changed = [Invalidation::Key(id), Invalidation::Digest(replacement.digest)];
        let mut change = Change::begin(self).await?;
        let old = change.lock(organization, id).await?;
        if old.is_revoked() {
            return Err(BackendError::Conflict);
        }
        let new = replacement.into_record(&old, change.time())?;
        change.run(sql::REPLACE, vec![id.into(), change.now.into(), new.id().into()]).await?;
        let new = change.insert(new).await?;
        change.commit(changed).await?;
        Ok(new)
    }

    async fn organization_policy(&self, organization: &OrganizationId) -> Result<OrganizationPolicy, BackendError> {
        let rows = self.database.read(sql::POLICY, vec![organization.into()]).await.map_err(SqlError::from)?;
        Ok(rows.first().map(|row| row::policy(row)).transpose()?.unwrap_or_default())
    }

    async fn set_organization_policy(
        &self,
        organization: &OrganizationId,
        policy: OrganizationPolicy,
    ) -> Result<(), BackendError> {
        let age = policy.max_key_age().map(|age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX).min(MAX_AGE));
        let values = vec![organization.into(), Value::Int(age), i64::from(policy.is_disabled()).into()];
        let mut change = Change::begin(self).await?;
        let rows = change.run(sql::POLICY, vec![organization.into()]).await?;
        let same = match rows.first() {
            Some(row) => row::policy(row).is_ok_and(|stored| stored == policy),
            None => policy == OrganizationPolicy::default(),
        };
        // Without a write, no other process is notified.
        if !same {
            change.run(sql::SET_POLICY, values).await?;
        }
        // Published also if nothing was written: another process may have written it a moment ago, and a cache in this one
        // may not know yet.
        Ok(change.commit([Invalidation::Organization(organization.clone())]).await?)
    }

    async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), BackendError> {
        let mut change = Change::begin(self).await?;
        change.run(B::RECORD_USAGE, vec![row::encode_usage(usage).into()]).await?;
        Ok(change.commit([]).await?)
    }
}

impl<B: Database> SqlStore<B> {
    /// Returns the one record that a statement selects.
    fn only(&self, rows: &Rows) -> Result<Arc<KeyRecord>, BackendError> {
        let row = rows.first().ok_or(BackendError::NotFound)?;
        Ok(self.record(row)?)
    }
}

/// One transaction, durable once it is committed. Dropped before, it changes nothing.
struct Change<'a, B: Database> {
    store: &'a SqlStore<B>,
    transaction: B::Transaction,
    now: i64,
}

impl<'a, B: Database> Change<'a, B> {
    async fn begin(store: &'a SqlStore<B>) -> Result<Self, SqlError> {
        let mut transaction = store.database.begin().await?;
        let now = B::fetch_in(&mut transaction, B::NOW, vec![]).await?;
        Ok(Self { store, transaction, now: timestamp(&now)? })
    }

    fn time(&self) -> SystemTime {
        Timestamp::from_seconds(self.now).system_time()
    }

    async fn run(&mut self, statement: &'static str, values: Vec<Value>) -> Result<Rows, SqlError> {
        Ok(B::fetch_in(&mut self.transaction, statement, values).await?)
    }

    /// Returns the key, which no other change can touch until this one ends.
    async fn lock(&mut self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        let rows = self.run(B::GET_LOCKED, vec![id.into(), organization.into()]).await?;
        self.store.only(&rows)
    }

    async fn insert(&mut self, record: KeyRecord) -> Result<Arc<KeyRecord>, BackendError> {
        let (id, organization) = (record.id(), record.organization().clone());
        let inserted = self.run(sql::INSERT, row::encode(&record)).await?;
        if inserted.is_empty() {
            return Err(BackendError::AlreadyExists);
        }
        // Read back, so that the record carries the policy of its organization.
        let rows = self.run(sql::GET, vec![id.into(), (&organization).into()]).await?;
        self.store.only(&rows)
    }

    /// Commits, and then publishes what the change made obsolete.
    ///
    /// In a task of its own: a commit that was sent may be made after the caller stopped waiting. Published before that, a
    /// cache could read the old row once more and keep it.
    async fn commit<const N: usize>(self, changed: [Invalidation; N]) -> Result<(), SqlError> {
        let (changes, transaction) = (Arc::clone(&self.store.changes), self.transaction);
        let commit = tokio::spawn(async move {
            // Also after an error, which may hide a commit that was made.
            let _publish = changes.publish_on_drop(changed);
            B::commit(transaction).await
        });
        Ok(commit.await.unwrap_or_else(|error| Err(sqlx::Error::Io(error.into())))?)
    }
}
