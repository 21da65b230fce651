use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::database::{Database, Rows, Value};
use super::listing::{self, Plan};
use super::statements as sql;
use super::{SqlError, SqlStore, int, row, timestamp};
use crate::key::{Environment, KeyDigest, KeyId, KeyRecord, KeyStatus, OrganizationId, OrganizationPolicy};
use crate::store::{
    BackendError, Cursor, InsertRules, Inserted, Invalidation, KeyBackend, KeyCounts, KeyUpdate, KeyUsage, ListKeys,
    NewRecord, Organizations, Page, PolicyUpdate, Replaced, Replacement,
};
use crate::time::Timestamp;

/// Longer than any key can live, and small enough to be added to a time.
const MAX_AGE: i64 = i64::MAX / 4;

/// How many keys one statement inserts.
const BATCH: usize = 500;

impl<B: Database> KeyBackend for SqlStore<B> {
    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        let rows = self.database.read(sql::GET, vec![id.into(), organization.into()]).await;
        self.only(&rows.map_err(SqlError::from)?)
    }

    async fn list(&self, organizations: Organizations<'_>, query: &ListKeys) -> Result<Page, BackendError> {
        let now = timestamp(&self.database.read(B::NOW, vec![]).await.map_err(SqlError::from)?)?;
        // In the statements, an empty text is no filter.
        if query.created_by() == Some("") {
            return Ok(Page::default());
        }
        let text = query.search().filter(|text| !text.is_empty());
        let (plans, aged) = match organizations {
            Organizations::All => (Plan::of_all(text), i64::MIN),
            Organizations::One(organization) => {
                let aged = self.aged(organization, now).await?;
                match text {
                    Some(_) if self.are_many(organization, query).await? => (Plan::of_search(), aged),
                    _ => (Plan::of(query), aged),
                }
            }
        };
        let mut found = (vec![], vec![]);
        for plan in plans {
            let words = text.filter(|_| plan.takes_words()).map(|text| B::words(organizations, text));
            found = self.page(B::list(*plan), organizations, aged, now, query, words).await?;
            if found.0.len() > query.limit() {
                break;
            }
        }
        Ok(page(found, query))
    }

    async fn counts(&self, organizations: Organizations<'_>) -> Result<KeyCounts, BackendError> {
        let now = timestamp(&self.database.read(B::NOW, vec![]).await.map_err(SqlError::from)?)?;
        let rows = match organizations {
            Organizations::One(organization) => {
                let aged = self.aged(organization, now).await?;
                self.database.read(sql::COUNTS_OF_ONE, vec![now.into(), organization.into(), aged.into()]).await
            }
            Organizations::All => self.database.read(sql::COUNTS, vec![now.into()]).await,
        };
        let rows = rows.map_err(SqlError::from)?;
        let count = |value: &Value| value.int().and_then(|count| u64::try_from(count).ok());
        let counts = rows.first().and_then(|row| row.iter().map(count).collect::<Option<Vec<_>>>());
        let Some([all, revoked, suspended, expired]) = counts.as_deref() else {
            return Err(SqlError::invalid_row("no counts returned").into());
        };
        let (suspended, expired, revoked) = (*suspended, *expired, *revoked);
        Ok(KeyCounts { active: all.saturating_sub(suspended + expired + revoked), suspended, expired, revoked })
    }

    async fn insert(&self, record: NewRecord, rules: InsertRules) -> Result<Arc<KeyRecord>, BackendError> {
        let changed = [Invalidation::Digest(record.digest)];
        let mut change = Change::begin(self).await?;
        let record = change.insert_new(record, rules).await?;
        change.commit(changed).await?;
        Ok(record)
    }

    async fn insert_many(&self, records: Vec<NewRecord>, rules: InsertRules) -> Result<Vec<Inserted>, BackendError> {
        let changed: Vec<_> = records.iter().map(|record| Invalidation::Digest(record.digest)).collect();
        let mut change = Change::begin(self).await?;
        let inserted = match rules.max_active() {
            // Whether a key is one too many depends on those before it.
            Some(_) => change.insert_each(records, rules).await?,
            None => change.insert_in_batches(records, rules).await?,
        };
        change.commit(changed).await?;
        Ok(inserted)
    }

    async fn update(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        update: KeyUpdate,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        let mut change = Change::begin(self).await?;
        let old = change.lock(organization, id).await?;
        let new = update.apply(&old, change.time())?;
        if !update.is_empty() {
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
        rules: InsertRules,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        let changed = [Invalidation::Key(id), Invalidation::Digest(replacement.digest)];
        let mut change = Change::begin(self).await?;
        // Before the row, as `insert` does.
        change.lock_organization(organization, rules).await?;
        let before = change.lock(organization, id).await?;
        let now = change.time();
        let Replaced { old, new } = replacement.apply(&before, now, rules)?;
        let counts = |key| u64::from(InsertRules::counts(key, now));
        // Of the old key, the policy of the organization is known.
        let new = new.with_policy(old.policy());
        let growth = (counts(&old) + counts(&new)).saturating_sub(counts(&before));
        change.check_active(organization, old.policy(), growth, rules).await?;
        change.run(sql::REPLACE, row::encode_replaced(&old, new.id())).await?;
        let new = change.insert(new).await?;
        change.commit(changed).await?;
        Ok(new)
    }

    async fn purge(
        &self,
        organizations: Organizations<'_>,
        age: Duration,
        limit: usize,
    ) -> Result<Vec<KeyId>, BackendError> {
        let mut change = Change::begin(self).await?;
        let latest = change.now.saturating_sub_unsigned(age.as_secs());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut values = vec![name_of(organizations), change.now.into(), latest.into(), limit.into()];
        let ended = match organizations {
            Organizations::One(organization) => {
                let policy = change.run(sql::POLICY, vec![organization.into()]).await?;
                // By a policy that cannot be read, no key has ended.
                let age = policy_in(&policy).unwrap_or_default().max_key_age();
                let aged = age.map_or(i64::MIN, |age| latest.saturating_sub_unsigned(age.as_secs()));
                values.push(aged.into());
                change.run(B::ENDED_OF_ONE, values).await?
            }
            Organizations::All => change.run(B::ENDED, values).await?,
        };
        let ids = change.delete(&ended).await?;
        change.commit(ids.iter().map(|id| Invalidation::Key(*id)).collect::<Vec<_>>()).await?;
        Ok(ids)
    }

    async fn erase_organization(
        &self,
        organization: &OrganizationId,
        limit: usize,
    ) -> Result<Vec<KeyId>, BackendError> {
        let mut change = Change::begin(self).await?;
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let keys = change.run(B::OF_ORGANIZATION, vec![organization.into(), most.into()]).await?;
        let ids = change.delete(&keys).await?;
        if ids.len() < limit {
            change.run(sql::DELETE_POLICY, vec![organization.into()]).await?;
        }
        change.commit([Invalidation::Organization(organization.clone())]).await?;
        Ok(ids)
    }

    async fn organization_policy(&self, organization: &OrganizationId) -> Result<OrganizationPolicy, BackendError> {
        let rows = self.database.read(sql::POLICY, vec![organization.into()]).await.map_err(SqlError::from)?;
        Ok(policy_in(&rows)?)
    }

    async fn set_organization_policy(
        &self,
        organization: &OrganizationId,
        policy: OrganizationPolicy,
    ) -> Result<(), BackendError> {
        let values = vec![organization.into(), age(policy), i64::from(policy.is_disabled()).into()];
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

    async fn update_organization_policy(
        &self,
        organization: &OrganizationId,
        update: PolicyUpdate,
    ) -> Result<OrganizationPolicy, BackendError> {
        let mut change = Change::begin(self).await?;
        let before = change.policy(organization).await?;
        let mut after = update.apply(before);
        if after != before {
            // Another process may have changed the rest since it was read.
            let sets = [update.max_key_age().is_some(), update.disabled().is_some()];
            let mut values = vec![organization.into(), age(after), i64::from(after.is_disabled()).into()];
            values.extend(sets.map(|sets| i64::from(sets).into()));
            after = policy_in(&change.run(sql::UPDATE_POLICY, values).await?)?;
        }
        change.commit([Invalidation::Organization(organization.clone())]).await?;
        Ok(after)
    }

    async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), BackendError> {
        let mut change = Change::begin(self).await?;
        change.run(B::RECORD_USAGE, vec![row::encode_usage(usage).into()]).await?;
        Ok(change.commit([]).await?)
    }

    async fn recently_used(&self, limit: usize) -> Result<Vec<KeyDigest>, BackendError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.database.read(sql::RECENTLY_USED, vec![limit.into()]).await.map_err(SqlError::from)?;
        let digest = |row: &Vec<Value>| Some(KeyDigest::from_bytes(row.first()?.bytes()?.try_into().ok()?));
        Ok(rows.iter().filter_map(digest).collect())
    }
}

