//! The hooks for traces and metrics: what they record, and what they never record.
#![cfg(all(feature = "metrics", feature = "test-kit"))]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tower::{Layer, ServiceExt};
use tower_api_key::key::{KeyDigest, KeyId, OrganizationPolicy};
use tower_api_key::manage::{ChangeEvent, IssueRules};
use tower_api_key::scope::avala;
use tower_api_key::store::Expiry;
use tower_api_key::test_kit::{Fault, FaultyStore};
use tower_api_key::{Access, ApiKeyLayer, KeyManager, MemoryStore, NewKey, Scope, observe};
use tower_http::trace::TraceLayer;

use crate::support::handler::Handler;
use crate::support::keys::{KEY, record};
use crate::support::request::request;
use crate::support::store::store;

/// No line and no label has it: a client may paste a key into a path.
const SECRET_PATH: &str = "/avk_in_the_path/";
/// The error of a [`FaultyStore`].
const CAUSE: &str = "the test asked the key store to fail";

#[test]
fn outcome_is_counted_under_its_name() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        observe::metrics::describe();
        run(send_one_of_each(observe::metrics::record_decision));
        run(change_one_of_each(observe::metrics::record_change));
    });
    let (mut counts, mut durations) = (BTreeMap::new(), BTreeMap::new());
    for (key, unit, description, value) in snapshotter.snapshot().into_vec() {
        assert!(unit.is_some() && description.is_some(), "{key:?}");
        let labels: Vec<_> = key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{} {}", key.key().name(), labels.join(" "));
        match value {
            DebugValue::Counter(count) => assert_eq!(counts.insert(name, count), None),
            DebugValue::Histogram(seconds) => assert_eq!(durations.insert(name, seconds.len()), None),
            DebugValue::Gauge(_) => panic!("{name} is a gauge"),
        }
    }
    let outcomes = ["accepted 2", "insufficient_scope 1", "missing 1", "store_failed 1", "unknown 1"];
    let of = |metric: &str, outcome: &str| format!("{metric} outcome={outcome}");
    let changes = ["issued done", "issued failed", "policy_changed done", "revoked done", "revoked rejected"];
    let expected = outcomes.map(|line| of("api_key_requests_total", line)).into_iter();
    let expected = expected.chain(changes.map(|line| {
        let (change, outcome) = line.split_once(' ').unwrap();
        format!("api_key_changes_total change={change} outcome={outcome} 1")
    }));
    let mut expected: Vec<_> = expected.collect();
    expected.sort();
    assert_eq!(counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>(), expected);
    let expected = outcomes.map(|line| of("api_key_request_duration_seconds", line));
    assert_eq!(durations.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>(), expected);
}

#[test]
fn rejection_is_one_event_and_span_has_key_id() {
    let id = KeyId::from_u128(1);
    let digest = format!("{:?}", KeyDigest::hash(b"unknown"));
    let lines = traced(|| {
        run(send_one_of_each(|event| {
            let span = tracing::info_span!("request", api_key.id = tracing::field::Empty);
            span.in_scope(|| {
                observe::tracing::record_decision(event);
                tracing::info!("after");
            });
        }));
    });
    let after = |span: &str| format!("INFO request{span}: layer::observe: after");
    let named = after(&format!("{{api_key.id={id}}}"));
    let rejected = |level: &str, span: &str, fields: &str| {
        format!("{level} request{span}: tower_api_key::observe::tracing: request rejected {fields}")
    };
    let known = format!("{{api_key.id={id}}}");
    assert_eq!(
        lines,
        [
            named.clone(),
            named.clone(),
            rejected("INFO", &known, &format!("reason=\"insufficient_scope\" status=403 api_key.id={id}")),
            named,
            rejected("INFO", "", "reason=\"missing\" status=401"),
            after(""),
            rejected("INFO", "", &format!("reason=\"unknown\" status=401 api_key.digest={digest}")),
            after(""),
            rejected("WARN", "", &format!("reason=\"store_failed\" status=503 cause=\"{CAUSE}\"")),
            after(""),
        ]
    );
}

