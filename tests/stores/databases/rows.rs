//! Rows as the store writes them, and rows that were edited by hand: each states plainly what a key may do, or it grants
//! nothing.

use std::sync::{Arc, Mutex};

use tower_api_key::key::{KeyDigest, KeyStatus, OrganizationPolicy};
use tower_api_key::manage::{IssueRules, ManageError};
use tower_api_key::scope::{ScopeCatalog, avala};
use tower_api_key::store::{BackendError, Expiry, KeyBackend, KeyUpdate, ListKeys, RowErrorKind};
use tower_api_key::{Access, ApiKeyLayer, KeyStore, NewKey, OrganizationId, Requirement, Scope};

use super::database::{Database, Store};
use crate::support::calls::{Reply, acme, any, call, full, issue, scoped, scopes};
use crate::support::log_lines::{logged, logged_by, record_log};
use crate::support::manage::Manage;

on_each_database! {
    full_access_requires_the_exact_word
    names_are_stored_as_data
    scope_outside_catalog_is_kept_and_grants_nothing
    organization_not_clearly_enabled_is_disabled
    duplicate_key_rows_are_never_accepted
    invalid_row_fails_alone_in_a_batch
    duplicate_policy_rows_are_never_accepted
    taken_id_is_rejected
    revoked_row_keeps_its_identity
}

async fn taken_id_is_rejected<D: Database>() {
    let database = D::new().await;
    crate::taken::taken_id_is_rejected(database.store().await).await;
}

/// Cases: 55.
async fn full_access_requires_the_exact_word<D: Database>() {
    let database = D::new().await;
    let store = database.store().await;
    let stored = async || database.texts("SELECT access || '|' || scopes FROM tower_api_key_keys").await;
    issue(&store, full()).await;
    assert_eq!(stored().await, ["full|"]);
    database.run("DELETE FROM tower_api_key_keys").await.unwrap();
    issue(&store, scoped(&["x.y", "tasks.read"])).await;
    assert_eq!(stored().await, ["scoped|tasks.read x.y"]);
}

/// Cases: 69.
async fn names_are_stored_as_data<D: Database>() {
    let texts = [
        "'; DROP TABLE tower_api_key_keys; --",
        "o'); DELETE FROM tower_api_key_keys; --",
        "\"quoted\" 'and' `ticked` \\ %s $1 ? :name @x",
        "$1 $2 $$ %s {} \\",
        "🔑 emoji 👩‍👩‍👧‍👦, \u{202e}right to left, e\u{301}, 漢字",
        "<script>alert(1)</script>",
        "NULL",
        "' OR '1'='1",
        "100% of_it",
    ];
    let database = D::new().await;
    let store = database.store().await;
    let before = database.objects().await;
    let age = std::time::Duration::from_secs(86_400);
    for text in texts {
        let organization: OrganizationId = text.parse().unwrap();
        let issued = store.manage().issue(&organization, NewKey::new(text, Access::Full).unwrap()).await.unwrap();
        store
            .set_organization_policy(&organization, OrganizationPolicy::default().with_max_key_age(age))
            .await
            .unwrap();
        let regenerated = store.manage().regenerate(&organization, issued.record.id(), Expiry::Never).await.unwrap();
        assert_eq!(any(&store, &regenerated).await, Reply::accepted(&Access::Full));
        let page = store.list((&organization).into(), &ListKeys::new().with_status(KeyStatus::Active)).await.unwrap();
        assert_eq!(page.keys.len(), 1, "{text}");
        assert_eq!(page.keys[0].name(), text);
        assert_eq!(page.keys[0].organization(), &organization);
        assert_eq!(store.organization_policy(&organization).await.unwrap().max_key_age(), Some(age));
        // No other organization sees it.
        assert!(matches!(store.get(acme(), issued.record.id()).await, Err(BackendError::NotFound)));
    }
    // The longest ones.
    for name in ["é".repeat(100), "🔑".repeat(100)] {
        let key = issue(&store, NewKey::new(name.as_str(), Access::Full).unwrap()).await;
        assert_eq!(store.get(acme(), key.record.id()).await.unwrap().name(), name);
        assert_eq!(any(&store, &key).await, Reply::accepted(&Access::Full));
    }
    assert_eq!(database.objects().await, before);
    assert_eq!(database.int("SELECT count(*) FROM tower_api_key_keys").await, 2 * 9 + 2);
}

