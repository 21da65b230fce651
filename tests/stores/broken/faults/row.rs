//! Rows as no well-kept table would change them.

use std::sync::Arc;

use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};

/// The same key under another id or digest, or in another organization.
pub(super) fn rebuilt(key: &KeyRecord, id: KeyId, digest: KeyDigest, organization: &str) -> KeyRecord {
    let record = KeyRecord::new(id, digest, organization.parse().unwrap(), key.access().clone())
        .with_name(key.name())
        .with_hint(key.hint().clone())
        .with_created_at(key.created_at())
        .with_expires_at(key.expires_at())
        .with_policy(key.policy())
        .with_environment(key.environment().cloned())
        .with_networks(key.networks().clone())
        .with_metadata(key.metadata().clone())
        .with_created_by(key.created_by().map(Arc::from))
        .with_imported(key.is_imported())
        .with_suspended(key.is_suspended());
    record.with_revoked_at(key.revoked_at()).with_replaced_by(key.replaced_by())
}

/// A row as it was before it was revoked.
pub(super) fn unrevoked(row: &KeyRecord) -> KeyRecord {
    row.clone().with_revoked_at(None).with_replaced_by(None)
}