/// Cases: 167.
///
/// The default span has no field for the id, and at the default level it is not even there.
#[test]
fn key_id_is_recorded_under_default_trace_layer() {
    let id = KeyId::from_u128(1);
    for level in [tracing::Level::TRACE, tracing::Level::INFO] {
        let lines = traced_at(level, || {
            let layer = ApiKeyLayer::new(store(Access::Full)).on_decision(observe::tracing::record_decision);
            let service = TraceLayer::new_for_http().layer(layer.layer(Handler::default().service()));
            run(async move { assert_eq!(service.oneshot(request(KEY)).await.unwrap().status(), 200) });
        });
        let named: Vec<_> = lines.iter().filter(|line| line.contains(&id.to_string())).collect();
        let [line] = &named[..] else { panic!("one line is expected: {lines:?}") };
        assert!(line.starts_with("INFO "), "{line}");
        let event = format!("tower_api_key::observe::tracing: request accepted api_key.id={id}");
        assert!(line.ends_with(&event), "{line}");
        assert_eq!(line.contains("request{method=GET"), level == tracing::Level::TRACE, "{line}");
    }
}

/// Cases: 167.
#[test]
fn outage_is_logged_once_with_and_without_the_hook() {
    let outage = |layer: fn(ApiKeyLayer) -> ApiKeyLayer| {
        let store = FaultyStore::new(store(Access::Full));
        store.set_fault(Fault::Error);
        let lines = traced(|| {
            let service = layer(ApiKeyLayer::new(store)).layer(Handler::default().service());
            run(async move { assert_eq!(service.oneshot(request(KEY)).await.unwrap().status(), 503) });
        });
        lines.into_iter().filter(|line| line.contains(CAUSE)).collect::<Vec<_>>()
    };
    let by_the_layer =
        format!("WARN tower_api_key::observe::report: no answer from the key store, answering 503: {CAUSE}");
    assert_eq!(outage(|layer| layer), [&*by_the_layer]);
    assert_eq!(outage(|layer| layer.on_decision(|_| {})), [&*by_the_layer]);
    let by_the_hook = format!(
        "WARN tower_api_key::observe::tracing: request rejected reason=\"store_failed\" status=503 cause=\"{CAUSE}\""
    );
    assert_eq!(outage(|layer| layer.on_decision(observe::tracing::record_decision)), [&*by_the_hook]);
    let both = |layer: ApiKeyLayer| layer.on_decision(|_| {}).on_decision(observe::tracing::record_decision);
    assert_eq!(outage(both), [&*by_the_hook]);
}

#[test]
fn change_is_one_event_with_its_actor() {
    let lines = traced(|| run(change_one_of_each(observe::tracing::record_change)));
    let started = lines.iter().map(|line| {
        let (level, rest) = line.split_once(' ').unwrap();
        let start = rest.split(" api_key.id=").next().unwrap();
        format!("{level} {}", start.split(" cause=").next().unwrap())
    });
    let line = |level: &str, text: &str, change: &str, outcome: &str| {
        format!(
            "{level} tower_api_key::observe::tracing: {text} change=\"{change}\" outcome=\"{outcome}\" actor=\"ada\" \
             organization=\"acme\""
        )
    };
    assert_eq!(
        started.collect::<Vec<_>>(),
        [
            line("INFO", "key changed", "issued", "done"),
            line("INFO", "key changed", "revoked", "done"),
            line("INFO", "key changed", "policy_changed", "done"),
            line("INFO", "key not changed", "revoked", "rejected"),
            line("WARN", "key perhaps not changed", "issued", "failed"),
        ]
    );
}

