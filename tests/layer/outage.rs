//! A store that gives no answer: the client gets a 503, never a 401 and never the handler, the operator gets the
//! cause, and the next request works.

use std::convert::Infallible;
use std::future::{self, Future};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use futures::executor::block_on;
use futures::future::{BoxFuture, join_all};
use http::HeaderMap;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, advance};
use tower::{Layer, Service, ServiceExt};
use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::observe::{LookupKind, Outcome};
use tower_api_key::rejection::Outage;
use tower_api_key::scope::avala;
use tower_api_key::store::{KeyBackend, Lookup};
use tower_api_key::{Access, ApiKeyLayer, BoxError, KeyStore, MemoryStore, NewKey, Rejection, Requirement};

use crate::support::awaited::Awaited;
use crate::support::handler::Handler;
use crate::support::keys::{KEY, record};
use crate::support::log_lines::{record_log, take_log};
use crate::support::manage::Manage;
use crate::support::poll::poll;
use crate::support::reply::{INVALID, Reply};
use crate::support::request::request;
use crate::support::store::store;

const MISSING: &str = r#"{"detail":"Authentication credentials were not provided."}"#;
const UNAVAILABLE: &str = r#"{"detail":"Service temporarily unavailable, try again later."}"#;

/// Cases: 96, 97, 103.
#[tokio::test(start_paused = true)]
async fn failed_lookup_is_503_and_next_request_works() {
    for fault in Fault::ALL {
        let (faulty, handler) = (Faulty::new(fault), Handler::default());
        let mut service = ApiKeyLayer::new(Arc::clone(&faulty)).layer(handler.service());
        for _ in 0..3 {
            let reply = Reply::of(service.ready().await.unwrap().call(request(KEY)).await.unwrap()).await;
            assert_eq!((reply.status, reply.body.as_str()), (503, UNAVAILABLE), "{fault:?}");
            assert_eq!(
                sorted(&reply.headers),
                ["cache-control: no-store", "content-type: application/json", "retry-after: 1"],
                "{fault:?}"
            );
        }
        assert_eq!(handler.calls(), 0, "{fault:?}");

        faulty.set(None);
        let response = service.ready().await.unwrap().call(request(KEY)).await.unwrap();
        assert_eq!((response.status().as_u16(), handler.calls()), (200, 1), "{fault:?}");
    }
}

/// Cases: 103.
/// Whatever key is presented. What needs no lookup is answered as always.
#[tokio::test(start_paused = true)]
async fn outage_is_never_reported_as_invalid_key() {
    let acme = "acme".parse().unwrap();
    for fault in Fault::ALL {
        let (faulty, handler) = (Faulty::new(fault), Handler::default());
        let revoked = faulty.keys.manage().issue(&acme, NewKey::new("revoked", Access::Full).unwrap()).await.unwrap();
        faulty.keys.revoke(&acme, revoked.record.id()).await.unwrap();
        let service = ApiKeyLayer::new(Arc::clone(&faulty)).layer(handler.service());
        let long = "x".repeat(513);
        for (key, status, body) in [
            (KEY, 503, UNAVAILABLE),
            (revoked.secret.expose_secret(), 503, UNAVAILABLE),
            ("unknown", 503, UNAVAILABLE),
            ("", 401, MISSING),
            (&long, 401, INVALID),
        ] {
            let reply = Reply::of(service.clone().oneshot(request(key)).await.unwrap()).await;
            assert_eq!((reply.status, reply.body.as_str()), (status, body), "{fault:?} {key}");
        }
        assert_eq!(handler.calls(), 0, "{fault:?}");
    }
}

/// Cases: 97.
#[tokio::test(start_paused = true)]
async fn hanging_lookup_is_503_at_the_timeout() {
    let second = Duration::from_secs(1);
    for (configured, expected) in [(None, second), (Some(second / 4), second / 4), (Some(30 * second), 30 * second)] {
        let layer = ApiKeyLayer::new(Faulty::new(Fault::Hangs));
        let layer = configured.into_iter().fold(layer, ApiKeyLayer::lookup_timeout);
        let service = layer.layer(Handler::default().service());
        let began = Instant::now();
        let replies = join_all((0..100).map(|_| service.clone().oneshot(request(KEY)))).await;
        assert_eq!(began.elapsed(), expected);
        assert!(replies.into_iter().all(|reply| reply.unwrap().status() == 503));
    }
}

/// Cases: 143.
#[tokio::test(start_paused = true)]
async fn longest_lookup_timeout_waits_for_the_store() {
    for timeout in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(u64::MAX >> 1)] {
        let (answer, store) = Once::pair();
        let layer = ApiKeyLayer::new(store).lookup_timeout(timeout);
        let mut call = pin!(layer.layer(Handler::default().service()).oneshot(request(KEY)));
        assert!(poll(call.as_mut()).is_pending());
        advance(Duration::from_secs(365 * 24 * 60 * 60)).await;
        assert!(poll(call.as_mut()).is_pending(), "{timeout:?}");
        answer.send(()).unwrap();
        assert_eq!(call.await.unwrap().status(), 200);
    }
}

