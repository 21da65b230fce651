//! A canary key is driven through everything that can print something. Its text appears nowhere but where it is
//! shown once, and of its digest there are never more than 8 digits.

use std::convert::Infallible;
use std::fmt::{Debug, Display};
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures::FutureExt;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_api_key::auth::RequireScopesLayer;
use tower_api_key::key::{KeyDigest, KeyFormat, KeyHint, KeyId, KeyRecord, KeySecret};
use tower_api_key::manage::{ImportedKey, ManageError, StoredCredential};
use tower_api_key::observe::DecisionEvent;
use tower_api_key::request::RequestHead;
use tower_api_key::scope::avala;
use tower_api_key::store::{
    BackendError, Cursor, DynKeyBackend, Expiry, InsertRules, KeyBackend, ListKeys, Lookup, NewRecord, Replacement,
};
use tower_api_key::usage::UsageTracker;
use tower_api_key::{
    Access, ApiKey, ApiKeyLayer, BoxError, KeyManager, KeyStore, MemoryStore, NewKey, OrganizationId, Rejection,
    Requirement, Scope,
};
use tower_http::trace::{DefaultMakeSpan, TraceLayer};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::support::awaited::Awaited;
use crate::support::log_lines::record_log;
use crate::support::manage::Manage;
use crate::support::poll::poll;
use crate::support::request::request;

/// Cases: 100.
#[tokio::test]
async fn public_types_never_show_a_key() {
    let canary = Canary::new();
    for (name, text) in printed_types(&canary).await {
        assert!(!text.is_empty(), "{name}: it proves nothing that the key is not in it");
        canary.assert_not_in(name, &text);
    }
}

/// Cases: 100.
/// The answers that show a key show it in one field alone, and only to those who ask.
#[tokio::test]
async fn issued_key_is_not_printed_with_its_record() {
    let keys = MemoryStore::new();
    let issued = keys.manage().issue(&acme(), NewKey::new("canary", Access::Full).unwrap()).await.unwrap();
    let regenerated = keys.manage().regenerate(&acme(), issued.record.id(), Expiry::SameLifetime).await.unwrap();
    for answer in [issued, regenerated] {
        let printed = format!("{answer:?} {answer:#?}");
        Canary::of(answer.secret).assert_not_in("IssuedKey", &printed);
    }
}

/// Cases: 100.
/// Through a whole stack with traces outside and inside, logs and traces at every level, and a renderer, a
/// requirement, a hook and a handler that print whatever they get.
#[tokio::test(start_paused = true)]
async fn request_leaves_no_key_in_any_output() {
    for scenario in Scenario::ALL {
        for keep in [false, true] {
            for awaited in [false, true] {
                let canary = Canary::new();
                let printed = drive(scenario, &canary, keep, awaited).await;
                for (place, text) in printed.texts() {
                    canary.assert_not_in(&format!("{scenario:?}, keep {keep}, awaited {awaited}: {place}"), &text);
                }
                printed.assert_something_was_printed(scenario);
            }
        }
    }
}

/// Cases: 100.
/// A trace outside the layer sees the header as it came. Mark the header as sensitive before another layer reads it, as
/// the test above does.
#[tokio::test]
async fn outer_trace_shows_unmarked_header() {
    let canary = Canary::new();
    let traces = Buffer::default();
    record_log();
    let _guard = traces.subscribe();
    let layer = ApiKeyLayer::new(canary.store(Access::Full).await);
    let service = ServiceBuilder::new().layer(trace()).layer(layer).service(service_fn(print_request));
    service.oneshot(request(canary.text())).await.unwrap();
    assert!(canary.find_in(&traces.take()).is_some());
}

/// Cases: 100.
/// Inside the layer nothing needs to be marked.
#[tokio::test]
async fn inner_trace_does_not_show_the_header() {
    let canary = Canary::new();
    let traces = Buffer::default();
    record_log();
    let _guard = traces.subscribe();
    for layer in [
        ApiKeyLayer::new(canary.store(Access::Full).await),
        ApiKeyLayer::new(canary.store(Access::Full).await).keep_header(),
    ] {
        let service = ServiceBuilder::new().layer(layer).layer(trace()).service(service_fn(print_request));
        let body = print_response(service.oneshot(request(canary.text())).await.unwrap()).await;
        canary.assert_not_in("the handler", &body);
        let traced = traces.take();
        assert!(traced.contains("headers="), "the trace prints headers: {traced}");
        canary.assert_not_in("the trace", &traced);
    }
}

