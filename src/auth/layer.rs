use std::fmt;
use std::sync::{Arc, Once};
use std::time::Duration;

use bytes::Bytes;
use http::{Extensions, HeaderName, Response, Uri};
use tower_layer::Layer;

use super::config::{Config, Configs};
use super::credential::Sources;
use super::legacy::{LegacyKeysError, LegacyVerifier, Verifications};
use super::limit::{Limiter, both};
use super::lookup::GuardedStore;
use super::per_thread::PerThread;
use super::service::ApiKeyService;
use super::streams::OpenStreams;
use crate::credential::{CredentialSource, Kind};
use crate::identity::Identity;
use crate::key::KeyFormat;
use crate::manage::manager::KeyManager;
use crate::observe::{DecisionEvent, Hook};
use crate::rejection::{Realm, RejectedRequest, Responder};
use crate::request::RequestHead;
use crate::scope::Requirement;
use crate::store::{KeyBackend, KeyStore, StoreId};
use crate::time::{Clock, SystemClock};
use crate::usage::UsageTracker;

/// Authenticates requests by API key and rejects the others.
///
/// By default it reads `X-Avala-Api-Key`, removes that header from the request, accepts any valid key, waits at most one
/// second for a store that must be awaited, and keeps shared caches from serving a response to
/// [another client](Self::without_cache_control).
///
/// It has no type parameters and wraps any service of `http` requests whose responses have a body of [`Bytes`]. Cloning it
/// is cheap, and a clone shares the store.
///
/// ```
/// use http::{Request, Response, StatusCode};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use tower_api_key::scope::avala;
/// use tower_api_key::{Access, ApiKeyLayer, KeyManager, MemoryStore, NewKey};
/// # type Error = Box<dyn std::error::Error>;
/// # use std::convert::Infallible;
///
/// # futures::executor::block_on(async {
/// let store = MemoryStore::new();
/// let new = NewKey::new("reader", Access::scoped([avala::DATASETS_READ]))?;
/// let issued = KeyManager::new(store.clone()).issue(&"acme".parse()?, new).await?;
///
/// let service = ServiceBuilder::new()
///     .layer(ApiKeyLayer::new(store).require(avala::DATASETS_READ))
///     .service(service_fn(|_: Request<String>| async { Ok::<_, Infallible>(Response::new(String::new())) }));
///
/// let request = Request::builder().header("X-Avala-Api-Key", issued.secret.expose_secret()).body(String::new())?;
/// assert_eq!(service.clone().oneshot(request).await?.status(), StatusCode::OK);
/// let request = Request::new(String::new());
/// assert_eq!(service.oneshot(request).await?.status(), StatusCode::UNAUTHORIZED);
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
///
/// # Layers inside layers
///
/// An inner layer skips only what an outer one has done in the same way:
///
/// | step of the inner layer | skipped if |
/// |---|---|
/// | read the credential, look it up | the outer layer has authenticated the request, and both layers have the same store, sources and formats |
/// | decide whether the key is valid, by the own clock | never |
/// | call the functions of `accept_identity` | never, for a request in which this layer finds no key |
/// | route table, `require`, `require_fn` | never |
/// | call a hook of `on_decision` | an outer layer calls the same hook: a clone of it, or a function without state |
/// | count the use of the key | an outer layer has counted this key in the same [`UsageTracker`] |
/// | count a failed attempt | never: each layer counts the attempts that it rejects |
/// | accept public, anonymous and preflight requests | never |
///
/// A layer that must read the credential itself needs [`keep_header`](Self::keep_header) on an outer layer which reads the
/// same header. Without it, the response to a request with a credential is 500 and the log names the mistake. So it is
/// where the outer layer has accepted the request without a key, as on a public route. Each layer rejects in its own form,
/// and the events of the outer layers report the rejection.
#[derive(Clone)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct ApiKeyLayer {
    config: Configs,
}