impl<B: Database> SqlStore<B> {
    /// Returns the one record that a statement selects.
    fn only(&self, rows: &Rows) -> Result<Arc<KeyRecord>, BackendError> {
        let row = rows.first().ok_or(BackendError::NotFound)?;
        Ok(self.record(row)?)
    }

    /// Returns the time before which keys were created that have expired by their age. A policy that cannot be read makes
    /// keys unavailable, and hides none from a list.
    async fn aged(&self, organization: &OrganizationId, now: i64) -> Result<i64, BackendError> {
        let rows = self.database.read(sql::POLICY, vec![organization.into()]).await.map_err(SqlError::from)?;
        Ok(aged(policy_in(&rows).unwrap_or_default(), now))
    }

    /// Whether a text has to be looked for in many keys.
    async fn are_many(&self, organization: &OrganizationId, query: &ListKeys) -> Result<bool, BackendError> {
        let plan = Plan::of_candidates(query);
        let value = match plan {
            Plan::Environment => query.environment().map(Environment::as_str),
            Plan::Creator => query.created_by(),
            _ => None,
        };
        let Place { created, id } = Place::after(query);
        let value = Value::from(value.unwrap_or_default().to_owned());
        let values = vec![organization.into(), created, id, value, (listing::FEW + 1).into()];
        let rows = self.database.read(listing::count_candidates(plan), values).await.map_err(SqlError::from)?;
        Ok(int(&rows, "no count returned")? > listing::FEW)
    }