/// Cases: 24, 100.
/// A renderer may print the headers of a rejected request.
#[tokio::test]
async fn kept_credential_is_marked_sensitive() {
    let canary = Canary::new();
    let text = canary.text();
    let bearer = format!("Bearer {text}");
    for headers in [
        vec![("x-avala-api-key", text)],
        vec![("authorization", &bearer)],
        vec![("x-avala-api-key", text), ("authorization", &bearer)],
        vec![("x-avala-api-key", "first"), ("x-avala-api-key", text)],
        vec![("authorization", "Basic eDp5"), ("authorization", &bearer)],
        vec![("x-avala-api-key", text), ("x-avala-api-key", text), ("x-avala-api-key", text)],
    ] {
        let mut request = request("");
        for (name, value) in &headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let printed = Buffer::default();
        let print = printed.clone();
        let layer =
            ApiKeyLayer::new(MemoryStore::new()).keep_header().accept_bearer().rejection_response(move |rejected| {
                print.add(&format!("{:?}", rejected.request().headers()));
                rejected.response()
            });
        layer.layer(service_fn(print_request)).oneshot(request).await.unwrap();
        canary
            .assert_not_in(&format!("{:?}", headers.iter().map(|(name, _)| name).collect::<Vec<_>>()), &printed.take());
    }
}

/// Cases: 100.
/// Where a whole key was stored in the place of its hint.
#[test]
fn hint_of_a_whole_key_does_not_show_the_key() {
    let canary = Canary::new();
    let hint = KeyHint::from_stored(canary.text());
    canary.assert_not_in("KeyHint::from_stored", hint.as_str());
}

/// Cases: 100.
/// Without this, the tests above could pass because nothing is ever found.
#[tokio::test]
async fn scanner_finds_planted_key() {
    let canary = Canary::new();
    let text = canary.text();
    let digest = *canary.secret.digest().as_bytes();
    let hex = hex(&digest);
    for planted in [
        format!("{:?}", request(text)),
        format!("{:?}", request(text).headers()),
        format!("a log line with {text} in it"),
        format!("{:?}", text.as_bytes()),
        text.to_uppercase(),
        text[4..].to_owned(),
        text[8..17].to_owned(),
        hex.clone(),
        hex.to_uppercase(),
        hex[..9].to_owned(),
        hex[20..].to_owned(),
        format!("{digest:?}"),
        format!("{digest:#?}"),
        format!("{digest:02x?}"),
    ] {
        assert!(canary.find_in(&planted).is_some(), "{planted}");
    }
    for allowed in [canary.secret.hint().as_str(), &format!("{:?}", canary.secret.digest()), "avk_"] {
        assert_eq!(canary.find_in(allowed), None, "{allowed}");
    }
}

/// A key, and the pieces of it that must not be printed.
struct Canary {
    secret: KeySecret,
    pieces: Vec<String>,
}

impl Canary {
    /// One piece more than what may be shown: a digest shows 8 digits, a hint the prefix and four characters.
    const PIECE: usize = 9;

    fn new() -> Self {
        Self::of(KeySecret::generate().unwrap())
    }

    fn of(secret: KeySecret) -> Self {
        let text = secret.expose_secret().to_owned();
        let digest = *secret.digest().as_bytes();
        let mut pieces: Vec<String> = Vec::new();
        for text in [text.clone(), hex(&digest)] {
            pieces.extend((0..=text.len() - Self::PIECE).map(|at| text[at..][..Self::PIECE].to_owned()));
        }
        // As the `Debug` of bytes, on one line or on many; see `find_in`.
        for bytes in text.as_bytes()[4..].windows(Self::PIECE).chain(digest.windows(Self::PIECE)) {
            let forms = [format!("{bytes:?}"), format!("{bytes:02x?}")];
            pieces.extend(forms.map(|form| form.trim_matches(['[', ']']).to_owned()));
        }
        Self { secret, pieces }
    }

