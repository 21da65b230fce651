//! Every combination of what decides about a key, against an oracle of another make; and what must hold for any
//! scopes at all.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::executor::block_on;
use http::{Request, Response};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::client::ClientInfo;
use tower_api_key::decision::{Denial, decide};
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord, OrganizationPolicy};
use tower_api_key::manage::{IssueRules, ManageError};
use tower_api_key::scope::{ScopeCatalog, ScopeSet, avala};
use tower_api_key::store::{KeyBackend, KeyUpdate, Lookup};
use tower_api_key::{
    Access, ApiKeyLayer, KeyManager, KeyStore, MemoryStore, OrganizationId, Rejection, Requirement, Scope,
};

use crate::support::awaited::Awaited;
use crate::support::clock::Hands;
use crate::support::keys::{KEY, record};
use crate::support::manage::Manage;
use crate::support::reply::{INVALID, Reply};
use crate::support::request::request;

const EXPIRED: &str = r#"{"detail":"API key has expired."}"#;
const UNAVAILABLE: &str = r#"{"detail":"Service temporarily unavailable, try again later."}"#;
const FORBIDDEN: &str = r#"{"detail":"You do not have permission to perform this action."}"#;

/// Cases: 62, 98, 183, 184.
#[test]
fn decision_matches_oracle_in_every_combination() {
    let mut verdicts = BTreeMap::new();
    let all_facts = all_facts();
    for ask in all_asks() {
        let requirement = ask.requirement();
        for facts in &all_facts {
            let verdict = oracle(facts, &ask);
            let record = facts.record();
            let decided =
                decide(&digest(), record.as_ref(), &requirement, || time(facts.lifetime.now), || facts.client());
            let code = decided.map_or_else(|denial| Rejection::from(denial).code(), |()| "accepted");
            assert_eq!(code, verdict, "{facts:?} {ask:?}");
            *verdicts.entry(verdict).or_insert(0) += 1;
        }
    }
    let seen: Vec<_> = verdicts.into_keys().collect();
    let all = [
        "accepted",
        "expired",
        "insufficient_scope",
        "network_not_allowed",
        "organization_disabled",
        "other_key",
        "revoked",
        "suspended",
        "unknown",
    ];
    assert_eq!(seen, all, "every verdict occurs");
}

/// Cases: 62, 98.
#[test]
fn ready_store_gives_the_oracle_decisions() {
    replies_as_the_oracle_says(ApiKeyLayer::new);
}

/// Cases: 62, 98.
#[test]
fn pending_store_gives_the_oracle_decisions() {
    replies_as_the_oracle_says(|scripted| ApiKeyLayer::new(Awaited(scripted)).without_lookup_timeout());
}

/// Cases: 71.
#[test]
fn key_is_expired_at_its_expiry_instant() {
    let expiry = UNIX_EPOCH + Duration::from_secs(1_900_000_000);
    let (second, nanosecond) = (Duration::from_secs(1), Duration::from_nanos(1));
    let hands = Hands::at(expiry);
    let keys = MemoryStore::new();
    keys.add(record(Access::Full).with_expires_at(expiry)).unwrap();
    for layer in [ApiKeyLayer::new(keys.clone()), ApiKeyLayer::new(Awaited(keys)).without_lookup_timeout()] {
        let layer = layer.clock(hands.clone());
        for (now, expected) in [
            (expiry - second, (200, "handled")),
            (expiry - nanosecond, (200, "handled")),
            (expiry, (401, EXPIRED)),
            (expiry + nanosecond, (401, EXPIRED)),
            (expiry + second, (401, EXPIRED)),
        ] {
            hands.set(now);
            assert_eq!(send(&layer), (expected.0, expected.1.to_owned()), "{now:?}");
        }
    }
}