    /// Returns the rows of a page and one more, and the keys in those of the page. A row without a readable id has no key,
    /// and must not hide the older keys.
    async fn page(
        &self,
        statement: &'static str,
        organizations: Organizations<'_>,
        aged: i64,
        now: i64,
        query: &ListKeys,
        words: Option<String>,
    ) -> Result<(Rows, Vec<Arc<KeyRecord>>), BackendError> {
        let text = |text: Option<&str>| Value::from(text.unwrap_or_default().to_owned());
        let one_more = i64::try_from(query.limit() + 1).unwrap_or(i64::MAX);
        let before = query.expires_before().map_or(i64::MAX, |time| Timestamp::floor(time).seconds());
        let mut place = Place::after(query);
        loop {
            let mut values = vec![
                name_of(organizations),
                place.created,
                place.id,
                now.into(),
                text(query.status().map(KeyStatus::as_str)),
                one_more.into(),
                text(query.environment().map(Environment::as_str)),
                text(query.created_by()),
                listing::pattern(query.search()).into(),
                before.into(),
                aged.into(),
            ];
            values.extend(words.clone().map(Value::from));
            let rows = self.database.read(statement, values).await.map_err(SqlError::from)?;
            let of_page = &rows[..rows.len().min(query.limit())];
            let keys: Vec<_> = of_page.iter().filter_map(|row| self.listed(row)).collect();
            match of_page.last() {
                Some(last) if keys.is_empty() && rows.len() > query.limit() => {
                    let (created, id) = row::place(last)?;
                    place = Place { created, id };
                }
                _ => return Ok((rows, keys)),
            }
        }
    }
}

/// Where a page begins.
struct Place {
    created: Value,
    id: Value,
}

impl Place {
    fn after(query: &ListKeys) -> Self {
        match query.after() {
            Some(cursor) => {
                Self { created: Timestamp::floor(cursor.created_at()).seconds().into(), id: cursor.id().into() }
            }
            // No key sorts before this place.
            None => Self { created: i64::MAX.into(), id: Value::from("g".to_owned()) },
        }
    }
}

