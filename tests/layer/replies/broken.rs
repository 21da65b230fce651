//! Stores that give no answer, or a wrong one.

use std::future::pending;
use std::sync::Arc;

use tokio::task::yield_now;
use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::store::Lookup;
use tower_api_key::{BoxError, KeyStore};

pub(crate) enum Broken {
    Fails,
    Hangs,
    PanicsAtOnce,
    PanicsLater,
    /// Has this record for every key.
    Confuses(Arc<KeyRecord>),
}

impl KeyStore for Broken {
    type Error = BoxError;

    async fn find(&self, _: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
        yield_now().await;
        match self {
            Self::Fails => Err("the pool is empty".into()),
            Self::Hangs => pending().await,
            Self::PanicsAtOnce | Self::PanicsLater => panic!("the store is broken"),
            Self::Confuses(record) => Ok(Some(Arc::clone(record))),
        }
    }

    fn try_find(&self, _: &KeyDigest) -> Lookup {
        match self {
            Self::PanicsAtOnce => panic!("the store is broken"),
            _ => Lookup::Pending,
        }
    }
}
