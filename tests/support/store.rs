//! A store that knows one key.

use tower_api_key::{Access, MemoryStore};

use super::keys::record;

/// A store in which [`KEY`](super::keys::KEY) has this access.
pub(crate) fn store(access: Access) -> MemoryStore {
    let keys = MemoryStore::new();
    keys.add(record(access)).unwrap();
    keys
}