/// Cases: 143.
#[tokio::test(start_paused = true)]
async fn zero_lookup_timeout_is_503_if_store_waits() {
    let layer = ApiKeyLayer::new(Faulty::new(Fault::Hangs)).lookup_timeout(Duration::ZERO);
    let reply = layer.layer(Handler::default().service()).oneshot(request(KEY)).await.unwrap();
    assert_eq!(reply.status(), 503);
}

/// Cases: 97.
#[tokio::test(start_paused = true)]
async fn answer_just_before_timeout_counts() {
    let (answer, store) = Once::pair();
    let mut call = pin!(ApiKeyLayer::new(store).layer(Handler::default().service()).oneshot(request(KEY)));
    assert!(poll(call.as_mut()).is_pending());
    advance(Duration::from_millis(999)).await;
    assert!(poll(call.as_mut()).is_pending());
    answer.send(()).unwrap();
    assert_eq!(call.await.unwrap().status(), 200);
}

/// Cases: 97.
#[tokio::test(start_paused = true)]
async fn lookup_without_timeout_waits() {
    let (answer, store) = Once::pair();
    let layer = ApiKeyLayer::new(store).without_lookup_timeout();
    let mut call = pin!(layer.layer(Handler::default().service()).oneshot(request(KEY)));
    for _ in 0..24 {
        assert!(poll(call.as_mut()).is_pending());
        advance(Duration::from_secs(3600)).await;
    }
    answer.send(()).unwrap();
    assert_eq!(call.await.unwrap().status(), 200);
}

/// Cases: 97.
/// It never lets go of the task by itself: what takes its turn away is tokio, and then it is not the turn of a timer.
#[test]
fn busy_looping_store_is_timed_out() {
    struct Busy;

    impl KeyStore for Busy {
        type Error = Infallible;

        async fn find(&self, _: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
            loop {
                tokio::task::consume_budget().await;
            }
        }
    }

    let (answered, answer) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let layer = ApiKeyLayer::new(Busy).lookup_timeout(Duration::from_millis(20));
        let reply = runtime.block_on(layer.layer(Handler::default().service()).oneshot(request(KEY)));
        answered.send(reply.unwrap().status()).unwrap();
    });
    assert_eq!(answer.recv_timeout(Duration::from_secs(10)).expect("it waits without end"), 503);
}

#[test]
fn pending_lookup_without_timer_is_503_with_cause() {
    names_the_missing_timer("must be called from the context of a Tokio 1.x runtime", |call| block_on(call));
    let timerless = tokio::runtime::Builder::new_current_thread().build().unwrap();
    names_the_missing_timer("timers are disabled", |call| timerless.block_on(call));
}

fn names_the_missing_timer(cause: &str, run: impl Fn(BoxFuture<'_, u16>) -> u16) {
    let handler = Handler::default();
    let awaited = ApiKeyLayer::new(Awaited(store(Access::Full)));
    let status = |layer: &ApiKeyLayer| {
        let call = layer.clone().layer(handler.service()).oneshot(request(KEY));
        run(Box::pin(async { call.await.unwrap().status().as_u16() }))
    };
    record_log();
    assert_eq!(status(&awaited), 503, "{cause}");
    let log = take_log();
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].starts_with("WARN ") && log[0].contains(cause), "{log:?}");
    assert_eq!(handler.calls(), 0);

    assert_eq!(status(&awaited.clone().without_lookup_timeout()), 200, "{cause}");
    // A store that answers at once needs no timer, so none is made, however it is asked.
    assert_eq!(status(&ApiKeyLayer::new(store(Access::Full))), 200, "{cause}");
    assert_eq!(status(&ApiKeyLayer::new(AtOnce(store(Access::Full)))), 200, "{cause}");
    assert_eq!(take_log(), [""; 0]);
}

/// Answers when it is polled first, and cannot be asked without a future.
struct AtOnce(MemoryStore);

impl KeyStore for AtOnce {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        self.0.find(digest).await
    }
}