impl ApiKeyLayer {
    /// Returns a layer that looks keys up in this store.
    pub fn new(store: impl KeyStore) -> Self {
        let header = CredentialSource::header(HeaderName::from_static("x-avala-api-key"));
        let usage = store.usage_sink().map(UsageTracker::of);
        let store_id = store.id().unwrap_or_else(StoreId::new);
        let store: Arc<dyn GuardedStore> = Arc::new(store);
        let config = Config {
            streams: Arc::new(OpenStreams::new(Arc::clone(&store))),
            store_id,
            store,
            source: Sources::new([header]),
            legacy: None,
            requirement: Requirement::any_key(),
            require_fn: None,
            path_from: None,
            routes: None,
            limit: None,
            failures: None,
            lookup_timeout: Some(Duration::from_secs(1)),
            clock: Arc::new(SystemClock),
            outage: Arc::default(),
            limit_outage: Arc::default(),
            hooks: None,
            usage,
            cache_control: true,
            identify: None,
            anonymous: false,
            preflight: false,
            expose_route: false,
            responder: Responder::documented(),
            missing_client: Arc::new(Once::new()),
        };
        Self { config: Arc::new(PerThread::new(config)) }
    }

    /// Requires this of every key, in place of an earlier requirement.
    ///
    /// ```
    /// # use tower_api_key::{ApiKeyLayer, MemoryStore, Requirement};
    /// # use tower_api_key::scope::avala;
    /// # let keys = MemoryStore::new();
    /// ApiKeyLayer::new(keys.clone()).require(avala::EXPORTS_CREATE);
    /// ApiKeyLayer::new(keys).require(Requirement::any_of([avala::TASKS_READ, avala::PROJECTS_READ]));
    /// ```
    pub fn require(self, requirement: impl Into<Requirement>) -> Self {
        let requirement = requirement.into();
        self.with(|config| config.requirement = requirement)
    }

    /// Adds a requirement computed from each request to the one set by [`require`](Self::require): for a service without a
    /// router. It is called for valid keys only. Replaces an earlier function.
    ///
    /// ```
    /// # use tower_api_key::{ApiKeyLayer, MemoryStore, Requirement};
    /// # use tower_api_key::scope::avala;
    /// # let keys = MemoryStore::new();
    /// ApiKeyLayer::new(keys).require_fn(|request| match (request.method().as_str(), request.path()) {
    ///     ("GET" | "HEAD", "/datasets/") => avala::DATASETS_READ.into(),
    ///     ("POST", "/datasets/") => avala::DATASETS_WRITE.into(),
    ///     // Unlisted routes take full access.
    ///     _ => Requirement::full_access(),
    /// });
    /// ```
    pub fn require_fn<F>(self, requirement: F) -> Self
    where
        F: Fn(RequestHead<'_>) -> Requirement + Send + Sync + 'static,
    {
        self.with(|config| config.require_fn = Some(Arc::new(requirement)))
    }

    /// Reads the path where this function finds it, for the route table and for [`require_fn`](Self::require_fn): for a layer
    /// inside a router that removes a prefix from the path. Replaces an earlier function.
    ///
    /// The function gets the extensions of the request. Where it returns `None`, the path is that of the target. The target
    /// must have the same path without a prefix; otherwise the response is 404 (401 without a valid key).
    ///
    /// Without this call, a table on a layer inside axum's `nest` is rejected in the same way where it lists the full path,
    /// and the log names the line, once (feature `axum`). A table of paths without the prefix works; if some of its lines
    /// match full paths too, declare it with `path_from(|_| None)`.
    ///
    /// ```
    /// # #[cfg(all(feature = "axum", feature = "routes"))] {
    /// use axum::{Router, routing::get};
    /// use http::Method;
    /// use tower_api_key::routes::RouteTable;
    /// use tower_api_key::{ApiKeyLayer, MemoryStore, Requirement, axum::original_uri};
    ///
    /// let table = RouteTable::builder().route(Method::GET, "/api/items/", Requirement::any_key()).build()?;
    /// let guard = ApiKeyLayer::new(MemoryStore::new()).routes(table).path_from(original_uri);
    /// let api = Router::new().route("/items/", get(|| async { "[]" })).layer(guard);
    /// let app: Router = Router::new().nest("/api", api);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn path_from(self, path: fn(&Extensions) -> Option<&Uri>) -> Self {
        self.with(|config| config.path_from = Some(path))
    }

