//! A key's whole life through a manager: rules, import, overlap, leaks and purge.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::client::ClientInfo;
use tower_api_key::key::{Environment, KeyFormat, KeyStatus, Metadata};
use tower_api_key::manage::{ImportedKey, IssueRules, ManageError, RegenerateOptions, StoredCredential};
use tower_api_key::scope::{ScopeAliases, avala};
use tower_api_key::store::{Expiry, KeyUpdate, ListKeys};
use tower_api_key::{Access, ApiKey, ApiKeyLayer, KeyManager, MemoryStore, NewKey, OrganizationId, Scope};

use crate::support::calls::acme;
use crate::support::clock::Hands;
use crate::support::log_lines::{record_log, take_log};
use crate::support::manage::Manage;

/// Runs each of these on a store in memory and, with the feature, on SQLite behind a cache.
macro_rules! on_two_stores {
    ($($test:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test(tower_api_key::MemoryStore::new()).await;
            })*
        }

        #[cfg(all(feature = "cache", feature = "sqlite"))]
        mod cached_sqlite {
            $(#[tokio::test]
            async fn $test() {
                let dir = crate::support::sqlite::Dir::new();
                super::$test(tower_api_key::store::CachedStore::new(dir.store().await)).await;
            })*
        }
    };
}

on_two_stores! {
    metadata_reaches_the_handler_without_a_query
    purged_import_is_never_valid_again
    erased_organization_leaves_no_key
    leaked_key_is_identified_and_revoked
    import_keeps_what_happened_and_reports_the_rest
    import_of_several_organizations_is_one_step
    regenerated_key_stays_in_its_environment
    rules_reject_before_anything_is_stored
    hundred_racers_get_exactly_the_most_active_keys
}

/// The status of the response to a request with this key, and what the handler has seen of it.
async fn ask(keys: &impl Manage, key: &str, client: Option<ClientInfo>) -> (u16, Option<ApiKey>) {
    let seen = Arc::new(Mutex::new(None));
    let sink = Arc::clone(&seen);
    let service = ApiKeyLayer::new(keys.clone()).layer(service_fn(move |request: Request<()>| {
        *sink.lock().unwrap() = request.extensions().get::<ApiKey>().cloned();
        async { Ok::<_, std::convert::Infallible>(Response::new(String::new())) }
    }));
    let mut request = Request::builder().header("X-Avala-Api-Key", key).body(()).unwrap();
    if let Some(client) = client {
        request.extensions_mut().insert(client);
    }
    let status = service.oneshot(request).await.unwrap().status().as_u16();
    let seen = seen.lock().unwrap().take();
    (status, seen)
}

fn full() -> NewKey {
    NewKey::new("key", Access::Full).unwrap()
}

/// Cases: 181.
async fn metadata_reaches_the_handler_without_a_query<K: Manage>(keys: K) {
    let metadata = Metadata::new([("plan", "pro")]).unwrap();
    let issued = keys.manage().issue(acme(), full().with_metadata(metadata.clone())).await.unwrap();
    let (status, seen) = ask(&keys, issued.secret.expose_secret(), None).await;
    let seen = seen.expect("an identity");
    assert_eq!((status, seen.record().metadata(), seen.record().is_suspended()), (200, &metadata, false));
    let update = KeyUpdate::new().with_metadata_entry("plan", "team");
    keys.manage().update(acme(), issued.record.id(), update).await.unwrap();
    let (_, seen) = ask(&keys, issued.secret.expose_secret(), None).await;
    assert_eq!(seen.unwrap().record().metadata().get("plan"), Some("team"));
}

/// Cases: 187.
async fn purged_import_is_never_valid_again<K: Manage>(keys: K) {
    let manager = keys.manage();
    let old = "old_00112233445566778899aabbccddeeff";
    let credential = StoredCredential::from_plaintext(old.as_bytes());
    let imported = manager.import(acme(), (full(), credential.clone())).await.unwrap();
    assert_eq!(ask(&keys, old, None).await.0, 200);
    manager.revoke(acme(), imported.id()).await.unwrap();
    assert_eq!(manager.purge(acme(), Duration::from_secs(3600)).await.unwrap(), 0);
    assert_eq!(manager.purge(acme(), Duration::ZERO).await.unwrap(), 1);
    assert_eq!(ask(&keys, old, None).await.0, 401);
    for organization in [acme(), &OrganizationId::new("other").unwrap()] {
        let again = manager.import(organization, (full(), credential.clone())).await;
        assert!(matches!(again, Err(ManageError::AlreadyExists)), "{again:?}");
    }
    let many = manager.import_many(acme(), [ImportedKey::new(full(), credential)]).await.unwrap();
    assert_eq!(many.imported(), 0);
    assert_eq!(ask(&keys, old, None).await.0, 401);
    assert_eq!(manager.list(acme(), &ListKeys::new()).await.unwrap().keys.len(), 0);
    assert!(matches!(manager.get(acme(), imported.id()).await, Err(ManageError::NotFound)));
    assert_eq!(manager.purge_all(Duration::ZERO).await.unwrap(), 0, "a tombstone stays");
}