/// Cases: 58, 59.
async fn scope_outside_catalog_is_kept_and_grants_nothing<D: Database>() {
    record_log();
    let database = D::new().await;
    let without = database.store().await;
    let retired = issue(&without, scoped(&["retired.read"])).await;
    let mixed = issue(&without, scoped(&["retired.read", "tasks.read", "tasks.reads"])).await;

    let reports = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&reports);
    let catalog = ScopeCatalog::new([avala::TASKS_READ, avala::PROJECTS_READ]);
    let store = D::connect(&database.url()).await.with_catalog(catalog.clone());
    let store = store.on_invalid_row(move |row| {
        sink.lock().unwrap().push((row.key(), row.kind().clone(), row.to_string()));
    });
    let keys = store.manage().with_rules(IssueRules::default().with_catalog(catalog));
    let take_reports = || {
        let reports = std::mem::take(&mut *reports.lock().unwrap());
        reports.into_iter().map(|(key, kind, _)| (key, kind)).collect::<Vec<_>>()
    };
    let unknown = |name| RowErrorKind::UnknownScope(Scope::from_static(name));
    let line = |id, name: &str| format!("invalid row of key {id}: the scope {name:?} is not in the catalog");
    let layer = ApiKeyLayer::new(store.clone());

    // The key is limited as before, now to nothing.
    let secret = retired.secret.expose_secret();
    for requirement in [avala::TASKS_READ.into(), avala::PROJECTS_READ.into(), Requirement::full_access()] {
        assert_eq!(call(&layer.clone().require(requirement), secret).await, Reply::forbidden());
    }
    let id = retired.record.id();
    assert!(reports.lock().unwrap().iter().all(|(_, _, text)| *text == line(id, "retired.read")));
    assert_eq!(take_reports(), vec![(id, unknown("retired.read")); 3]);
    assert_eq!(logged(&line(id, "retired.read")).len(), 3);
    assert!(logged_by("tower_api_key", &line(id, "retired.read"))[0].starts_with("WARN "));

    // The other scopes of a key grant what they did before.
    let have = Access::Scoped(scopes(&["retired.read", "tasks.read", "tasks.reads"]));
    let (id, secret) = (mixed.record.id(), mixed.secret.expose_secret());
    assert_eq!(call(&layer, secret).await, Reply::accepted(&have));
    assert_eq!(take_reports(), ["retired.read", "tasks.reads"].map(|name| (id, unknown(name))));
    assert_eq!(call(&layer.clone().require(avala::TASKS_READ), secret).await, Reply::accepted(&have));
    assert_eq!(call(&layer.require(avala::PROJECTS_READ), secret).await, Reply::forbidden());
    for name in ["retired.read", "tasks.reads"] {
        assert_eq!(logged(&format!("WARN {}", line(id, name))).len(), 3);
    }
    take_reports();

    // The scope is kept when the key is listed, regenerated and updated.
    let page = store.list(acme().into(), &ListKeys::new()).await.unwrap();
    assert!(page.keys.iter().any(|key| key.access() == &have));
    let again = keys.regenerate(acme(), id, Expiry::Never).await.unwrap();
    assert_eq!(again.record.access(), &have);
    let kept = Access::Scoped(scopes(&["retired.read"]));
    let update = KeyUpdate::new().with_scopes(scopes(&["retired.read"]));
    keys.update(acme(), again.record.id(), update).await.unwrap();
    assert_eq!(without.get(acme(), again.record.id()).await.unwrap().access(), &kept);
    let new = keys.regenerate(acme(), again.record.id(), Expiry::Never).await.unwrap();
    assert_eq!(new.record.access(), &kept);
    assert_eq!(any(&store, &new).await, Reply::accepted(&kept));
    assert!(take_reports().iter().all(|(_, kind)| matches!(kind, RowErrorKind::UnknownScope(_))));
    // A new key cannot have it.
    let error = keys.issue(acme(), scoped(&["retired.read"])).await.unwrap_err();
    assert!(matches!(error, ManageError::UnknownScope(_)), "{error:?}");
}

