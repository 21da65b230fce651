//! Several hooks of one layer: each gets each event once, in the order in which the hooks were added.

use std::convert::Infallible;
use std::future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use futures::executor::block_on;
use http::{Request, Response};
use tokio::task::yield_now;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_api_key::auth::RequireScopesLayer;
use tower_api_key::decision::Denial;
use tower_api_key::observe::{DecisionEvent, Outcome};
use tower_api_key::rejection::CredentialError;
use tower_api_key::scope::avala;
use tower_api_key::{Access, ApiKeyLayer};

use crate::support::awaited::Awaited;
use crate::support::handler::Handler;
use crate::support::keys::KEY;
use crate::support::log_lines::{record_log, take_log};
use crate::support::poll::poll;
use crate::support::request::request;
use crate::support::store::store;

#[tokio::test]
async fn two_hooks_run_in_order_once_per_request() {
    let insufficient = Outcome::Rejected(Denial::InsufficientScope.into());
    for layer in layers() {
        let calls = Calls::default();
        let layer = calls.two_hooks(layer);
        let accepts = Handler::default().service();
        let rejects = RequireScopesLayer::new(avala::DATASETS_WRITE).layer(accepts.clone());
        for (key, outcome) in [
            (KEY, Outcome::Accepted),
            ("unknown", Outcome::Rejected(Denial::Unknown.into())),
            ("", Outcome::Rejected(CredentialError::Missing.into())),
        ] {
            layer.layer(accepts.clone()).oneshot(request(key)).await.unwrap();
            assert_eq!(calls.take(), [(1, outcome), (2, outcome)], "{key}");
        }
        layer.layer(rejects).oneshot(request(KEY)).await.unwrap();
        assert_eq!(calls.take(), [(1, insufficient), (2, insufficient)]);
    }
}

/// Cases: 95.
#[tokio::test]
async fn two_hooks_run_once_on_cancelled_request() {
    for polls in POLLS {
        for layer in layers() {
            let calls = Calls::default();
            cancel(&calls.two_hooks(layer), polls).await;
            assert_eq!(calls.take(), BOTH_CANCELLED, "after {polls} polls");
        }
    }
}

/// Cases: 95.
#[tokio::test]
async fn second_hook_runs_if_first_panics_on_cancel() {
    for polls in POLLS {
        for layer in layers() {
            let calls = Calls::default();
            let layer = layer.on_decision(calls.panicking_hook(1)).on_decision(calls.hook(2));
            record_log();
            cancel(&layer, polls).await;
            assert_eq!(calls.take(), BOTH_CANCELLED, "after {polls} polls");
            assert_eq!(take_log(), ["ERROR a decision hook panicked on a cancelled request"], "after {polls} polls");
        }
    }
}

#[tokio::test]
async fn each_panic_of_a_hook_on_cancel_is_logged() {
    let calls = Calls::default();
    let [layer, _] = layers();
    let layer = layer.on_decision(calls.panicking_hook(1)).on_decision(calls.panicking_hook(2));
    record_log();
    cancel(&layer, 0).await;
    assert_eq!(calls.take(), BOTH_CANCELLED);
    assert_eq!(take_log(), ["ERROR a decision hook panicked on a cancelled request"; 2]);
}

/// Two panics at once would end the process.
#[test]
fn second_hook_runs_if_handler_and_first_hook_panic() {
    let at_once =
        service_fn(|_: Request<String>| -> future::Ready<Result<Response<String>, Infallible>> { panic!("handler") });
    let later = service_fn(async |_: Request<String>| -> Result<Response<String>, Infallible> {
        yield_now().await;
        panic!("handler")
    });
    for layer in layers() {
        let calls = Calls::default();
        let layer = layer.without_lookup_timeout().on_decision(calls.panicking_hook(1)).on_decision(calls.hook(2));
        for call in [block_on_unwinding(layer.layer(at_once)), block_on_unwinding(layer.layer(later))] {
            assert_eq!(call, "handler");
        }
        assert_eq!(calls.take(), [BOTH_CANCELLED, BOTH_CANCELLED].concat());
    }
}

#[tokio::test]
async fn hook_added_to_clone_is_not_in_original() {
    let [layer, _] = layers();
    let calls = Calls::default();
    let one = layer.on_decision(calls.hook(1));
    let two = one.clone().on_decision(calls.hook(2));
    let service = Handler::default().service();
    one.layer(service.clone()).oneshot(request(KEY)).await.unwrap();
    assert_eq!(calls.take(), [(1, Outcome::Accepted)]);
    two.layer(service).oneshot(request(KEY)).await.unwrap();
    assert_eq!(calls.take(), [(1, Outcome::Accepted), (2, Outcome::Accepted)]);
}

/// After how many polls a request is dropped: before the first one, in the lookup of a store that must be awaited, and
/// in the handler.
const POLLS: [usize; 4] = [0, 1, 2, 5];

const BOTH_CANCELLED: [Call; 2] = [(1, Outcome::Cancelled), (2, Outcome::Cancelled)];

/// The number of a hook, and the outcome in its event.
type Call = (u8, Outcome);

#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<Call>>>);

impl Calls {
    fn hook(&self, number: u8) -> impl Fn(&DecisionEvent<'_>) + Send + Sync + 'static + use<> {
        let Self(calls) = self.clone();
        move |event| calls.lock().unwrap().push((number, event.outcome()))
    }

    fn panicking_hook(&self, number: u8) -> impl Fn(&DecisionEvent<'_>) + Send + Sync + 'static + use<> {
        let hook = self.hook(number);
        move |event| {
            hook(event);
            panic!("hook {number}");
        }
    }

    fn two_hooks(&self, layer: ApiKeyLayer) -> ApiKeyLayer {
        layer.on_decision(self.hook(1)).on_decision(self.hook(2))
    }

    fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Layers on a store that answers at once and on one that must be awaited.
fn layers() -> [ApiKeyLayer; 2] {
    let keys = store(Access::scoped([avala::DATASETS_READ]));
    [ApiKeyLayer::new(keys.clone()), ApiKeyLayer::new(Awaited(keys))]
}

/// Drops a request after this many polls. The handler never responds.
async fn cancel(layer: &ApiKeyLayer, polls: usize) {
    let hangs = service_fn(|_: Request<String>| future::pending::<Result<Response<String>, Infallible>>());
    let mut service = layer.layer(hangs);
    let mut call = Box::pin(service.ready().await.unwrap().call(request(KEY)));
    for _ in 0..polls {
        assert!(poll(call.as_mut()).is_pending());
    }
}

/// Returns the panic that a request ends with.
fn block_on_unwinding<S: Service<Request<String>>>(service: S) -> String {
    let call = || drop(block_on(service.oneshot(request(KEY))));
    let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("the handler panics");
    (*panic.downcast_ref::<&str>().expect("the panic of the handler")).to_owned()
}
