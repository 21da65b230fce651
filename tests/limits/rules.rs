//! Plans, costs, shadow mode, and what a rule reports.

use std::sync::{Arc, Mutex};

use tower::Layer;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::observe::{LimitEvent, LimitOutcome};
use tower_api_key::scope::avala;
use tower_api_key::throttle::{Acquired, Hit, Limit, LimitRule, LimitStore, Limits};
use tower_api_key::{Access, ApiKey, ApiKeyLayer, BoxError, MemoryStore};

use super::world::{Hand, MINUTE, ask, limit_headers};
use crate::support::handler::Handler;
use crate::support::keys::KEY;
use crate::support::log_lines::{record_log, take_log};
use crate::support::request::request;
use crate::support::store::store;

/// Cases: 247.
#[tokio::test]
async fn plan_of_the_key_decides() {
    let keys = MemoryStore::new();
    for (id, (key, organization, access)) in (1..).zip([
        ("free", "acme", Access::scoped([])),
        ("paid", "acme", Access::scoped([avala::EXPORTS_CREATE])),
        ("partner", "globex", Access::scoped([])),
    ]) {
        let digest = KeyDigest::hash(key.as_bytes());
        keys.add(KeyRecord::new(KeyId::from_u128(id), digest, organization.parse().unwrap(), access)).unwrap();
    }
    let plan = |key: &ApiKey| match key.organization().as_str() {
        "globex" => Limits::NONE,
        _ if key.allows(&avala::EXPORTS_CREATE) => [Limit::per_minute(3), Limit::per_day(4)].into(),
        _ => Limit::per_minute(1).into(),
    };
    let hand = Hand::default();
    let keys = ApiKeyLayer::new(keys).limit(hand.per_key(Limit::per_minute(0)).plan(plan));
    let service = keys.layer(Handler::default().service());
    for (at, key, replies) in [
        (0, "free", &[(200, "1"), (429, "1")][..]),
        (0, "paid", &[(200, "3"), (200, "3"), (200, "3"), (429, "3")]),
        (0, "partner", &[(200, ""); 10]),
        (MINUTE, "free", &[(200, "1"), (429, "1")]),
        (MINUTE, "paid", &[(200, "4"), (429, "4")]),
    ] {
        hand.set(at);
        for &(status, limit) in replies {
            let reply = ask(&service, request(key)).await;
            assert_eq!((reply.status, limit_headers(&reply.headers)[0]), (status, limit), "{at} {key}");
        }
    }
}

/// Cases: 247.
#[tokio::test]
async fn request_counts_as_much_as_it_costs() {
    let hand = Hand::default();
    let cost = |request: tower_api_key::request::RequestHead<'_>| match request.path() {
        "/search" => 5,
        "/export" => 9,
        "/ping" => 0,
        _ => 1,
    };
    let keys = ApiKeyLayer::new(store(Access::Full)).limit(hand.per_key(Limit::per_minute(8)).cost(cost));
    let service = keys.layer(Handler::default().service());
    for (at, path, status, left, retry) in [
        (0, "/search", 200, "3", ""),
        (1_000, "/search", 429, "3", "59"),
        (1_000, "/a", 200, "2", ""),
        (2_000, "/a", 200, "1", ""),
        (3_000, "/a", 200, "0", ""),
        (3_000, "/ping", 200, "0", ""),
        (3_000, "/a", 429, "0", "57"),
        // Never accepted.
        (3_000, "/export", 429, "0", "60"),
        (MINUTE, "/search", 200, "0", ""),
        (MINUTE + 1_000, "/search", 429, "1", "59"),
    ] {
        hand.set(at);
        let mut request = request(KEY);
        *request.uri_mut() = path.parse().unwrap();
        let reply = ask(&service, request).await;
        let [_, remaining, _, retry_after] = limit_headers(&reply.headers);
        assert_eq!((reply.status, remaining, retry_after), (status, left, retry), "{at} {path}");
    }
}

#[derive(Clone, Default)]
struct Outcomes(Arc<Mutex<Vec<Reported>>>);

/// The name of the rule, the outcome, and why the store failed.
type Reported = (String, LimitOutcome, Option<String>);

