//! A service behind the whole stack, and what can be seen of it.

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{Request, Response};
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_api_key::client::ClientInfo;
use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::observe::Outcome;
use tower_api_key::store::Lookup;
use tower_api_key::transport::{ClientInfoLayer, RequireHttpsLayer};
use tower_api_key::{Access, ApiKeyLayer, KeyStore, MemoryStore};

use crate::support::store::store;

pub(crate) const HTTPS_REQUIRED: &str = r#"{"detail":"HTTPS is required."}"#;
pub(crate) const MISCONFIGURED: &str = r#"{"detail":"Internal server error."}"#;

/// Outcome, status, digest, digest of an exposed key.
pub(crate) type Event = (Outcome, Option<u16>, Option<KeyDigest>, Option<KeyDigest>);

#[derive(Clone, Default)]
pub(crate) struct Seen {
    events: Arc<Mutex<Vec<Event>>>,
    lookups: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
}

impl Seen {
    pub(crate) fn events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }

    pub(crate) fn lookups(&self) -> usize {
        self.lookups.load(Ordering::SeqCst)
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// A layer that knows [`KEY`](crate::support::keys::KEY) and reports here.
    pub(crate) fn keys(&self) -> ApiKeyLayer {
        let events = Arc::clone(&self.events);
        let store = Counting { store: store(Access::Full), lookups: Arc::clone(&self.lookups) };
        ApiKeyLayer::new(store).on_decision(move |event| {
            let status = event.status().map(|status| status.as_u16());
            events.lock().unwrap().push((event.outcome(), status, event.digest().copied(), event.exposed().copied()));
        })
    }

    /// Answers with the address and the protocol of its client.
    pub(crate) fn service<B>(&self, client: ClientInfoLayer) -> Service<B>
    where
        B: Send + 'static,
    {
        let keys = self.keys();
        let calls = Arc::clone(&self.calls);
        let stack = ServiceBuilder::new().layer(client).layer(RequireHttpsLayer::new(&keys)).layer(keys);
        let handler = service_fn(move |request: Request<B>| {
            calls.fetch_add(1, Ordering::SeqCst);
            let client = *request.extensions().get::<ClientInfo>().expect("behind a ClientInfoLayer");
            let address = client.address().map_or("unknown".to_owned(), |address| address.to_string());
            async move { Ok(Response::new(format!("{address} https={}", client.is_https()))) }
        });
        BoxCloneSyncService::new(stack.service(handler).map_response(|response| response.map(Body::new)))
    }
}

pub(crate) type Service<B> = BoxCloneSyncService<Request<B>, Response<Body>, Infallible>;

struct Counting {
    store: MemoryStore,
    lookups: Arc<AtomicUsize>,
}

impl KeyStore for Counting {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        self.store.find(digest).await
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        self.store.try_find(digest)
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").finish_non_exhaustive()
    }
}