/// Cases: 187.
async fn erased_organization_leaves_no_key<K: Manage>(keys: K) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&events);
    let manager = keys.manage().on_change(move |event| {
        let organization = event.organization().map(ToString::to_string);
        log.lock().unwrap().push((event.change().code(), organization, event.count()));
    });
    let mut secrets = Vec::new();
    for _ in 0..3 {
        secrets.push(manager.issue(acme(), full()).await.unwrap().secret);
    }
    let other = OrganizationId::new("other").unwrap();
    let theirs = manager.issue(&other, full()).await.unwrap();
    for secret in &secrets {
        assert_eq!(ask(&keys, secret.expose_secret(), None).await.0, 200);
    }
    events.lock().unwrap().clear();
    assert_eq!(manager.erase(acme()).await.unwrap(), 3);
    for secret in &secrets {
        assert_eq!(ask(&keys, secret.expose_secret(), None).await.0, 401);
    }
    assert_eq!(ask(&keys, theirs.secret.expose_secret(), None).await.0, 200);
    manager.purge_all(Duration::ZERO).await.unwrap();
    let expected = [("erased", Some("acme".to_owned()), Some(3)), ("purged", None, Some(0))];
    assert_eq!(*events.lock().unwrap(), expected);
}

/// Cases: 197.
async fn leaked_key_is_identified_and_revoked<K: Manage>(keys: K) {
    let manager = keys.manage();
    let issued = manager.issue(acme(), full()).await.unwrap();
    let leak = format!("export KEY={}\n", issued.secret.expose_secret());
    let found: Vec<_> = KeyFormat::AVALA.scan(&leak).map(|place| &leak.as_bytes()[place]).collect();
    let [found] = found[..] else { panic!("{found:?}") };
    let owner = manager.identify(found).await.unwrap().expect("a key of ours");
    assert_eq!((owner.organization(), owner.id()), (acme(), issued.record.id()));
    for _ in 0..2 {
        let revoked = manager.revoke_plaintext(found).await.unwrap().expect("a key of ours");
        assert_eq!((revoked.id(), revoked.is_revoked()), (issued.record.id(), true));
        assert_eq!(ask(&keys, issued.secret.expose_secret(), None).await.0, 401);
    }
    let unknown = KeyFormat::AVALA.generate().unwrap();
    assert!(manager.identify(unknown.expose_secret().as_bytes()).await.unwrap().is_none());
    assert!(manager.revoke_plaintext(unknown.expose_secret().as_bytes()).await.unwrap().is_none());
    // A tombstone is revoked for good.
    manager.import(acme(), (full(), StoredCredential::from_secret(&unknown))).await.unwrap();
    manager.erase(acme()).await.unwrap();
    let buried = manager.revoke_plaintext(unknown.expose_secret().as_bytes()).await.unwrap();
    assert!(buried.is_some_and(|buried| buried.is_revoked()));
}

/// Cases: 193.
async fn import_keeps_what_happened_and_reports_the_rest<K: Manage>(keys: K) {
    let manager = keys.manage().on_behalf_of("importer");
    let now = std::time::SystemTime::now();
    let day = Duration::from_secs(24 * 60 * 60);
    let new = |text: &str| ImportedKey::new(full(), StoredCredential::from_plaintext(text.as_bytes()));
    let batch = [
        new("old").with_created_at(now - 100 * day).with_usage(now - day, 7).with_created_by("ada\n"),
        new("revoked").with_revoked_at(now - day),
        new("suspended").with_suspended(true),
        new("old"),
        ImportedKey::from((full().with_expires_at(now - day), StoredCredential::from_plaintext(b"expired"))),
    ];
    let report = manager.import_many(acme(), batch).await.unwrap();
    assert_eq!((report.imported(), report.rejected().map(|(place, _)| place).collect::<Vec<_>>()), (4, vec![3]));
    for (key, status) in [("old", 200), ("revoked", 401), ("suspended", 401), ("expired", 401)] {
        assert_eq!(ask(&keys, key, None).await.0, status, "{key}");
    }
    let old = report.keys[0].as_ref().unwrap();
    let seen = manager.get(acme(), old.id()).await.unwrap();
    assert!(seen.created_at() < now - 99 * day);
    assert_eq!((seen.request_count(), seen.created_by()), (7, Some("ada")));
    assert_eq!(report.keys[1].as_ref().unwrap().created_by(), Some("importer"));
    // The maximum age counts from the real creation.
    let policy = tower_api_key::key::OrganizationPolicy::default().with_max_key_age(90 * day);
    manager.set_organization_policy(acme(), policy).await.unwrap();
    assert_eq!(ask(&keys, "old", None).await.0, 401);
}