fn page((rows, keys): (Rows, Vec<Arc<KeyRecord>>), query: &ListKeys) -> Page {
    let next = if rows.len() > query.limit() { keys.last().map(|last| Cursor::after(last)) } else { None };
    Page { keys, next }
}

/// Returns the value by which a statement selects these organizations: an empty text for all.
fn name_of(organizations: Organizations<'_>) -> Value {
    match organizations {
        Organizations::One(organization) => organization.into(),
        Organizations::All => Value::from(String::new()),
    }
}

/// Returns the value for the maximum age of `statements::SET_POLICY`.
fn age(policy: OrganizationPolicy) -> Value {
    Value::Int(policy.max_key_age().map(|age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX).min(MAX_AGE)))
}

/// Returns the policy that a statement selects, or the default if none was set.
fn policy_in(rows: &Rows) -> Result<OrganizationPolicy, SqlError> {
    Ok(rows.first().map(|row| row::policy(row)).transpose()?.unwrap_or_default())
}

/// Returns the time before which a key was created that has expired by the organization's maximum age.
fn aged(policy: OrganizationPolicy, now: i64) -> i64 {
    policy.max_key_age().map_or(i64::MIN, |age| now.saturating_sub_unsigned(age.as_secs()).saturating_add(1))
}

/// Returns how an imported key was used before.
fn usage_of(record: &KeyRecord) -> Option<KeyUsage> {
    let last_used_at = record.last_used_at()?;
    Some(KeyUsage::new(record.id(), record.request_count(), last_used_at))
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

    async fn insert_new(&mut self, record: NewRecord, rules: InsertRules) -> Result<Arc<KeyRecord>, BackendError> {
        let record = record.into_record(self.time(), rules)?;
        self.lock_organization(record.organization(), rules).await?;
        if rules.max_active().is_some() {
            let policy = self.policy(record.organization()).await?;
            let growth = u64::from(InsertRules::counts(&record.clone().with_policy(policy), self.time()));
            self.check_active(record.organization(), policy, growth, rules).await?;
        }
        self.insert(record).await
    }

    async fn insert_each(
        &mut self,
        records: Vec<NewRecord>,
        rules: InsertRules,
    ) -> Result<Vec<Inserted>, BackendError> {
        let mut inserted = Vec::with_capacity(records.len());
        for record in records {
            match self.insert_new(record, rules).await {
                // The transaction is lost, and with it the other keys.
                Err(error @ (BackendError::Store(_) | BackendError::Unstorable(_))) => return Err(error),
                result => inserted.push(result),
            }
        }
        Ok(inserted)
    }

    /// The same with one statement for many keys.
    async fn insert_in_batches(
        &mut self,
        records: Vec<NewRecord>,
        rules: InsertRules,
    ) -> Result<Vec<Inserted>, BackendError> {
        let now = self.time();
        let mut inserted = Vec::with_capacity(records.len());
        let mut records = records.into_iter().map(|record| record.into_record(now, rules)).peekable();
        while records.peek().is_some() {
            let batch: Vec<_> = records.by_ref().take(BATCH).collect();
            let mut stored = self.insert_batch(batch.iter().flatten()).await?;
            inserted.extend(batch.into_iter().map(|record| {
                let record = record?;
                // Of the same key twice, the first one is stored.
                stored.remove(&(record.id(), *record.digest())).ok_or(BackendError::AlreadyExists)
            }));
        }
        Ok(inserted)
    }

    /// Returns the keys that are stored now. The digest or the id of the others is taken.
    async fn insert_batch<'r>(
        &mut self,
        records: impl Iterator<Item = &'r KeyRecord> + Clone,
    ) -> Result<HashMap<(KeyId, KeyDigest), Arc<KeyRecord>>, BackendError> {
        let rows = self.run(B::INSERT_MANY, vec![row::encode_many(records.clone()).into()]).await?;
        let mut new = rows.iter().map(|row| row::key(row)).collect::<Result<HashSet<_>, _>>()?;
        let ids: Vec<_> = new.iter().map(|(id, _)| *id).collect();
        let usage = records.filter(|record| new.remove(&(record.id(), *record.digest()))).filter_map(usage_of);
        self.record_usage(&usage.collect::<Vec<_>>()).await?;
        // Read back, so that each record carries the policy of its organization.
        let rows = self.run(B::GET_MANY, vec![row::encode_ids(&ids).into()]).await?;
        let stored = rows.iter().map(|row| {
            let record = self.store.record(row)?;
            Ok(((record.id(), *record.digest()), record))
        });
        stored.collect()
    }

    async fn record_usage(&mut self, usage: &[KeyUsage]) -> Result<(), SqlError> {
        if !usage.is_empty() {
            self.run(B::RECORD_USAGE, vec![row::encode_usage(usage).into()]).await?;
        }
        Ok(())
    }

    /// Others that count the keys of this organization wait until this change ends.
    async fn lock_organization(&mut self, organization: &OrganizationId, rules: InsertRules) -> Result<(), SqlError> {
        if let (Some(lock), Some(_)) = (B::LOCK_ORGANIZATION, rules.max_active()) {
            self.run(lock, vec![organization.into()]).await?;
        }
        Ok(())
    }

    async fn policy(&mut self, organization: &OrganizationId) -> Result<OrganizationPolicy, SqlError> {
        let rows = self.run(sql::POLICY, vec![organization.into()]).await?;
        policy_in(&rows)
    }

    /// Checks that the organization, which has this policy, may have so many more active keys.
    async fn check_active(
        &mut self,
        organization: &OrganizationId,
        policy: OrganizationPolicy,
        growth: u64,
        rules: InsertRules,
    ) -> Result<(), BackendError> {
        let Some(most) = rules.max_active().filter(|_| growth > 0) else { return Ok(()) };
        let aged = aged(policy, self.now);
        let enough = i64::try_from(most.saturating_add(1)).unwrap_or(i64::MAX);
        let values = vec![organization.into(), self.now.into(), aged.into(), enough.into()];
        let active = int(&self.run(sql::ACTIVE, values).await?, "no count returned")?;
        let active = u64::try_from(active).unwrap_or(u64::MAX);
        rules.check_active(active, active.saturating_add(growth))
    }

    /// Deletes the keys whose ids are in these rows. Returns the ids.
    async fn delete(&mut self, rows: &Rows) -> Result<Vec<KeyId>, SqlError> {
        let ids = rows.iter().filter_map(|row| row.first()?.text()?.parse().ok()).collect::<Vec<KeyId>>();
        if !ids.is_empty() {
            let [usage, keys, tombstones] = B::DELETE;
            let list = Value::from(row::encode_ids(&ids));
            self.run(usage, vec![list.clone()]).await?;
            self.run(keys, vec![list.clone()]).await?;
            self.run(tombstones, vec![list, self.now.into()]).await?;
        }
        Ok(ids)
    }

    async fn insert(&mut self, record: KeyRecord) -> Result<Arc<KeyRecord>, BackendError> {
        let (id, organization) = (record.id(), record.organization().clone());
        let inserted = self.run(sql::INSERT, row::encode(&record)).await?;
        if inserted.is_empty() {
            return Err(BackendError::AlreadyExists);
        }
        self.record_usage(usage_of(&record).as_slice()).await?;
        // Read back, so that the record carries the policy of its organization.
        let rows = self.run(sql::GET, vec![id.into(), (&organization).into()]).await?;
        self.store.only(&rows)
    }

    /// Commits, and then publishes what the change made obsolete.
    ///
    /// In a task of its own: a commit that was sent may be made after the caller stopped waiting. Published before that, a
    /// cache could read the old row once more and keep it.
    async fn commit(self, changed: impl AsRef<[Invalidation]> + Send + 'static) -> Result<(), SqlError> {
        let (changes, transaction) = (Arc::clone(&self.store.changes), self.transaction);
        let commit = tokio::spawn(async move {
            // Also after an error, which may hide a commit that was made.
            let _publish = changes.publish_on_drop(changed);
            B::commit(transaction).await
        });
        Ok(commit.await.unwrap_or_else(|error| Err(sqlx::Error::Io(error.into())))?)
    }
}