/// Cases: 102, 104.
#[tokio::test(start_paused = true)]
async fn outage_cause_is_only_in_log_and_event() {
    for fault in Fault::ALL {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let events = Arc::clone(&seen);
        let layer = ApiKeyLayer::new(Faulty::new(fault)).expose_rejection().on_decision(move |event| {
            let texts =
                std::iter::successors(event.store_error().map(|error| error as &dyn std::error::Error), |error| {
                    error.source()
                });
            let texts: Vec<_> = texts.map(ToString::to_string).collect();
            events.lock().unwrap().push((event.outcome(), event.status(), event.lookup(), texts));
        });
        record_log();
        let response = layer.layer(Handler::default().service()).oneshot(request(KEY)).await.unwrap();
        let log = take_log();
        assert_eq!(response.extensions().get::<Rejection>(), Some(&fault.outage().into()));
        let reply = format!("{:?}", Reply::of(response).await);

        let [(outcome, status, lookup, texts)] = &seen.lock().unwrap()[..] else { panic!("{seen:?}") };
        assert_eq!(*outcome, Outcome::Rejected(fault.outage().into()), "{fault:?}");
        assert_eq!(status.unwrap(), 503);
        let kind = if fault == Fault::PanicsInFindNow { LookupKind::Immediate } else { LookupKind::Awaited };
        assert_eq!(*lookup, kind, "{fault:?}");
        assert_eq!(*texts, fault.texts(), "{fault:?}");

        let [line] = &log[..] else { panic!("{fault:?}: one line is expected, not {log:?}") };
        assert!(line.starts_with("WARN "), "{line}");
        for text in texts {
            assert!(line.contains(&text.escape_debug().to_string()), "{fault:?}: {line}");
            assert!(!reply.contains(&text.escape_debug().to_string()), "{fault:?}: {reply}");
        }
        assert!(!reply.contains("10.0.0.7"), "{reply}");
    }
}

/// Cases: 102.
/// Text in an error of the store cannot forge a log line.
#[tokio::test(start_paused = true)]
async fn control_characters_in_log_are_escaped() {
    for fault in Fault::ALL {
        record_log();
        let service = ApiKeyLayer::new(Faulty::new(fault)).layer(Handler::default().service());
        assert_eq!(service.oneshot(request(KEY)).await.unwrap().status(), 503);
        let line = take_log().concat();
        let breaks = ['\u{2028}', '\u{2029}', '\u{202e}'];
        assert!(!line.contains(|c: char| c.is_control() || breaks.contains(&c)), "{fault:?}: {line:?}");
        if fault != Fault::Hangs {
            assert!(line.contains(r"\nforged"), "it is shown, escaped: {line}");
        }
    }
}

#[test]
fn clock_panic_propagates_and_accepts_nothing() {
    fn panics() -> SystemTime {
        panic!("clock")
    }
    assert_panics_and_lets_nothing_through("clock", KEY, |layer| layer.clock(panics));
}

#[test]
fn renderer_panic_propagates_and_accepts_nothing() {
    let panics = |layer: ApiKeyLayer| layer.rejection_response(|_| panic!("renderer"));
    assert_panics_and_lets_nothing_through("renderer", "unknown", panics);
    let panics = |layer: ApiKeyLayer| layer.require(Requirement::any_of([])).rejection_response(|_| panic!("renderer"));
    assert_panics_and_lets_nothing_through("renderer", KEY, panics);
}

#[test]
fn requirement_panic_propagates_and_accepts_nothing() {
    let panics = |layer: ApiKeyLayer| layer.require_fn(|_| panic!("requirement"));
    assert_panics_and_lets_nothing_through("requirement", KEY, panics);
}

#[test]
fn hook_panic_propagates_and_accepts_nothing() {
    for key in ["", "unknown"] {
        let panics = |layer: ApiKeyLayer| layer.on_decision(|_| panic!("hook"));
        assert_panics_and_lets_nothing_through("hook", key, panics);
    }
}

/// The hook runs when the response is there. The handler has done its work by then, but its response does not
/// reach the client.
#[test]
fn hook_panic_on_accepted_request_propagates() {
    for layer in layers() {
        let handler = Handler::default();
        let service = layer.on_decision(|_| panic!("hook")).layer(handler.service());
        assert_eq!(panic_of(service.oneshot(request(KEY))), "hook");
        assert_eq!(handler.calls(), 1);
    }
}

fn assert_panics_and_lets_nothing_through(text: &str, key: &str, broken: impl Fn(ApiKeyLayer) -> ApiKeyLayer) {
    for layer in layers() {
        let handler = Handler::default();
        assert_eq!(panic_of(broken(layer.clone()).layer(handler.service()).oneshot(request(key))), text);
        assert_eq!(handler.calls(), 0, "{text}");

        // The same request where nothing is broken has an answer.
        block_on(layer.layer(handler.service()).oneshot(request(key))).unwrap();
        assert_eq!(handler.calls(), usize::from(key == KEY));
    }
}