/// Cases: 72.
/// The clock alone decides: without a cache, a clock that goes back makes an expired key valid for as long as the clock
/// is wrong.
#[test]
fn clock_stepping_back_is_followed() {
    let expiry = UNIX_EPOCH + Duration::from_secs(1_900_000_000);
    let (hands, keys) = (Hands::at(expiry + Duration::from_secs(10)), MemoryStore::new());
    keys.add(record(Access::Full).with_expires_at(expiry)).unwrap();
    let layer = ApiKeyLayer::new(keys).clock(hands.clone());
    assert_eq!(send(&layer), (401, EXPIRED.to_owned()));
    hands.set(expiry - Duration::from_secs(3590));
    assert_eq!(send(&layer), (200, "handled".to_owned()));
    hands.set(expiry + Duration::from_secs(10));
    assert_eq!(send(&layer), (401, EXPIRED.to_owned()));
}

/// Cases: 75.
/// Wherever in time, nothing panics, a key that has an end is over at the end of time, and one that has none is not.
#[test]
fn extreme_expiry_is_not_read_as_none() {
    let times = ends_of_time();
    let (first, last) = (times[0], times[times.len() - 1]);
    let ages = [0, 1, u64::from(u32::MAX), i64::MAX as u64, u64::MAX].map(Duration::from_secs);
    let expired =
        |record: &KeyRecord, now| match decide(&digest(), Some(record), &Requirement::any_key(), || now, || None) {
            Err(Denial::Expired) => true,
            Ok(()) => false,
            Err(other) => panic!("{other:?}"),
        };
    for &created in &times {
        let record = record(Access::Full).with_created_at(created);
        assert!(times.iter().all(|&now| !expired(&record, now)), "no expiry means none");
        for &expires in &times {
            let record = record.clone().with_expires_at(expires);
            assert!(expired(&record, last), "{expires:?}");
            for &now in &times {
                assert_eq!(expired(&record, now), floor(now) >= floor(expires), "{expires:?} at {now:?}");
            }
        }
        for age in ages {
            let policy = OrganizationPolicy::default().with_max_key_age(age);
            let record = record.clone().with_policy(policy);
            assert!(record.valid_until().is_some(), "created {created:?}, at most {age:?} old");
            for &now in &times {
                // The last second of the range is the end of every key that would live beyond it.
                let old = floor(now) - floor(created) >= i128::from(age.as_secs());
                let over = floor(now) >= i128::from(i64::MAX);
                assert_eq!(expired(&record, now), old || over, "created {created:?}, {age:?}, at {now:?}");
            }
        }
        assert!(first <= created);
    }
}

/// Cases: 75.
#[test]
fn leap_second_counts_as_the_next_second() {
    // 2016-12-31T23:59:60Z has the Unix time of the midnight that follows.
    let midnight = UNIX_EPOCH + Duration::from_secs(1_483_228_800);
    let record = record(Access::Full).with_expires_at(midnight);
    assert!(!record.is_expired(|| midnight - Duration::from_nanos(1)));
    assert!(record.is_expired(|| midnight));
}

/// Cases: 76.
#[test]
fn maximum_age_applies_to_existing_keys() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let issued = UNIX_EPOCH + Duration::from_secs(1_900_000_000);
    let hands = Hands::at(issued);
    let keys = MemoryStore::builder().clock(hands.clone()).build();
    let acme: OrganizationId = "acme".parse().unwrap();
    keys.add(record(Access::Full).with_created_at(issued)).unwrap();
    let layer = ApiKeyLayer::new(keys.clone()).clock(hands.clone());
    let set = |policy| block_on(keys.set_organization_policy(&acme, policy)).unwrap();
    let at_most = |age| OrganizationPolicy::default().with_max_key_age(age);

    hands.set(issued + 30 * DAY);
    assert_eq!(send(&layer).0, 200);
    set(at_most(29 * DAY));
    assert_eq!(send(&layer), (401, EXPIRED.to_owned()), "turned on");
    set(at_most(31 * DAY));
    assert_eq!(send(&layer).0, 200, "lengthened");
    set(at_most(30 * DAY));
    assert_eq!(send(&layer), (401, EXPIRED.to_owned()), "shortened to the very age");
    set(at_most(30 * DAY + Duration::from_secs(1)));
    assert_eq!(send(&layer).0, 200);
    set(at_most(31 * DAY).with_disabled(true));
    assert_eq!(send(&layer), (401, INVALID.to_owned()), "disabled");
    set(OrganizationPolicy::default());
    assert_eq!(send(&layer).0, 200, "turned off");
}

