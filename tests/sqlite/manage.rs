//! What is stored, what an organization demands, and who wins a race.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use tower_api_key::{
    Access, ApiKeyLayer, Catalogue, Expiry, IssuePolicy, KeyManager, KeyStatus, ListKeys, ManageError, NewKey,
    OrganizationId, OrganizationPolicy, Scope, ScopeSet, SqliteStore,
};

use super::processes::regenerate;
use super::support::{Dir, Reply, acme, any, call, capture_log, full, issue, logged, scoped, watch_log_for};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn case_055_full_access_is_a_word_of_its_own() {
    let dir = Dir::new();
    let store = dir.store().await;
    let mut sql = dir.sql().await;
    issue(&store, full()).await;
    assert_eq!(sql.text("SELECT access || '|' || scopes FROM tower_api_key_keys").await, "full|");
    sql.run("DELETE FROM tower_api_key_keys").await.unwrap();
    issue(&store, scoped(&["x.y", "tasks.read"])).await;
    assert_eq!(sql.text("SELECT access || '|' || scopes FROM tower_api_key_keys").await, "scoped|tasks.read x.y");
}

/// The driver logs every statement; the values in them are digests.
#[tokio::test]
async fn case_068_case_100_no_key_is_in_the_file_or_in_the_log() {
    capture_log();
    let dir = Dir::new();
    let store = dir.store().await;
    let mut secrets = Vec::new();
    for _ in 0..5 {
        let issued = issue(&store, full()).await;
        watch_log_for(issued.secret.expose_secret());
        assert_eq!(any(&store, &issued).await, Reply::accepted(&Access::Full));
        let regenerated = store.regenerate(acme(), issued.record.id(), Expiry::Never).await.unwrap();
        watch_log_for(regenerated.secret.expose_secret());
        assert_eq!(any(&store, &issued).await, Reply::invalid());
        assert_eq!(any(&store, &regenerated).await, Reply::accepted(&Access::Full));
        secrets.extend([issued, regenerated]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        files.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let holds = |needle: &[u8]| files.windows(needle.len()).any(|window| window == needle);
    for issued in &secrets {
        let secret = issued.secret.expose_secret();
        assert!(holds(issued.record.digest().as_bytes()), "this search would find it");
        assert!(!holds(secret.as_bytes()));
        assert!(!holds(secret.trim_start_matches("avk_").as_bytes()));
        assert_eq!(logged(secret), [""; 0]);
    }
    let told = format!("told on purpose: {}", secrets[0].secret.expose_secret());
    log::debug!("{told}");
    assert_eq!(logged(secrets[0].secret.expose_secret()).len(), 1, "this search would find it");
}

#[tokio::test]
async fn case_069_names_and_organizations_are_values_not_statements() {
    let texts = [
        "'; DROP TABLE tower_api_key_keys; --",
        "\"quoted\" 'and' `ticked` \\ %s $1 ? :name @x",
        "🔑 emoji 👩‍👩‍👧‍👦, \u{202e}right to left, e\u{301}, 漢字",
        "NULL",
        "' OR '1'='1",
        "100% of_it",
    ];
    let dir = Dir::new();
    let store = dir.store().await;
    let mut sql = dir.sql().await;
    let before = sql.schema().await;
    for text in texts {
        let organization: OrganizationId = text.parse().unwrap();
        let issued = store.issue(&organization, NewKey::new(text, Access::Full).unwrap()).await.unwrap();
        store.set_policy(&organization, OrganizationPolicy::default().with_max_key_age(DAY)).await.unwrap();
        let regenerated = store.regenerate(&organization, issued.record.id(), Expiry::Never).await.unwrap();
        assert_eq!(any(&store, &regenerated).await, Reply::accepted(&Access::Full));
        let page = store.list(&organization, &ListKeys::new().with_status(KeyStatus::Active)).await.unwrap();
        assert_eq!(page.keys.len(), 1, "{text}");
        assert_eq!(page.keys[0].name(), text);
        assert_eq!(page.keys[0].organization(), &organization);
        assert_eq!(store.policy(&organization).await.unwrap().max_key_age(), Some(DAY));
        // Nobody else sees it.
        assert!(matches!(store.get(acme(), issued.record.id()).await, Err(ManageError::NotFound)));
    }
    assert_eq!(sql.schema().await, before);
    assert_eq!(sql.int("SELECT count(*) FROM tower_api_key_keys").await, 2 * 6);
}

/// Whatever key can be asked for comes back as it was asked for.
#[test]
fn case_055_case_069_a_key_survives_the_file() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = Dir::new();
    let store = runtime.block_on(dir.store());
    let scopes = prop::option::of(prop::collection::vec("[!#-+\\--:<-\\[\\]-~]{1,128}", 1..40));
    let expires = prop::option::of(0..u64::from(u32::MAX));
    proptest!(ProptestConfig::with_cases(200), |(
        name in "[^\\p{Cc}]{1,100}", organization in "[^\\p{Cc}]{1,32}", scopes in scopes, expires in expires,
    )| {
        prop_assume!(!name.trim().is_empty());
        let scope = |name: &String| Scope::new(name).unwrap();
        let access = scopes.map_or(Access::Full, |scopes| Access::scoped(scopes.iter().map(scope)));
        let expires = expires.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let organization: OrganizationId = organization.parse().unwrap();
        let key = NewKey::new(name.as_str(), access.clone()).unwrap().with_expires_at(expires);
        let records = runtime.block_on(async {
            let issued = store.issue(&organization, key).await.unwrap().record;
            let read = store.get(&organization, issued.id()).await.unwrap();
            let new = store.regenerate(&organization, issued.id(), Expiry::At(SystemTime::UNIX_EPOCH)).await.unwrap();
            [issued, read, new.record]
        });
        for record in &records {
            prop_assert_eq!(record.name(), name.as_str());
            prop_assert_eq!(record.organization(), &organization);
            prop_assert_eq!(record.access(), &access);
        }
        prop_assert_eq!(records.map(|record| record.expires_at()), [expires, expires, Some(SystemTime::UNIX_EPOCH)]);
    });
}

#[tokio::test]
async fn case_058_case_059_a_scope_that_left_the_catalogue_is_kept_opens_nothing_and_is_reported() {
    capture_log();
    let dir = Dir::new();
    let before = dir.store().await;
    let key = issue(&before, scoped(&["left.the.catalogue"])).await;
    let mixed = issue(&before, scoped(&["left.the.catalogue", "tasks.read"])).await;

    let reports = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&reports);
    let catalogue = Catalogue::new(["tasks.read", "datasets.read"].map(Scope::from_static));
    let store = SqliteStore::connect(&dir.url())
        .await
        .unwrap()
        .with_issue_policy(IssuePolicy::default().with_catalogue(catalogue))
        .on_bad_row(move |bad| sink.lock().unwrap().push(bad.to_string()));
    let report = |id| format!("the row of key {id}: the scope \"left.the.catalogue\" is not in the catalogue");

    // Limited still, now to nothing: not to everything.
    for scope in ["tasks.read", "datasets.read"] {
        let layer = ApiKeyLayer::new(store.clone()).require(Scope::from_static(scope));
        assert_eq!(call(&layer, key.secret.expose_secret()).await, Reply::forbidden());
    }
    let layer = ApiKeyLayer::new(store.clone()).require(tower_api_key::Requirement::full_access());
    assert_eq!(call(&layer, key.secret.expose_secret()).await, Reply::forbidden());
    assert_eq!(*reports.lock().unwrap(), vec![report(key.record.id()); 3]);
    assert_eq!(logged(&report(key.record.id())).len(), 3);
    assert!(logged(&report(key.record.id()))[0].starts_with("WARN tower_api_key"));

    // The rest of a key's scopes open what they always did.
    let layer = ApiKeyLayer::new(store.clone()).require(Scope::from_static("tasks.read"));
    assert_eq!(call(&layer, mixed.secret.expose_secret()).await.status, 200);

    // It survives being read and written back, by regenerating and by narrowing.
    let again = store.regenerate(acme(), mixed.record.id(), Expiry::Never).await.unwrap();
    assert_eq!(again.record.access(), mixed.record.access());
    let kept = ScopeSet::from([Scope::from_static("left.the.catalogue")]);
    store.narrow(acme(), again.record.id(), kept.clone()).await.unwrap();
    assert_eq!(before.get(acme(), again.record.id()).await.unwrap().access(), &Access::Scoped(kept));
}