    fn text(&self) -> &str {
        self.secret.expose_secret()
    }

    fn find_in(&self, text: &str) -> Option<&str> {
        let text = text.to_lowercase();
        let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let found = self.pieces.iter().find(|piece| text.contains(&***piece) || one_line.contains(&***piece));
        found.map(|piece| &**piece)
    }

    #[track_caller]
    fn assert_not_in(&self, place: &str, text: &str) {
        if let Some(piece) = self.find_in(text) {
            panic!("{place} shows {piece:?} of {:?}:\n{text}", self.text());
        }
    }

    fn record(&self, access: Access) -> KeyRecord {
        self.new_record(access).into_record(UNIX_EPOCH, InsertRules::new()).unwrap()
    }

    fn new_record(&self, access: Access) -> NewRecord {
        let StoredCredential { digest, hint, .. } = StoredCredential::from_secret(&self.secret);
        let record = NewRecord::new(KeyId::random().unwrap(), digest, acme(), access);
        NewRecord { hint, name: "canary".into(), ..record }
    }

    /// A store that knows it.
    async fn store(&self, access: Access) -> MemoryStore {
        let keys = MemoryStore::new();
        keys.add(self.record(access)).unwrap();
        keys
    }
}

/// Everything public that could hold a key, in every form in which it can be printed.
async fn printed_types(canary: &Canary) -> Vec<(&'static str, String)> {
    let mut texts = Vec::new();
    let mut debug = |name, value: &dyn Debug| {
        texts.push((name, format!("{value:?}")));
        texts.push((name, format!("{value:#?}")));
    };

    // Keys and what is kept of them.
    let record = Arc::new(canary.record(Access::scoped([avala::DATASETS_READ])));
    let digest = canary.secret.digest();
    debug("KeySecret", &canary.secret);
    debug("KeyDigest", &digest);
    debug("KeyHint", record.hint());
    debug("KeyHint from_stored", &KeyHint::from_stored(record.hint().as_str()));
    debug("KeyRecord", &record);
    debug("OrganizationPolicy", &record.policy());
    debug("StoredCredential", &StoredCredential::from_secret(&canary.secret));
    debug("StoredCredential from_plaintext", &StoredCredential::from_plaintext(canary.text().as_bytes()));
    debug("StoredCredential from_digest", &StoredCredential::from_digest(digest));
    debug("NewKey", &NewKey::new("canary", Access::Full).unwrap());
    debug("NewRecord", &canary.new_record(Access::Full));
    let replacement = Replacement { hint: record.hint().clone(), ..Replacement::new(record.id(), digest) };
    debug("Replacement", &replacement);
    let imported = NewKey::new("canary", Access::Full).unwrap();
    debug("ImportedKey", &ImportedKey::from((imported, StoredCredential::from_secret(&canary.secret))));
    debug("KeyFormat", &KeyFormat::AVALA);
    debug("Cursor", &Cursor::after(&record));
    debug("Lookup", &Lookup::Found(Arc::clone(&record)));
    debug("ApiKey", &ApiKey::for_test_of(Arc::clone(&record)));

    // Stores.
    let keys = canary.store(Access::Full).await;
    let shared = DynKeyBackend::new(keys.clone());
    debug("MemoryStore", &keys);
    debug("DynKeyBackend", &shared);
    let manager = KeyManager::new(shared).on_change(|_| ()).on_behalf_of("canary");
    debug("KeyManager", &manager);
    debug("IssueRules", manager.rules());
    debug("Page", &keys.list((&acme()).into(), &ListKeys::new()).await.unwrap());
    let new = || NewKey::new("new", Access::Full).unwrap();
    #[cfg(feature = "cache")]
    {
        let cached = tower_api_key::store::CachedStore::new(keys.clone());
        cached.find(&digest).await.unwrap();
        debug("CachedStore", &cached);
    }

    // Layers.
    let usage = UsageTracker::new();
    let layer = ApiKeyLayer::new(keys.clone()).require_formats([KeyFormat::AVALA]).track_usage(&usage);
    let mut service = layer.layer(RequireScopesLayer::new(avala::DATASETS_READ).layer(NotPrinted));
    debug("ApiKeyLayer", &layer);
    debug("ApiKeyService", &service);
    let call = service.ready().await.unwrap().call(request(canary.text()));
    debug("ResponseFuture", &call);
    let response = call.await.unwrap();
    debug("Response and ResponseBody", &response);
    debug("ApiKeyService after a request", &service);
    debug("UsageTracker", &usage);
    #[cfg(feature = "routes")]
    debug("RouteTable", &tower_api_key::routes::RouteTable::builder().build().unwrap());
    #[cfg(feature = "transport")]
    debug("ClientInfoLayer", &tower_api_key::transport::ClientInfoLayer::new());
    #[cfg(feature = "throttle")]
    {
        use tower_api_key::throttle::{Limit, LimitRule, MemoryLimits, ThrottleLayer};
        let rule = LimitRule::per_key(Limit::per_minute(1));
        debug("MemoryLimits", &MemoryLimits::new());
        debug("LimitRule", &rule);
        let layer = ThrottleLayer::new(rule);
        debug("ThrottleLayer", &layer);
        let mut service = layer.layer(NotPrinted);
        debug("ThrottleService", &service);
        debug("ThrottleFuture", &service.ready().await.unwrap().call(request(canary.text())));
    }
    let mut waiting = ApiKeyLayer::new(Awaited(keys.clone())).layer(NotPrinted);
    let mut call = Box::pin(waiting.ready().await.unwrap().call(request(canary.text())));
    debug("ResponseFuture before the lookup", &call);
    assert!(poll(call.as_mut()).is_pending());
    debug("ResponseFuture during the lookup", &call);
    drop(call);

    // Errors whose text is known when they are made.
    let taken =
        keys.manage().import(&acme(), (new(), StoredCredential::from_secret(&canary.secret))).await.unwrap_err();
    let missing = keys.manage().revoke(&acme(), KeyId::from_u128(1)).await.unwrap_err();
    let stored = keys.insert(canary.new_record(Access::Full), InsertRules::new()).await.unwrap_err();
    let id: Result<KeyId, _> = canary.text().parse();
    let cursor: Result<Cursor, _> = canary.text().parse();
    let spaced = format!("{} ", canary.text());
    let line = format!("{}\n", canary.text());
    let errors: [(&'static str, BoxError); 11] = [
        ("ManageError::AlreadyExists", taken.into()),
        ("ManageError::NotFound", missing.into()),
        ("ManageError::Store", ManageError::Store("the store failed".into()).into()),
        ("BackendError::AlreadyExists", stored.into()),
        ("BackendError::Store", BackendError::store("the store failed").into()),
        ("InvalidKeyId", id.unwrap_err().into()),
        ("InvalidCursor", cursor.unwrap_err().into()),
        ("InvalidScope", Scope::new(&spaced).unwrap_err().into()),
        ("InvalidPrefix", KeyFormat::new(spaced.clone()).unwrap_err().into()),
        ("InvalidOrganization", OrganizationId::new(&line).unwrap_err().into()),
        ("InvalidNewKey", NewKey::new(line, Access::Full).unwrap_err().into()),
    ];
    for (name, error) in &errors {
        debug(name, error);
    }
    let mut display = |name, value: &dyn Display| texts.push((name, value.to_string()));
    for (name, error) in &errors {
        display(name, error);
    }
    display("KeyId", &record.id());
    display("Cursor", &Cursor::after(&record));
    texts
}

/// What can become of a request with the canary in it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scenario {
    Accepted,
    Unknown,
    Revoked,
    Expired,
    MissingScope,
    MissingScopeBesideTheRoute,
    Repeated,
    TooLong,
    Malformed,
    InTheWrongHeader,
    StoreFails,
    StoreHangs,
    StorePanics,
    HandlerFails,
    HandlerPanics,
    RequirementPanics,
    Dropped,
}