/// Cases: 58, 59.
/// The service no longer knows the only scope of a key: the key is limited to nothing, and not freed.
#[test]
fn unknown_scope_grants_nothing_and_is_kept() {
    let renamed = Scope::from_static("datasets.view");
    let rules = IssueRules::default().with_catalog(ScopeCatalog::new([renamed.clone()]));
    let keys = MemoryStore::new();
    let manager = KeyManager::new(keys.clone()).with_rules(rules);
    let acme: OrganizationId = "acme".parse().unwrap();
    let stored = keys.add(record(Access::scoped([avala::DATASETS_READ]))).unwrap();
    for (requirement, passes) in [
        (renamed.into(), false),
        (Requirement::any_of(avala::ALL.into_iter().filter(|scope| *scope != avala::DATASETS_READ)), false),
        (Requirement::full_access(), false),
        (Requirement::any_key(), true),
    ] {
        let layer = ApiKeyLayer::new(keys.clone()).require(requirement.clone());
        assert_eq!(send(&layer).0, if passes { 200 } else { 403 }, "{requirement}");
    }
    // Changing the key in another way does not lose the scope.
    let regenerated =
        block_on(manager.regenerate(&acme, stored.id(), tower_api_key::manage::RegenerateOptions::new())).unwrap();
    assert_eq!(regenerated.record.access(), &Access::scoped([avala::DATASETS_READ]));
}

/// Cases: 60, 61.
#[test]
fn scopes_match_byte_for_byte() {
    let almost = [
        "Datasets.read",
        "DATASETS.READ",
        "datasets.Read",
        "datasets.*",
        "*",
        "**",
        "*.read",
        "datasets",
        "datasets.",
        ".read",
        "datasets.rea",
        "datasets.read.",
        "datasets.read*",
        "datasets.readonly",
        "xdatasets.read",
        "datasets/read",
        "datasets:read",
        "datasets.write",
        "dataset.read",
        "tasks.read",
    ];
    let asks = [Requirement::from(avala::DATASETS_READ), Requirement::any_of([avala::DATASETS_READ])];
    let met = |access: &Access| asks.iter().all(|ask| ask.is_met_by(access));
    let unmet = |access: &Access| !asks.iter().any(|ask| ask.is_met_by(access));
    assert!(met(&Access::scoped([avala::DATASETS_READ])));
    for name in almost {
        let other = Scope::new(name).unwrap();
        assert!(unmet(&Access::scoped([other.clone()])), "{name}");
        assert!(!Requirement::from(other.clone()).is_met_by(&Access::scoped([avala::DATASETS_READ])), "{name}");
        assert!(!Access::scoped([other]).allows(&avala::DATASETS_READ), "{name}");
    }
    assert!(unmet(&Access::scoped(almost.map(|name| Scope::new(name).unwrap()))), "nor do all of them together");
    for unscoped in [
        "datasets.read ",
        " datasets.read",
        "datasets.read\n",
        "datasets.read\0",
        "datasets.re\u{430}d",
        "datasets.read,datasets.write",
        "datasets.read;datasets.write",
    ] {
        assert!(Scope::new(unscoped).is_err(), "{unscoped:?} is no scope at all");
    }
}