#[tokio::test]
async fn case_076_a_maximum_age_holds_for_keys_that_are_there_and_can_be_taken_back() {
    let dir = Dir::new();
    let store = dir.store().await;
    let issued = issue(&store, full()).await;
    let (created, secret) = (issued.record.created_at(), issued.secret.expose_secret());
    let at = |time: SystemTime| ApiKeyLayer::new(store.clone()).clock(move || time);
    let young = at(created + 30 * DAY - Duration::from_secs(1));
    let old = at(created + 30 * DAY);
    let accepted = Reply::accepted(&Access::Full);
    let age = |age| OrganizationPolicy::default().with_max_key_age(age);

    assert_eq!(call(&old, secret).await, accepted);
    store.set_policy(acme(), age(30 * DAY)).await.unwrap();
    assert_eq!(call(&young, secret).await, accepted);
    assert_eq!(call(&old, secret).await, Reply::expired());
    // Shortened, then lengthened.
    store.set_policy(acme(), age(30 * DAY - Duration::from_secs(1))).await.unwrap();
    assert_eq!(call(&young, secret).await, Reply::expired());
    store.set_policy(acme(), age(31 * DAY)).await.unwrap();
    assert_eq!(call(&old, secret).await, accepted);
    // An age of nothing, and one that no key reaches.
    store.set_policy(acme(), age(Duration::ZERO)).await.unwrap();
    assert_eq!(call(&young, secret).await, Reply::expired());
    store.set_policy(acme(), age(Duration::MAX)).await.unwrap();
    assert_eq!(call(&old, secret).await, accepted);
    // Another organization's policy is none of ours.
    store.set_policy(&"other".parse().unwrap(), age(Duration::ZERO)).await.unwrap();
    assert_eq!(call(&old, secret).await, accepted);
    store.set_policy(acme(), OrganizationPolicy::default()).await.unwrap();
    assert_eq!(call(&old, secret).await, accepted);
    assert_eq!(store.policy(acme()).await.unwrap(), OrganizationPolicy::default());
}

