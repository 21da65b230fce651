//! Rows as no well-kept table would change them.

use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};

/// The same key under another id or digest, or in another organization.
pub(super) fn rebuilt(key: &KeyRecord, id: KeyId, digest: KeyDigest, organization: &str) -> KeyRecord {
    let record = KeyRecord::new(id, digest, organization.parse().unwrap(), key.access().clone())
        .with_name(key.name())
        .with_hint(key.hint().clone())
        .with_created_at(key.created_at())
        .with_expires_at(key.expires_at())
        .with_policy(key.policy());
    match (key.revoked_at(), key.replaced_by()) {
        (Some(time), Some(replacement)) => record.with_replaced_by(time, replacement),
        (time, _) => record.with_revoked_at(time),
    }
}

/// A row as it was before it was revoked.
pub(super) fn unrevoked(row: &KeyRecord) -> KeyRecord {
    KeyRecord::new(row.id(), *row.digest(), row.organization().clone(), row.access().clone())
        .with_name(row.name())
        .with_hint(row.hint().clone())
        .with_created_at(row.created_at())
        .with_expires_at(row.expires_at())
}