/// Cases: 56, 83, 120.
/// An organization without a row is enabled. One whose row does not state whether it is disabled is not.
async fn organization_not_clearly_enabled_is_disabled<D: Database>() {
    let database = D::new().await;
    let store = database.store().await;
    database.loosen().await;
    let key = issue(&store, full()).await;
    assert_eq!(any(&store, &key).await, Reply::accepted(&Access::Full));
    database.run("INSERT INTO tower_api_key_organizations VALUES ('acme', NULL, NULL)").await.unwrap();
    let reply = any(&store, &key).await;
    assert!([Reply::invalid(), Reply::unavailable()].contains(&reply), "{reply:?}");
    assert!(store.organization_policy(acme()).await.map_or(true, |policy| policy.is_disabled()));
}

/// Cases: 77, 120.
/// Without constraints, a row restored from a backup can come next to the present one. The order of the rows does not
/// decide which of them counts.
async fn duplicate_key_rows_are_never_accepted<D: Database>() {
    const COPY: &str = "'11111111-1111-4111-8111-111111111111'";
    for worse in ["revoked_at = 5", "access = 'scoped'", "expires_at = 0"] {
        for worse_first in [true, false] {
            for same_id in [true, false] {
                let database = D::new().await;
                let store = database.store().await;
                database.loosen().await;
                let key = issue(&store, full()).await;
                let copy = format!(
                    "INSERT INTO tower_api_key_keys (id, digest, organization, name, hint, access, scopes, created_at) \
                     SELECT {COPY}, digest, organization, name, hint, 'full', '', created_at FROM tower_api_key_keys"
                );
                // In Postgres, an edited row moves behind the others.
                if worse_first {
                    database.edit(&key, worse).await;
                    database.run(copy).await.unwrap();
                } else {
                    database.run(copy).await.unwrap();
                    database.edit(&key, worse).await;
                }
                if same_id {
                    let id = key.record.id();
                    let same = format!("UPDATE tower_api_key_keys SET id = '{id}' WHERE id = {COPY}");
                    database.run(same).await.unwrap();
                }
                let layer = ApiKeyLayer::new(store).require(Requirement::full_access());
                let reply = call(&layer, key.secret.expose_secret()).await;
                assert_ne!(reply.status, 200, "{worse}, the worse first: {worse_first}, the same id: {same_id}");
            }
        }
    }
}

/// Cases: 83, 120.
async fn duplicate_policy_rows_are_never_accepted<D: Database>() {
    for disabled in ["1), ('acme', NULL, 0", "0), ('acme', NULL, 1"] {
        let database = D::new().await;
        let store = database.store().await;
        database.loosen().await;
        let key = issue(&store, full()).await;
        database
            .run(format!("INSERT INTO tower_api_key_organizations VALUES ('acme', NULL, {disabled})"))
            .await
            .unwrap();
        assert_ne!(any(&store, &key).await.status, 200, "{disabled}");
    }
}

