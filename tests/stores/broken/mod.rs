//! Stores that are broken on purpose: the conformance suite catches each of them by name, and each of its checks
//! catches one.
#![cfg(feature = "test-kit")]

mod faults;
mod profiles;
mod table;
mod tampered;
mod wrappers;

use std::collections::HashSet;
use std::future::pending;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use tower_api_key::OrganizationId;
use tower_api_key::key::KeyRecord;
use tower_api_key::test_kit::{Conformance, Failure, Failures, ManualClock};

use self::table::Table;
use self::tampered::Tampered;

type Tamper = fn(Tampered) -> Tampered;

/// A store that does one thing wrong, and the checks that must fail: these and no others.
struct Broken {
    fault: &'static str,
    tamper: Tamper,
    caught_by: &'static [&'static str],
    /// The checks of lookups that must fail, where they are others than those above.
    caught_by_lookups: Option<&'static [&'static str]>,
}

impl Broken {
    fn new(fault: &'static str, tamper: Tamper, caught_by: &'static [&'static str]) -> Self {
        Self { fault, tamper, caught_by, caught_by_lookups: None }
    }

    /// Names the checks of lookups that must fail where keys are written behind the store's back: among them are keys
    /// that no store would issue.
    fn with_lookups(self, caught_by: &'static [&'static str]) -> Self {
        Self { caught_by_lookups: Some(caught_by), ..self }
    }
}

fn nothing(it: Tampered) -> Tampered {
    it
}

fn suite(tamper: Tamper) -> Conformance<'static, Tampered> {
    let clock = ManualClock::new(SystemTime::now());
    let store = tampered(tamper, clock.clone());
    Conformance::of(store).with_clock(clock).with_outage(table_is_gone)
}

/// The checks of lookups, with keys that are written to the table behind the store's back.
fn suite_of_lookups(tamper: Tamper) -> Conformance<'static, Tampered> {
    let clock = ManualClock::new(SystemTime::now());
    let store = tampered(tamper, clock.clone());
    let keep = async |store: &Tampered, key: KeyRecord| {
        store.table.put(key);
        Ok(())
    };
    Conformance::of_store(store, keep).with_clock(clock).with_outage(table_is_gone)
}

fn tampered(tamper: Tamper, clock: ManualClock) -> impl AsyncFn() -> Tampered {
    async move || tamper(Tampered::new(Table::new(clock.clone())))
}

async fn table_is_gone(store: &Tampered) {
    store.table.down.store(true, Ordering::Relaxed);
}

async fn failures(suite: Conformance<'_, Tampered>) -> Failures {
    suite.run().await.expect_err("a broken store")
}

/// Cases: 202.
#[tokio::test]
async fn working_table_passes() {
    suite(nothing).run().await.unwrap();
    suite(|it| it.publishes(|_| true)).run().await.unwrap();
    suite_of_lookups(nothing).run().await.unwrap();
}