/// Cases: 193.
async fn import_of_several_organizations_is_one_step<K: Manage>(keys: K) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&events);
    let manager = keys.manage().on_change(move |event| {
        log.lock().unwrap().push((event.organization().unwrap().to_string(), event.outcome().code()));
    });
    let other = OrganizationId::new("other").unwrap();
    let new = |organization: &OrganizationId, text: &str| {
        let credential = StoredCredential::from_plaintext(text.as_bytes());
        (organization.clone(), ImportedKey::new(full(), credential))
    };
    let report = manager.import_all(&[new(acme(), "one"), new(&other, "two"), new(acme(), "two")]).await.unwrap();
    assert_eq!(report.rejected().map(|(place, _)| place).collect::<Vec<_>>(), [2]);
    for (key, organization) in [("one", acme()), ("two", &other)] {
        let found = manager.identify(key.as_bytes()).await.unwrap().unwrap();
        assert_eq!(found.organization(), organization);
        assert_eq!(ask(&keys, key, None).await.0, 200);
    }
    let reported: Vec<_> = events.lock().unwrap().drain(..).collect();
    let expected = [("acme", "done"), ("other", "done"), ("acme", "rejected")];
    assert_eq!(reported, expected.map(|(organization, outcome)| (organization.to_owned(), outcome)));
}

/// Cases: 186.
async fn regenerated_key_stays_in_its_environment<K: Manage>(keys: K) {
    let format =
        |prefix: &'static str, name| KeyFormat::new(prefix).unwrap().with_environment(Environment::from_static(name));
    let rules = IssueRules::new().with_formats([format("acme_", "live"), format("acme_test_", "test")]);
    let manager = KeyManager::new(keys.clone()).with_rules(rules);
    for (environment, prefix) in [("live", "acme_"), ("test", "acme_test_")] {
        let new = full().with_environment(Environment::from_static(environment));
        let issued = manager.issue(acme(), new).await.unwrap();
        let options = RegenerateOptions::new().with_overlap(Duration::from_secs(60));
        let new = manager.regenerate(acme(), issued.record.id(), options).await.unwrap();
        for key in [&issued, &new] {
            assert!(key.secret.expose_secret().starts_with(prefix));
            assert_eq!(key.record.environment().map(Environment::as_str), Some(environment));
            assert_eq!(ask(&keys, key.secret.expose_secret(), None).await.0, 200);
        }
    }
    let unknown = manager.issue(acme(), full().with_environment(Environment::from_static("staging"))).await;
    assert!(matches!(unknown, Err(ManageError::UnknownEnvironment(_))), "{unknown:?}");
}