impl Outcomes {
    fn hook(&self) -> impl Fn(&LimitEvent<'_>) + Send + Sync + 'static {
        let outcomes = Arc::clone(&self.0);
        move |event| {
            let error = event.store_error().map(ToString::to_string);
            outcomes.lock().unwrap().push((event.name().to_owned(), event.outcome(), error));
        }
    }

    fn take(&self) -> Vec<LimitOutcome> {
        let events = std::mem::take(&mut *self.0.lock().unwrap());
        events.into_iter().map(|(name, outcome, _)| (assert_eq!(name, "requests"), outcome).1).collect()
    }
}

/// Cases: 256.
#[tokio::test]
async fn shadow_rule_counts_and_rejects_nothing() {
    let (hand, outcomes) = (Hand::default(), Outcomes::default());
    let rule = hand.per_key(Limit::per_minute(2)).name("requests").on_count(outcomes.hook());
    let keys = ApiKeyLayer::new(store(Access::Full));
    let shadow = keys.clone().limit(rule.clone().shadow()).layer(Handler::default().service());
    let real = keys.limit(rule).layer(Handler::default().service());
    for expected in [LimitOutcome::Allowed, LimitOutcome::Allowed, LimitOutcome::WouldLimit, LimitOutcome::WouldLimit] {
        let reply = ask(&shadow, request(KEY)).await;
        assert_eq!((reply.status, limit_headers(&reply.headers)), (200, [""; 4]));
        assert_eq!(outcomes.take(), [expected]);
    }
    // Both count in one store.
    assert_eq!(ask(&real, request(KEY)).await.status, 429);
    assert_eq!(outcomes.take(), [LimitOutcome::Limited]);
}

/// It never has an answer.
#[derive(Clone)]
struct Down;

impl LimitStore for Down {
    type Error = BoxError;

    async fn acquire(&self, _: &Hit) -> Result<Acquired, BoxError> {
        Err("connection refused".into())
    }
}

/// Cases: 256.
#[tokio::test]
async fn store_failure_is_reported() {
    let outcomes = Outcomes::default();
    let rule = LimitRule::per_key(Limit::per_minute(1)).store(Down).name("requests").on_count(outcomes.hook());
    let keys = ApiKeyLayer::new(store(Access::Full));
    record_log();
    for (rule, status, outcome) in [
        (rule.clone(), 200, LimitOutcome::Allowed),
        (rule.clone().store(Down).reject_when_away(), 503, LimitOutcome::Failed),
        (rule.store(Down).reject_when_away().shadow(), 200, LimitOutcome::Failed),
    ] {
        let service = keys.clone().limit(rule).layer(Handler::default().service());
        assert_eq!(ask(&service, request(KEY)).await.status, status);
        let events = std::mem::take(&mut *outcomes.0.lock().unwrap());
        assert_eq!(events, [("requests".to_owned(), outcome, Some("connection refused".to_owned()))]);
    }
    assert!(take_log().iter().all(|line| line.contains("connection refused")));
}

/// Cases: 256.
#[cfg(feature = "metrics")]
#[test]
fn metrics_count_outcomes_and_store_failures() {
    use std::collections::BTreeMap;

    use metrics_util::debugging::{DebugValue, DebuggingRecorder};
    use tower_api_key::observe;

    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        observe::metrics::describe();
        let rule = |name| LimitRule::per_key(Limit::per_minute(1)).name(name).on_count(observe::metrics::record_limit);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for rule in [
                rule("near"),
                rule("watched").shadow(),
                rule("far").store(Down),
                rule("gone").store(Down).reject_when_away(),
            ] {
                let service = ApiKeyLayer::new(store(Access::Full)).limit(rule).layer(Handler::default().service());
                for _ in 0..3 {
                    ask(&service, request(KEY)).await;
                }
            }
        });
    });
    let counts: BTreeMap<String, u64> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, unit, description, value)| {
            assert!(unit.is_some() && description.is_some(), "{key:?}");
            let labels: Vec<_> = key.key().labels().map(|label| label.value()).collect();
            let DebugValue::Counter(count) = value else { panic!("{key:?}") };
            (format!("{} {}", key.key().name(), labels.join(" ")), count)
        })
        .collect();
    let expected = [
        ("api_key_limit_store_failures_total far", 1),
        ("api_key_limit_store_failures_total gone", 3),
        ("api_key_limits_total far allowed", 1),
        ("api_key_limits_total far limited", 2),
        ("api_key_limits_total gone failed", 3),
        ("api_key_limits_total near allowed", 1),
        ("api_key_limits_total near limited", 2),
        ("api_key_limits_total watched allowed", 1),
        ("api_key_limits_total watched would_limit", 2),
    ];
    assert_eq!(counts, expected.map(|(name, count)| (name.to_owned(), count)).into());
}
