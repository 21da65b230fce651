//! The contract of `tower::Service`: only an instance that was polled ready is called, backpressure and errors pass
//! through, and a rejected or dropped request reserves nothing.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::mem;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use http::{Request, Response, StatusCode};
use tokio::sync::{Notify, Semaphore};
use tokio::task::yield_now;
use tokio::time::timeout;
use tower::buffer::Buffer;
use tower::limit::ConcurrencyLimit;
use tower::load_shed::{LoadShed, error::Overloaded};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_api_key::auth::{RequireScopesLayer, ResponseBody};
use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::scope::avala;
use tower_api_key::store::KeyBackend;
use tower_api_key::{Access, ApiKey, ApiKeyLayer, KeyStore, MemoryStore, NewKey, Requirement};
use tower_test::mock::{self, Mock};

use crate::support::awaited::Awaited;
use crate::support::keys::{KEY, record};
use crate::support::manage::Manage;
use crate::support::poll::poll;
use crate::support::request::request;
use crate::support::store::store;

/// Cases: 92.
#[tokio::test(start_paused = true)]
async fn unready_inner_service_is_never_called() {
    let keys = store(Access::scoped([avala::DATASETS_READ]));
    let writer = NewKey::new("writer", Access::scoped([avala::DATASETS_WRITE])).unwrap();
    let writer = keys.manage().issue(&"acme".parse().unwrap(), writer).await.unwrap();
    let presented = [(writer.secret.expose_secret(), 200), (KEY, 403), ("unknown", 401), ("", 401)];

    for guard in Guard::all(&keys) {
        let probe = Probe::default();
        let drives = [
            drive(&guard, probe.clone(), &presented).await,
            drive(&guard, ConcurrencyLimit::new(probe.clone(), 1), &presented).await,
            drive(&guard, Buffer::new(probe.clone(), 1), &presented).await,
            drive(&guard, Buffer::new(ConcurrencyLimit::new(probe.clone(), 1), 1), &presented).await,
            drive(&guard, LoadShed::new(probe.clone()), &presented).await,
            drive(&guard, LoadShed::new(Buffer::new(probe.clone(), 64)), &presented).await,
        ];
        assert_eq!(probe.calls(), drives.iter().sum::<usize>(), "{guard:?}");
    }
}

