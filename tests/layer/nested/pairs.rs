//! Real layers for each [`Case`].

use std::cell::RefCell;
use std::mem::take;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures::executor::block_on;
use http::{HeaderName, Method, Request};
use tower::{Layer, ServiceExt};
use tower_api_key::auth::Identity;
use tower_api_key::key::{KeyDigest, KeyFormat, KeyId, KeyRecord};
use tower_api_key::observe::{DecisionEvent, Outcome};
use tower_api_key::routes::RouteTable;
use tower_api_key::scope::avala;
use tower_api_key::store::KeyBackend;
use tower_api_key::usage::UsageTracker;
use tower_api_key::{Access, ApiKeyLayer, MemoryStore, OrganizationId};

use super::oracle::{Case, Formats, Login, Public, SAME_RECORD, SAME_STORE, Seen, Sent, Watched};
use crate::support::handler::Handler;

/// Cases: 137.
/// The rule of old, by which the store alone decided, is wrong about thousands of these pairs.
#[test]
fn each_pair_of_layers_matches_oracle() {
    let (keys, mut cases, mut wrong_by_store) = (Keys::new(), 0, 0);
    for case in every_case() {
        let seen = keys.ask(&case);
        assert_eq!(seen, case.expected(SAME_RECORD), "{case:?}");
        cases += 1;
        wrong_by_store += usize::from(seen != case.expected(SAME_STORE));
    }
    assert!(cases > 60_000, "{cases} cases");
    assert!(wrong_by_store > 2_000, "{wrong_by_store} of {cases}");
}

fn every_case() -> impl Iterator<Item = Case> {
    let mut cases = vec![Case {
        same_store: true,
        same_header: true,
        formats: Formats::None,
        same_clock: true,
        scope: false,
        watched: Watched::None,
        anonymous: [false; 2],
        login: Login::None,
        public: Public::None,
        keep: false,
        sent: Sent::Nothing,
        sent_inside: Sent::Nothing,
    }];
    let both = [true, false];
    vary(&mut cases, &both, |case, same| case.same_store = same);
    vary(&mut cases, &both, |case, same| case.same_header = same);
    vary(&mut cases, &[Formats::None, Formats::Inner, Formats::Both], |case, formats| case.formats = formats);
    vary(&mut cases, &both, |case, same| case.same_clock = same);
    vary(&mut cases, &both, |case, scope| case.scope = scope);
    let watched = [Watched::None, Watched::Outer, Watched::Inner, Watched::Same, Watched::Each];
    vary(&mut cases, &watched, |case, watched| case.watched = watched);
    vary(&mut cases, &both, |case, anonymous| case.anonymous[0] = anonymous);
    vary(&mut cases, &both, |case, anonymous| case.anonymous[1] = anonymous);
    vary(&mut cases, &[Login::None, Login::Outer, Login::Inner, Login::Both], |case, login| case.login = login);
    vary(&mut cases, &[Public::None, Public::Outer, Public::Inner], |case, public| case.public = public);
    vary(&mut cases, &both, |case, keep| case.keep = keep);
    vary(&mut cases, &[Sent::Nothing, Sent::Plain, Sent::Formatted, Sent::Unknown], |case, sent| case.sent = sent);
    vary(&mut cases, &[Sent::Nothing, Sent::Plain, Sent::Unknown], |case, sent| case.sent_inside = sent);
    // Neither formats nor a tracker that only one layer has change what becomes of an identity.
    let has_login = |case: &Case| {
        case.login == Login::None
            || (case.formats == Formats::None && matches!(case.watched, Watched::Same | Watched::Each))
    };
    cases.into_iter().filter(move |case| has_login(case) && (!case.same_header || case.sent_inside == Sent::Nothing))
}

fn vary<T: Copy>(cases: &mut Vec<Case>, values: &[T], set: impl Fn(&mut Case, T)) {
    *cases = take(cases)
        .into_iter()
        .flat_map(|case| {
            values
                .iter()
                .map(|value| {
                    let mut case = case;
                    set(&mut case, *value);
                    case
                })
                .collect::<Vec<_>>()
        })
        .collect();
}

struct Keys {
    stores: [MemoryStore; 2],
    formatted: String,
    unknown: String,
    records: [KeyRecord; 2],
    organization: OrganizationId,
}

const PLAIN: &str = "a key that was issued elsewhere";
const INSIDE: HeaderName = HeaderName::from_static("x-inside");

impl Keys {
    fn new() -> Self {
        let generate = || KeyFormat::AVALA.generate().unwrap().expose_secret().to_owned();
        let (formatted, unknown) = (generate(), generate());
        let organization: OrganizationId = "acme".parse().unwrap();
        let record = |id, key: &str| {
            let digest = KeyDigest::hash(key.as_bytes());
            let access = Access::scoped([avala::DATASETS_READ]);
            KeyRecord::new(KeyId::from_u128(id), digest, organization.clone(), access).with_expires_at(year(2090))
        };
        let records = [record(1, PLAIN), record(2, &formatted)];
        let stores = [store(&records), store(&records)];
        Self { stores, formatted, unknown, records, organization }
    }