/// Cases: 77, 132.
/// Otherwise the digest of a revoked key could be moved to a row that is valid.
async fn revoked_row_keeps_its_identity<D: Database>() {
    let database = D::new().await;
    let store = database.store().await;
    let [revoked, replaced, live] =
        [issue(&store, full()).await, issue(&store, full()).await, issue(&store, full()).await];
    store.revoke(acme(), revoked.record.id()).await.unwrap();
    store.manage().regenerate(acme(), replaced.record.id(), Expiry::Never).await.unwrap();
    let rows = "SELECT id || organization || access || coalesce(replaced_by, '') FROM tower_api_key_keys ORDER BY id";
    let before = database.texts(rows).await;
    let live_id = live.record.id();
    let of_live = |column: &str| format!("(SELECT {column} FROM tower_api_key_keys WHERE id = '{live_id}')");
    for key in [&revoked, &replaced] {
        let id = key.record.id();
        let of_dead = |column: &str| format!("(SELECT {column} FROM tower_api_key_keys WHERE id = '{id}')");
        let both = format!("WHERE id IN ('{id}', '{live_id}')");
        let mut edits = Vec::new();
        for column in ["id", "digest"] {
            let (dead, live) = (of_dead(column), of_live(column));
            edits.push(format!("SET {column} = CASE id WHEN '{id}' THEN {live} ELSE {dead} END {both}"));
            edits.push(format!("SET {column} = {dead} WHERE id = '{live_id}'"));
        }
        for edit in [
            format!("digest = {}", D::OTHER_DIGEST),
            "id = '11111111-1111-4111-8111-111111111111'".into(),
            "organization = 'other'".into(),
            format!("replaced_by = '{live_id}'"),
            "revoked_at = NULL, replaced_by = NULL".into(),
            format!("name = 'x', digest = {}", D::OTHER_DIGEST),
        ] {
            edits.push(format!("SET {edit} WHERE id = '{id}'"));
        }
        for edit in edits {
            for update in D::UPDATES {
                let error =
                    database.run(format!("{update} tower_api_key_keys {edit}")).await.expect_err(&edit).to_string();
                let expected = error.contains("a revoked key stays revoked") || error.to_lowercase().contains("unique");
                assert!(expected, "{update} {edit}: {error}");
                assert_eq!(database.texts(rows).await, before, "{update} {edit}");
                assert_eq!(any(&store, key).await, Reply::invalid(), "{update} {edit}");
                assert_eq!(any(&store, &live).await, Reply::accepted(&Access::Full), "{update} {edit}");
            }
        }
    }
    // A row that is not revoked may be moved.
    database.run(format!("UPDATE tower_api_key_keys SET organization = 'other' WHERE id = '{live_id}'")).await.unwrap();
}

async fn invalid_row_fails_alone_in_a_batch<D: Database>() {
    let database = D::new().await;
    let store = database.store().await;
    database.loosen().await;
    let (valid, invalid, doubled) =
        (issue(&store, full()).await, issue(&store, full()).await, issue(&store, full()).await);
    database.edit(&invalid, "networks = 'everywhere'").await;
    let id = doubled.record.id();
    database
        .run(format!(
            "INSERT INTO tower_api_key_keys (id, digest, organization, name, hint, access, scopes, created_at) \
             SELECT '11111111-1111-4111-8111-111111111111', digest, organization, name, hint, 'full', '', created_at \
             FROM tower_api_key_keys WHERE id = '{id}'"
        ))
        .await
        .unwrap();
    let unknown = KeyDigest::hash(b"unknown");
    let digests = [*invalid.record.digest(), *valid.record.digest(), unknown, *doubled.record.digest()];
    let results = store.find_many(&digests).await.ok().unwrap();
    let [Err(_), Ok(Some(found)), Ok(None), Err(_)] = results.as_slice() else { panic!("{}", results.len()) };
    assert_eq!(found.id(), valid.record.id());

    // Every result of a list that is longer than any batch has its place.
    let many: Vec<_> = digests.iter().copied().cycle().take(1030).collect();
    let results = store.find_many(&many).await.ok().unwrap();
    assert_eq!(results.len(), many.len());
    for (at, result) in results.iter().enumerate() {
        let expected = (at % 4 == 1, at % 4 == 2);
        assert_eq!((matches!(result, Ok(Some(_))), matches!(result, Ok(None))), expected, "{at}");
    }
}