impl Scenario {
    const ALL: [Self; 17] = [
        Self::Accepted,
        Self::Unknown,
        Self::Revoked,
        Self::Expired,
        Self::MissingScope,
        Self::MissingScopeBesideTheRoute,
        Self::Repeated,
        Self::TooLong,
        Self::Malformed,
        Self::InTheWrongHeader,
        Self::StoreFails,
        Self::StoreHangs,
        Self::StorePanics,
        Self::HandlerFails,
        Self::HandlerPanics,
        Self::RequirementPanics,
        Self::Dropped,
    ];
}

/// What was printed, by whom.
#[derive(Default)]
struct Printed {
    /// Log lines and spans.
    traces: String,
    hooks: String,
    reply: String,
}

impl Printed {
    fn texts(&self) -> [(&'static str, String); 3] {
        [("traces", &self.traces), ("hooks", &self.hooks), ("reply", &self.reply)]
            .map(|(place, text)| (place, text.clone()))
    }

    /// Or else it proves nothing that the canary is not in it.
    fn assert_something_was_printed(&self, scenario: Scenario) {
        assert!(self.traces.contains("headers="), "{scenario:?}: {}", self.traces);
        assert!(self.hooks.contains("DecisionEvent"), "{scenario:?}: {}", self.hooks);
        let is_logged = matches!(scenario, Scenario::StoreFails | Scenario::StoreHangs | Scenario::StorePanics);
        let warning = ": no answer from the key store, answering 503: ";
        let is_warning = |line: &str| line.contains(" WARN request{") && line.contains(warning);
        assert_eq!(self.traces.lines().any(is_warning), is_logged, "{scenario:?}: {}", self.traces);
        assert!(!self.reply.is_empty(), "{scenario:?}");
        if matches!(scenario, Scenario::Unknown | Scenario::Revoked | Scenario::Expired) {
            for printed in ["RejectedRequest {", "RequestHead {"] {
                assert!(self.hooks.contains(printed), "{scenario:?}: {}", self.hooks);
            }
        }
    }
}

async fn drive(scenario: Scenario, canary: &Canary, keep: bool, awaited: bool) -> Printed {
    let access = match scenario {
        Scenario::MissingScope | Scenario::MissingScopeBesideTheRoute => Access::scoped([avala::DATASETS_READ]),
        _ => Access::Full,
    };
    let record = canary.record(access);
    let record = match scenario {
        Scenario::Revoked => record.with_revoked_at(UNIX_EPOCH),
        Scenario::Expired => record.with_expires_at(UNIX_EPOCH + Duration::from_secs(1)),
        _ => record,
    };
    let keys = MemoryStore::new();
    if scenario != Scenario::Unknown {
        keys.add(record).unwrap();
    }
    let store = Store { keys, scenario };
    let layer = if awaited { ApiKeyLayer::new(Awaited(store)) } else { ApiKeyLayer::new(store) };

    let hooks = Buffer::default();
    let [event_hook, renderer, requirement] = [(); 3].map(|()| hooks.clone());
    let layer = layer
        .on_decision(move |event| event_hook.add(&print_event(event)))
        .rejection_response(move |rejected| {
            renderer.add(&format!("{rejected:?} {:#?} {}", rejected.response(), print_head(rejected.request())));
            rejected.response()
        })
        .require_fn(move |head| {
            requirement.add(&print_head(head));
            assert!(scenario != Scenario::RequirementPanics, "{head:?}");
            if scenario == Scenario::MissingScope { Requirement::full_access() } else { Requirement::any_key() }
        })
        .expose_rejection();
    let layer = if keep { layer.keep_header() } else { layer };
    let layer = if scenario == Scenario::Malformed { layer.require_formats([KeyFormat::AVALA]) } else { layer };
    let beside = match scenario {
        Scenario::MissingScopeBesideTheRoute => Requirement::full_access(),
        _ => Requirement::any_key(),
    };
    let handler = service_fn(move |request: Request<String>| async move {
        let text = format!("{request:?} {:?}", request.extensions().get::<ApiKey>());
        match scenario {
            Scenario::HandlerFails => Err(BoxError::from(text)),
            Scenario::HandlerPanics => panic!("{text}"),
            _ => Ok(Response::new(text)),
        }
    });
    let mut service = ServiceBuilder::new()
        .map_request(marked)
        .layer(trace())
        .layer(layer)
        .layer(trace())
        .layer(RequireScopesLayer::new(beside))
        .service(handler);

    let traces = Buffer::default();
    // Makes events of the lines of the crate `log`.
    record_log();
    let guard = traces.subscribe();
    let request = request_with(canary, scenario);
    let call = async {
        let call = service.ready().await?.call(request);
        if scenario == Scenario::Dropped { Err("dropped".into()) } else { call.await }
    };
    let reply = match AssertUnwindSafe(call).catch_unwind().await {
        Ok(Ok(response)) => print_response(response).await,
        Ok(Err(error)) => format!("{error} {error:?}"),
        Err(panic) => panic.downcast_ref::<String>().unwrap().clone(),
    };
    drop(service);
    drop(guard);
    Printed { traces: traces.take(), hooks: hooks.take(), reply }
}

fn request_with(canary: &Canary, scenario: Scenario) -> Request<String> {
    let text = canary.text();
    match scenario {
        Scenario::Repeated => {
            let mut request = request(text);
            request.headers_mut().append("x-avala-api-key", text.parse().unwrap());
            request
        }
        Scenario::TooLong => request(&text.repeat(20)),
        Scenario::Malformed => request(&format!("{text}0")),
        Scenario::InTheWrongHeader => {
            let mut request = request("");
            request.headers_mut().insert("authorization", format!("Bearer {text}").parse().unwrap());
            request
        }
        _ => request(text),
    }
}

/// What the first layer of a stack should do, so that the layers that follow can print headers.
fn marked(mut request: Request<String>) -> Request<String> {
    for value in request.headers_mut().values_mut() {
        value.set_sensitive(true);
    }
    request
}

fn trace()
-> TraceLayer<tower_http::classify::SharedClassifier<tower_http::classify::ServerErrorsAsFailures>, DefaultMakeSpan> {
    TraceLayer::new_for_http().make_span_with(DefaultMakeSpan::new().include_headers(true))
}

fn print_event(event: &DecisionEvent<'_>) -> String {
    let error = event.store_error().map(|error| format!("{error} {error:?}"));
    format!("{event:?} {event:#?} {:?} {:?} {:?} {error:?}", event.outcome(), event.key(), event.digest())
}

fn print_head(head: RequestHead<'_>) -> String {
    format!("{head:?} {:?} {:?} {:?}", head.headers(), head.uri(), head.extensions())
}

async fn print_response<B>(response: Response<B>) -> String
where
    B: Body<Data = Bytes, Error: Debug>,
{
    let (head, body) = response.into_parts();
    let exposed = head.extensions.get::<Rejection>();
    format!("{head:?} {exposed:?} {}", String::from_utf8_lossy(&body.collect().await.unwrap().to_bytes()))
}

async fn print_request(request: Request<String>) -> Result<Response<String>, Infallible> {
    Ok(Response::new(format!("{request:?}")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn acme() -> OrganizationId {
    "acme".parse().unwrap()
}

/// Answers, fails, hangs or panics, by scenario. Its texts name the digest, as those of a careless store do.
struct Store {
    keys: MemoryStore,
    scenario: Scenario,
}

impl KeyStore for Store {
    type Error = BoxError;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
        match self.scenario {
            Scenario::StoreFails => Err(format!("no answer about {digest:?}").into()),
            Scenario::StoreHangs => std::future::pending().await,
            Scenario::StorePanics => panic!("a bug about {digest:?}"),
            _ => Ok(self.keys.find(digest).await?),
        }
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        match self.scenario {
            Scenario::StoreFails | Scenario::StoreHangs => Lookup::Pending,
            Scenario::StorePanics => panic!("a bug about {digest:?}"),
            _ => self.keys.try_find(digest),
        }
    }
}

/// A service that prints nothing.
#[derive(Clone, Debug)]
struct NotPrinted;

impl Service<Request<String>> for NotPrinted {
    type Response = Response<http_body_util::Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        std::future::ready(Ok(Response::default()))
    }
}

/// Text that several writers add to.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap()
    }

    fn add(&self, text: &str) {
        self.lock().extend_from_slice(text.as_bytes());
    }

    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.lock())).unwrap()
    }

    /// Writes every trace of this thread here, until what it returns is dropped.
    fn subscribe(&self) -> impl Drop + use<> {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(self.clone());
        subscriber.set_default()
    }
}

impl<'a> MakeWriter<'a> for Buffer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
