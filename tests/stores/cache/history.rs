//! Anything may happen in any order: changes here and elsewhere, requests that overlap them, and time. An answer is
//! always one that was true after the last change its request must know of, and within the time to live.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use futures::executor::block_on;
use futures::future::BoxFuture;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestError, TestRunner};
use tokio::runtime::Runtime;
use tokio::time::advance;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord, OrganizationPolicy};
use tower_api_key::manage::StoredCredential;
use tower_api_key::scope::avala;
use tower_api_key::store::{KeyUpdate, Lookup};
use tower_api_key::{Access, KeyStore, MemoryStore, NewKey, OrganizationId};

use super::probe::Probe;
use super::world::{World, find};
use crate::support::manage::Manage;
use crate::support::poll::poll;

const KEYS: usize = 4;
const UNKNOWN: &str = "unknown";
/// In milliseconds.
const TIME_TO_LIVE: u64 = 3_000;
const UNKNOWN_TIME_TO_LIVE: u64 = 1_000;

#[derive(Clone, Debug)]
enum Step {
    /// Milliseconds on the monotonic clock and on the other one.
    Pass(u64, i64),
    Change {
        key: usize,
        change: Change,
        through_the_cache: bool,
    },
    Invalidate(usize, Kind),
    FindNow(usize),
    Arrive(usize),
    /// The store answers one of the lookups that are under way.
    Answer(usize),
    Leave(usize),
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Make,
    Revoke,
    Update,
    Disable(bool),
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Digest,
    Id,
    Organization,
    Everything,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..KEYS;
    let change = prop_oneof![
        2 => Just(Change::Make),
        1 => Just(Change::Revoke),
        1 => Just(Change::Update),
        2 => any::<bool>().prop_map(Change::Disable),
    ];
    let kind = prop_oneof![Just(Kind::Digest), Just(Kind::Id), Just(Kind::Organization), Just(Kind::Everything)];
    let step = prop_oneof![
        2 => (0..1_500_u64, -500..1_500_i64).prop_map(|(monotonic, wall)| Step::Pass(monotonic, wall)),
        4 => (key.clone(), change, any::<bool>())
            .prop_map(|(key, change, through_the_cache)| Step::Change { key, change, through_the_cache }),
        1 => (key.clone(), kind).prop_map(|(key, kind)| Step::Invalidate(key, kind)),
        6 => key.clone().prop_map(Step::FindNow),
        6 => key.prop_map(Step::Arrive),
        5 => (0..4_usize).prop_map(Step::Answer),
        1 => (0..4_usize).prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Cases: 78, 79, 84.
    #[test]
    fn no_answer_is_older_than_promised(steps in steps()) {
        play(&steps, Learns::Own)?;
    }

    /// Cases: 78, 79, 84.
    /// The store publishes what is changed in the process, also by those who do not know of the cache.
    #[test]
    fn no_answer_is_older_than_a_published_change(steps in steps()) {
        play(&steps, Learns::Published)?;
    }

    /// Cases: 261, 267.
    /// The store takes batches, and keys are refreshed all the time.
    #[test]
    fn no_refreshed_answer_is_older_than_promised(steps in steps()) {
        play_refreshed(&steps, Learns::Own)?;
    }
}

/// Which changes the cache learns of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Learns {
    /// Those made through it. Another process makes the others.
    Own,
    /// All of them: the store publishes each change.
    Published,
    Nothing,
}

/// A cache that does not learn of changes made in this process.
#[test]
fn harness_detects_cache_without_invalidation() {
    let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) });
    let result = runner.run(&steps(), |steps| play(&steps, Learns::Nothing));
    assert!(matches!(result, Err(TestError::Fail(..))), "{result:?}");
    let result = runner.run(&steps(), |steps| play_refreshed(&steps, Learns::Nothing));
    assert!(matches!(result, Err(TestError::Fail(..))), "{result:?}");
}

/// What the store answered for a key, and from which step on.
struct Truth {
    since: usize,
    record: String,
}

/// What is known of one key.
struct Key {
    digest: KeyDigest,
    organization: OrganizationId,
    history: Vec<Truth>,
    forgotten: Since,
}

/// The last steps at which the cache was made to forget a key, or from which on something is young enough. What it knows
/// of a key goes by digest, id or organization. That it knows nothing goes by digest alone.
#[derive(Clone, Copy, Default)]
struct Since {
    known: usize,
    unknown: usize,
}

/// A request that waits, and the step after which its answer must have been true.
struct Waiting<'a> {
    key: usize,
    after: Since,
    lookup: BoxFuture<'a, String>,
}

struct Play<'a> {
    world: &'a World,
    refresh: Option<Refresh>,
    step: usize,
    /// When each step was, on either clock.
    times: Vec<(u64, i64)>,
    keys: Vec<Key>,
    waiting: Vec<Waiting<'a>>,
}

