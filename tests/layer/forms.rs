//! A rejection has the form of the key layer, whichever layer or extractor rejects the request: its header, realm,
//! renderer, gRPC form and exposure. The hooks of the key layer get the event.
#![cfg(all(feature = "axum", feature = "routes", feature = "throttle"))]

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_api_key::auth::{MissingApiKey, RequireScopesLayer};
use tower_api_key::client::ClientNetwork;
use tower_api_key::decision::Denial;
use tower_api_key::key::KeyId;
use tower_api_key::observe::Outcome;
use tower_api_key::rejection::{CredentialError, Realm, RejectedRequest};
use tower_api_key::routes::RouteTable;
use tower_api_key::scope::avala;
use tower_api_key::throttle::{self, Hit, LimitRule, MemoryLimits, Subject, ThrottleLayer};
use tower_api_key::transport::{ClientInfoLayer, Connection, RequireHttpsLayer};
use tower_api_key::{Access, ApiKey, ApiKeyLayer, BoxError, MemoryStore, Rejection, Requirement};

use crate::support::keys::KEY;
use crate::support::log_lines::{record_log, take_log};
use crate::support::seen::Seen;
use crate::support::store::store;

/// Each place of a rejection, each kind of request and each combination of options.
#[tokio::test]
async fn rejection_has_key_layer_form_wherever_made() {
    let mut compared = 0;
    for form in Form::all() {
        for place in Place::ALL {
            for call in [Call::Get, Call::Head, Call::Grpc] {
                let context = format!("{place:?} {call:?} {form:?}");
                let (events, handled) = (Events::default(), Arc::default());
                let service = place.around(&events.report(form.layer()), &handled);
                let response = service.oneshot(form.request(place, call)).await.unwrap();

                let exposed = response.extensions().get().copied();
                assert_eq!(exposed, form.exposes.then_some(place.rejection()), "{context}");
                let seen = seen(response).await;
                assert_eq!(seen, form.expected(place, call), "{context}");
                let event = (Outcome::Rejected(place.rejection()), Some(seen.status));
                assert_eq!(events.take(), [(1, event), (2, event)], "{context}");
                assert_eq!(handled.load(Ordering::SeqCst), 0, "{context}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 16 * 13 * 3);
}

/// Without `reject_as`, a limit outside the key layer has no form to use: the table above detects the difference.
#[tokio::test]
async fn limit_outside_without_reject_as_is_documented() {
    let form = Form { names: true, renders: true, grpc: true, exposes: true };
    let (place, documented) = (Place::LimitOutside, Form::default());
    for call in [Call::Get, Call::Head, Call::Grpc] {
        let (events, handled) = (Events::default(), Arc::default());
        let keys = events.report(form.layer());
        let limit = ThrottleLayer::new(per_client()).clock(time_of_day);
        let service = ClientInfoLayer::new().layer(limit.layer(keys.layer(handler(&handled))));
        let response = service.oneshot(form.request(place, call)).await.unwrap();
        assert_eq!(response.extensions().get::<Rejection>(), None, "{call:?}");
        let seen = seen(response).await;
        assert_eq!(seen, documented.expected(place, call), "{call:?}");
        assert_ne!(seen, form.expected(place, call), "{call:?}");
        assert_eq!(events.take(), [], "{call:?}");
    }
}

/// On a public route and for an anonymous request: the 401 of the layer.
#[tokio::test]
async fn extractor_error_is_missing_without_a_key() {
    for place in [Place::ExtractorOnPublicRoute, Place::ExtractorOfAnonymous] {
        let form = Form::default();
        let keys = place.open(form.layer());
        let service = keys.layer(Router::new().fallback(code));
        let response = service.oneshot(form.request(place, Call::Get)).await.unwrap();
        assert_eq!(seen(response).await.body, "missing: the request has no API key", "{place:?}");
    }
}

#[tokio::test]
async fn extractor_without_key_layer_is_500_and_logged() {
    let form = Form::default();
    let request = || form.request(Place::Scopes, Call::Get);
    for handler in [Router::new().fallback(handle), Router::new().fallback(handle_any)] {
        record_log();
        let response = handler.oneshot(request()).await.unwrap();
        let expected = Seen::new(500, [JSON, NO_STORE], r#"{"detail":"Internal server error."}"#);
        assert_eq!(seen(response).await, expected);
        let [line] = &take_log()[..] else { panic!("one line is expected") };
        for part in ["ERROR ", "a handler takes an ApiKey", "no ApiKeyLayer is outside it", "answering 500"] {
            assert!(line.contains(part), "{part:?} in {line}");
        }
    }
    let response = Router::new().fallback(code).oneshot(request()).await.unwrap();
    assert!(seen(response).await.body.starts_with(b"misconfigured: "));
}

const JSON: &str = "content-type: application/json";
const NO_STORE: &str = "cache-control: no-store";
/// The seconds of the window of each limit.
const WINDOW: u64 = 60;
/// Unix time of each limit.
const NOW: u64 = 1_700_000_000;

/// The options of a key layer that change its rejections.
#[derive(Clone, Copy, Debug, Default)]
struct Form {
    /// It has a header and a realm of its own.
    names: bool,
    renders: bool,
    grpc: bool,
    exposes: bool,
}

impl Form {
    fn all() -> impl Iterator<Item = Self> {
        (0..16).map(|bits| Self {
            names: bits & 1 > 0,
            renders: bits & 2 > 0,
            grpc: bits & 4 > 0,
            exposes: bits & 8 > 0,
        })
    }

    /// Knows [`KEY`], which may read datasets.
    fn layer(self) -> ApiKeyLayer {
        let mut layer = ApiKeyLayer::new(store(Access::scoped([avala::DATASETS_READ])));
        if self.names {
            layer = layer.realm(Realm::from_static("acme")).header(HeaderName::from_static("x-acme-key"));
        }
        if self.renders {
            layer = layer.rejection_response(render);
        }
        if self.grpc {
            layer = layer.grpc_responses();
        }
        if self.exposes {
            layer = layer.expose_rejection();
        }
        layer
    }

    fn request(self, place: Place, call: Call) -> Request<Body> {
        let name = if self.names { "x-acme-key" } else { "x-avala-api-key" };
        let mut request = Request::builder().method(call.method()).uri("/datasets/");
        if let Some(key) = place.key() {
            request = request.header(name, key);
        }
        if call == Call::Grpc {
            request = request.header(CONTENT_TYPE, "application/grpc+proto");
        }
        request.extension(Connection::plain(ADDRESS)).body(Body::empty()).unwrap()
    }

    /// The oracle.
    fn expected(self, place: Place, call: Call) -> Seen {
        let expected = place.expected();
        let (mut status, mut body) = (expected.status, format!(r#"{{"detail":"{}"}}"#, expected.detail));
        let mut lines = vec![NO_STORE.to_owned()];
        if place.limit() == Limit::WithHeaders {
            lines.extend(["x-ratelimit-limit: 1".to_owned(), "x-ratelimit-remaining: 0".to_owned()]);
            lines.push(format!("x-ratelimit-reset: {}", NOW + WINDOW));
        }
        if self.grpc && call == Call::Grpc {
            (status, body) = (200, String::new());
            lines.push("content-type: application/grpc".to_owned());
            lines.extend([format!("grpc-status: {}", expected.grpc), format!("grpc-message: {}", expected.detail)]);
        } else {
            if self.renders {
                body = format!("{} {} /datasets/", expected.code, call.method());
                lines.push("content-type: text/plain".to_owned());
            } else {
                lines.push(JSON.to_owned());
                lines.extend((status == 429).then(|| format!("retry-after: {WINDOW}")));
            }
            let (realm, header) = if self.names { ("acme", "X-Acme-Key") } else { ("api", "X-Avala-Api-Key") };
            let challenge = format!(r#"www-authenticate: ApiKey realm="{realm}", header="{header}""#);
            lines.extend((status == 401).then_some(challenge));
        }
        if call == Call::Head {
            lines.push(format!("content-length: {}", body.len()));
            body.clear();
        }
        Seen::new(status, lines.iter().map(String::as_str), body)
    }
}

/// Nothing but the content type: the layer adds the headers that are required.
fn render(rejected: &RejectedRequest<'_>) -> Response<Bytes> {
    let (rejection, request) = (rejected.rejection(), rejected.request());
    let mut response = Response::new(format!("{} {} {}", rejection.code(), request.method(), request.path()).into());
    *response.status_mut() = rejection.status();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Get,
    Head,
    Grpc,
}

impl Call {
    fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Head => Method::HEAD,
            Self::Grpc => Method::POST,
        }
    }
}

/// What rejects the request, and where.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Scopes,
    ScopesOfAnonymous,
    ScopesOnPublicRoute,
    LimitPerKey,
    LimitPerClientInside,
    LimitOfAnonymous,
    /// With `reject_as` of another layer, which has no effect inside the key layer.
    LimitInsideAsAnother,
    LimitOutside,
    LimitOfFailures,
    HttpsOutside,
    /// Of another layer, which has no effect inside the key layer.
    HttpsInside,
    ExtractorOnPublicRoute,
    ExtractorOfAnonymous,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    None,
    WithoutHeaders,
    WithHeaders,
}

/// How a rejection is documented.
struct Documented {
    code: &'static str,
    status: u16,
    grpc: u8,
    detail: String,
}

impl Place {
    const ALL: [Self; 13] = [
        Self::Scopes,
        Self::ScopesOfAnonymous,
        Self::ScopesOnPublicRoute,
        Self::LimitPerKey,
        Self::LimitPerClientInside,
        Self::LimitOfAnonymous,
        Self::LimitInsideAsAnother,
        Self::LimitOutside,
        Self::LimitOfFailures,
        Self::HttpsOutside,
        Self::HttpsInside,
        Self::ExtractorOnPublicRoute,
        Self::ExtractorOfAnonymous,
    ];

    fn key(self) -> Option<&'static str> {
        match self {
            Self::ScopesOfAnonymous
            | Self::ScopesOnPublicRoute
            | Self::LimitOfAnonymous
            | Self::ExtractorOnPublicRoute
            | Self::ExtractorOfAnonymous => None,
            Self::LimitOfFailures => Some("unknown"),
            _ => Some(KEY),
        }
    }

    fn limit(self) -> Limit {
        match self {
            Self::LimitPerKey
            | Self::LimitPerClientInside
            | Self::LimitOfAnonymous
            | Self::LimitInsideAsAnother
            | Self::LimitOutside => Limit::WithHeaders,
            Self::LimitOfFailures => Limit::WithoutHeaders,
            _ => Limit::None,
        }
    }

    fn rejection(self) -> Rejection {
        match self {
            _ if self.limit() != Limit::None => Rejection::Throttled { retry_after: WINDOW },
            Self::HttpsOutside | Self::HttpsInside => Rejection::HttpsRequired,
            Self::Scopes => Denial::InsufficientScope.into(),
            _ => CredentialError::Missing.into(),
        }
    }

    fn expected(self) -> Documented {
        let (code, status, grpc, detail) = match self {
            _ if self.limit() != Limit::None => {
                let detail = format!("Request was throttled. Expected available in {WINDOW} seconds.");
                return Documented { code: "throttled", status: 429, grpc: 8, detail };
            }
            Self::HttpsOutside | Self::HttpsInside => ("https_required", 403, 7, "HTTPS is required."),
            Self::Scopes => ("insufficient_scope", 403, 7, "You do not have permission to perform this action."),
            _ => ("missing", 401, 16, "Authentication credentials were not provided."),
        };
        Documented { code, status, grpc, detail: detail.to_owned() }
    }

    /// Accepts the request without a key, where it has none.
    fn open(self, keys: ApiKeyLayer) -> ApiKeyLayer {
        match self {
            Self::ScopesOnPublicRoute | Self::ExtractorOnPublicRoute => {
                let table = RouteTable::builder().public(Method::GET, "/datasets/").public(Method::POST, "/datasets/");
                keys.routes(table.build().unwrap())
            }
            Self::ScopesOfAnonymous | Self::LimitOfAnonymous | Self::ExtractorOfAnonymous => keys.allow_anonymous(),
            _ => keys,
        }
    }

    fn around(self, keys: &ApiKeyLayer, handled: &Arc<AtomicUsize>) -> Guarded {
        let (keys, handler) = (self.open(keys.clone()), handler(handled));
        // Another form, without a hook.
        let another = ApiKeyLayer::new(MemoryStore::new()).rejection_response(|_| Response::new("another".into()));
        let limit = || ThrottleLayer::new(per_client()).clock(time_of_day);
        match self {
            Self::Scopes => guarded(keys.layer(RequireScopesLayer::new(avala::DATASETS_WRITE).layer(handler))),
            Self::ScopesOfAnonymous | Self::ScopesOnPublicRoute => {
                guarded(keys.layer(RequireScopesLayer::new(Requirement::any_key()).layer(handler)))
            }
            Self::LimitPerKey => {
                let rule = LimitRule::per_key(ONE).store(exhausted(KeyId::from_u128(1)));
                guarded(keys.layer(ThrottleLayer::new(rule).clock(time_of_day).layer(handler)))
            }
            Self::LimitPerClientInside | Self::LimitOfAnonymous => guarded(keys.layer(limit().layer(handler))),
            Self::LimitInsideAsAnother => guarded(keys.layer(limit().reject_as(&another).layer(handler))),
            Self::LimitOutside => guarded(limit().reject_as(&keys).layer(keys.layer(handler))),
            Self::LimitOfFailures => guarded(keys.throttle_failures(per_client()).layer(handler)),
            Self::HttpsOutside => guarded(RequireHttpsLayer::new(&keys).layer(keys.layer(handler))),
            Self::HttpsInside => guarded(keys.layer(RequireHttpsLayer::new(&another).layer(handler))),
            Self::ExtractorOnPublicRoute | Self::ExtractorOfAnonymous => {
                guarded(keys.layer(Router::new().fallback(handle)))
            }
        }
    }
}

type Guarded = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Behind a layer that knows the client.
fn guarded<S, B>(service: S) -> Guarded
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let service = service.map_response(|response: Response<B>| response.map(Body::new));
    BoxCloneSyncService::new(ClientInfoLayer::new().layer(service))
}

fn handler(
    handled: &Arc<AtomicUsize>,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static
+ use<> {
    let handled = Arc::clone(handled);
    service_fn(move |_: Request<Body>| {
        handled.fetch_add(1, Ordering::SeqCst);
        async { Ok(Response::new(Body::from("handled"))) }
    })
}

async fn handle(_: ApiKey) -> &'static str {
    "handled"
}

async fn handle_any(_: Option<ApiKey>) -> &'static str {
    "handled"
}

/// Shows the error of the extractor.
async fn code(key: Result<ApiKey, MissingApiKey>) -> impl IntoResponse {
    let error = key.unwrap_err();
    let text = error.to_string();
    let rejection = error.rejection();
    assert!(text.ends_with(&rejection.to_string()), "{text}");
    format!("{}: {rejection}", rejection.code())
}

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn network() -> ClientNetwork {
    ClientNetwork::from(ADDRESS)
}

const ONE: throttle::Limit = throttle::Limit::new(1, Duration::from_secs(WINDOW));

fn per_client() -> LimitRule {
    LimitRule::per_client(ONE).store(exhausted(network()))
}

/// The one request of this subject is used. Time does not pass.
fn exhausted(subject: impl Into<Subject>) -> MemoryLimits {
    let start = Instant::now();
    let limits = MemoryLimits::new().with_clock(move || start);
    assert!(limits.acquire(&Hit::new(subject, ONE)).is_allowed());
    limits
}

fn time_of_day() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

/// The number of a hook, and the outcome and status in its event.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<(u8, Event)>>>);

type Event = (Outcome, Option<u16>);

impl Events {
    fn report(&self, layer: ApiKeyLayer) -> ApiKeyLayer {
        [1, 2].into_iter().fold(layer, |layer, number| {
            let Self(events) = self.clone();
            layer.on_decision(move |event| {
                let event = (event.outcome(), event.status().as_ref().map(StatusCode::as_u16));
                events.lock().unwrap().push((number, event));
            })
        })
    }

    fn take(&self) -> Vec<(u8, Event)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// The response, without the `content-length` that axum adds to one with a body.
async fn seen<B>(response: Response<B>) -> Seen
where
    B: http_body::Body<Data = Bytes, Error: fmt::Debug>,
{
    let mut seen = Seen::of(response).await.unwrap();
    let added = format!("content-length: {}", seen.body.len());
    seen.headers.retain(|line| *line != added);
    seen
}