/// Cases: 190, 191.
async fn rules_reject_before_anything_is_stored<K: Manage>(keys: K) {
    let hour = Duration::from_secs(3600);
    let old_name = Scope::from_static("task.read");
    let rules = IssueRules::new()
        .with_catalog(avala::catalog())
        .with_grantable_scopes([avala::TASKS_READ, avala::DATASETS_READ])
        .with_scope_aliases(ScopeAliases::new([(old_name.clone(), avala::TASKS_READ)]))
        .with_default_lifetime(hour)
        .with_longest_lifetime(2 * hour);
    let manager = KeyManager::new(keys.clone()).with_rules(rules);
    let scoped = |scope: Scope| NewKey::new("key", Access::scoped([scope])).unwrap();
    let later = |duration| std::time::SystemTime::now() + duration;
    for (new, error) in [
        (full(), "FullAccessNotGranted"),
        (scoped(avala::EXPORTS_CREATE), "ScopeNotGranted"),
        (scoped(Scope::from_static("fly")), "UnknownScope"),
        (scoped(avala::TASKS_READ).with_expires_at(later(3 * hour)), "ExpiryTooLate"),
    ] {
        let rejected = manager.issue(acme(), new).await.unwrap_err();
        assert!(format!("{rejected:?}").starts_with(error), "{rejected:?}");
    }
    assert_eq!(manager.counts(acme()).await.unwrap(), Default::default());
    let issued = manager.issue(acme(), scoped(old_name.clone())).await.unwrap();
    assert_eq!(issued.record.access(), &Access::scoped([avala::TASKS_READ]));
    let lifetime = issued.record.expires_at().unwrap().duration_since(issued.record.created_at()).unwrap();
    assert_eq!(lifetime, hour);
    let update = KeyUpdate::new().with_scopes([old_name]);
    let updated = manager.update(acme(), issued.record.id(), update).await.unwrap();
    assert_eq!(updated.access(), &Access::scoped([avala::TASKS_READ]));
    let never = manager.regenerate(acme(), issued.record.id(), Expiry::Never).await;
    assert!(matches!(never, Err(ManageError::ExpiryRequired)), "{never:?}");
    assert_eq!(manager.counts(acme()).await.unwrap().of(KeyStatus::Active), 1);
    // What happened to an imported key is a fact.
    manager.import(acme(), (full(), StoredCredential::from_plaintext(b"imported"))).await.unwrap();
}

/// Cases: 189.
async fn hundred_racers_get_exactly_the_most_active_keys<K: Manage>(keys: K) {
    let manager = KeyManager::new(keys.clone()).with_rules(IssueRules::new().with_max_active_keys(7));
    let racers = (0..100).map(|_| {
        let manager = manager.clone();
        tokio::spawn(async move { manager.issue(acme(), full()).await })
    });
    let results = futures::future::join_all(racers.collect::<Vec<_>>()).await;
    let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(results.iter().flatten().count(), 7);
    assert!(results.iter().all(|result| matches!(result, Ok(_) | Err(ManageError::TooManyKeys))));
    assert_eq!(manager.counts(acme()).await.unwrap().active, 7);
}

/// Cases: 184.
#[tokio::test]
async fn key_of_a_network_fails_closed_without_a_client() {
    let keys = MemoryStore::new();
    let new = full().with_networks("192.0.2.0/24".parse().unwrap());
    let issued = keys.manage().issue(acme(), new).await.unwrap();
    let key = issued.secret.expose_secret();
    let client = |address: Option<[u8; 4]>| Some(ClientInfo::new(address.map(Into::into), true));
    for (client, status) in
        [(client(Some([192, 0, 2, 7])), 200), (client(Some([198, 51, 100, 7])), 403), (client(None), 403), (None, 403)]
    {
        assert_eq!(ask(&keys, key, client).await.0, status, "{client:?}");
    }
    let layer = ApiKeyLayer::new(keys.clone());
    let service = layer.layer(service_fn(async |_: Request<()>| Ok::<_, std::convert::Infallible>(Response::new(()))));
    record_log();
    for _ in 0..3 {
        let request = Request::builder().header("X-Avala-Api-Key", key).body(()).unwrap();
        assert_eq!(service.clone().oneshot(request).await.unwrap().status(), 403);
    }
    let lines = take_log();
    assert_eq!(lines.iter().filter(|line| line.contains("has no ClientInfo")).count(), 1, "{lines:?}");
}

/// Cases: 186.
#[tokio::test]
async fn old_key_of_an_overlap_is_reported_until_it_ends() {
    let start = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
    let hands = Hands::at(start);
    let keys = MemoryStore::builder().clock(hands.clone()).build();
    let issued = keys.manage().issue(acme(), full()).await.unwrap();
    let options = RegenerateOptions::new().with_overlap(Duration::from_secs(60));
    let new = keys.manage().regenerate(acme(), issued.record.id(), options).await.unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&events);
    let layer = ApiKeyLayer::new(keys).clock(hands.clone()).on_decision(move |event| {
        log.lock().unwrap().push((event.outcome().code(), event.is_replaced()));
    });
    let service = layer.layer(service_fn(async |_: Request<()>| Ok::<_, std::convert::Infallible>(Response::new(()))));
    for (seconds, key) in [(59, &issued), (59, &new), (60, &issued), (60, &new)] {
        hands.set(start + Duration::from_secs(seconds));
        let request = Request::builder().header("X-Avala-Api-Key", key.secret.expose_secret()).body(()).unwrap();
        service.clone().oneshot(request).await.unwrap();
    }
    let expected = [("accepted", true), ("accepted", false), ("expired", true), ("accepted", false)];
    assert_eq!(*events.lock().unwrap(), expected);
}