/// A refresh in a time of its own: 50 ms pass whenever it may take a step.
struct Refresh {
    runtime: Runtime,
    refresh: BoxFuture<'static, Infallible>,
}

impl Refresh {
    fn of(world: &World) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        Self { runtime, refresh: world.cache.refresh().boxed() }
    }

    fn step(&mut self) {
        let Self { runtime, refresh } = self;
        runtime.block_on(async {
            advance(Duration::from_millis(50)).await;
            assert!(poll(Pin::new(refresh)).is_pending());
        });
    }
}

fn play(steps: &[Step], learns: Learns) -> Result<(), TestCaseError> {
    let store = if learns == Learns::Published { Probe::publishing() } else { Probe::default() };
    play_with(steps, learns, store, |_| None)
}

fn play_refreshed(steps: &[Step], learns: Learns) -> Result<(), TestCaseError> {
    play_with(steps, learns, Probe::batching(3), |world| Some(Refresh::of(world)))
}

fn play_with(
    steps: &[Step],
    learns: Learns,
    store: Probe,
    refresh: impl FnOnce(&World) -> Option<Refresh>,
) -> Result<(), TestCaseError> {
    let world = World::over(store, |cache| {
        cache.time_to_live(Duration::from_millis(TIME_TO_LIVE)).capacity(100).first_seen_limit(3)
    });
    world.store.hold();
    let keys = (0..KEYS).map(|number| Key {
        digest: digest(number),
        organization: format!("organization {}", number / 2).parse().unwrap(),
        history: vec![Truth { since: 0, record: text(None) }],
        forgotten: Since::default(),
    });
    let mut play = Play {
        world: &world,
        refresh: refresh(&world),
        step: 0,
        times: vec![(0, 0)],
        keys: keys.collect(),
        waiting: Vec::new(),
    };
    for step in steps {
        play.take(step, learns)?;
    }
    world.store.release();
    play.settle()?;
    prop_assert!(play.waiting.is_empty());
    Ok(())
}

impl<'a> Play<'a> {
    fn take(&mut self, step: &Step, learns: Learns) -> Result<(), TestCaseError> {
        self.step += 1;
        if let Some(refresh) = &mut self.refresh {
            refresh.step();
        }
        self.times.push(self.times[self.step - 1]);
        match *step {
            Step::Pass(monotonic, wall) => self.pass(monotonic, wall),
            Step::Change { key, change, through_the_cache } => {
                if through_the_cache && learns != Learns::Nothing {
                    change.make(&self.world.cache, &self.keys[key]);
                } else {
                    change.make(self.world.store.elsewhere(), &self.keys[key]);
                }
                if through_the_cache || learns == Learns::Published {
                    let kind = match change {
                        Change::Make => Kind::Digest,
                        Change::Revoke | Change::Update => Kind::Id,
                        Change::Disable(_) => Kind::Organization,
                    };
                    self.forget(key, kind);
                }
            }
            Step::Invalidate(key, kind) => self.invalidate(key, kind),
            Step::FindNow(key) => {
                let found = match self.world.cache.try_find(&self.keys[key].digest) {
                    Lookup::Found(record) => text(Some(&record)),
                    Lookup::NotFound => text(None),
                    Lookup::Pending => return Ok(()),
                };
                self.assert_true_after(self.oldest(key), key, &found)?;
            }
            Step::Arrive(key) => {
                let (world, digest) = (self.world, digest(key));
                let lookup = async move { text(find(&world.cache, &digest).await.unwrap().as_ref()) };
                let after = self.oldest(key);
                self.waiting.push(Waiting { key, after, lookup: lookup.boxed() });
                self.settle()?;
            }
            Step::Answer(at) => {
                self.world.store.release_one(at);
                self.settle()?;
            }
            Step::Leave(at) => {
                if at < self.waiting.len() {
                    drop(self.waiting.swap_remove(at));
                }
            }
        }
        self.look_at_the_store();
        Ok(())
    }

    fn pass(&mut self, monotonic: u64, wall: i64) {
        let World { clocks, .. } = self.world;
        clocks.pass_monotonic(Duration::from_millis(monotonic));
        let (now, distance) = (clocks.now(), Duration::from_millis(wall.unsigned_abs()));
        clocks.wall.set(if wall < 0 { now - distance } else { now + distance });
        let time = &mut self.times[self.step];
        *time = (time.0 + monotonic, time.1 + wall);
    }

    fn invalidate(&mut self, key: usize, kind: Kind) {
        let World { cache, store, .. } = self.world;
        let Key { digest, organization, .. } = &self.keys[key];
        match kind {
            Kind::Digest => cache.invalidate(digest),
            Kind::Id => match id(store.elsewhere(), digest) {
                Some(id) => cache.invalidate_key(id),
                None => return,
            },
            // A key that was unknown has no organization.
            Kind::Organization => cache.invalidate_organization(organization),
            Kind::Everything => cache.flush(),
        }
        self.forget(key, kind);
    }