    /// Reads the key from this header, in place of `X-Avala-Api-Key` and any other header. Sources of other kinds stay. For
    /// `Authorization` see [`accept_bearer`](Self::accept_bearer), for several headers [`sources`](Self::sources).
    ///
    /// ```
    /// # use tower_api_key::{ApiKeyLayer, MemoryStore};
    /// use http::HeaderName;
    /// ApiKeyLayer::new(MemoryStore::new()).header(HeaderName::from_static("x-acme-key"));
    /// ```
    pub fn header(self, name: HeaderName) -> Self {
        self.with_sources(|mut sources| {
            sources.retain(|source| !matches!(source.0, Kind::Header(_)));
            sources.insert(0, CredentialSource::header(name));
            sources
        })
    }

    /// Also reads a key from `Authorization: Bearer`, for clients that cannot change yet. A request with both is rejected as
    /// ambiguous.
    pub fn accept_bearer(self) -> Self {
        self.with_sources(|mut sources| {
            sources.push(CredentialSource::bearer());
            sources
        })
    }

    /// Reads the key from one of these sources, in place of all earlier ones. Without a source, no request has a key.
    ///
    /// A request must have exactly one key, over all sources. Each key is removed from the request, or, with
    /// [`keep_header`](Self::keep_header), marked as sensitive. The `WWW-Authenticate` of a 401 names every source.
    ///
    /// ```
    /// # use tower_api_key::{ApiKeyLayer, MemoryStore};
    /// use http::HeaderName;
    /// use tower_api_key::auth::{AuthScheme, CredentialSource};
    ///
    /// ApiKeyLayer::new(MemoryStore::new()).sources([
    ///     CredentialSource::header(HeaderName::from_static("x-acme-key")),
    ///     CredentialSource::authorization(AuthScheme::TOKEN),
    /// ]);
    /// ```
    pub fn sources(self, sources: impl IntoIterator<Item = CredentialSource>) -> Self {
        self.with_sources(|_| sources.into_iter().collect())
    }

    /// Names this document in the `Bearer` challenge, as the `resource_metadata` of a protected resource of OAuth (RFC 9728).
    /// Without a [`bearer`](CredentialSource::bearer) source it has no effect. Replaces an earlier one.
    ///
    /// ```
    /// # use tower_api_key::{ApiKeyLayer, MemoryStore};
    /// use http::Uri;
    /// let metadata = Uri::from_static("https://api.example/.well-known/oauth-protected-resource");
    /// ApiKeyLayer::new(MemoryStore::new()).accept_bearer().resource_metadata(metadata);
    /// ```
    pub fn resource_metadata(self, url: Uri) -> Self {
        self.with(|config| config.responder.challenge = config.responder.challenge.with_resource_metadata(url))
    }

    /// Leaves the key in the request, marked as sensitive: for a proxy that forwards it.
    pub fn keep_header(self) -> Self {
        self.with(|config| config.source.keep = true)
    }

    /// Rejects keys in any other format without a lookup: for a service that issued all its keys itself. By default a key is
    /// opaque, so that keys issued elsewhere work. A second call adds formats.
    ///
    /// A service that accepts live keys alone responds 401 to a test key. A bearer token that begins as none of the formats
    /// does is left in the request, for another authenticator, and counts as no key.
    ///
    /// ```
    /// # use tower_api_key::{ApiKeyLayer, MemoryStore};
    /// use tower_api_key::key::{Environment, KeyFormat};
    ///
    /// let live = KeyFormat::new("acme_live_")?.with_environment(Environment::from_static("live"));
    /// let test = KeyFormat::new("acme_test_")?.with_environment(Environment::from_static("test"));
    /// let production = ApiKeyLayer::new(MemoryStore::new()).require_formats([live.clone()]);
    /// let staging = ApiKeyLayer::new(MemoryStore::new()).require_formats([live, test]);
    /// # Ok::<(), tower_api_key::key::InvalidPrefix>(())
    /// ```
    pub fn require_formats(self, formats: impl IntoIterator<Item = KeyFormat>) -> Self {
        self.with(|config| config.source.formats.extend(formats))
    }