    fn ask(&self, case: &Case) -> Seen {
        let [outer, inner] = [Watcher::default(), Watcher::default()];
        let (outside, inside) = self.layers(case);
        let (outside, inside) = match case.watched {
            Watched::None => (outside, inside),
            Watched::Outer => (outer.watch(outside), inside),
            Watched::Inner => (outside, inner.watch(inside)),
            Watched::Each => (outer.watch(outside), inner.watch(inside)),
            Watched::Same => {
                let same = |layer: ApiKeyLayer| layer.on_decision(of_thread).track_usage(&outer.tracker);
                (same(outside), same(inside))
            }
        };
        let service = outside.layer(inside.layer(Handler::default().service()));
        let mut request = Request::get("/datasets/");
        for (header, sent) in [("x-avala-api-key", case.sent), (INSIDE.as_str(), case.sent_inside)] {
            match sent {
                Sent::Nothing => {}
                Sent::Plain => request = request.header(header, PLAIN),
                Sent::Formatted => request = request.header(header, &self.formatted),
                Sent::Unknown => request = request.header(header, &self.unknown),
            }
        }
        let response = block_on(service.oneshot(request.body(String::new()).unwrap())).unwrap();
        let mut events = [outer.events(), inner.events()];
        events[0].extend(OF_THREAD.take());
        let uses = [self.uses(&outer.tracker), self.uses(&inner.tracker)];
        Seen { status: response.status().as_u16(), events, uses }
    }

    fn layers(&self, case: &Case) -> (ApiKeyLayer, ApiKeyLayer) {
        let mut outer = ApiKeyLayer::new(self.stores[0].clone());
        let mut inner = ApiKeyLayer::new(self.stores[usize::from(!case.same_store)].clone());
        if !case.same_header {
            inner = inner.header(INSIDE);
        }
        if case.formats == Formats::Both {
            outer = outer.require_formats([KeyFormat::AVALA]);
        }
        if case.formats != Formats::None {
            inner = inner.require_formats([KeyFormat::AVALA]);
        }
        if !case.same_clock {
            inner = inner.clock(|| year(2100));
        }
        if case.scope {
            inner = inner.require(avala::DATASETS_WRITE);
        }
        if case.anonymous[0] {
            outer = outer.allow_anonymous();
        }
        if case.anonymous[1] {
            inner = inner.allow_anonymous();
        }
        let reader = Access::scoped([avala::DATASETS_READ]);
        let identity = Identity::new(self.organization.clone(), reader, "ada");
        let accept = |layer: ApiKeyLayer| {
            layer.accept_identity({
                let identity = identity.clone();
                move |_| Some(identity.clone())
            })
        };
        if matches!(case.login, Login::Outer | Login::Both) {
            outer = accept(outer);
        }
        if matches!(case.login, Login::Inner | Login::Both) {
            inner = accept(inner);
        }
        let public = || RouteTable::builder().public(Method::GET, "/datasets/").build().unwrap();
        match case.public {
            Public::None => {}
            Public::Outer => outer = outer.routes(public()),
            Public::Inner => inner = inner.routes(public()),
        }
        if case.keep {
            outer = outer.keep_header();
        }
        (outer, inner)
    }

    /// How many requests of any key this tracker has counted.
    fn uses(&self, tracker: &UsageTracker) -> u64 {
        let counted = store(&self.records);
        block_on(tracker.flush(&counted)).unwrap();
        let count =
            |record: &KeyRecord| block_on(counted.get(&self.organization, record.id())).unwrap().request_count();
        self.records.iter().map(count).sum()
    }
}

fn store(records: &[KeyRecord]) -> MemoryStore {
    let store = MemoryStore::new();
    for record in records {
        store.add(record.clone()).unwrap();
    }
    store
}

fn year(year: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_556_952)
}

type Event = (Outcome, Option<u16>);

thread_local! {
    static OF_THREAD: RefCell<Vec<Event>> = const { RefCell::new(Vec::new()) };
}

/// A hook without state: two layers that have it have the same hook.
fn of_thread(event: &DecisionEvent<'_>) {
    OF_THREAD.with_borrow_mut(|events| events.push(shown(event)));
}

fn shown(event: &DecisionEvent<'_>) -> Event {
    (event.outcome(), event.status().map(|status| status.as_u16()))
}

#[derive(Default)]
struct Watcher {
    events: Arc<Mutex<Vec<Event>>>,
    tracker: UsageTracker,
}

impl Watcher {
    fn watch(&self, layer: ApiKeyLayer) -> ApiKeyLayer {
        let events = Arc::clone(&self.events);
        layer.on_decision(move |event| events.lock().unwrap().push(shown(event))).track_usage(&self.tracker)
    }

    fn events(&self) -> Vec<Event> {
        take(&mut self.events.lock().unwrap())
    }
}