proptest! {
    #[test]
    fn removing_scope_never_adds_permission(have in names(), ask in asks(), at in any::<prop::sample::Index>()) {
        prop_assume!(!have.is_empty());
        let mut fewer = have.clone();
        fewer.remove(at.index(have.len()));
        let ask = ask.requirement();
        prop_assert!(!ask.is_met_by(&scoped(&fewer)) || ask.is_met_by(&scoped(&have)), "{ask}: {fewer:?} of {have:?}");
    }

    /// Cases: 64.
    /// In the store, whatever is asked for and whether or not it is granted.
    #[test]
    fn narrowing_never_widens(have in prop::option::of(names()), wanted in names(), ask in asks()) {
        let access = have.as_ref().map_or(Access::Full, |names| scoped(names));
        let keys = MemoryStore::new();
        let before = keys.add(record(access)).unwrap();
        let update = KeyUpdate::new().with_scopes(set(&wanted));
        let narrowed = block_on(keys.manage().update(before.organization(), before.id(), update));
        let after = block_on(keys.get(before.organization(), before.id())).unwrap();
        let may = have.as_ref().is_none_or(|have| wanted.iter().all(|name| have.contains(name)));
        match narrowed {
            Ok(record) => {
                prop_assert!(may, "{wanted:?} of {have:?}");
                prop_assert_eq!(record.access(), &scoped(&wanted));
                prop_assert_eq!(after.access(), &scoped(&wanted));
            }
            Err(ManageError::WouldWiden) => {
                prop_assert!(!may, "{wanted:?} of {have:?}");
                prop_assert_eq!(after.access(), before.access());
            }
            Err(other) => panic!("{other:?}"),
        }
        let ask = ask.requirement();
        prop_assert!(!ask.is_met_by(after.access()) || ask.is_met_by(before.access()), "{ask}: {after:?}");
    }

    #[test]
    fn requiring_more_scopes_never_accepts_more(have in access(), all in names(), any in prop::option::of(names()), one in name()) {
        let ask = |all: &[&'static str]| Ask { full: false, all: all.join(" ").leak(), any: any.as_ref().map(|any| &*any.join(" ").leak()) };
        let (fewer, more) = (ask(&all), ask(&[&all[..], &[one]].concat()));
        prop_assert!(!more.requirement().is_met_by(&have) || fewer.requirement().is_met_by(&have), "{fewer:?} {more:?} {have:?}");
    }

    #[test]
    fn allowing_more_scopes_never_rejects_more(have in access(), all in names(), any in names(), one in name()) {
        let ask = |any: &[&'static str]| {
            Requirement::all_and_any_of(all.iter().map(|name| scope(name)), any.iter().map(|name| scope(name)))
        };
        let (fewer, more) = (ask(&any), ask(&[&any[..], &[one]].concat()));
        prop_assert!(!fewer.is_met_by(&have) || more.is_met_by(&have), "{fewer} {more} {have:?}");
    }

    /// Cases: 62.
    #[test]
    fn full_access_satisfies_all_but_empty_any_of(ask in asks()) {
        prop_assert_eq!(ask.requirement().is_met_by(&Access::Full), ask.any != Some(""), "{:?}", ask);
    }

    /// Cases: 60.
    #[test]
    fn scope_names_match_only_if_equal((a, b) in alike()) {
        let (asked, have) = (Scope::new(&a).unwrap(), Access::scoped([Scope::new(&b).unwrap()]));
        prop_assert_eq!(Requirement::from(asked.clone()).is_met_by(&have), a == b);
        prop_assert_eq!(Requirement::any_of([asked.clone()]).is_met_by(&have), a == b);
        prop_assert_eq!(have.allows(&asked), a == b);
    }
}

/// What is known of a key, in words and numbers.
#[derive(Debug)]
struct Facts {
    /// `unknown`, `known`, or `other`: the store returned the record of another key.
    lookup: &'static str,
    /// `no`, `revoked`, `replaced`, `suspended`, or `overlap`: replaced, and not revoked.
    revoked: &'static str,
    /// `enabled` or `disabled`.
    organization: &'static str,
    /// The client's address; the key may be used from `192.0.2.0/24`. `anywhere` for a key without limits.
    client: &'static str,
    lifetime: Lifetime,
    /// Names with a space between them, or `None` for full access.
    access: Option<&'static str>,
}

/// In nanoseconds since the epoch. Every key was made at [`CREATED`].
#[derive(Clone, Copy, Debug)]
struct Lifetime {
    now: i128,
    expires: Option<i128>,
    max_age: Option<i128>,
}

const SECOND: i128 = 1_000_000_000;
const NOW: i128 = 1_900_000_000 * SECOND;
const CREATED: i128 = NOW - 1000 * SECOND;

/// What a route asks for. Names have a space between them.
#[derive(Clone, Copy, Debug)]
struct Ask {
    full: bool,
    all: &'static str,
    any: Option<&'static str>,
}

/// The documented order of checks over words and numbers.
fn oracle(facts: &Facts, ask: &Ask) -> &'static str {
    let Lifetime { now, expires, max_age } = facts.lifetime;
    let ends = [expires, max_age.map(|age| CREATED + age / SECOND * SECOND)];
    let is_over = ends.into_iter().flatten().any(|end| now >= end / SECOND * SECOND);
    let may = |name: &str| facts.access.is_none_or(|names| names.split(' ').any(|have| have == name));
    let words = |names: &'static str| names.split(' ').filter(|name| !name.is_empty());
    let meets_all = words(ask.all).all(may);
    let meets_any = ask.any.is_none_or(|names| words(names).any(may));
    match () {
        () if facts.lookup == "unknown" => "unknown",
        () if facts.lookup == "other" => "other_key",
        () if matches!(facts.revoked, "revoked" | "replaced") => "revoked",
        () if facts.revoked == "suspended" => "suspended",
        () if facts.organization == "disabled" => "organization_disabled",
        () if is_over => "expired",
        () if !matches!(facts.client, "anywhere" | "192.0.2.7") => "network_not_allowed",
        () if ask.full && facts.access.is_some() => "insufficient_scope",
        () if !meets_all || !meets_any => "insufficient_scope",
        () => "accepted",
    }
}