    /// Also accepts the keys of an old table, whatever hash it has: a key in a legacy format that no record has is offered to
    /// this verifier, and a key that the old table knows is imported by this manager. The next request with it is a lookup
    /// like any other. Replaces an earlier verifier.
    ///
    /// - Many requests for one key are one verification and one import. How many verifications run at once, and how many
    ///   keys are remembered as not found, is [bounded](super::LegacyLimits): invented keys slow no known key.
    /// - A verifier that fails, panics or is too busy is a 503, and so is one that has not answered within the
    ///   [`lookup_timeout`](Self::lookup_timeout), in which the lookup before it counts. An import that the rules of the manager
    ///   reject is a 503 too, and the log has the reason.
    /// - After the import, the check is the same for every key. A key that was revoked here, or revoked and purged, is never
    ///   offered again, whatever the old table has.
    /// - The plaintext is kept until the verifier has it, and wiped when the [`LegacyKey`](super::LegacyKey) is dropped. A key
    ///   in no legacy format, or in a format that the manager issues, is hashed at once like any other.
    /// - With [`require_formats`](Self::require_formats), keys in a legacy format are accepted too.
    ///
    /// [`DecisionEvent::legacy`] shows which requests still needed the old table. The guide has verifiers for the tables of
    /// several libraries: [`moving_from_old_keys`](crate::guide::moving_from_old_keys).
    ///
    /// # Errors
    /// [`LegacyKeysError`] when the manager is on another store than the layer, or the verifier has no format. Of a
    /// [`CachedStore`](crate::store::CachedStore), give both the cache.
    ///
    /// ```
    /// use tower_api_key::auth::{LegacyKeysError, LegacyVerifier};
    /// use tower_api_key::{ApiKeyLayer, KeyManager, MemoryStore};
    ///
    /// fn guard(keys: MemoryStore, old_table: impl LegacyVerifier) -> Result<ApiKeyLayer, LegacyKeysError> {
    ///     ApiKeyLayer::new(keys.clone()).legacy_keys(KeyManager::new(keys), old_table)
    /// }
    /// ```
    pub fn legacy_keys<B: KeyBackend>(
        self,
        manager: KeyManager<B>,
        verifier: impl LegacyVerifier,
    ) -> Result<Self, LegacyKeysError> {
        if manager.backend().id() != Some(self.config.get().store_id) {
            return Err(LegacyKeysError::OtherStore);
        }
        let formats = verifier.formats();
        if formats.is_empty() {
            return Err(LegacyKeysError::NoFormats);
        }
        Ok(self.with(|config| {
            config.source.set_legacy(formats.clone());
            config.legacy = Some(Arc::new(Verifications::new(manager, verifier, formats)));
        }))
    }

    /// Sets how long a lookup may take before the response is 503: one second by default, from when the store first makes
    /// the request wait. A [limiter](Self::limit) gets what is left of it.
    ///
    /// The timer is tokio's. On a runtime without it, every lookup that waits ends in a 503 whose cause is in the log; there,
    /// use [`without_lookup_timeout`](Self::without_lookup_timeout).
    pub fn lookup_timeout(self, timeout: Duration) -> Self {
        self.with(|config| config.lookup_timeout = Some(timeout))
    }

    /// Waits for the store without a limit: for a store with its own timeout, or without tokio.
    pub fn without_lookup_timeout(self) -> Self {
        self.with(|config| config.lookup_timeout = None)
    }

    /// Checks expiry by this clock, in place of the system's.
    pub fn clock(self, clock: impl Clock) -> Self {
        self.with(|config| config.clock = Arc::new(clock))
    }

    /// Sets the realm in `WWW-Authenticate`, `api` by default.
    pub fn realm(self, realm: Realm) -> Self {
        self.with(|config| config.responder.challenge = config.responder.challenge.with_realm(realm))
    }

