//! Tables that lack a feature on purpose, and name it.

use std::future::ready;
use std::time::{Duration, SystemTime};

use tower_api_key::key::KeyRecord;
use tower_api_key::store::{BackendError, Expiry};
use tower_api_key::test_kit::{Conformance, ManualClock, StoreFeature};

use super::{Broken, Tamper, faults, nothing, suite, suite_of_lookups, tampered};

/// Whether a table cannot keep a key.
type Lacks = fn(&KeyRecord) -> bool;

const OF_MANAGEMENT: [(StoreFeature, Tamper); 3] = [
    (StoreFeature::Expiry, without_expiry),
    (StoreFeature::Usage, |it| it.on_record_usage(|_, _| ready(Err(lacking())))),
    (StoreFeature::Policies, |it| {
        it.on_set_organization_policy(|_, _| ready(Err(lacking())))
            .on_organization_policy(|_, _| ready(Ok(Default::default())))
    }),
];

fn without_expiry(it: super::Tampered) -> super::Tampered {
    it.on_insert(|table, (record, rules)| {
        ready(if record.expires_at.is_some() { Err(lacking()) } else { table.insert(record, rules) })
    })
    .on_replace(|table, (organization, id, replacement, rules)| {
        let has_end = matches!(replacement.expiry, Expiry::At(_)) || replacement.overlap > Duration::ZERO;
        ready(if has_end { Err(lacking()) } else { table.replace(&organization, id, replacement, rules) })
    })
}

fn lacking() -> BackendError {
    BackendError::store("there is no such column")
}

/// Cases: 160.
#[tokio::test]
async fn table_that_lacks_a_feature_passes_without_it() {
    for (feature, tamper) in OF_MANAGEMENT {
        let failures = suite(tamper).run().await.expect_err("the suite checks the feature").names();
        let without = suite(tamper).without([feature]);
        let skipped: Vec<_> = without.skipped().collect();
        assert!(failures.iter().all(|name| skipped.contains(name)), "{feature:?}: {failures:?}");
        assert!(without.checks().all(|name| !skipped.contains(&name)));
        assert_eq!(without.checks().count() + skipped.len(), suite(tamper).checks().count());
        without.run().await.unwrap_or_else(|failures| panic!("{feature:?}: {failures}"));
    }
    let all = OF_MANAGEMENT.map(|(feature, _)| feature);
    let poor = suite(|it| OF_MANAGEMENT.into_iter().fold(it, |it, (_, tamper)| tamper(it))).without(all);
    poor.run().await.unwrap();
}

/// Cases: 160.
#[tokio::test]
async fn read_only_table_passes_without_its_gaps() {
    let clock = ManualClock::new(SystemTime::now());
    let read_only = |lacks: Lacks| {
        let keep = async move |store: &super::Tampered, key: KeyRecord| {
            if lacks(&key) {
                return Err("there is no such column".into());
            }
            store.table.put(key);
            Ok(())
        };
        Conformance::of_store(tampered(nothing, clock.clone()), keep).with_clock(clock.clone())
    };
    let gaps: [(StoreFeature, Lacks, usize); 3] = [
        (StoreFeature::Expiry, |key| key.expires_at().is_some(), 3),
        (StoreFeature::Revocation, KeyRecord::is_revoked, 2),
        (StoreFeature::Scopes, |key| key.access().scopes().is_some_and(|scopes| !scopes.is_empty()), 2),
    ];
    for (feature, lacks, number) in gaps {
        let names = read_only(lacks).run().await.err().map_or_else(Vec::new, |failures| failures.names());
        let without = read_only(lacks).without([feature]);
        assert_eq!(without.skipped().count(), number, "{feature:?}");
        // An expiry that is rejected counts as a rejected extreme one.
        assert!(!names.is_empty() && names.iter().all(|name| without.skipped().any(|it| it == *name)), "{names:?}");
        without.run().await.unwrap();
    }
}

/// Cases: 160.
///
/// A profile hides no fault but those of what the table lacks.
#[tokio::test(start_paused = true)]
async fn broken_store_fails_with_every_profile() {
    let features = [
        StoreFeature::Expiry,
        StoreFeature::Revocation,
        StoreFeature::Scopes,
        StoreFeature::Usage,
        StoreFeature::Policies,
    ];
    let mut caught_faults = 0;
    for Broken { fault, tamper, caught_by, .. } in faults::all() {
        let suite = || suite(tamper).without(features);
        let running: Vec<_> = suite().checks().collect();
        let expected: Vec<_> = caught_by.iter().copied().filter(|name| running.contains(name)).collect();
        let mut caught = vec![];
        // Ids are random: now and then, keys that are out of order are in order by chance.
        for _ in 0..25 {
            caught = suite().run().await.map_or_else(|failures| failures.names(), |()| vec![]);
            if caught == expected {
                break;
            }
        }
        assert_eq!(caught, expected, "{fault}");
        caught_faults += usize::from(!caught.is_empty());
    }
    assert!(caught_faults > 40, "{caught_faults}");
    // Each name of a profile is that of a check.
    for feature in features {
        let skipped = suite(nothing).without([feature]).skipped().count();
        let of_lookups = suite_of_lookups(nothing).without([feature]).skipped().count();
        assert!(skipped >= of_lookups && skipped > 0, "{feature:?}");
    }
}
