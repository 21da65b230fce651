use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::registry::Open;
use super::terms::Terms;
use crate::auth::identity::ApiKey;
use crate::rejection::reason::Rejection;
use crate::request::RequestHead;
use crate::scope::Requirement;

/// Resolves when a key is no longer valid for its request, with the reason. Made by [`ApiKey::ended`].
///
/// It is cancel-safe, so that a `select!` in a loop may borrow it. It never resolves for a key that no layer has
/// authenticated.
#[must_use = "futures do nothing unless polled"]
pub struct KeyEnded {
    state: State,
}

enum State {
    /// The key is not watched before the first poll.
    New(Box<Terms>),
    Open(Open),
    Ended(Rejection),
    /// No layer has authenticated the key.
    Never,
}

impl ApiKey {
    /// Returns a future that resolves when the key is no longer valid for this request: for a WebSocket, and for anything
    /// else that goes on after the response head. [`EndStreamsLayer`](super::EndStreamsLayer) does so for response bodies.
    ///
    /// The key ends when it is revoked, suspended, replaced or purged, when it expires, when its organization is disabled, and
    /// when it loses a network or a scope that the request needs: by the route table, by
    /// [`ApiKeyLayer::require`](crate::ApiKeyLayer::require) or by a
    /// [`RequireScopesLayer`](crate::auth::RequireScopesLayer). Under a
    /// [`require_fn`](crate::ApiKeyLayer::require_fn) it ends with any lost scope, since the request is not known any more.
    /// Likewise it ends with any lost network. What the handler requires by itself, [`KeyEnded::require`] adds.
    ///
    /// | where | the future resolves |
    /// |---|---|
    /// | in this process, on a store that [publishes](crate::KeyStore::changes) its changes | at once |
    /// | in a process whose [`CachedStore`](crate::store::CachedStore::watch) watches | within milliseconds of the notification |
    /// | without a cache | within a second |
    /// | with a cache that does not watch | within its time to live and a second |
    /// | while the store gives no answer | [30 seconds](crate::ApiKeyLayer::keep_streams_in_outage) after its last answer |
    ///
    /// All futures of one key share one lookup in each [interval](crate::ApiKeyLayer::check_streams_every). None has a task or a timer.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_api_key::store::KeyBackend;
    /// use tower_api_key::{Access, ApiKeyLayer, KeyManager, MemoryStore, NewKey, Requirement};
    ///
    /// let store = MemoryStore::new();
    /// let acme = "acme".parse()?;
    /// let issued = KeyManager::new(store.clone()).issue(&acme, NewKey::new("socket", Access::Full)?).await?;
    /// let authenticator = ApiKeyLayer::new(store.clone()).authenticator();
    /// let key = authenticator.authenticate(issued.secret.expose_secret(), &Requirement::any_key()).await?;
    ///
    /// let ended = tokio::spawn(key.ended());
    /// store.revoke(&acme, issued.record.id()).await?;
    /// assert_eq!(ended.await?.code(), "revoked");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// The future panics on a runtime other than tokio's, or one without its timer.
    pub fn ended(&self) -> KeyEnded {
        KeyEnded::of(Terms::of(self, None))
    }

    /// The same, for a request that is known.
    pub(super) fn ended_for(&self, request: RequestHead<'_>) -> KeyEnded {
        KeyEnded::of(Terms::of(self, Some(request)))
    }
}

impl KeyEnded {
    fn of(terms: Option<Terms>) -> Self {
        let state = terms.map_or(State::Never, |terms| State::New(Box::new(terms)));
        Self { state }
    }

    /// Also resolves when the key does not meet this requirement, which the handler has found out by itself.
    pub fn require(mut self, requirement: impl Into<Requirement>) -> Self {
        match &mut self.state {
            State::New(terms) => terms.require(requirement.into()),
            State::Open(open) => open.require(requirement.into()),
            State::Ended(_) | State::Never => {}
        }
        self
    }
}

impl Future for KeyEnded {
    type Output = Rejection;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Rejection> {
        loop {
            match &self.state {
                State::Ended(rejection) => return Poll::Ready(*rejection),
                State::Never => return Poll::Pending,
                State::New(terms) => {
                    let streams = Arc::clone(&terms.config.streams);
                    self.state = State::Open(streams.open((**terms).clone()));
                }
                State::Open(open) => {
                    open.streams.ensure_driven();
                    let rejection = ready!(open.key.poll_ended(open.number, cx));
                    self.state = State::Ended(rejection);
                }
            }
        }
    }
}

impl fmt::Debug for KeyEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyEnded").finish_non_exhaustive()
    }
}