    /// Renders rejections in another form than the documented JSON. Replaces an earlier renderer.
    ///
    /// `Cache-Control: no-store` is added to a response without `Cache-Control`, and the challenge to a 401 without one. What
    /// shared caches may store is [restricted](Self::without_cache_control) as for accepted requests. A
    /// panic in the renderer propagates; it never accepts a request.
    ///
    /// ```
    /// # use tower_api_key::{ApiKeyLayer, MemoryStore};
    /// ApiKeyLayer::new(MemoryStore::new()).rejection_response(|rejected| {
    ///     let mut response = rejected.response();
    ///     *response.body_mut() = format!("{}\n", rejected.rejection().detail()).into();
    ///     response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/plain"));
    ///     response
    /// });
    /// ```
    pub fn rejection_response<F>(self, renderer: F) -> Self
    where
        F: Fn(&RejectedRequest<'_>) -> Response<Bytes> + Send + Sync + 'static,
    {
        self.with(|config| config.responder.renderer = Some(Arc::new(renderer)))
    }

    /// Calls this hook with exactly one event for each request: when the response head is there, or when the request is
    /// dropped. A second hook is called after the first. A hook runs on the request's own task and must not block. A panic
    /// of a hook propagates after the other hooks were called.
    ///
    /// ```
    /// # use tower_api_key::{ApiKeyLayer, MemoryStore};
    /// use tower_api_key::observe::Outcome;
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
        self.with(|config| {
            let earlier = config.hooks.iter().flat_map(|hooks| hooks.iter().cloned());
            config.hooks = Some(earlier.chain([Hook::new(hook)]).collect());
        })
    }

    /// Shows the value of this request header to hooks and renderers as the id of the request. An outer layer, such as
    /// tower-http's `SetRequestIdLayer`, or a proxy sets the header. Replaces an earlier one.
    ///
    /// ```
    /// # use tower_api_key::{ApiKeyLayer, MemoryStore};
    /// use http::HeaderName;
    /// ApiKeyLayer::new(MemoryStore::new()).request_id_header(HeaderName::from_static("x-request-id"));
    /// ```
    pub fn request_id_header(self, name: HeaderName) -> Self {
        self.with(|config| config.responder.request_id = Some(name))
    }

    /// Counts the uses of each key, by the rule of [`UsageTracker`]. Replaces an earlier tracker, and
    /// the [sink](KeyStore::usage_sink) of a store that keeps usage by itself.
    pub fn track_usage(self, tracker: &UsageTracker) -> Self {
        self.with(|config| config.usage = Some(tracker.clone()))
    }

    /// Puts the [`Rejection`](crate::Rejection) into the extensions of the response, for outer layers. Off by default: it
    /// costs three allocations.
    pub fn expose_rejection(self) -> Self {
        self.with(|config| config.responder.expose = true)
    }

    /// Counts the requests of valid keys, before it checks what the key may do: a 403 or 404 counts too, and has the headers
    /// of the limit. A request beyond the limit gets the documented 429 with `Retry-After` in whole seconds.
    ///
    /// Public routes, CORS preflights and requests with an invalid key do not count. Anonymous requests count as
    /// [`LimitCaller::Anonymous`](super::LimitCaller::Anonymous), requests with the identity of an outer authenticator as
    /// [`LimitCaller::Identity`](super::LimitCaller::Identity). A request that is dropped while it waits for the limiter may
    /// be counted. The layer waits for the store and the limiter no longer than the
    /// [`lookup_timeout`](Self::lookup_timeout) together.
    ///
    /// A second call adds a limiter: a request must be within both. A request that is rejected by the second one may be
    /// counted by the first.
    ///
    /// ```
    /// # #[cfg(feature = "throttle")] {
    /// # use tower_api_key::{ApiKeyLayer, MemoryStore};
    /// use tower_api_key::auth::Limit;
    /// use tower_api_key::throttle::LimitRule;
    ///
    /// let plan = [Limit::per_minute(100), Limit::per_day(5_000)];
    /// ApiKeyLayer::new(MemoryStore::new()).limit(LimitRule::per_key(plan));
    /// # }
    /// ```
    pub fn limit(self, limiter: impl Limiter) -> Self {
        self.with(|config| {
            let limiter: Arc<dyn Limiter> = Arc::new(limiter);
            config.limit = Some(match config.limit.take() {
                Some(earlier) => both(earlier, limiter),
                None => limiter,
            });
        })
    }

