use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Response};
use tower_layer::Layer;

use super::refusal::{Refusal, RequestHead};
use super::service::ApiKeyService;
use super::settings::Settings;
use crate::event::DecisionEvent;
use crate::key::KeyFormat;
use crate::key::presented::CredentialSource;
use crate::rejection::{Challenge, Realm};
use crate::scope::Requirement;
use crate::store::{KeyStore, StoreId};
use crate::time::{Clock, SystemClock};
use crate::usage::UsageTracker;

/// Lets a request through only with a valid API key.
///
/// Without further configuration it reads `X-Avala-Api-Key`, removes that header from the request, lets any
/// valid key pass, waits at most one second for a store that must be awaited, and adds `Cache-Control: private`
/// to a response that has none.
///
/// It has no type parameters and wraps any service of `http` requests whose responses have a body of
/// [`Bytes`]. Cloning it is cheap, and a clone shares the store.
///
/// ```
/// use http::{Request, Response, StatusCode};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use tower_api_key::{Access, ApiKeyLayer, KeyManager, MemoryStore, NewKey, scope::avala};
/// # type Error = Box<dyn std::error::Error>;
/// # use std::convert::Infallible;
///
/// # futures::executor::block_on(async {
/// let keys = MemoryStore::new();
/// let new = NewKey::new("reader", Access::scoped([avala::DATASETS_READ]))?;
/// let issued = keys.issue(&"acme".parse()?, new).await?;
///
/// let service = ServiceBuilder::new()
///     .layer(ApiKeyLayer::new(keys).require(avala::DATASETS_READ))
///     .service(service_fn(|_: Request<String>| async { Ok::<_, Infallible>(Response::new(String::new())) }));
///
/// let request = Request::builder().header("X-Avala-Api-Key", issued.secret.expose_secret()).body(String::new())?;
/// assert_eq!(service.clone().oneshot(request).await?.status(), StatusCode::OK);
/// let request = Request::new(String::new());
/// assert_eq!(service.oneshot(request).await?.status(), StatusCode::UNAUTHORIZED);
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct ApiKeyLayer {
    settings: Arc<Settings>,
}

impl ApiKeyLayer {
    /// A layer that looks keys up in this store.
    pub fn new(store: impl KeyStore) -> Self {
        let header = HeaderName::from_static("x-avala-api-key");
        let realm = Realm::default();
        let settings = Settings {
            store_id: store.store_id().unwrap_or_else(StoreId::new),
            store: Arc::new(store),
            challenge: Challenge::new(&realm, &header),
            source: CredentialSource { header, bearer: false, keep: false, format: None },
            requirement: Requirement::any_key(),
            require_with: None,
            #[cfg(feature = "routes")]
            routes: None,
            lookup_timeout: Some(Duration::from_secs(1)),
            clock: Arc::new(SystemClock),
            realm,
            renderer: None,
            hook: None,
            usage: None,
            expose_rejection: false,
            cache_control: true,
            optional: false,
            preflight: false,
            grpc: false,
            #[cfg(feature = "throttle")]
            failures: None,
        };
        Self { settings: Arc::new(settings) }
    }

    /// Asks this of every key. A second call replaces what the first one asked.
    ///
    /// ```
    /// # use tower_api_key::{ApiKeyLayer, MemoryStore, Requirement, scope::avala};
    /// # let keys = MemoryStore::new();
    /// ApiKeyLayer::new(keys.clone()).require(avala::EXPORTS_CREATE);
    /// ApiKeyLayer::new(keys).require(Requirement::any_of([avala::TASKS_READ, avala::PROJECTS_READ]));
    /// ```
    pub fn require(self, requirement: impl Into<Requirement>) -> Self {
        let requirement = requirement.into();
        self.with(|settings| settings.requirement = requirement)
    }

