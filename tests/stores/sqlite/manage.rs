//! What is stored.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use tower_api_key::store::{Expiry, KeyBackend};
use tower_api_key::{Access, NewKey, OrganizationId, Scope};

use crate::support::calls::{Reply, acme, any, full, issue};
use crate::support::log_lines::{logged, record_log, watch_log_for};
use crate::support::manage::Manage;
use crate::support::sqlite::Dir;

/// Cases: 68, 100.
/// The driver logs every statement; the values in them are digests.
#[tokio::test]
async fn file_and_log_contain_no_key() {
    record_log();
    let dir = Dir::new();
    let store = dir.store().await;
    let mut secrets = Vec::new();
    for _ in 0..5 {
        let issued = issue(&store, full()).await;
        watch_log_for(issued.secret.expose_secret());
        assert_eq!(any(&store, &issued).await, Reply::accepted(&Access::Full));
        let regenerated = store.manage().regenerate(acme(), issued.record.id(), Expiry::Never).await.unwrap();
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
    tracing::debug!("logged on purpose: {}", secrets[0].secret.expose_secret());
    assert_eq!(logged(secrets[0].secret.expose_secret()).len(), 1, "this search would find it");
}

/// Cases: 55, 69.
/// Whatever key can be asked for comes back as it was asked for.
#[test]
fn key_survives_reopening_the_file() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = Dir::new();
    let store = runtime.block_on(dir.store());
    let scopes = prop::option::of(prop::collection::vec("[!#-+\\--:<-\\[\\]-~]{1,128}", 1..40));
    let expires = prop::option::of(4_000_000_000..253_402_300_799_u64);
    proptest!(ProptestConfig::with_cases(200), |(
        name in "[^\\p{Cc}]{1,100}", organization in "[^\\p{Cc}]{1,32}", scopes in scopes, expires in expires,
    )| {
        prop_assume!(!name.trim().is_empty());
        let scope = |name: &String| Scope::new(name).unwrap();
        let access = scopes.map_or(Access::Full, |scopes| Access::scoped(scopes.iter().map(scope)));
        let expires = expires.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        let organization: OrganizationId = organization.parse().unwrap();
        let key = NewKey::new(name.as_str(), access.clone()).unwrap().with_expires_at(expires);
        let records = runtime.block_on(async {
            let issued = store.manage().issue(&organization, key).await.unwrap().record;
            let read = store.get(&organization, issued.id()).await.unwrap();
            let new = store.manage().regenerate(&organization, issued.id(), Expiry::At(later)).await.unwrap();
            [issued, read, new.record]
        });
        for record in &records {
            prop_assert_eq!(record.name(), name.as_str());
            prop_assert_eq!(record.organization(), &organization);
            prop_assert_eq!(record.access(), &access);
        }
        prop_assert_eq!(records.map(|record| record.expires_at()), [expires, expires, Some(later)]);
    });
}
