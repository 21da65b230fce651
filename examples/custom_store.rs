//! Keys that are kept in a table of your own: only `find` must be written.
//!
//! ```text
//! cargo run --example custom_store
//! ```
//!
//! It sends one request for each row, and two more, and prints the replies. The test at the end runs the conformance
//! suite of the feature `test-kit`.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord, KeySecret};
use tower_api_key::{Access, ApiKeyLayer, BoxError, KeyStore, OrganizationId, Scope};

const INVOICES_READ: Scope = Scope::from_static("invoices.read");

/// A row as the database has it. The key itself is not in it, only its SHA-256.
#[derive(Clone)]
struct Row {
    id: u32,
    sha256: [u8; 32],
    customer: String,
    role: String,
    expires_at: Option<SystemTime>,
    revoked_at: Option<SystemTime>,
}

/// `Arc<Database>` is a store as soon as `Database` is one.
struct Database {
    rows: Mutex<Vec<Row>>,
    is_down: AtomicBool,
}

impl KeyStore for Database {
    type Error = BoxError;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
        // A failure is an error, never `Ok(None)`: the client gets a 503 and keeps its key.
        let Some(row) = self.select_by_sha256(digest.as_bytes()).await? else { return Ok(None) };
        let access = match &*row.role {
            "owner" => Access::Full,
            "reader" => Access::scoped([INVOICES_READ]),
            // A role that we do not know grants nothing.
            _ => Access::scoped([]),
        };
        let (id, customer) = (KeyId::from_u128(row.id.into()), OrganizationId::new(row.customer)?);
        // Expired and revoked keys are returned as well: the layer decides.
        let record = KeyRecord::new(id, KeyDigest::from_bytes(row.sha256), customer, access)
            .with_expires_at(row.expires_at)
            .with_revoked_at(row.revoked_at);
        Ok(Some(Arc::new(record)))
    }
}

impl Database {
    /// `SELECT ... FROM api_keys WHERE sha256 = $1`
    async fn select_by_sha256(&self, sha256: &[u8; 32]) -> io::Result<Option<Row>> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the database is down"));
        }
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(rows.iter().find(|row| row.sha256 == *sha256).cloned())
    }
}

/// A new key, of which the database gets only the digest.
fn new_key(id: u32, role: &str) -> Result<(KeySecret, Row), BoxError> {
    let secret = KeySecret::generate()?;
    let (sha256, customer, role) = (*secret.digest().as_bytes(), "acme".to_owned(), role.to_owned());
    Ok((secret, Row { id, sha256, customer, role, expires_at: None, revoked_at: None }))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let yesterday = SystemTime::now() - Duration::from_secs(24 * 60 * 60);
    let (owner_key, owner) = new_key(1, "owner")?;
    let (reader_key, reader) = new_key(2, "reader")?;
    let (auditor_key, auditor) = new_key(3, "auditor")?;
    let (expired_key, expired) = new_key(4, "owner")?;
    let expired = Row { expires_at: Some(yesterday), ..expired };
    let (revoked_key, revoked) = new_key(5, "owner")?;
    let revoked = Row { revoked_at: Some(yesterday), ..revoked };
    let rows = vec![owner, reader, auditor, expired, revoked];
    let database = Arc::new(Database { rows: Mutex::new(rows), is_down: AtomicBool::new(false) });

    let handler = service_fn(|_: Request<String>| async { Ok::<_, Infallible>(Response::new("invoices".to_owned())) });
    let service = ApiKeyLayer::new(Arc::clone(&database)).require(INVOICES_READ).layer(handler);
    let send = async |what: &str, secret: &KeySecret| {
        let request = Request::builder().header("X-Avala-Api-Key", secret.expose_secret()).body(String::new())?;
        let response = service.clone().oneshot(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        println!("{what:30} {status} {}", String::from_utf8_lossy(&body));
        Ok::<(), BoxError>(())
    };
    send("an owner's key", &owner_key).await?;
    send("a reader's key", &reader_key).await?;
    send("a key with an unknown role", &auditor_key).await?;
    send("an expired key", &expired_key).await?;
    send("a revoked key", &revoked_key).await?;
    send("a key that is in no row", &KeySecret::generate()?).await?;
    database.is_down.store(true, Ordering::Relaxed);
    send("an owner's key, database down", &owner_key).await
}

#[cfg(all(test, feature = "test-kit"))]
mod tests {
    use tower_api_key::test_kit::{Conformance, StoreFeature};

    use super::*;

    /// Writes a row as the service does that manages the keys.
    fn write(database: &Database, key: &KeyRecord) {
        let mut rows = database.rows.lock().unwrap();
        let id = u32::try_from(rows.len()).unwrap();
        rows.push(Row {
            id,
            sha256: *key.digest().as_bytes(),
            customer: key.organization().as_str().to_owned(),
            role: if key.access().is_full() { "owner" } else { "auditor" }.to_owned(),
            expires_at: key.expires_at(),
            revoked_at: key.revoked_at(),
        });
    }

    #[tokio::test]
    async fn custom_store_conforms_without_scopes() {
        let database = async || Database { rows: Mutex::default(), is_down: AtomicBool::new(false) };
        let keep = async |database: &Database, key: KeyRecord| {
            write(database, &key);
            Ok(())
        };
        let suite = Conformance::of_store(database, keep)
            .with_outage(async |database| database.is_down.store(true, Ordering::Relaxed))
            // A role decides what a key may do.
            .without([StoreFeature::Scopes]);
        assert_eq!(suite.skipped().collect::<Vec<_>>(), ["keeps_scopes", "keeps_unknown_scopes"]);
        suite.run().await.unwrap();
    }
}