    fn forget(&mut self, key: usize, kind: Kind) {
        for (other, Key { forgotten, .. }) in self.keys.iter_mut().enumerate() {
            let concerned = match kind {
                Kind::Digest | Kind::Id => other == key,
                Kind::Organization => other / 2 == key / 2,
                Kind::Everything => true,
            };
            if concerned {
                forgotten.known = self.step;
            }
            if concerned && matches!(kind, Kind::Digest | Kind::Everything) {
                forgotten.unknown = self.step;
            }
        }
    }

    /// The first step whose truth may be the answer to a request for this key that starts now.
    fn oldest(&self, key: usize) -> Since {
        let now = self.times[self.step];
        let young = |life: u64| {
            let is_young = |&(monotonic, wall): &(u64, i64)| {
                now.0 - monotonic < life && now.1 - wall < i64::try_from(life).unwrap()
            };
            self.times.iter().position(is_young).unwrap()
        };
        let Since { known, unknown } = self.keys[key].forgotten;
        Since { known: known.max(young(TIME_TO_LIVE)), unknown: unknown.max(young(UNKNOWN_TIME_TO_LIVE)) }
    }

    /// Every request that waits takes another step, until none gets further.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        if let Some(refresh) = &mut self.refresh {
            refresh.step();
        }
        loop {
            let mut answered = false;
            let mut at = 0;
            while at < self.waiting.len() {
                match poll(Pin::new(&mut self.waiting[at].lookup)) {
                    Poll::Pending => at += 1,
                    Poll::Ready(found) => {
                        let Waiting { key, after, .. } = self.waiting.remove(at);
                        self.assert_true_after(after, key, &found)?;
                        answered = true;
                    }
                }
            }
            if !answered {
                return Ok(());
            }
        }
    }

    fn assert_true_after(&self, after: Since, key: usize, found: &str) -> Result<(), TestCaseError> {
        let after = if found == UNKNOWN { after.unknown } else { after.known };
        let history = &self.keys[key].history;
        let end = |at: usize| history.get(at + 1).map_or(self.step, |next| next.since);
        let was_true = history.iter().enumerate().any(|(at, truth)| truth.record == found && end(at) >= after);
        prop_assert!(was_true, "key {key} at step {}: {found} was last true before step {after}", self.step);
        Ok(())
    }

    fn look_at_the_store(&mut self) {
        for key in &mut self.keys {
            let record = match self.world.store.elsewhere().try_find(&key.digest) {
                Lookup::Found(record) => text(Some(&record)),
                _ => text(None),
            };
            if key.history.last().unwrap().record != record {
                key.history.push(Truth { since: self.step, record });
            }
        }
    }
}

impl Change {
    /// The change may be rejected, for a key that is revoked already or not there.
    fn make(self, keys: &impl Manage, key: &Key) {
        let Key { digest, organization, .. } = key;
        block_on(async {
            match self {
                Self::Make => {
                    let new = NewKey::new("key", Access::Full).unwrap();
                    let _ = keys.manage().import(organization, (new, StoredCredential::from_digest(*digest))).await;
                }
                Self::Revoke => {
                    if let Some(id) = id_of(keys, key).await {
                        keys.revoke(organization, id).await.unwrap();
                    }
                }
                Self::Update => {
                    if let Some(id) = id_of(keys, key).await {
                        let _ = keys.update(organization, id, KeyUpdate::new().with_scopes([avala::TASKS_READ])).await;
                    }
                }
                Self::Disable(disabled) => {
                    let policy = OrganizationPolicy::default().with_disabled(disabled);
                    keys.set_organization_policy(organization, policy).await.unwrap();
                }
            }
        });
    }
}

async fn id_of(keys: &impl Manage, key: &Key) -> Option<KeyId> {
    let all = keys.list((&key.organization).into(), &Default::default()).await.unwrap().keys;
    all.iter().find(|record| *record.digest() == key.digest).map(|record| record.id())
}

fn id(keys: &MemoryStore, digest: &KeyDigest) -> Option<KeyId> {
    match keys.try_find(digest) {
        Lookup::Found(record) => Some(record.id()),
        _ => None,
    }
}

fn digest(key: usize) -> KeyDigest {
    KeyDigest::hash(format!("key {key}").as_bytes())
}

fn text(record: Option<&Arc<KeyRecord>>) -> String {
    record.map_or(UNKNOWN.to_owned(), |record: &Arc<KeyRecord>| {
        let fields: [&dyn fmt::Debug; 3] = [&record.is_revoked(), record.access(), &record.policy()];
        format!("{fields:?}")
    })
}
