//! Managing the keys of a store.

use tower_api_key::KeyManager;
use tower_api_key::store::KeyBackend;

pub(crate) trait Manage: KeyBackend + Clone {
    /// Returns a manager of these keys by the default rules.
    fn manage(&self) -> KeyManager<Self> {
        KeyManager::new(self.clone())
    }
}

impl<B: KeyBackend + Clone> Manage for B {}