/// On a store that answers at once and on one that does not, which know a key that expires, so that the clock is
/// asked.
fn layers() -> [ApiKeyLayer; 2] {
    let keys = MemoryStore::new();
    keys.add(record(Access::Full).with_expires_at(SystemTime::now() + Duration::from_secs(3600))).unwrap();
    [ApiKeyLayer::new(keys.clone()), ApiKeyLayer::new(Awaited(keys)).without_lookup_timeout()]
}

fn panic_of<F: Future>(call: F) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(block_on(call)))).expect_err("it should have panicked");
    (*panic.downcast_ref::<&str>().unwrap()).to_owned()
}

fn sorted(headers: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<_> =
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort_unstable();
    lines
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Fails,
    Hangs,
    PanicsInFindNow,
    /// Before there is a future.
    PanicsInFind,
    PanicsAtFirstPoll,
    PanicsAfterAnAwait,
    /// With a message that was formatted, which has another type.
    PanicsWithAString,
    /// At every poll: the first panic must be the last poll.
    PanicsAtEachPoll,
}

const FORGED: &str = "lost 10.0.0.7\r\nforged\u{1b}[2J\u{85}\u{2028}\u{2029}\u{202e}";

impl Fault {
    const ALL: [Self; 8] = [
        Self::Fails,
        Self::Hangs,
        Self::PanicsInFindNow,
        Self::PanicsInFind,
        Self::PanicsAtFirstPoll,
        Self::PanicsAfterAnAwait,
        Self::PanicsWithAString,
        Self::PanicsAtEachPoll,
    ];

    fn outage(self) -> Outage {
        match self {
            Self::Fails => Outage::Failed,
            Self::Hangs => Outage::TimedOut,
            _ => Outage::Panicked,
        }
    }

    /// The texts of the error and of its sources.
    fn texts(self) -> Vec<String> {
        match self {
            Self::Fails => vec!["the pool is empty\nforged: yes".to_owned(), FORGED.to_owned()],
            Self::Hangs => vec!["deadline has elapsed".to_owned()],
            _ => vec![format!("the key store panicked: {FORGED}")],
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the pool is empty\nforged: yes")]
struct PoolIsEmpty(#[source] BoxError);

/// Knows [`KEY`], once it has no fault.
struct Faulty {
    keys: MemoryStore,
    fault: Mutex<Option<Fault>>,
}

impl Faulty {
    fn new(fault: Fault) -> Arc<Self> {
        Arc::new(Self { keys: store(Access::scoped([avala::DATASETS_READ])), fault: Mutex::new(Some(fault)) })
    }

    fn set(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap() = fault;
    }

    fn fault(&self) -> Option<Fault> {
        *self.fault.lock().unwrap()
    }
}

impl KeyStore for Faulty {
    type Error = PoolIsEmpty;

    fn find(&self, digest: &KeyDigest) -> impl Future<Output = Found> + Send {
        let fault = self.fault();
        assert!(fault != Some(Fault::PanicsInFind), "{FORGED}");
        let digest = *digest;
        let find = async move {
            match fault {
                Some(Fault::Fails) => Err(PoolIsEmpty(FORGED.into())),
                Some(Fault::Hangs) => future::pending().await,
                Some(Fault::PanicsAtFirstPoll) => std::panic::panic_any(FORGED),
                Some(Fault::PanicsAfterAnAwait) => {
                    yield_now().await;
                    std::panic::panic_any(FORGED)
                }
                Some(Fault::PanicsWithAString) => std::panic::panic_any(FORGED.to_owned()),
                Some(Fault::PanicsAtEachPoll) => PanicsAtEachPoll { polls: 0 }.await,
                _ => match self.keys.find(&digest).await {
                    Ok(record) => Ok(record),
                    Err(never) => match never {},
                },
            }
        };
        let find: BoxFuture<'_, Found> = Box::pin(find);
        find
    }

    fn try_find(&self, _: &KeyDigest) -> Lookup {
        if self.fault() == Some(Fault::PanicsInFindNow) {
            std::panic::panic_any(FORGED)
        }
        Lookup::Pending
    }
}

type Found = Result<Option<Arc<KeyRecord>>, PoolIsEmpty>;

struct PanicsAtEachPoll {
    polls: u8,
}

impl Future for PanicsAtEachPoll {
    type Output = Found;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Found> {
        self.polls += 1;
        std::panic::panic_any(if self.polls == 1 { FORGED } else { "polled again after a panic" })
    }
}

/// Knows [`KEY`], and answers one lookup on a signal.
struct Once {
    keys: MemoryStore,
    answer: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Once {
    fn pair() -> (oneshot::Sender<()>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self { keys: store(Access::Full), answer: Mutex::new(Some(receiver)) })
    }
}

impl KeyStore for Once {
    type Error = BoxError;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
        let answer = self.answer.lock().unwrap().take();
        answer.ok_or("only one lookup is expected")?.await?;
        Ok(self.keys.find(digest).await?)
    }
}