    /// Responds 429 to a client whose attempts fail more often than this limiter allows. Replaces an earlier limiter.
    ///
    /// An attempt fails when a credential is presented and the response would be 401. Only failures count, so a valid key is
    /// never throttled, and no client can lock out another's key; each attempt still costs a lookup.
    /// [`CachedStore`](crate::store::CachedStore) keeps lookups off the database, and a
    /// [`ThrottleLayer`](crate::throttle::ThrottleLayer) outside this layer limits valid keys as well. A throttled client
    /// does not learn that its key has expired.
    ///
    /// The limiter gets [`LimitCaller::Unknown`](super::LimitCaller::Unknown).
    /// [`LimitRule::per_client`](crate::throttle::LimitRule::per_client) counts by the client's network and requires an outer
    /// [`ClientInfoLayer`](crate::transport::ClientInfoLayer).
    ///
    /// ```
    /// # #[cfg(feature = "throttle")] {
    /// # use tower_api_key::{ApiKeyLayer, MemoryStore};
    /// use tower_api_key::auth::Limit;
    /// use tower_api_key::throttle::LimitRule;
    ///
    /// ApiKeyLayer::new(MemoryStore::new()).throttle_failures(LimitRule::per_client(Limit::per_minute(10)));
    /// # }
    /// ```
    pub fn throttle_failures(self, limiter: impl Limiter) -> Self {
        self.with(|config| config.failures = Some(Arc::new(limiter)))
    }

