use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;

use http::{Method, Request, Uri};

use super::check::{Check, Stop};
use super::config::{Config, Configs};
use super::identity::ApiKey;
use super::layer::ApiKeyLayer;
use super::legacy::Candidate;
use super::origin::Required;
use super::per_thread::PerThread;
use super::waiting::Paused;
use crate::client::ClientInfo;
use crate::decision::authorize;
use crate::key::{KeyDigest, KeyFormat};
use crate::observe::Report;
use crate::rejection::reason::Rejection;
use crate::rejection::{CredentialError, Unmet};
use crate::scope::Requirement;

/// Checks a key that does not come in a request: of a queue, a WebSocket message, an MQTT connection. Made by
/// [`ApiKeyLayer::authenticator`].
///
/// The check is that of the layer: the same store, timeout, formats, clock, [legacy keys](ApiKeyLayer::legacy_keys),
/// [requirement](ApiKeyLayer::require), usage and hooks, and a store that fails or panics is an outage. What belongs to
/// requests does not apply: route table, `require_fn`, limits, sources, identities and anonymous access.
///
/// ```
/// # futures::executor::block_on(async {
/// use tower_api_key::scope::avala;
/// use tower_api_key::{Access, ApiKeyLayer, KeyManager, MemoryStore, NewKey, Rejection, Requirement};
///
/// let store = MemoryStore::new();
/// let new = NewKey::new("robot", Access::scoped([avala::DATASETS_WRITE]))?;
/// let issued = KeyManager::new(store.clone()).issue(&"acme".parse()?, new).await?;
/// let authenticator = ApiKeyLayer::new(store).authenticator().with_path("/queues/uploads".parse()?);
///
/// struct Message { key: String, dataset: u32 }
/// let message = Message { key: issued.secret.expose_secret().to_owned(), dataset: 7 };
/// match authenticator.authenticate(&message.key, &Requirement::from(avala::DATASETS_WRITE)).await {
///     Ok(key) => println!("{} writes dataset {}", key.organization(), message.dataset),
///     // The store gave no answer: deliver the message again later.
///     Err(Rejection::Unavailable(outage)) => eprintln!("{outage}"),
///     // The message is dropped.
///     Err(rejection) => eprintln!("{}", rejection.detail()),
/// }
/// # assert!(authenticator.authenticate(&message.key, &Requirement::full_access()).await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Authenticator {
    config: Configs,
    path: Uri,
    client: Option<ClientInfo>,
}

impl ApiKeyLayer {
    /// Returns the check of this layer for keys that do not come in a request. Later changes to the layer do not apply to it.
    #[must_use]
    pub fn authenticator(&self) -> Authenticator {
        let mut config = self.config().get().clone();
        // What is computed from a request.
        (config.routes, config.require_fn, config.path_from) = (None, None, None);
        (config.limit, config.failures, config.identify) = (None, None, None);
        Authenticator { config: Arc::new(PerThread::new(config)), path: Uri::default(), client: None }
    }
}

impl Authenticator {
    /// Shows this path in events, such as the name of a queue or topic: `/` by default. The method is `MESSAGE`.
    #[must_use]
    pub fn with_path(self, path: Uri) -> Self {
        Self { path, ..self }
    }

    /// Takes this as the client of the following keys: for events, and for keys that are limited to networks. Without a
    /// client, such a key is rejected.
    #[must_use]
    pub fn with_client(self, client: ClientInfo) -> Self {
        Self { client: Some(client), ..self }
    }

    /// Returns the key, if it is valid and meets this requirement. The hooks of the layer get one event for each call, also
    /// when the future is dropped.
    ///
    /// The plaintext is hashed before the call returns, and is not kept.
    ///
    /// # Errors
    /// The reason for which the layer would reject a request with this key. [`Rejection::Unavailable`] is an outage, which
    /// leaves open whether the key is valid.
    ///
    /// # Panics
    /// When the clock or a hook panics. The lookup timeout needs tokio's timer; without it, a store that must be awaited is an
    /// outage.
    pub fn authenticate<'a, K: AsRef<[u8]>>(
        &'a self,
        presented: K,
        requirement: &'a Requirement,
    ) -> impl Future<Output = Result<ApiKey, Rejection>> + Send + use<'a, K> {
        let presented = Presented::new(self.config.get(), presented.as_ref());
        async move { self.check(presented, requirement).await }
    }

    async fn check(&self, presented: Presented<'_>, requirement: &Requirement) -> Result<ApiKey, Rejection> {
        let mut request = self.request();
        let config = Arc::clone(self.config.mine());
        let mut check = Check::new(&config, None, Paused::default());
        if let Some(hooks) = &config.hooks {
            let mut report = Report::begin(Some(hooks), false, None, check.head(&request));
            if let Some(facts) = report.facts() {
                facts.environment = presented.format.and_then(KeyFormat::environment).cloned();
            }
            check.report = Some(report);
        }
        let mut progress = match (presented.digest, presented.candidate) {
            (Ok(_), Some(candidate)) => check.look_up_legacy(candidate, &mut request),
            (Ok(digest), None) => check.look_up(&digest, &mut request),
            (Err(error), _) => Err(Stop::Rejected(error.into())),
        };
        while let Err(Stop::Waiting(mut waiting)) = progress {
            let ended = poll_fn(|cx| waiting.poll(cx)).await;
            progress = check.resume(ended, &mut request);
        }
        let accepted = match progress {
            Err(Stop::Rejected(rejected)) => Err((rejected.rejection, rejected.unmet.map(|unmet| *unmet))),
            _ => request.extensions_mut().remove::<ApiKey>().ok_or((Rejection::Misconfigured, None)),
        };
        let accepted = accepted.and_then(|key| match authorize(key.access(), requirement) {
            Ok(()) => Ok(key.required(requirement)),
            Err(denial) => Err((denial.into(), Some(Unmet::new(requirement, key.access())))),
        });
        if let Err((rejection, unmet)) = &accepted {
            check.note_rejected(*rejection, unmet.as_ref());
        }
        if let Some(report) = &check.report {
            report.finish(None);
        }
        accepted.map_err(|(rejection, _)| rejection)
    }

    /// Returns a request in the place of the message.
    fn request(&self) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::from_bytes(b"MESSAGE").expect("it is a token");
        *request.uri_mut() = self.path.clone();
        if let Some(client) = self.client {
            request.extensions_mut().insert(client);
        }
        request
    }
}

/// What is left of a key after it was hashed.
struct Presented<'a> {
    digest: Result<KeyDigest, CredentialError>,
    format: Option<&'a KeyFormat>,
    candidate: Option<Candidate>,
}

impl<'a> Presented<'a> {
    fn new(config: &'a Config, key: &[u8]) -> Self {
        Self {
            digest: config.source.digest(key),
            format: config.source.format_of(key),
            candidate: config.legacy.as_ref().and_then(|legacy| legacy.candidate(key)),
        }
    }
}

impl ApiKey {
    /// Notes what was required of the key, for its end.
    fn required(mut self, requirement: &Requirement) -> Self {
        if *requirement != Requirement::any_key() {
            self.note_required(&Arc::new(Required { requirement: requirement.clone(), and: None }));
        }
        self
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("path", &self.path).field("client", &self.client).finish_non_exhaustive()
    }
}
