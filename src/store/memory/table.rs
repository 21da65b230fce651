use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, PoisonError};

use crate::key::{KeyDigest, KeyRecord};
use crate::padded::Padded;
use crate::store::digest_hash::DigestState;
use crate::sync::RwLock;

/// Fewer for loom, whose threads have small stacks.
const SHARDS: usize = if cfg!(loom_model) { 4 } else { 64 };

type Shard = Padded<RwLock<HashSet<ByDigest, DigestState>>>;

/// Records by digest, in shards that have a lock each.
pub(super) struct DigestTable {
    shards: [Shard; SHARDS],
}

impl DigestTable {
    pub(super) fn new() -> Self {
        let hasher = DigestState::new();
        Self { shards: std::array::from_fn(|_| Padded(RwLock::new(HashSet::with_hasher(hasher)))) }
    }

    pub(super) fn find(&self, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        let shard = self.shard(digest).read().unwrap_or_else(PoisonError::into_inner);
        shard.get(digest).map(|ByDigest(record)| Arc::clone(record))
    }

    /// Stores this record in place of an earlier one with its digest.
    pub(super) fn replace(&self, record: Arc<KeyRecord>) {
        let mut shard = self.shard(record.digest()).write().unwrap_or_else(PoisonError::into_inner);
        shard.replace(ByDigest(record));
    }

    /// Stores these records in place of all others, in one step: a lookup that starts after another one has found a new
    /// record finds no old one.
    pub(super) fn replace_all<'a>(&self, records: impl IntoIterator<Item = &'a Arc<KeyRecord>>) {
        // Every other writer locks one shard, so that the order cannot matter.
        let mut shards: Vec<_> =
            self.shards.iter().map(|shard| shard.write().unwrap_or_else(PoisonError::into_inner)).collect();
        shards.iter_mut().for_each(|shard| shard.clear());
        for record in records {
            shards[Self::place(record.digest())].insert(ByDigest(Arc::clone(record)));
        }
    }

    pub(super) fn remove(&self, digest: &KeyDigest) {
        self.shard(digest).write().unwrap_or_else(PoisonError::into_inner).remove(digest);
    }

    fn shard(&self, digest: &KeyDigest) -> &Shard {
        &self.shards[Self::place(digest)]
    }

    fn place(digest: &KeyDigest) -> usize {
        usize::from(digest.as_bytes()[8]) % SHARDS
    }
}

/// A record that is found by its digest, so that the digest is stored once.
struct ByDigest(Arc<KeyRecord>);

impl Borrow<KeyDigest> for ByDigest {
    fn borrow(&self) -> &KeyDigest {
        self.0.digest()
    }
}

impl PartialEq for ByDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.digest() == other.0.digest()
    }
}

impl Eq for ByDigest {}

impl Hash for ByDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.digest().hash(state);
    }
}