/// The response to a verdict.
fn reply_to(verdict: &str) -> (u16, String) {
    let (status, body) = match verdict {
        "accepted" => (200, "handled"),
        "unknown" | "revoked" | "suspended" | "organization_disabled" => (401, INVALID),
        "other_key" => (503, UNAVAILABLE),
        "expired" => (401, EXPIRED),
        "insufficient_scope" | "network_not_allowed" => (403, FORBIDDEN),
        other => panic!("{other}"),
    };
    (status, body.to_owned())
}

fn all_facts() -> Vec<Facts> {
    let mut all = Vec::new();
    for lifetime in lifetimes() {
        for access in ACCESSES {
            for lookup in ["unknown", "known", "other"] {
                for revoked in ["no", "revoked", "replaced", "suspended", "overlap"] {
                    for organization in ["enabled", "disabled"] {
                        for client in ["anywhere", "192.0.2.7", "198.51.100.7", "unknown"] {
                            all.push(Facts { lookup, revoked, organization, client, lifetime, access });
                        }
                    }
                }
            }
        }
    }
    all
}

const ACCESSES: [Option<&str>; 11] = [
    None,
    Some(""),
    Some("datasets.read"),
    Some("datasets.write"),
    Some("datasets.read datasets.write"),
    Some("datasets.read datasets.write projects.read tasks.read exports.create"),
    Some("Datasets.Read"),
    Some("datasets.*"),
    Some("*"),
    Some("invoices.read"),
    Some("datasets.read invoices.read invoices.write"),
];

fn all_asks() -> Vec<Ask> {
    let alls = ["", "datasets.read", "datasets.read datasets.write", "invoices.read", "datasets.read invoices.read"];
    let anys =
        [None, Some(""), Some("datasets.read"), Some("tasks.read datasets.write"), Some("invoices.read invoices.none")];
    let scopes = alls.into_iter().flat_map(|all| anys.map(|any| Ask { full: false, all, any }));
    scopes.chain([Ask { full: true, all: "", any: None }]).collect()
}

fn lifetimes() -> Vec<Lifetime> {
    let at = |now, expires, max_age| Lifetime { now, expires, max_age };
    let half = SECOND / 2;
    vec![
        at(NOW, None, None),
        at(NOW, Some(NOW + 3600 * SECOND), None),
        at(NOW, Some(NOW + SECOND), None),
        at(NOW, Some(NOW), None),
        at(NOW, Some(NOW - SECOND), None),
        at(NOW, Some(NOW + 1), None),
        at(NOW, Some(NOW - 1), None),
        at(NOW + half, Some(NOW + SECOND), None),
        at(NOW + half, Some(NOW + half), None),
        at(NOW + SECOND - 1, Some(NOW + SECOND), None),
        at(NOW - 1, Some(NOW + SECOND - 1), None),
        at(NOW, Some(0), None),
        at(NOW, None, Some(1000 * SECOND)),
        at(NOW, None, Some(1001 * SECOND)),
        at(NOW, None, Some(1001 * SECOND - 1)),
        at(NOW - 1, None, Some(1000 * SECOND)),
        at(NOW, None, Some(0)),
        at(NOW, Some(NOW + SECOND), Some(1000 * SECOND)),
        at(NOW, Some(NOW), Some(1001 * SECOND)),
        at(NOW, Some(NOW + SECOND), Some(1001 * SECOND)),
    ]
}