/// Cases: 202.
#[tokio::test(start_paused = true)]
async fn broken_store_is_caught_by_name() {
    let mut wrong = Vec::new();
    for Broken { fault, tamper, caught_by, .. } in faults::all() {
        let mut caught = vec![];
        // Ids are random: now and then, keys that are out of order are in order by chance.
        for _ in 0..5 {
            caught = suite(tamper).run().await.map_or_else(|failures| failures.names(), |()| vec![]);
            if caught == caught_by {
                break;
            }
        }
        if caught != caught_by {
            wrong.push(format!("{fault}:\n  caught by {caught:?},\n  and not by {caught_by:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn lookup_checks_catch_the_same_faults() {
    let checks: Vec<_> = suite_of_lookups(nothing).checks().collect();
    for Broken { fault, tamper, caught_by, caught_by_lookups } in faults::of_lookups() {
        let caught = suite_of_lookups(tamper).run().await.map_or_else(|failures| failures.names(), |()| vec![]);
        let caught_by = caught_by_lookups.unwrap_or(caught_by);
        let expected: Vec<_> = caught_by.iter().copied().filter(|check| checks.contains(check)).collect();
        assert_eq!(caught, expected, "{fault}");
    }
}

/// Cases: 202.
#[test]
fn each_check_catches_a_broken_store() {
    let caught: HashSet<_> = faults::all().iter().flat_map(|broken| broken.caught_by).copied().collect();
    let idle: Vec<_> = suite(nothing).checks().filter(|check| !caught.contains(check)).collect();
    assert_eq!(idle, [""; 0]);
    let names: HashSet<_> = suite(nothing).checks().collect();
    assert_eq!(names.len(), suite(nothing).checks().count(), "each check has a name of its own");
}

#[tokio::test]
async fn panic_fails_only_its_own_check() {
    let failures = failures(suite(|it| it.on_find(|_, _| async { panic!("no such column") }))).await;
    assert!(failures.names().contains(&"keeps_full_access"));
    assert!(failures.names().contains(&"an_outage_is_an_error"));
    assert!(!failures.names().contains(&"lists_the_newest_first"), "it does not call `find`");
    for failure in failures.iter() {
        assert_eq!((failure.expected(), failure.seen()), ("no panic", "one: no such column"), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn hang_fails_only_its_own_check() {
    let suite = suite(|it| it.on_find(|_, _| pending())).with_timeout(Duration::from_secs(3));
    let failures = failures(suite).await;
    assert!(failures.names().contains(&"keeps_full_access"));
    assert!(!failures.names().contains(&"lists_the_newest_first"), "it does not call `find`");
    for failure in failures.iter() {
        assert_eq!((failure.expected(), failure.seen()), ("an end within 3s", "none"), "{failure}");
    }
}

#[tokio::test]
async fn report_has_expected_and_actual_values() {
    let suite = suite(|it| {
        it.on_list(|table, (organization, query)| async move {
            Ok(table.list(organization.as_ref(), &query).unwrap_or_default())
        })
    });
    let checks = suite.checks().count();
    let failures = failures(suite).await;
    let line = "an_outage_is_no_empty_answer: expected `list` to end with ManageError::Store; \
                saw Ok(Page { keys: [], next: None })";
    assert_eq!(failures.to_string(), format!("1 of {checks} checks failed\n  {line}"));
    assert_eq!(format!("{failures:?}"), failures.to_string(), "what `unwrap` prints");
    assert_eq!(failures.iter().map(Failure::to_string).collect::<Vec<_>>(), [line]);
}

/// Rather than to pass without having seen a second go by.
#[tokio::test(start_paused = true)]
async fn paused_timer_without_manual_clock_is_reported() {
    let store = async || Tampered::new(Table::new(ManualClock::new(SystemTime::now())));
    let failures = failures(Conformance::of(store)).await;
    let waiting = [
        "finds_an_expired_key",
        "get_and_list_agree_with_find",
        "lists_the_newest_first",
        "filters_by_status",
        "counts_by_status",
        "revoking_again_changes_nothing",
        "revokes_an_expired_key",
        "regenerate_counts_the_lifetime_from_now",
        "regenerate_restores_an_expired_key",
        "an_overlap_ends_by_itself",
        "a_purge_deletes_what_has_ended",
        "usage_changes_nothing_else",
    ];
    assert_eq!(failures.names(), waiting);
    for failure in failures.iter() {
        assert_eq!(failure.expected(), "a tokio timer that is not paused, or a ManualClock");
    }
}

#[tokio::test]
async fn suite_uses_the_callers_organizations() {
    let (clock, created) = (ManualClock::new(SystemTime::now()), AtomicU32::new(0));
    let tables = Mutex::new(Vec::new());
    let store = async || {
        let table = Table::new(clock.clone());
        tables.lock().unwrap().push(table.clone());
        Tampered::new(table)
    };
    let organization = async |_: &Tampered| {
        OrganizationId::new(format!("account {}", created.fetch_add(1, Ordering::Relaxed))).unwrap()
    };
    let suite = Conformance::of(store).with_clock(clock.clone()).with_organizations(organization);
    suite.run().await.unwrap();

    let checks = suite.checks().count();
    assert_eq!(created.load(Ordering::Relaxed) as usize, 2 * checks);
    let tables = tables.lock().unwrap();
    assert_eq!(tables.len(), checks);
    for (number, table) in tables.iter().enumerate() {
        let own = [2 * number, 2 * number + 1].map(|number| format!("account {number}"));
        assert!(table.rows().iter().all(|row| own.iter().any(|own| own == row.organization().as_str())));
    }
}
