use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::header::HeaderName;
use tower_api_key::key::{KeyDigest, KeyFormat, KeyId, KeyRecord, KeySecret, RandomError};
use tower_api_key::store::Lookup;
use tower_api_key::time::Clock;
use tower_api_key::{Access, ApiKeyLayer, KeyStore, OrganizationId};

pub(super) const HEADER: HeaderName = HeaderName::from_static("x-mission-control-session");

/// Whoever opens more ends their own oldest one, and not somebody else's.
const MOST_OF_ONE: usize = 8;
const MOST: usize = 1000;

/// Who is logged in. A session is a credential of full access with an expiry, of which, as of a key, only the digest is
/// kept; its name is the email that logged in. All are gone with the process.
#[derive(Clone)]
pub(crate) struct Sessions(Arc<Shared>);

struct Shared {
    lifetime: Duration,
    clock: Box<dyn Clock>,
    /// The oldest first, and so in the order in which they end.
    open: Mutex<VecDeque<Arc<KeyRecord>>>,
}

impl Sessions {
    pub(crate) fn new(lifetime: Duration, clock: impl Clock) -> Self {
        Self(Arc::new(Shared { lifetime, clock: Box::new(clock), open: Mutex::default() }))
    }

    /// How long this one will last.
    pub(super) fn left(&self, session: &KeyRecord) -> Duration {
        let end = session.expires_at().and_then(|end| end.duration_since(self.0.clock.now()).ok());
        end.unwrap_or_default()
    }

    /// Lets through whoever has a session, until its time is over.
    pub(super) fn layer(&self) -> ApiKeyLayer {
        let shared = Arc::clone(&self.0);
        ApiKeyLayer::new(self.clone()).header(HEADER).require_formats([format()]).clock(move || shared.clock.now())
    }

    pub(super) fn open(
        &self,
        organization: OrganizationId,
        email: &str,
    ) -> Result<(KeySecret, Arc<KeyRecord>), RandomError> {
        let (secret, id, now) = (format().generate()?, KeyId::random()?, self.0.clock.now());
        let record = KeyRecord::new(id, secret.digest(), organization, Access::Full);
        let record = record.with_name(email).with_created_at(now).with_expires_at(now + self.0.lifetime);
        let record = Arc::new(record);

        let mut open = self.lock();
        open.retain(|session| !session.is_expired(|| now));
        let of_one = |session: &Arc<KeyRecord>| session.organization() == record.organization();
        if open.iter().filter(|session| of_one(session)).count() >= MOST_OF_ONE
            && let Some(oldest) = open.iter().position(of_one)
        {
            open.remove(oldest);
        }
        if open.len() >= MOST {
            open.pop_front();
        }
        open.push_back(Arc::clone(&record));
        Ok((secret, record))
    }

    pub(super) fn end(&self, digest: &KeyDigest) {
        self.lock().retain(|session| session.digest() != digest);
    }

    fn get(&self, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        self.lock().iter().find(|session| session.digest() == digest).map(Arc::clone)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<KeyRecord>>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyStore for Sessions {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        Ok(self.get(digest))
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        self.get(digest).into()
    }
}

/// Not that of a key, so that neither passes for the other.
fn format() -> KeyFormat {
    KeyFormat::new("mcs_").expect("letters and an underscore")
}