/// The key's own expiry and the maximum age: the earlier one counts, in lists too.
#[tokio::test]
async fn case_076_lists_judge_the_age_as_requests_do() {
    let dir = Dir::new();
    let store = dir.store().await;
    let mut sql = dir.sql().await;
    let mut keys = Vec::new();
    for (age, expires_in) in [(0, None), (10 * 86_400, None), (10 * 86_400, Some(86_400)), (0, Some(-1)), (0, Some(60))]
    {
        let issued = issue(&store, full()).await;
        let expires = expires_in.map_or("NULL".to_owned(), |seconds: i64| format!("unixepoch() + {seconds}"));
        let id = issued.record.id();
        let update = format!("SET created_at = unixepoch() - {age}, expires_at = {expires} WHERE id = '{id}'");
        sql.run(format!("UPDATE tower_api_key_keys {update}")).await.unwrap();
        keys.push(issued);
    }
    for policy in [None, Some(5 * DAY), Some(20 * DAY), Some(Duration::ZERO)] {
        let wanted =
            policy.map_or(OrganizationPolicy::default(), |age| OrganizationPolicy::default().with_max_key_age(age));
        store.set_policy(acme(), wanted).await.unwrap();
        let mut listed = 0;
        for status in [KeyStatus::Active, KeyStatus::Expired] {
            for record in store.list(acme(), &ListKeys::new().with_status(status)).await.unwrap().keys {
                let key = keys.iter().find(|key| key.record.id() == record.id()).unwrap();
                let expected = if status == KeyStatus::Active { 200 } else { 401 };
                assert_eq!(any(&store, key).await.status, expected, "{policy:?}");
                listed += 1;
            }
        }
        assert_eq!(listed, keys.len());
    }
}