    /// Asks of each key what this function says of its request, beside what [`require`](Self::require) asks:
    /// for a service without a router. It is called for valid keys only.
    ///
    /// ```
    /// # use tower_api_key::{ApiKeyLayer, MemoryStore, Requirement, scope::avala};
    /// # let keys = MemoryStore::new();
    /// ApiKeyLayer::new(keys).require_with(|request| match (request.method().as_str(), request.path()) {
    ///     ("GET" | "HEAD", "/datasets/") => avala::DATASETS_READ.into(),
    ///     ("POST", "/datasets/") => avala::DATASETS_WRITE.into(),
    ///     // What nobody listed is for full access only.
    ///     _ => Requirement::full_access(),
    /// });
    /// ```
    pub fn require_with<F>(self, requirement: F) -> Self
    where
        F: Fn(RequestHead<'_>) -> Requirement + Send + Sync + 'static,
    {
        self.with(|settings| settings.require_with = Some(Arc::new(requirement)))
    }

    /// Asks of each request what this table says of its route, beside what [`require`](Self::require) and
    /// [`require_with`](Self::require_with) ask. See [`RouteTable`](crate::RouteTable).
    ///
    /// A public route is called without a look at the key, which is removed from the request all the same, and its
    /// reply is left as it is.
    #[cfg(feature = "routes")]
    pub fn routes(self, table: crate::RouteTable) -> Self {
        self.with(|settings| settings.routes = Some(Arc::new(table)))
    }

    /// Reads the key from another header. `Authorization` is not meant: see [`accept_bearer`](Self::accept_bearer).
    ///
    /// ```
    /// # use tower_api_key::{ApiKeyLayer, MemoryStore};
    /// use http::HeaderName;
    /// ApiKeyLayer::new(MemoryStore::new()).header(HeaderName::from_static("x-acme-key"));
    /// ```
    pub fn header(self, name: HeaderName) -> Self {
        self.with(|settings| {
            settings.challenge = Challenge::new(&settings.realm, &name);
            settings.source.header = name;
        })
    }

    /// Also takes a key as `Authorization: Bearer`, for clients that cannot change yet. A request with both is
    /// refused, since it leaves open which key was meant.
    pub fn accept_bearer(self) -> Self {
        self.with(|settings| settings.source.bearer = true)
    }

    /// Leaves the key in the request, marked as sensitive: for a proxy that passes it on.
    pub fn keep_header(self) -> Self {
        self.with(|settings| settings.source.keep = true)
    }

    /// Refuses keys of any other format without a lookup: for a service that issued all its keys itself. By
    /// default a key is opaque, so that keys issued elsewhere keep working.
    ///
    /// ```
    /// # use tower_api_key::{ApiKeyLayer, KeyFormat, MemoryStore};
    /// ApiKeyLayer::new(MemoryStore::new()).only_format(KeyFormat::AVALA);
    /// ```
    pub fn only_format(self, format: KeyFormat) -> Self {
        self.with(|settings| settings.source.format = Some(format))
    }

    /// How long a lookup may take before the request is answered with 503. One second by default, counted from when
    /// the store first lets the request wait.
    ///
    /// The timer is tokio's. On a runtime without it, every lookup that waits ends in a 503 whose cause is in
    /// the log; there, use [`without_lookup_timeout`](Self::without_lookup_timeout).
    pub fn lookup_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.lookup_timeout = Some(timeout))
    }

    /// Waits for the store as long as it takes: for stores that have their own timeout, or where there is no
    /// tokio.
    pub fn without_lookup_timeout(self) -> Self {
        self.with(|settings| settings.lookup_timeout = None)
    }

    /// Judges expiry by this clock.
    pub fn clock(self, clock: impl Clock) -> Self {
        self.with(|settings| settings.clock = Arc::new(clock))
    }

    /// The realm in `WWW-Authenticate`, `api` by default.
    ///
    /// # Errors
    /// When the realm cannot stand in a quoted string as it is.
    pub fn realm(self, realm: &str) -> Result<Self, InvalidRealm> {
        let realm = Realm::new(realm).ok_or(InvalidRealm)?;
        Ok(self.with(|settings| {
            settings.challenge = Challenge::new(&realm, &settings.source.header);
            settings.realm = realm;
        }))
    }

    /// Renders refusals in another form than the documented JSON.
    ///
    /// `Cache-Control: no-store` is added where the response has no `Cache-Control`, and the challenge to a 401
    /// that has none. A panic in the renderer propagates; it never lets a request through.
    ///
    /// ```
    /// # use tower_api_key::{ApiKeyLayer, MemoryStore};
    /// ApiKeyLayer::new(MemoryStore::new()).render_with(|refusal| {
    ///     let mut response = refusal.response();
    ///     *response.body_mut() = format!("{}\n", refusal.rejection().detail()).into();
    ///     response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/plain"));
    ///     response
    /// });
    /// ```
    pub fn render_with<F>(self, renderer: F) -> Self
    where
        F: Fn(&Refusal<'_>) -> Response<Bytes> + Send + Sync + 'static,
    {
        self.with(|settings| settings.renderer = Some(Arc::new(renderer)))
    }

    /// Calls this with exactly one event for each request: when the response head is there, or when the
    /// request is dropped. It runs on the request's own task and must not block.
    ///
    /// ```
    /// # use tower_api_key::{ApiKeyLayer, MemoryStore};
    /// use tower_api_key::Outcome;
    /// ApiKeyLayer::new(MemoryStore::new()).on_decision(|event| {
    ///     if let Outcome::Rejected(rejection) = event.outcome() {
    ///         eprintln!("{} {:?}: {}", event.method(), event.path(), rejection.code());
    ///     }
    /// });
    /// ```
    pub fn on_decision<F>(self, hook: F) -> Self
    where
        F: Fn(&DecisionEvent<'_>) + Send + Sync + 'static,
    {
        self.with(|settings| settings.hook = Some(Arc::new(hook)))
    }

    /// Counts the requests that are let in, for `last used` and the like.
    pub fn track_usage(self, tracker: &UsageTracker) -> Self {
        self.with(|settings| settings.usage = Some(tracker.clone()))
    }

    /// Puts the [`Rejection`](crate::Rejection) into the extensions of a refusal, for layers further out. Off by
    /// default: it costs three allocations.
    pub fn expose_rejection(self) -> Self {
        self.with(|settings| settings.expose_rejection = true)
    }

    /// Leaves `Cache-Control` of accepted requests alone.
    ///
    /// By default `private` is added where the handler set none and a key was asked for: shared caches keep away from
    /// responses to requests with `Authorization` (RFC 9111, 3.5), but know nothing of a key in another header.
    pub fn without_cache_control(self) -> Self {
        self.with(|settings| settings.cache_control = false)
    }

    /// Lets requests without a key in as well, wherever any valid key would do: wherever more is asked for, they
    /// get the 401. A key that is presented must be good all the same.
    ///
    /// A handler takes an `Option<ApiKey>` with the `axum` feature, and otherwise looks into the extensions. A
    /// [`RequireScopesLayer`](crate::RequireScopesLayer) further in lets only keys pass, also where it asks for
    /// [any key](Requirement::any_key).
    ///
    /// ```
    /// use http::{Request, Response, StatusCode};
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    /// use tower_api_key::{ApiKey, ApiKeyLayer, MemoryStore};
    /// # use std::convert::Infallible;
    ///
    /// # futures::executor::block_on(async {
    /// let service = ServiceBuilder::new().layer(ApiKeyLayer::new(MemoryStore::new()).optional()).service(service_fn(
    ///     |request: Request<String>| async move {
    ///         let name = request.extensions().get::<ApiKey>().map_or("a stranger", |key| key.organization().as_str());
    ///         Ok::<_, Infallible>(Response::new(name.to_owned()))
    ///     },
    /// ));
    /// let response = service.clone().oneshot(Request::new(String::new())).await?;
    /// assert_eq!(response.status(), StatusCode::OK);
    ///
    /// let bad_key = Request::builder().header("X-Avala-Api-Key", "bad").body(String::new())?;
    /// assert_eq!(service.oneshot(bad_key).await?.status(), StatusCode::UNAUTHORIZED);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn optional(self) -> Self {
        self.with(|settings| settings.optional = true)
    }

    /// Lets CORS preflights through without a key, for a CORS layer that stands further in.
    ///
    /// Rather let the CORS layer stand outside this one: then it answers preflights by itself, and scripts may
    /// read refusals too. This is for where it cannot.
    ///
    /// A preflight is an `OPTIONS` request with `Origin` and `Access-Control-Request-Method`; nothing else gets
    /// through. A response to it without any `Access-Control-Allow-` header comes from no CORS layer, and the
    /// client gets the 401 instead.
    ///
    /// ```
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use tower::{ServiceBuilder, ServiceExt};
    /// use tower_api_key::{ApiKeyLayer, MemoryStore};
    /// use tower_http::cors::CorsLayer;
    ///
    /// # futures::executor::block_on(async {
    /// let guard = ServiceBuilder::new()
    ///     .layer(ApiKeyLayer::new(MemoryStore::new()).allow_preflight())
    ///     .layer(CorsLayer::permissive());
    /// let app: Router = Router::new().route("/", get(async || "hello")).layer(guard);
    ///
    /// let asks_for_leave = Request::options("/")
    ///     .header("Origin", "https://app.example")
    ///     .header("Access-Control-Request-Method", "GET");
    /// assert_eq!(app.clone().oneshot(asks_for_leave.body(Body::empty())?).await?.status(), 200);
    /// let comes_in = Request::get("/").header("Origin", "https://app.example");
    /// assert_eq!(app.oneshot(comes_in.body(Body::empty())?).await?.status(), 401);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn allow_preflight(self) -> Self {
        self.with(|settings| settings.preflight = true)
    }

    /// Refuses gRPC calls in the form that gRPC clients understand: HTTP 200, and in the headers the
    /// `grpc-status` and the documented text as `grpc-message`. Other requests are answered as ever.
    ///
    /// | reply | `grpc-status` |
    /// |---|---|
    /// | 401 | 16, `UNAUTHENTICATED` |
    /// | 403 | 7, `PERMISSION_DENIED` |
    /// | 404 | 12, `UNIMPLEMENTED` |
    /// | 429 | 8, `RESOURCE_EXHAUSTED` |
    /// | 500 | 13, `INTERNAL` |
    /// | 503 | 14, `UNAVAILABLE` |
    ///
    /// A call is told by its content type, `application/grpc` or `application/grpc-web` with whatever suffix. A
    /// [renderer](Self::render_with) is not asked about it.
    ///
    /// ```no_run
    /// use tonic::transport::Server;
    /// use tower_api_key::{ApiKeyLayer, BoxError, KeyStore};
    ///
    /// async fn serve(keys: impl KeyStore) -> Result<(), BoxError> {
    ///     let (_reporter, health) = tonic_health::server::health_reporter();
    ///     let server = Server::builder().layer(ApiKeyLayer::new(keys).grpc()).add_service(health);
    ///     Ok(server.serve("127.0.0.1:50051".parse()?).await?)
    /// }
    /// ```
    pub fn grpc(self) -> Self {
        self.with(|settings| settings.grpc = true)
    }

    /// Answers 429 to a client whose attempts fail more often than this window allows, until it has waited.
    ///
    /// An attempt fails when a credential is presented and the answer would be 401. Attempts are counted by the
    /// address of the client, IPv6 by its /64, which a [`ClientLayer`](crate::transport::ClientLayer) further out
    /// must tell; without it, failed attempts are answered with 500 and the log says so.
    ///
    /// It is asked after the verdict, and only about failures. So a good key is let in however often others fail at
    /// the same address, and nobody can lock a key that is not theirs. The price: each attempt is looked up all the
    /// same, and whoever guesses a good key is let in. A key of 128 random bits is not guessed, and what keeps
    /// lookups off the store is `CachedStore`, or a [`ThrottleLayer`](crate::throttle::ThrottleLayer) outside this
    /// layer, which refuses good keys as well. While it is throttled, a client does not hear that its key has
    /// expired.
    ///
    /// ```
    /// use std::num::NonZeroU32;
    /// use std::time::Duration;
    /// use tower_api_key::throttle::SlidingWindow;
    /// # use tower_api_key::{ApiKeyLayer, MemoryStore};
    ///
    /// let ten_a_minute = SlidingWindow::new(NonZeroU32::new(10).unwrap(), Duration::from_secs(60));
    /// ApiKeyLayer::new(MemoryStore::new()).throttle_failures(ten_a_minute);
    /// ```
    #[cfg(feature = "throttle")]
    pub fn throttle_failures(self, window: crate::throttle::SlidingWindow<crate::transport::ClientNetwork>) -> Self {
        self.with(|settings| settings.failures = Some(crate::throttle::FailedAttempts::new(window)))
    }

    /// For layers that stand around this one.
    #[cfg(feature = "transport")]
    pub(crate) fn refuser(&self) -> super::refuser::Refuser {
        super::refuser::Refuser::new(&self.settings)
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<S> Layer<S> for ApiKeyLayer {
    type Service = ApiKeyService<S>;

    fn layer(&self, inner: S) -> ApiKeyService<S> {
        ApiKeyService::new(inner, Arc::clone(&self.settings))
    }
}

impl fmt::Debug for ApiKeyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyLayer")
            .field("header", &self.settings.source.header)
            .field("requirement", &self.settings.requirement)
            .field("lookup_timeout", &self.settings.lookup_timeout)
            .finish_non_exhaustive()
    }
}

/// A realm was empty, longer than 128 bytes, or had a character that a quoted string cannot hold as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a realm is 1 to 128 printable ASCII characters without '\"' and '\\'")]
pub struct InvalidRealm;