impl Facts {
    fn client(&self) -> Option<IpAddr> {
        self.client.parse().ok()
    }

    fn record(&self) -> Option<KeyRecord> {
        let digest = match self.lookup {
            "unknown" => return None,
            "known" => digest(),
            _ => KeyDigest::hash(b"another key"),
        };
        let access = self.access.map_or(Access::Full, |names| Access::scoped(scopes(names)));
        let policy = OrganizationPolicy::default().with_disabled(self.organization == "disabled");
        let policy = self.lifetime.max_age.map_or(policy, |age| policy.with_max_key_age(duration(age)));
        let record = KeyRecord::new(KeyId::from_u128(1), digest, "acme".parse().unwrap(), access)
            .with_created_at(time(CREATED))
            .with_expires_at(self.lifetime.expires.map(time))
            .with_policy(policy);
        let record = match self.client {
            "anywhere" => record,
            _ => record.with_networks("192.0.2.0/24".parse().unwrap()),
        };
        Some(match self.revoked {
            "no" => record,
            "revoked" => record.with_revoked_at(time(NOW)),
            "suspended" => record.with_suspended(true),
            "overlap" => record.with_replaced_by(KeyId::from_u128(2)),
            _ => record.with_revoked_at(time(NOW)).with_replaced_by(KeyId::from_u128(2)),
        })
    }
}

impl Ask {
    /// By the constructor that a service would use for it.
    fn requirement(&self) -> Requirement {
        match (self.full, self.all, self.any) {
            (true, ..) => Requirement::full_access(),
            (_, "", None) => Requirement::any_key(),
            (_, all, None) => Requirement::all_of(scopes(all)),
            (_, "", Some(any)) => Requirement::any_of(scopes(any)),
            (_, all, Some(any)) => Requirement::all_and_any_of(scopes(all), scopes(any)),
        }
    }
}

fn replies_as_the_oracle_says(layer: impl Fn(Arc<Scripted>) -> ApiKeyLayer) {
    let (hands, scripted, handled) = (Hands::at(UNIX_EPOCH), Arc::new(Scripted::default()), AtomicUsize::new(0));
    let handler = service_fn(|_: Request<String>| {
        handled.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, Infallible>(Response::new("handled".to_owned())) }
    });
    let layer = layer(Arc::clone(&scripted)).clock(hands.clone());
    let all_facts = all_facts();
    for ask in all_asks() {
        let service = layer.clone().require(ask.requirement()).layer(handler);
        for facts in &all_facts {
            hands.set(time(facts.lifetime.now));
            *scripted.0.lock().unwrap() = facts.record().map(Arc::new);
            let mut request = request(KEY);
            request.extensions_mut().insert(ClientInfo::new(facts.client(), false));
            let reply = block_on(async { Reply::of(service.clone().oneshot(request).await.unwrap()).await });
            let verdict = oracle(facts, &ask);
            assert_eq!((reply.status, reply.body), reply_to(verdict), "{facts:?} {ask:?}");
            assert_eq!(reply.headers.contains_key("www-authenticate"), reply.status == 401, "{facts:?} {ask:?}");
            assert_eq!(handled.swap(0, Ordering::SeqCst), usize::from(verdict == "accepted"), "{facts:?} {ask:?}");
        }
    }
}

/// Returns the record that was put in, whatever it is asked for.
#[derive(Default)]
struct Scripted(Mutex<Option<Arc<KeyRecord>>>);

impl KeyStore for Scripted {
    type Error = Infallible;