#[tokio::test]
async fn case_083_a_disabled_organizations_keys_are_invalid_until_it_is_enabled() {
    let dir = Dir::new();
    let store = dir.store().await;
    let key = issue(&store, full()).await;
    let other = store.issue(&"other".parse().unwrap(), full()).await.unwrap();
    for _ in 0..3 {
        store.set_policy(acme(), OrganizationPolicy::default().with_disabled(true)).await.unwrap();
        assert_eq!(any(&store, &key).await, Reply::invalid());
        let issued_meanwhile = issue(&store, full()).await;
        assert!(issued_meanwhile.record.policy().is_disabled());
        assert_eq!(any(&store, &issued_meanwhile).await, Reply::invalid());
        assert_eq!(any(&store, &other).await, Reply::accepted(&Access::Full));
        store.set_policy(acme(), OrganizationPolicy::default()).await.unwrap();
        assert_eq!(any(&store, &key).await, Reply::accepted(&Access::Full));
        assert_eq!(any(&store, &issued_meanwhile).await, Reply::accepted(&Access::Full));
    }
    // A key that is revoked meanwhile stays so.
    store.set_policy(acme(), OrganizationPolicy::default().with_disabled(true)).await.unwrap();
    store.revoke(acme(), key.record.id()).await.unwrap();
    store.set_policy(acme(), OrganizationPolicy::default()).await.unwrap();
    assert_eq!(any(&store, &key).await, Reply::invalid());
}

#[tokio::test(flavor = "multi_thread")]
async fn case_082_of_a_hundred_regenerates_over_two_stores_one_succeeds() {
    let dir = Dir::new();
    let (one, two) = (dir.store().await, dir.store().await);
    let key = issue(&one, full()).await;
    let outcomes = tokio::join!(regenerate(&one, key.record.id(), 50), regenerate(&two, key.record.id(), 50));
    assert_eq!((outcomes.0.0 + outcomes.1.0, outcomes.0.1 + outcomes.1.1), (1, 99));
    assert_eq!(any(&one, &key).await, Reply::invalid());
    assert_eq!(live_keys(&one).await, 1);
    let dead = two.get(acme(), key.record.id()).await.unwrap();
    let replacement = two.get(acme(), dead.replaced_by().unwrap()).await.unwrap();
    assert_eq!(replacement.status(SystemTime::now()), KeyStatus::Active);
}

/// Whichever comes first: after a revoke nothing is regenerated, and after a regenerate the old key stays dead.
#[tokio::test(flavor = "multi_thread")]
async fn case_082_revoke_and_regenerate_at_once() {
    let dir = Dir::new();
    let (one, two) = (dir.store().await, dir.store().await);
    let (mut revoke_first, mut regenerate_first) = (0, 0);
    for round in 0..60 {
        let key = issue(&one, full()).await;
        let id = key.record.id();
        let revoke = async {
            if round % 2 == 0 {
                tokio::task::yield_now().await;
            }
            two.revoke(acme(), id).await.unwrap()
        };
        let (regenerated, revoked) = tokio::join!(regenerate(&one, id, 3), revoke);
        assert_eq!(any(&one, &key).await, Reply::invalid());
        match (regenerated, revoked.replaced_by()) {
            ((0, 3), None) => revoke_first += 1,
            ((1, 2), Some(_)) => regenerate_first += 1,
            other => panic!("{other:?}"),
        }
        assert_eq!(live_keys(&two).await, regenerate_first);
    }
    println!("revoke came first {revoke_first} times, regenerate {regenerate_first} times");
}

async fn live_keys(store: &SqliteStore) -> usize {
    store.list(acme(), &ListKeys::new().with_status(KeyStatus::Active).with_limit(1000)).await.unwrap().keys.len()
}