    /// Puts the [`MatchedRoute`](crate::request::MatchedRoute) of the route table into the extensions of each response whose
    /// route is listed, for outer layers: around the router, axum has not matched the request yet. Off by default: it costs
    /// a few allocations.
    ///
    /// Events, renderers and handlers know the route without this call: see
    /// [`DecisionEvent::matched_route`](crate::observe::DecisionEvent::matched_route) and
    /// [`ApiKey::matched_route`](crate::ApiKey::matched_route).
    ///
    /// ```
    /// # #[cfg(feature = "routes")] {
    /// use axum::{Router, response::Response, routing::get};
    /// use http::Method;
    /// use tower::ServiceBuilder;
    /// use tower_api_key::request::MatchedRoute;
    /// use tower_api_key::routes::RouteTable;
    /// use tower_api_key::{ApiKeyLayer, MemoryStore, Requirement};
    ///
    /// let table = RouteTable::builder().route(Method::GET, "/items/{id}", Requirement::any_key()).build()?;
    /// let guarded = ServiceBuilder::new()
    ///     .map_response(|response: Response| {
    ///         let route = response.extensions().get::<MatchedRoute>().map_or("unlisted", MatchedRoute::as_str);
    ///         println!("requests_total{{route={route:?}}}");
    ///         response
    ///     })
    ///     .map_response(|response: http::Response<_>| response.map(axum::body::Body::new))
    ///     .layer(ApiKeyLayer::new(MemoryStore::new()).routes(table).expose_route())
    ///     .service(Router::new().route("/items/{id}", get(|| async { "item" })));
    /// let app: Router = Router::new().fallback_service(guarded);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expose_route(self) -> Self {
        self.with(|config| config.expose_route = true)
    }

    /// Leaves the headers that caches read as they are, in responses to accepted requests. The handler, or an outer layer,
    /// must then keep the response to one client from the others.
    ///
    /// By default, except on public routes:
    ///
    /// | the handler sets | the layer adds |
    /// |---|---|
    /// | no `Cache-Control` | `Cache-Control: private` |
    /// | `public` or `s-maxage`, to share the response | `Vary` with the names of the credential headers |
    /// | `private` | `Vary` |
    /// | `no-store` | nothing |
    /// | anything else, or what is malformed | `private` in front, and `Vary` |
    /// | `Expires`, `ETag`, `Last-Modified` | `Vary` |
    /// | `CDN-Cache-Control` | as to `Cache-Control` |
    /// | `Surrogate-Control`, `Edge-Control` | `no-store` in front, unless `Cache-Control` shares the response |
    /// | `X-Accel-Expires` | removed, unless `Cache-Control` shares the response |
    ///
    /// Shared caches do not treat a custom header as a credential, and many store responses to requests with
    /// `Authorization`, although they must not (RFC 9111, 3.5). A shared cache that ignores `Vary`, as some CDNs do, serves
    /// a `public` response to everyone.
    pub fn without_cache_control(self) -> Self {
        self.with(|config| config.cache_control = false)
    }

    /// Also accepts requests without a key on routes that require no scope. Elsewhere they get the 401. A key that is
    /// presented must be valid anyway.
    ///
    /// A handler takes an `Option<ApiKey>` with the `axum` feature, and otherwise reads the extensions. An inner
    /// [`RequireScopesLayer`](super::RequireScopesLayer) rejects anonymous requests, also where it requires
    /// [any key](Requirement::any_key).
    ///
    /// ```
    /// use http::{Request, Response, StatusCode};
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    /// use tower_api_key::{ApiKey, ApiKeyLayer, MemoryStore};
    /// # use std::convert::Infallible;
    ///
    /// # futures::executor::block_on(async {
    /// let service = ServiceBuilder::new().layer(ApiKeyLayer::new(MemoryStore::new()).allow_anonymous()).service(service_fn(
    ///     |request: Request<String>| async move {
    ///         let name = request.extensions().get::<ApiKey>().map_or("anonymous", |key| key.organization().as_str());
    ///         Ok::<_, Infallible>(Response::new(name.to_owned()))
    ///     },
    /// ));
    /// let response = service.clone().oneshot(Request::new(String::new())).await?;
    /// assert_eq!(response.status(), StatusCode::OK);
    ///
    /// let invalid = Request::builder().header("X-Avala-Api-Key", "invalid").body(String::new())?;
    /// assert_eq!(service.oneshot(invalid).await?.status(), StatusCode::UNAUTHORIZED);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn allow_anonymous(self) -> Self {
        self.with(|config| config.anonymous = true)
    }

    /// Also accepts a request without a key that carries the identity of an outer authenticator: a session, a JWT or a client
    /// certificate. The identity needs what a key needs on the route. A second call adds a function, which is called if the
    /// earlier ones return `None`.
    ///
    /// The function gets the extensions of the request, which no client can write. The outer layer verifies what the client
    /// sent, and puts what it has established there. A panic of the function propagates; it never accepts a request.
    ///
    /// | request | decides |
    /// |---|---|
    /// | one key, with or without an identity | the key: an invalid one is rejected |
    /// | several keys | a 401 |
    /// | no key, an identity | the access of the identity: the 403 and 404 of a key |
    /// | neither | a 401, or [`allow_anonymous`](Self::allow_anonymous) |
    ///
    /// A [`Bearer`](Self::accept_bearer) token is a key, unless [`require_formats`](Self::require_formats) names the formats
    /// of keys and the token begins as none of them does.
    ///
    /// Handlers take a [`Caller`](super::Caller). Events have the [identity](DecisionEvent::identity), limits count it as
    /// [`LimitCaller::Identity`](super::LimitCaller::Identity), and
    /// [`RouteTableOpenApi::or_scheme`](crate::routes::RouteTableOpenApi::or_scheme) documents it. The `Vary` of a response that
    /// is [shared](Self::without_cache_control) also has `Authorization` and `Cookie`. An inner layer accepts the identities of
    /// its own function alone.
    ///
    /// ```
    /// use http::Request;
    /// use tower::{Layer, ServiceExt, service_fn};
    /// use tower_api_key::auth::{Caller, Identity};
    /// use tower_api_key::scope::avala;
    /// use tower_api_key::{Access, ApiKeyLayer, MemoryStore};
    /// # use http::Response;
    /// # use std::convert::Infallible;
    ///
    /// /// What the outer layer has read from its session.
    /// #[derive(Clone)]
    /// struct Session {
    ///     user: &'static str,
    /// }
    ///
    /// # futures::executor::block_on(async {
    /// let layer = ApiKeyLayer::new(MemoryStore::new()).require(avala::DATASETS_READ).accept_identity(|extensions| {
    ///     let session = extensions.get::<Session>()?;
    ///     let access = Access::scoped([avala::DATASETS_READ]);
    ///     Some(Identity::new("acme".parse().ok()?, access, session.user))
    /// });
    /// let service = layer.layer(service_fn(|request: Request<String>| async move {
    ///     let caller = Caller::of(request.extensions()).expect("behind the layer");
    ///     Ok::<_, Infallible>(Response::new(caller.organization().to_string()))
    /// }));
    ///
    /// let request = || Request::builder().extension(Session { user: "ada" });
    /// assert_eq!(service.clone().oneshot(request().body(String::new())?).await?.status(), 200);
    /// let invalid = request().header("X-Avala-Api-Key", "invalid").body(String::new())?;
    /// assert_eq!(service.oneshot(invalid).await?.status(), 401);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn accept_identity<F>(self, identity: F) -> Self
    where
        F: Fn(&Extensions) -> Option<Identity> + Send + Sync + 'static,
    {
        self.with(|config| {
            config.identify = Some(match config.identify.take() {
                Some(earlier) => Arc::new(move |extensions| earlier(extensions).or_else(|| identity(extensions))),
                None => Arc::new(identity),
            });
            config.name_credentials();
        })
    }

    /// Accepts CORS preflights without a key, for an inner CORS layer.
    ///
    /// Prefer an outer CORS layer: it answers preflights itself, and scripts can read rejections too.
    ///
    /// A preflight is an `OPTIONS` request with `Origin` and `Access-Control-Request-Method`. If the response to it has no
    /// `Access-Control-Allow-` header, no CORS layer gave it, and the client gets the 401 instead. The response never has a
    /// body.
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
    /// let preflight = Request::options("/")
    ///     .header("Origin", "https://app.example")
    ///     .header("Access-Control-Request-Method", "GET");
    /// assert_eq!(app.clone().oneshot(preflight.body(Body::empty())?).await?.status(), 200);
    /// let request = Request::get("/").header("Origin", "https://app.example");
    /// assert_eq!(app.oneshot(request.body(Body::empty())?).await?.status(), 401);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn allow_preflight(self) -> Self {
        self.with(|config| config.preflight = true)
    }

    /// Rejects gRPC calls in the form that gRPC clients understand: HTTP 200, and in the headers the `grpc-status` and the
    /// documented text as `grpc-message`. Other requests get the usual response.
    ///
    /// | response | `grpc-status` |
    /// |---|---|
    /// | 401 | 16, `UNAUTHENTICATED` |
    /// | 403 | 7, `PERMISSION_DENIED` |
    /// | 404 | 12, `UNIMPLEMENTED` |
    /// | 429 | 8, `RESOURCE_EXHAUSTED` |
    /// | 500 | 13, `INTERNAL` |
    /// | 503 | 14, `UNAVAILABLE` |
    ///
    /// A call has the content type `application/grpc` or `application/grpc-web` with any suffix. A
    /// [renderer](Self::rejection_response) is not called for it.
    ///
    /// ```no_run
    /// use tonic::transport::Server;
    /// use tower_api_key::{ApiKeyLayer, BoxError, KeyStore};
    ///
    /// async fn serve(keys: impl KeyStore) -> Result<(), BoxError> {
    ///     let (_reporter, health) = tonic_health::server::health_reporter();
    ///     let server = Server::builder().layer(ApiKeyLayer::new(keys).grpc_responses()).add_service(health);
    ///     Ok(server.serve("127.0.0.1:50051".parse()?).await?)
    /// }
    /// ```
    pub fn grpc_responses(self) -> Self {
        self.with(|config| config.responder.grpc = true)
    }

    #[cfg(feature = "routes")]
    pub(crate) fn authorizer(self, routes: Arc<dyn super::Authorizer>) -> Self {
        self.with(|config| config.routes = Some(routes))
    }

    /// For layers around this one.
    #[cfg(feature = "transport")]
    pub(crate) fn rejector(&self) -> super::Rejector {
        super::Rejector::new(Arc::clone(&self.config))
    }

    fn with_sources(self, change: impl FnOnce(Vec<CredentialSource>) -> Vec<CredentialSource>) -> Self {
        self.with(|config| {
            config.source.set(change(config.source.list().to_vec()));
            config.responder.challenge = config.responder.challenge.with_sources(config.source.list());
            config.name_credentials();
        })
    }

    pub(super) const fn config(&self) -> &Configs {
        &self.config
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config).get_mut());
        self
    }
}

impl<S> Layer<S> for ApiKeyLayer {
    type Service = ApiKeyService<S>;

    fn layer(&self, inner: S) -> ApiKeyService<S> {
        ApiKeyService::new(inner, Arc::clone(&self.config))
    }
}

impl fmt::Debug for ApiKeyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { source, requirement, lookup_timeout, .. } = self.config.get();
        f.debug_struct("ApiKeyLayer")
            .field("sources", &source.list())
            .field("requirement", requirement)
            .field("lookup_timeout", lookup_timeout)
            .finish_non_exhaustive()
    }
}