    async fn find(&self, _: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn try_find(&self, _: &KeyDigest) -> Lookup {
        self.0.lock().unwrap().clone().into()
    }
}

/// Status and body of the reply to a request with [`KEY`].
fn send(layer: &ApiKeyLayer) -> (u16, String) {
    let handler = service_fn(|_: Request<String>| async { Ok::<_, Infallible>(Response::new("handled".to_owned())) });
    let service = layer.layer(handler);
    let reply = block_on(async { Reply::of(service.oneshot(request(KEY)).await.unwrap()).await });
    (reply.status, reply.body)
}

/// From the first to the last moment that this platform can represent, with the years 0 and 9999 between them.
fn ends_of_time() -> Vec<SystemTime> {
    let (longest, second, nanosecond) =
        (Duration::from_secs(i64::MAX as u64), Duration::from_secs(1), Duration::from_nanos(1));
    vec![
        UNIX_EPOCH - longest - second,
        UNIX_EPOCH - longest,
        UNIX_EPOCH - Duration::from_secs(62_167_219_200),
        UNIX_EPOCH - second,
        UNIX_EPOCH - nanosecond,
        UNIX_EPOCH,
        UNIX_EPOCH + nanosecond,
        UNIX_EPOCH + Duration::from_secs(253_402_300_799),
        UNIX_EPOCH + longest - second,
        UNIX_EPOCH + longest,
        UNIX_EPOCH + longest + (second - nanosecond),
    ]
}

/// The whole second in which a moment lies.
fn floor(time: SystemTime) -> i128 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i128::from(after.as_secs()),
        Err(before) => -(before.duration().as_nanos().div_ceil(1_000_000_000) as i128),
    }
}

fn time(nanoseconds: i128) -> SystemTime {
    UNIX_EPOCH + duration(nanoseconds)
}

fn duration(nanoseconds: i128) -> Duration {
    let (seconds, rest) = (nanoseconds / SECOND, nanoseconds % SECOND);
    Duration::new(seconds.try_into().unwrap(), rest.try_into().unwrap())
}

fn digest() -> KeyDigest {
    KeyDigest::hash(KEY.as_bytes())
}

fn scope(name: &str) -> Scope {
    Scope::new(name).unwrap()
}

fn scopes(names: &str) -> impl Iterator<Item = Scope> {
    names.split(' ').filter(|name| !name.is_empty()).map(scope)
}

fn set(names: &[&str]) -> ScopeSet {
    names.iter().map(|name| scope(name)).collect()
}

fn scoped(names: &[&str]) -> Access {
    Access::Scoped(set(names))
}

const POOL: [&str; 12] = [
    "datasets.read",
    "datasets.write",
    "projects.read",
    "tasks.read",
    "exports.create",
    "invoices.read",
    "invoices.write",
    "Datasets.read",
    "datasets.reads",
    "datasets",
    "datasets.*",
    "*",
];

fn name() -> impl Strategy<Value = &'static str> {
    select(&POOL[..])
}

fn names() -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(&POOL[..], 0..=POOL.len())
}

fn access() -> impl Strategy<Value = Access> {
    prop_oneof![1 => Just(Access::Full), 9 => names().prop_map(|names| scoped(&names))]
}

fn asks() -> impl Strategy<Value = Ask> {
    let words = |names: Vec<&str>| &*names.join(" ").leak();
    let scopes = (names(), prop::option::of(names()));
    let scopes = scopes.prop_map(move |(all, any)| Ask { full: false, all: words(all), any: any.map(words) });
    prop_oneof![1 => Just(Ask { full: true, all: "", any: None }), 9 => scopes]
}

/// A name, and one that is the same or nearly the same.
fn alike() -> impl Strategy<Value = (String, String)> {
    ("[!#-+\\--:<-\\[\\]-~]{2,20}", 0..8_usize).prop_map(|(name, change)| {
        let other = match change {
            0 => name.clone(),
            1 => name.to_uppercase(),
            2 => name.to_lowercase(),
            3 => name[1..].to_owned(),
            4 => name[..name.len() - 1].to_owned(),
            5 => format!("{name}."),
            6 => format!("{}*", &name[..name.len() - 1]),
            _ => "*".to_owned(),
        };
        (name, other)
    })
}