/// Cases: 92, 93.
/// What is shed is an error of the inner service, not a reply of ours.
#[tokio::test(start_paused = true)]
async fn overloaded_inner_service_sheds_as_if_bare() {
    let permits = Arc::new(Semaphore::new(1));
    for guard in Guard::all(&store(Access::Full)) {
        let inner = LoadShed::new(ConcurrencyLimit::with_semaphore(Probe::default(), Arc::clone(&permits)));
        let mut service = guard.around(inner);
        let held = permits.try_acquire().unwrap();
        let error = readied(&mut service).await.unwrap().call(request(KEY)).await.unwrap_err();
        assert!(error.is::<Overloaded>(), "{guard:?}: {error}");
        drop(held);
        let response = readied(&mut service).await.unwrap().call(request(KEY)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{guard:?}");
    }
}

/// Cases: 92.
/// Without this, the tests above could pass because the inner services do not notice.
#[tokio::test(start_paused = true)]
async fn harness_detects_call_of_unready_clone() {
    async fn panics<S>(inner: S) -> String
    where
        S: Service<Request<String>, Response = Response<String>, Future: Send> + Clone + Send + 'static,
        S::Error: fmt::Debug,
    {
        let mut naive = CallsAnUnreadyClone(inner);
        let call = readied(&mut naive).await.unwrap().call(request(KEY));
        let panic = AssertUnwindSafe(call).catch_unwind().await.unwrap_err();
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap()
    }
    assert_eq!(panics(Probe::default()).await, "called without having been polled ready");
    let limited = panics(ConcurrencyLimit::new(Probe::default(), 1)).await;
    assert!(limited.contains("poll_ready must be called first"), "{limited}");
}

/// Cases: 93.
#[tokio::test(start_paused = true)]
async fn backpressure_and_readiness_errors_pass_through() {
    async fn passes_through<L>(layer: L)
    where
        L: Layer<Mock<Request<String>, Response<String>>>,
        L::Service: Service<Request<String>, Error = BoxError>,
    {
        let (mut service, mut handle) = mock::spawn_layer(layer);
        handle.allow(0);
        assert!(service.poll_ready::<Request<String>>().is_pending());
        assert!(!service.is_woken());
        handle.allow(1);
        assert!(service.is_woken(), "the waiting task is woken");
        assert!(matches!(service.poll_ready::<Request<String>>(), Poll::Ready(Ok(()))));
        handle.send_error("the inner service broke");
        match service.poll_ready::<Request<String>>() {
            Poll::Ready(Err(error)) => assert_eq!(error.to_string(), "the inner service broke"),
            other => panic!("{other:?}"),
        }
    }
    let keys = store(Access::Full);
    passes_through(ApiKeyLayer::new(keys.clone())).await;
    passes_through(ApiKeyLayer::new(Awaited(keys))).await;
    passes_through(RequireScopesLayer::new(avala::DATASETS_READ)).await;
}

/// Cases: 51, 93.
/// Errors keep their type and their value: `Failure` is neither boxed nor wrapped.
#[tokio::test(start_paused = true)]
async fn inner_error_is_passed_on_unchanged() {
    let keys = store(Access::Full);
    for guard in Guard::all(&keys) {
        let mut broken =
            guard.around(service_fn(|_: Request<String>| async { Err::<Response<String>, _>(Failure(7)) }));
        assert_eq!(readied(&mut broken).await.unwrap().call(request(KEY)).await.unwrap_err(), Failure(7), "{guard:?}");
        let mut unready = guard.around(NeverReady);
        assert_eq!(readied(&mut unready).await.map(drop).unwrap_err(), Failure(8), "{guard:?}");
    }
}

/// Cases: 93.
#[tokio::test(start_paused = true)]
async fn mock_sees_only_accepted_requests() {
    let keys = store(Access::Full);
    for layer in [ApiKeyLayer::new(keys.clone()), ApiKeyLayer::new(Awaited(keys))] {
        let (mut service, mut handle) = mock::spawn_layer::<Request<String>, Response<String>, _>(layer);
        assert!(service.poll_ready::<Request<String>>().is_ready());
        assert_eq!(service.call(request("unknown")).await.unwrap().status(), StatusCode::UNAUTHORIZED);
        assert!(handle.poll_request().is_pending());

        assert!(service.poll_ready::<Request<String>>().is_ready());
        let answer = async {
            let (request, reply) = handle.next_request().await.unwrap();
            assert!(request.extensions().get::<ApiKey>().is_some());
            reply.send_response(Response::builder().status(StatusCode::CREATED).body(String::new()).unwrap());
        };
        let (response, ()) = futures::future::join(service.call(request(KEY)), answer).await;
        assert_eq!(response.unwrap().status(), StatusCode::CREATED);
    }
}

/// Cases: 94.
#[tokio::test(start_paused = true)]
async fn rejected_request_does_not_block_other_clones() {
    let keys = store(Access::scoped([avala::DATASETS_READ]));
    for guard in Guard::all(&keys) {
        for rejected in [KEY, "unknown", "", &"x".repeat(513)] {
            let permits = Arc::new(Semaphore::new(1));
            let service = guard.around(ConcurrencyLimit::with_semaphore(Probe::default(), Arc::clone(&permits)));
            assert!(others_go_on(&service, request(rejected)).await, "{guard:?} {rejected:?}");
            assert_eq!(permits.available_permits(), 1);
        }
    }
}

/// Cases: 94.
/// Without this, the test above could pass because the limit is not shared.
#[tokio::test(start_paused = true)]
async fn harness_detects_kept_permit() {
    let keeping = KeepsThePermit(ConcurrencyLimit::new(Probe::default(), 1));
    assert!(!others_go_on(&keeping, request("")).await);
}

/// Cases: 94.
#[tokio::test(start_paused = true)]
async fn permit_is_released_at_the_decision() {
    let permits = Arc::new(Semaphore::new(1));
    let inner = ConcurrencyLimit::with_semaphore(Probe::default(), Arc::clone(&permits));

    // At once: before the future of the rejected request is polled for the first time.
    let keys = store(Access::scoped([avala::DATASETS_READ]));
    let mut service = ApiKeyLayer::new(keys.clone()).require(avala::DATASETS_WRITE).layer(inner.clone());
    let call = readied(&mut service).await.unwrap().call(request(KEY));
    assert_eq!(permits.available_permits(), 1);
    assert_eq!(call.await.unwrap().status(), StatusCode::FORBIDDEN);

    // Awaited: held while the lookup waits, since only a ready instance may be called afterwards.
    let gated = Arc::new(Gated { keys, open: Notify::new() });
    let mut service = ApiKeyLayer::new(Arc::clone(&gated)).require(avala::DATASETS_WRITE).layer(inner);
    let mut call = pin!(readied(&mut service).await.unwrap().call(request(KEY)));
    assert!(poll(call.as_mut()).is_pending());
    assert_eq!(permits.available_permits(), 0);
    gated.open.notify_one();
    let Poll::Ready(Ok(response)) = poll(call.as_mut()) else { panic!("the lookup has its answer") };
    assert_eq!(permits.available_permits(), 1, "while the future, the response and the service are alive");
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}

/// Cases: 94.
#[tokio::test(start_paused = true)]
async fn thousand_rejections_hold_no_permit() {
    for guard in Guard::all(&store(Access::scoped([avala::DATASETS_READ]))) {
        let permits = Arc::new(Semaphore::new(3));
        let service = guard.around(ConcurrencyLimit::with_semaphore(Probe::default(), Arc::clone(&permits)));
        let rejected = [KEY, "unknown", ""].into_iter().cycle().take(1000).map(|key| {
            let mut clone = service.clone();
            async move {
                let response = readied(&mut clone).await.unwrap().call(request(key)).await.unwrap();
                (response, clone)
            }
        });
        let alive = join_all(rejected).await;
        assert!(alive.iter().all(|(response, _)| response.status().is_client_error()));
        assert_eq!(permits.available_permits(), 3, "{guard:?}");
    }
}

/// Cases: 95.
/// The store and the inner service yield several times each, so that dropping after each number of polls visits
/// every place at which a request can wait.
#[tokio::test(start_paused = true)]
async fn request_dropped_at_any_await_leaks_nothing() {
    const LOOKUP_YIELDS: usize = 3;
    const INNER_YIELDS: usize = 4;
    let known = Arc::new(record(Access::Full));
    let yielding = Arc::new(Yielding { known: Arc::clone(&known), yields: LOOKUP_YIELDS });
    for layer in
        [ApiKeyLayer::new(Arc::clone(&yielding)), ApiKeyLayer::new(Arc::clone(&yielding)).without_lookup_timeout()]
    {
        let permits = Arc::new(Semaphore::new(1));
        let slow = service_fn(|request: Request<String>| async move {
            for _ in 0..INNER_YIELDS {
                yield_now().await;
            }
            drop(request);
            Ok::<_, Infallible>(Response::new(String::new()))
        });
        let inner = ConcurrencyLimit::with_semaphore(slow, Arc::clone(&permits));
        let mut service = layer.layer(RequireScopesLayer::new(avala::DATASETS_READ).layer(inner));

        let mut polls = 0;
        loop {
            let luggage = Arc::new(());
            let mut request = request(KEY);
            request.extensions_mut().insert(Arc::clone(&luggage));
            let mut call = Box::pin(readied(&mut service).await.unwrap().call(request));
            assert_eq!(permits.available_permits(), 0, "the request holds the permit");
            let finished = (0..polls).any(|_| poll(call.as_mut()).is_ready());
            drop(call);
            assert_eq!(permits.available_permits(), 1, "after {polls} polls");
            assert_eq!(Arc::strong_count(&known), 2, "after {polls} polls");
            assert_eq!(Arc::strong_count(&luggage), 1, "after {polls} polls");
            let next = readied(&mut service).await.unwrap().call(self::request(KEY)).await.unwrap();
            assert_eq!(next.status(), StatusCode::OK, "after {polls} polls");
            if finished {
                break;
            }
            polls += 1;
        }
        assert_eq!(polls, LOOKUP_YIELDS + INNER_YIELDS + 1, "every await was visited");
    }
    assert_eq!(Arc::strong_count(&yielding), 1, "nothing that outlived its layer holds the store");
}

/// Cases: 95.
/// Without this, the test above could pass because a leak is not seen.
#[tokio::test(start_paused = true)]
async fn harness_detects_leaked_request() {
    let known = Arc::new(record(Access::Full));
    let permits = Arc::new(Semaphore::new(1));
    let inner = ConcurrencyLimit::with_semaphore(Probe::default(), Arc::clone(&permits));
    let mut service = ApiKeyLayer::new(Yielding { known: Arc::clone(&known), yields: 0 }).layer(inner);
    mem::forget(readied(&mut service).await.unwrap().call(request(KEY)));
    drop(service);
    assert_eq!(permits.available_permits(), 0);
    assert_eq!(Arc::strong_count(&known), 2, "the leaked request holds the store, which holds the record");
}

/// Cases: 95.
#[tokio::test(start_paused = true)]
async fn dropped_lookup_is_dropped_in_the_store() {
    let permits = Arc::new(Semaphore::new(1));
    let gated = Arc::new(Gated { keys: store(Access::Full), open: Notify::new() });
    let inner = ConcurrencyLimit::with_semaphore(Probe::default(), Arc::clone(&permits));
    let mut service = ApiKeyLayer::new(Arc::clone(&gated)).layer(inner);
    for _ in 0..100 {
        let mut call = Box::pin(readied(&mut service).await.unwrap().call(request(KEY)));
        assert!(poll(call.as_mut()).is_pending());
        drop(call);
    }
    // A lookup that was left behind would take this one notification away.
    gated.open.notify_one();
    let response = readied(&mut service).await.unwrap().call(request(KEY)).now_or_never().unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(permits.available_permits(), 1);
}

/// Cases: 99.
#[tokio::test(start_paused = true)]
async fn hundred_thousand_clones_share_one_state() {
    let keys = Arc::new(MemoryStore::new());
    let layer = ApiKeyLayer::new(Arc::clone(&keys));
    let handles = Arc::strong_count(&keys);
    let clones: Vec<_> = (0..100_000).map(|_| layer.clone()).collect();
    let mut services: Vec<_> = clones.iter().map(|clone| clone.clone().layer(Probe::default())).collect();
    assert_eq!(Arc::strong_count(&keys), handles, "no clone has a handle of its own");
    assert_eq!(size_of::<ApiKeyLayer>(), size_of::<usize>(), "a clone is one pointer");

    // What happens in the store after they were made is seen by all of them.
    let acme = "acme".parse().unwrap();
    let issued = keys.manage().issue(&acme, NewKey::new("late", Access::Full).unwrap()).await.unwrap();
    let mut statuses = async |expected: StatusCode| {
        for service in services.iter_mut().step_by(997) {
            let request = request(issued.secret.expose_secret());
            assert_eq!(readied(service).await.unwrap().call(request).await.unwrap().status(), expected);
        }
    };
    statuses(StatusCode::OK).await;
    keys.revoke(&acme, issued.record.id()).await.unwrap();
    statuses(StatusCode::UNAUTHORIZED).await;
}

/// The ways in which a store can answer, times the ways in which scopes can be asked for. Each asks for
/// `datasets.write`.
#[derive(Clone, Debug)]
struct Guard {
    outer: ApiKeyLayer,
    /// Whether a layer on the route requires the scope, in place of the key layer.
    beside: bool,
}

impl Guard {
    fn all(keys: &MemoryStore) -> Vec<Self> {
        let (now, awaited) = (ApiKeyLayer::new(keys.clone()), ApiKeyLayer::new(Awaited(keys.clone())));
        let outers = [now, awaited.clone(), awaited.without_lookup_timeout()];
        let guards = outers.into_iter().flat_map(|outer| [(outer.clone(), false), (outer, true)]);
        guards.map(|(outer, beside)| Self { outer, beside }).collect()
    }

    fn around<S>(
        &self,
        inner: S,
    ) -> impl Service<
        Request<String>,
        Response = Response<ResponseBody<ResponseBody<String>>>,
        Error = S::Error,
        Future: Send,
    > + Clone
    + use<S>
    where
        S: Service<Request<String>, Response = Response<String>, Future: Send> + Clone + Send + 'static,
    {
        let (of_outer, of_route) = match self.beside {
            false => (avala::DATASETS_WRITE.into(), Requirement::any_key()),
            true => (Requirement::any_key(), avala::DATASETS_WRITE.into()),
        };
        self.outer.clone().require(of_outer).layer(RequireScopesLayer::new(of_route).layer(inner))
    }
}

/// Sends every presented key several times through one instance, then through many clones at once. Returns how
/// many requests were let through.
async fn drive<S>(guard: &Guard, inner: S, presented: &[(&str, u16)]) -> usize
where
    S: Service<Request<String>, Response = Response<String>, Future: Send> + Clone + Send + 'static,
    S::Error: fmt::Debug,
{
    let service = guard.around(inner);
    let mut accepted = 0;
    let mut kept = service.clone();
    for (key, status) in presented.iter().cycle().take(4 * presented.len()) {
        let response = readied(&mut kept).await.unwrap().call(request(key)).await.unwrap();
        assert_eq!(response.status(), *status, "{guard:?} {key}");
        accepted += usize::from(*status == 200);
    }
    let at_once = presented.iter().cycle().take(10 * presented.len()).map(|(key, status)| {
        let mut clone = service.clone();
        async move {
            let response = readied(&mut clone).await.unwrap().call(request(key)).await.unwrap();
            assert_eq!(response.status(), *status, "{key}");
            usize::from(*status == 200)
        }
    });
    accepted + join_all(at_once).await.into_iter().sum::<usize>()
}

/// A permit that never comes back fails the test instead of hanging it.
async fn readied<S: Service<Request<String>>>(service: &mut S) -> Result<&mut S, S::Error> {
    timeout(Duration::from_secs(60), service.ready()).await.expect("the inner service is never ready again")
}

/// Returns whether another clone can be ready while a live clone has rejected a request.
async fn others_go_on<S, B>(service: &S, rejected: Request<String>) -> bool
where
    S: Service<Request<String>, Response = Response<B>, Error: fmt::Debug> + Clone,
{
    let mut rejecting = service.clone();
    let response = readied(&mut rejecting).await.unwrap().call(rejected).await.unwrap();
    assert!(response.status().is_client_error());
    let mut other = service.clone();
    let goes_on = other.ready().now_or_never().is_some();
    drop(rejecting);
    goes_on
}

/// Panics when it is called without having been polled ready. A clone is not ready, whatever the original is.
#[derive(Default)]
struct Probe {
    ready: bool,
    calls: Arc<AtomicUsize>,
}

impl Probe {
    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Clone for Probe {
    fn clone(&self) -> Self {
        Self { ready: false, calls: Arc::clone(&self.calls) }
    }
}

impl Service<Request<String>> for Probe {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        assert!(mem::take(&mut self.ready), "called without having been polled ready");
        self.calls.fetch_add(1, Ordering::SeqCst);
        ready(Ok(Response::new(request.into_body())))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failure(u8);

#[derive(Clone)]
struct NeverReady;

impl Service<Request<String>> for NeverReady {
    type Response = Response<String>;
    type Error = Failure;
    type Future = Ready<Result<Response<String>, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Err(Failure(8)))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        unreachable!("called without having been ready")
    }
}

/// The mistake that readiness invites: the clone was never polled.
#[derive(Clone)]
struct CallsAnUnreadyClone<S>(S);

impl<S> Service<Request<String>> for CallsAnUnreadyClone<S>
where
    S: Service<Request<String>, Response = Response<String>, Future: Send> + Clone + Send + 'static,
{
    type Response = Response<String>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<String>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        let mut clone = self.0.clone();
        Box::pin(async move { clone.call(request).await })
    }
}

/// The likely mistake on rejection: what was reserved for the request stays reserved.
#[derive(Clone)]
struct KeepsThePermit<S>(S);

impl<S> Service<Request<String>> for KeepsThePermit<S>
where
    S: Service<Request<String>, Response = Response<String>>,
{
    type Response = Response<String>;
    type Error = S::Error;
    type Future = Ready<Result<Response<String>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        ready(Ok(Response::builder().status(StatusCode::UNAUTHORIZED).body(String::new()).unwrap()))
    }
}

/// Answers each lookup after one notification.
struct Gated {
    keys: MemoryStore,
    open: Notify,
}

impl KeyStore for Gated {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        self.open.notified().await;
        self.keys.find(digest).await
    }
}

/// Knows one key, and yields before it answers.
struct Yielding {
    known: Arc<KeyRecord>,
    yields: usize,
}

impl KeyStore for Yielding {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        for _ in 0..self.yields {
            yield_now().await;
        }
        Ok(Some(&self.known).filter(|known| known.digest() == digest).cloned())
    }
}