/// The key that the caller named, and the key that replaced it.
#[test]
fn regenerated_key_event_names_the_new_key() {
    let mut ids = Vec::new();
    let lines = traced(|| {
        run(async {
            let keys = KeyManager::new(MemoryStore::new()).on_change(observe::tracing::record_change);
            let acme = "acme".parse().unwrap();
            let old = keys.issue(&acme, NewKey::new("ci", Access::Full).unwrap()).await.unwrap();
            let new = keys.regenerate(&acme, old.record.id(), Expiry::Never).await.unwrap();
            ids.extend([old.record.id(), new.record.id()]);
        });
    });
    assert!(lines[0].ends_with(&format!(" api_key.id={}", ids[0])), "{}", lines[0]);
    assert!(lines[1].ends_with(&format!(" api_key.id={} new_id={}", ids[0], ids[1])), "{}", lines[1]);
}

/// A client that pastes a key in place of a scope gets the error; the log does not show the key.
#[test]
fn key_in_place_of_scope_is_not_recorded() {
    let pasted = Scope::from_static("avk_0123456789abcdef0123456789abcdef01234567");
    let rules = IssueRules::default().with_catalog(avala::catalog());
    let lines = traced(|| {
        run(async {
            let keys = KeyManager::new(MemoryStore::new()).with_rules(rules).on_change(observe::tracing::record_change);
            let new = NewKey::new("ci", Access::scoped([pasted])).unwrap();
            keys.issue(&"acme".parse().unwrap(), new).await.unwrap_err();
        });
    });
    let line = "INFO tower_api_key::observe::tracing: key not changed change=\"issued\" outcome=\"rejected\" \
                organization=\"acme\" cause=\"a scope is not in the catalog of this service\"";
    assert_eq!(lines, [line]);
}

/// Two accepted requests, and one of each of four kinds that are rejected.
async fn send_one_of_each(hook: impl Fn(&observe::DecisionEvent<'_>) + Send + Sync + 'static) {
    let keys = MemoryStore::new();
    keys.add(record(Access::scoped([avala::DATASETS_READ]))).unwrap();
    let keys = FaultyStore::new(keys);
    let layer = ApiKeyLayer::new(keys.clone()).without_lookup_timeout().on_decision(hook);
    let handler = Handler::default();
    let call = async |layer: &ApiKeyLayer, key| {
        let mut request = request(key);
        *request.uri_mut() = SECRET_PATH.parse().unwrap();
        layer.layer(handler.service()).oneshot(request).await.unwrap()
    };
    call(&layer, KEY).await;
    call(&layer, KEY).await;
    call(&layer.clone().require(avala::DATASETS_WRITE), KEY).await;
    call(&layer, "").await;
    call(&layer, "unknown").await;
    keys.set_fault(Fault::Error);
    call(&layer, KEY).await;
    assert_eq!(handler.calls(), 2);
}

/// Three changes that are made, one that is rejected and one that fails.
async fn change_one_of_each(hook: impl Fn(&ChangeEvent<'_>) + Send + Sync + 'static) {
    let store = FaultyStore::new(MemoryStore::new());
    let keys = KeyManager::new(store.clone()).on_change(hook).on_behalf_of("ada");
    let acme = "acme".parse().unwrap();
    let new = || NewKey::new("ci", Access::Full).unwrap();
    let issued = keys.issue(&acme, new()).await.unwrap();
    keys.revoke(&acme, issued.record.id()).await.unwrap();
    keys.set_organization_policy(&acme, OrganizationPolicy::default()).await.unwrap();
    keys.revoke(&acme, KeyId::from_u128(5)).await.unwrap_err();
    store.set_fault(Fault::Error);
    keys.issue(&acme, new()).await.unwrap_err();
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work);
}

/// Every line that is traced meanwhile, at every level. None may hold a key.
fn traced(work: impl FnOnce()) -> Vec<String> {
    traced_at(tracing::Level::TRACE, work)
}

fn traced_at(level: tracing::Level, work: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .without_time()
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("avk_"), "{text}");
    text.lines().map(|line| line.trim().to_owned()).collect()
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
