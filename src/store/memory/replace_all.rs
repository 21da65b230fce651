use std::collections::HashSet;
use std::sync::Arc;

use super::MemoryStore;
use super::backend::Index;
use crate::key::{KeyId, KeyRecord};
use crate::store::{Cursor, Invalidation};

impl MemoryStore {
    /// Stores these records in place of all keys, policies and tombstones, in one step, and returns whether anything has
    /// changed. A change applies to the next request, through a cache too.
    ///
    /// An organization has the strictest policy of its records. A record without usage keeps what was counted for its id.
    ///
    /// # Errors
    /// [`DuplicateKey`] when two records have one id or one digest. Then nothing is replaced.
    ///
    /// ```
    /// use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
    /// use tower_api_key::{Access, MemoryStore};
    ///
    /// let keys = MemoryStore::new();
    /// let record = KeyRecord::new(KeyId::from_u128(1), KeyDigest::hash(b"avk_..."), "acme".parse()?, Access::Full);
    /// assert!(keys.replace_all([record.clone()])?);
    /// assert!(keys.replace_all([record.clone(), record]).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn replace_all(&self, records: impl IntoIterator<Item = KeyRecord>) -> Result<bool, DuplicateKey> {
        let records: Vec<KeyRecord> = records.into_iter().collect();
        let mut new = Index::default();
        let mut digests = HashSet::with_capacity(records.len());
        for record in &records {
            let organization = new.organizations.entry(record.organization().clone()).or_default();
            organization.policy = organization.policy.stricter(record.policy());
            organization.keys.insert(Cursor::after(record));
        }
        let mut index = self.index();
        for record in records {
            let id = record.id();
            let known = index.records.get(&id).filter(|_| record.last_used_at().is_none());
            let (last_used_at, count) = known.map_or((record.last_used_at(), record.request_count()), |known| {
                (known.last_used_at(), known.request_count())
            });
            let policy = new.policy(record.organization());
            let is_new = digests.insert(*record.digest());
            let record = Arc::new(record.with_policy(policy).with_usage(last_used_at, count));
            if new.records.insert(id, record).is_some() || !is_new {
                return Err(DuplicateKey { id });
            }
        }
        if new.records == index.records {
            return Ok(false);
        }
        self.shared.table.replace_all(new.records.values());
        *index = new;
        drop(index);
        self.shared.changes.publish(&Invalidation::All);
        Ok(true)
    }
}

/// Two records have one id or one digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two keys have the id {id}, or another key has the digest of key {id}: each key must be listed once")]
#[non_exhaustive]
pub struct DuplicateKey {
    /// The id of the second one.
    pub id: KeyId,
}

#[cfg(test)]
#[cfg(not(loom_model))]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use futures::executor::block_on;

    use super::*;
    use crate::key::{KeyDigest, OrganizationPolicy};
    use crate::scope::Access;
    use crate::store::{KeyBackend, KeyUsage, ListKeys, Organizations};

    fn record(number: u8, organization: &'static str) -> KeyRecord {
        let digest = KeyDigest::from_bytes([number; 32]);
        KeyRecord::new(KeyId::from_u128(number.into()), digest, organization.parse().unwrap(), Access::Full)
    }

    fn ids(store: &MemoryStore) -> Vec<u128> {
        let page = block_on(store.list(Organizations::All, &ListKeys::new())).unwrap();
        let mut ids: Vec<_> = page.keys.iter().map(|key| key.id().as_u128()).collect();
        ids.sort_unstable();
        ids
    }

    /// Cases: 218.
    #[test]
    fn replaced_keys_are_gone_and_usage_stays() {
        let store = MemoryStore::new();
        assert_eq!(store.replace_all([record(1, "acme"), record(2, "acme"), record(3, "other")]), Ok(true));
        let at = UNIX_EPOCH + Duration::from_secs(9);
        block_on(store.record_usage(&[KeyUsage::new(KeyId::from_u128(2), 5, at)])).unwrap();
        assert_eq!(store.replace_all([record(2, "acme"), record(3, "acme")]), Ok(true));
        assert_eq!(store.read(&KeyDigest::from_bytes([1; 32])), None);
        let kept = store.read(&KeyDigest::from_bytes([2; 32])).unwrap();
        assert_eq!((kept.request_count(), kept.last_used_at()), (5, Some(at)));
        assert_eq!(store.read(&KeyDigest::from_bytes([3; 32])).unwrap().organization().as_str(), "acme");
        assert_eq!(ids(&store), [2, 3]);
        assert_eq!(store.replace_all([record(3, "acme"), record(2, "acme")]), Ok(false), "nothing has changed");
        assert_eq!(store.replace_all([]), Ok(true));
        assert_eq!(ids(&store), [0; 0]);
    }

    /// Cases: 218.
    #[test]
    fn duplicate_key_replaces_nothing() {
        let store = MemoryStore::new();
        store.replace_all([record(1, "acme")]).unwrap();
        let same_digest =
            KeyRecord::new(KeyId::from_u128(9), KeyDigest::from_bytes([2; 32]), "acme".parse().unwrap(), Access::Full);
        for (second, id) in [(record(2, "other"), 2), (same_digest, 9)] {
            let error = store.replace_all([record(2, "acme"), second]).unwrap_err();
            assert_eq!(error, DuplicateKey { id: KeyId::from_u128(id) });
        }
        assert_eq!(ids(&store), [1]);
    }

    /// Cases: 218.
    #[test]
    fn organization_has_strictest_policy_of_its_keys() {
        let store = MemoryStore::new();
        let disabled = OrganizationPolicy::default().with_disabled(true);
        store.replace_all([record(1, "acme").with_policy(disabled), record(2, "acme"), record(3, "other")]).unwrap();
        let policies = [1, 2, 3].map(|number| store.read(&KeyDigest::from_bytes([number; 32])).unwrap().policy());
        assert_eq!(policies, [disabled, disabled, OrganizationPolicy::default()]);
        assert_eq!(block_on(store.organization_policy(&"acme".parse().unwrap())).unwrap(), disabled);
        store.replace_all([record(1, "acme"), record(2, "acme")]).unwrap();
        assert!(!store.read(&KeyDigest::from_bytes([1; 32])).unwrap().policy().is_disabled());
    }
}
