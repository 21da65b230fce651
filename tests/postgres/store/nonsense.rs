//! Rows edited by hand, after the constraints were dropped: an error or a rejection, never more access than the row
//! plainly gives.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tower_api_key::key::{KeyId, KeyStatus};
use tower_api_key::manage::IssuedKey;
use tower_api_key::scope::{ScopeSet, avala};
use tower_api_key::store::{Expiry, InvalidRow, KeyBackend, KeyUpdate, ListKeys, PostgresStore, RowErrorKind};
use tower_api_key::{Access, ApiKeyLayer, KeyStore, Requirement, Scope};

use crate::support::calls::{Reply, acme, any, call, full, issue, scoped, scopes};
use crate::support::log_lines::{logged, record_log};
use crate::support::manage::Manage;
use crate::support::postgres::{LOOSEN, Schema, Sql};

type InvalidRows = Arc<Mutex<Vec<InvalidRow>>>;

/// Returns a store on tables without constraints, and the rows it reports.
async fn unguarded(schema: &Schema) -> (PostgresStore, InvalidRows) {
    record_log();
    let reported = InvalidRows::default();
    let hook = Arc::clone(&reported);
    let store = schema.store().await.on_invalid_row(move |row| hook.lock().unwrap().push(row.clone()));
    schema.sql().await.run(LOOSEN).await.unwrap();
    (store, reported)
}

async fn edit(sql: &mut Sql, key: &IssuedKey, change: &str) {
    let update = format!("UPDATE tower_api_key_keys SET {change} WHERE id = '{}'", key.record.id());
    sql.run(update).await.unwrap();
}

/// What a row gives its key.
enum Gives {
    Access(Access),
    RejectedRequest(Reply),
    /// No record can be made of the row, and the log names this column.
    Outage(&'static str),
}

impl Gives {
    fn nothing() -> Self {
        Self::Access(Access::Scoped(ScopeSet::empty()))
    }

    /// Returns the replies of routes that require any key, `datasets.read` and full access.
    fn replies(&self) -> [Reply; 3] {
        match self {
            Self::Access(access) => {
                let read = access.is_full() || access.scopes().is_some_and(|have| have.contains(&avala::DATASETS_READ));
                let reply = |met| if met { Reply::accepted(access) } else { Reply::forbidden() };
                [true, read, access.is_full()].map(reply)
            }
            Self::RejectedRequest(reply) => [reply.clone(), reply.clone(), reply.clone()],
            Self::Outage(_) => [Reply::unavailable(), Reply::unavailable(), Reply::unavailable()],
        }
    }
}

async fn replies(store: &PostgresStore, key: &IssuedKey) -> [Reply; 3] {
    let layer = ApiKeyLayer::new(store.clone());
    let (read, manage) =
        (layer.clone().require(avala::DATASETS_READ), layer.clone().require(Requirement::full_access()));
    let secret = key.secret.expose_secret();
    [call(&layer, secret).await, call(&read, secret).await, call(&manage, secret).await]
}

/// Cases: 56, 59, 60, 63.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn invalid_access_or_scopes_grant_nothing() {
    let schema = Schema::new().await;
    let (store, invalid_rows) = unguarded(&schema).await;
    let mut sql = schema.sql().await;
    let kept = |names: &[&'static str]| Gives::Access(Access::Scoped(scopes(names)));
    let numbered = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("scope.{n}")).collect();
        format!("scopes = '{}'", names.join(" "))
    };
    let mut table = vec![
        // Only this word means full access. No list of scopes does.
        ("access = 'full'".to_owned(), Gives::Access(Access::Full), None),
        ("access = 'full', scopes = 'datasets.read'".into(), Gives::Access(Access::Full), None),
        ("access = 'full', scopes = NULL".into(), Gives::Access(Access::Full), None),
        ("scopes = ''".into(), Gives::nothing(), None),
        ("scopes = NULL".into(), Gives::nothing(), Some(RowErrorKind::Scopes)),
        ("scopes = 'datasets.read datasets.read'".into(), kept(&["datasets.read"]), None),
        // Names that no route requires are kept as they are.
        ("scopes = '[]'".into(), kept(&["[]"]), None),
        ("scopes = '{}'".into(), kept(&["{}"]), None),
        ("scopes = 'null'".into(), kept(&["null"]), None),
        ("scopes = '*'".into(), kept(&["*"]), None),
        ("scopes = 'datasets.*'".into(), kept(&["datasets.*"]), None),
        ("scopes = 'datasets'".into(), kept(&["datasets"]), None),
        ("scopes = 'Datasets.Read'".into(), kept(&["Datasets.Read"]), None),
        ("scopes = 'datasets.readonly'".into(), kept(&["datasets.readonly"]), None),
        ("scopes = 'full'".into(), kept(&["full"]), None),
        (
            numbered(256),
            Gives::Access(Access::scoped((0..256).map(|n| Scope::new(format!("scope.{n}")).unwrap()))),
            None,
        ),
    ];
    for access in [
        "NULL",
        "''",
        "'Full'",
        "'FULL'",
        "'full '",
        "' full'",
        "E'full\\n'",
        "'[]'",
        "'{}'",
        "'null'",
        "'*'",
        "'admin'",
        "'true'",
        "'Scoped'",
        "'datasets.read'",
        "'ｆｕｌｌ'",
        "repeat('full', 250000)",
    ] {
        table.push((format!("access = {access}"), Gives::nothing(), Some(RowErrorKind::Access)));
        table.push((format!("access = {access}, scopes = ''"), Gives::nothing(), Some(RowErrorKind::Access)));
    }
    for scopes in [
        "'[\"datasets.read\"]'",
        "'[null]x \"'",
        "'{\"a\": 1}'",
        "'[1,2]'",
        "'datasets.read,tasks.read'",
        "'datasets.read, tasks.read'",
        "'datasets.read; tasks.read'",
        "'datasets.read '",
        "' datasets.read'",
        "'datasets.read  tasks.read'",
        "E'datasets.read\\n'",
        "E'datasets.read\\ttasks.read'",
        "'datasets.read é'",
        "' '",
        "'datasets.read ' || repeat('x', 129)",
        "repeat('x', 1000000)",
        "repeat('datasets.read ', 80000)",
        "trim(repeat('datasets.read ', 300))",
        "E'datasets.read \\\\'",
        "E'\\u202edatasets.read'",
    ] {
        table.push((format!("scopes = {scopes}"), Gives::nothing(), Some(RowErrorKind::Scopes)));
    }
    table.push((numbered(257), Gives::nothing(), Some(RowErrorKind::Scopes)));
    table.push((numbered(300), Gives::nothing(), Some(RowErrorKind::Scopes)));
    table.push((numbered(100_000), Gives::nothing(), Some(RowErrorKind::Scopes)));

    for (change, gives, problem) in table {
        let change = change.as_str();
        let named = &change[..change.len().min(80)];
        let key = issue(&store, scoped(&["datasets.read"])).await;
        let id = key.record.id();
        edit(&mut sql, &key, change).await;
        invalid_rows.lock().unwrap().clear();
        assert_eq!(replies(&store, &key).await, gives.replies(), "{named}");

        let reported = std::mem::take(&mut *invalid_rows.lock().unwrap());
        let expected: Vec<_> = problem.into_iter().map(|problem| (id, problem)).collect();
        assert_eq!(pairs(&reported), [expected.as_slice(); 3].concat(), "{named}: once for each lookup");
        let lines = logged(&id.to_string());
        assert_eq!(lines, reported.iter().map(|row| format!("WARN {row}")).collect::<Vec<_>>(), "{named}");

        manages_without_widening(&store, &key, named).await;
    }
}

/// Cases: 69, 75, 116, 120.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn invalid_columns_are_rejected() {
    let schema = Schema::new().await;
    let (store, invalid_rows) = unguarded(&schema).await;
    let mut sql = schema.sql().await;
    let (low, high) = (i64::MIN, i64::MAX);
    let ends = |column: &str, time: i64| format!("{column} = '{time}'::bigint");
    let full = || Gives::Access(Access::Full);
    let expired = || Gives::RejectedRequest(Reply::expired());
    let invalid = || Gives::RejectedRequest(Reply::invalid());
    let table = [
        (ends("created_at", low), full()),
        (ends("created_at", high), full()),
        (ends("created_at", 0), full()),
        ("created_at = NULL".into(), Gives::Outage("created_at")),
        (ends("expires_at", low), expired()),
        (ends("expires_at", low + 1), expired()),
        (ends("expires_at", -1), expired()),
        (ends("expires_at", 0), expired()),
        (ends("expires_at", 253_402_300_799), full()),
        (ends("expires_at", high - 1), full()),
        (ends("expires_at", high), full()),
        (ends("revoked_at", low), invalid()),
        (ends("revoked_at", 0), invalid()),
        (ends("revoked_at", high), invalid()),
        (format!("{}, {}", ends("revoked_at", high), ends("expires_at", low)), invalid()),
        ("revoked_at = 5, replaced_by = 'no id'".into(), invalid()),
        ("revoked_at = 5, replaced_by = ''".into(), invalid()),
        ("replaced_by = 'no id'".into(), Gives::Outage("replaced_by without revoked_at")),
        ("replaced_by = ''".into(), Gives::Outage("replaced_by without revoked_at")),
        ("replaced_by = gen_random_uuid()".into(), Gives::Outage("replaced_by without revoked_at")),
        ("organization = NULL".into(), Gives::Outage("organization")),
        ("organization = ''".into(), Gives::Outage("organization")),
        ("organization = E'ac\\nme'".into(), Gives::Outage("organization")),
        ("organization = E'ac\\u0085me'".into(), Gives::Outage("organization")),
        ("organization = repeat('x', 129)".into(), Gives::Outage("organization")),
        ("organization = repeat('x', 1000000)".into(), Gives::Outage("organization")),
        ("id = NULL".into(), Gives::Outage("id")),
        ("id = ''".into(), Gives::Outage("id")),
        ("id = 'not a UUID'".into(), Gives::Outage("id")),
        ("id = upper(id) || 'A'".into(), Gives::Outage("id")),
        ("id = repeat(id, 30000)".into(), Gives::Outage("id")),
        // Without its digest, the row is not found.
        ("digest = NULL".into(), invalid()),
        ("digest = ''".into(), invalid()),
        ("digest = substr(digest, 1, 31)".into(), invalid()),
        ("digest = digest || '\\x00'".into(), invalid()),
        ("digest = decode(repeat('00', 1000000), 'hex')".into(), invalid()),
        // Columns that are only shown decide nothing.
        ("name = NULL".into(), full()),
        ("name = ''".into(), full()),
        ("name = E'\\x1b[31m\\r\\n\\u202e'".into(), full()),
        ("name = repeat('x', 1000000)".into(), full()),
        ("hint = NULL".into(), full()),
        ("hint = E'\\n'".into(), full()),
        ("hint = repeat('x', 1000000)".into(), full()),
    ];
    for (change, gives) in table {
        let key = issue(&store, crate::support::calls::full()).await;
        edit(&mut sql, &key, &change).await;
        let log = |gives: &Gives| match gives {
            Gives::Outage(column) => logged(&format!("invalid row in the key database: {column}")).len(),
            _ => 0,
        };
        let before = log(&gives);
        assert_eq!(replies(&store, &key).await, gives.replies(), "{change}");
        if matches!(gives, Gives::Outage(_)) {
            assert_eq!(log(&gives), before + 1, "{change}: one line for the outage of three requests");
        }
        manages_without_widening(&store, &key, &change).await;
        sql.run("DELETE FROM tower_api_key_keys").await.unwrap();
    }
    assert_eq!(*invalid_rows.lock().unwrap(), []);
}

/// Cases: 75, 116.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn invalid_policy_columns_are_rejected() {
    let schema = Schema::new().await;
    let (store, _) = unguarded(&schema).await;
    let mut sql = schema.sql().await;
    let key = issue(&store, full()).await;
    let accepted = || Reply::accepted(&Access::Full);
    let table = [
        ("NULL, 0", accepted()),
        ("NULL, 1", Reply::invalid()),
        ("NULL, 7", Reply::invalid()),
        ("NULL, -1", Reply::invalid()),
        ("NULL, '-9223372036854775808'", Reply::invalid()),
        ("-1, 0", Reply::unavailable()),
        ("'-9223372036854775808', 0", Reply::unavailable()),
        ("0, 0", Reply::expired()),
        ("9223372036854775807, 0", accepted()),
        ("9223372036854775807, 1", Reply::invalid()),
        ("-1, 1", Reply::unavailable()),
    ];
    for (policy, expected) in table {
        sql.run("DELETE FROM tower_api_key_organizations").await.unwrap();
        sql.run(format!("INSERT INTO tower_api_key_organizations VALUES ('acme', {policy})")).await.unwrap();
        assert_eq!(any(&store, &key).await, expected, "{policy}");
        let asked = store.organization_policy(acme()).await;
        assert_eq!(asked.is_err(), expected.status == 503, "{policy}: {asked:?}");
        for status in [None, Some(KeyStatus::Active), Some(KeyStatus::Expired), Some(KeyStatus::Revoked)] {
            let query = status.map_or(ListKeys::new(), |status| ListKeys::new().with_status(status));
            let page = store.list(acme().into(), &query).await.expect(policy);
            assert!(page.keys.iter().all(|found| found.id() == key.record.id()));
            if status.is_none() {
                assert_eq!(page.keys.len(), 1, "{policy}");
            }
        }
    }
    // Both columns at their limits: no overflow makes the key valid.
    sql.run("UPDATE tower_api_key_organizations SET max_key_age = 9223372036854775807, disabled = 0").await.unwrap();
    edit(&mut sql, &key, "created_at = '-9223372036854775808'").await;
    assert_eq!(any(&store, &key).await, Reply::expired());
    sql.run("UPDATE tower_api_key_organizations SET max_key_age = 0").await.unwrap();
    edit(&mut sql, &key, "created_at = 9223372036854775807").await;
    assert!([Reply::expired(), accepted()].contains(&any(&store, &key).await));
}

/// Cases: 120.
/// A column has another type, or is missing.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn tables_of_other_shape_are_503() {
    let shapes = [
        "ALTER TABLE tower_api_key_keys ALTER access TYPE varchar",
        "ALTER TABLE tower_api_key_keys ALTER access TYPE boolean USING true",
        "ALTER TABLE tower_api_key_keys ALTER access TYPE json USING '\"full\"'::json",
        "ALTER TABLE tower_api_key_keys ALTER scopes TYPE text[] USING ARRAY['datasets.read']",
        "ALTER TABLE tower_api_key_keys ALTER id TYPE uuid USING id::uuid",
        "ALTER TABLE tower_api_key_keys ALTER created_at TYPE int",
        "ALTER TABLE tower_api_key_keys ALTER created_at TYPE timestamptz USING now()",
        "ALTER TABLE tower_api_key_keys ALTER expires_at TYPE text USING '9999999999'",
        "ALTER TABLE tower_api_key_keys ALTER revoked_at TYPE boolean USING false",
        "ALTER TABLE tower_api_key_keys ALTER digest TYPE text USING encode(digest, 'hex')",
        "ALTER TABLE tower_api_key_keys DROP scopes",
        "ALTER TABLE tower_api_key_keys DROP revoked_at CASCADE",
        "ALTER TABLE tower_api_key_keys RENAME TO keys",
        "ALTER TABLE tower_api_key_organizations DROP disabled",
        "INSERT INTO tower_api_key_organizations VALUES ('acme'); \
         ALTER TABLE tower_api_key_organizations ALTER disabled DROP DEFAULT, ALTER disabled TYPE boolean USING false",
        "DROP TABLE tower_api_key_organizations",
        "DROP TABLE tower_api_key_keys CASCADE",
    ];
    for shape in shapes {
        let schema = Schema::new().await;
        let (store, _) = unguarded(&schema).await;
        let key =
            issue(&store, full().with_expires_at(std::time::SystemTime::now() + std::time::Duration::from_secs(60)));
        let key = key.await;
        assert_eq!(any(&store, &key).await, Reply::accepted(&Access::Full));
        schema.sql().await.run(shape).await.unwrap();
        // On connections that have prepared the statements, and on new ones.
        let again = PostgresStore::connect(&schema.url()).await.unwrap();
        for store in [&store, &store, &again] {
            assert_eq!(any(store, &key).await, Reply::unavailable(), "{shape}");
        }
    }
}

/// Cases: 56, 60.
/// Nearly valid words in many combinations: the row gives what its exact reading gives, and no more.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn generated_rows_grant_only_what_they_state() {
    let schema = Schema::new().await;
    let (store, _) = unguarded(&schema).await;
    let mut sql = schema.sql().await;
    let noise = || {
        let few = prop_oneof![Just(" "), Just("\t"), Just("\n"), Just("\u{a0}"), Just("\u{200b}"), Just(",")];
        prop_oneof![9 => Just(""), 1 => few]
    };
    let wrong =
        prop_oneof![Just("*"), Just("null"), Just("Datasets.read"), Just("datasets"), Just("\""), Just("[]"), Just("")];
    let word = prop_oneof![4 => Just("datasets.read"), 3 => Just("tasks.read"), 1 => Just("full"), 2 => wrong];
    let words = proptest::collection::vec((word, noise()), 0..4)
        .prop_map(|words| words.iter().map(|(word, noise)| format!("{word}{noise}")).collect::<Vec<_>>().join(" "));
    let access = prop_oneof![
        3 => Just("full".to_owned()),
        6 => Just("scoped".to_owned()),
        1 => Just("FULL".to_owned()),
        1 => (noise(), noise()).prop_map(|(left, right)| format!("{left}full{right}")),
        1 => (noise(), noise()).prop_map(|(left, right)| format!("{left}scoped{right}")),
        1 => "\\PC{0,6}",
    ];
    let rows = (access, words);
    let mut runner = TestRunner::deterministic();
    let layer = ApiKeyLayer::new(store.clone());
    let (read, manage) = (layer.clone().require(avala::DATASETS_READ), layer.require(Requirement::full_access()));
    let mut seen = [0, 0, 0];
    for _ in 0..1000 {
        let (access, scopes) = rows.new_tree(&mut runner).unwrap().current();
        let key = issue(&store, scoped(&["datasets.read"])).await;
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        edit(&mut sql, &key, &format!("access = {}, scopes = {}", quoted(&access), quoted(&scopes))).await;

        let is_full = access == "full";
        let token = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| (b'!'..=b'~').contains(&b) && !b"\"\\,;".contains(&b))
        };
        let reads =
            access == "scoped" && scopes.split(' ').all(token) && scopes.split(' ').any(|it| it == "datasets.read");
        let status = |met| if met { 200 } else { 403 };
        let secret = key.secret.expose_secret();
        assert_eq!(call(&manage, secret).await.status, status(is_full), "{access:?} {scopes:?}");
        assert_eq!(call(&read, secret).await.status, status(is_full || reads), "{access:?} {scopes:?}");
        seen[if is_full { 0 } else { 1 + usize::from(reads) }] += 1;
    }
    assert!(seen.iter().all(|&number| number > 50), "{seen:?} of the kinds full, nothing, reading");
}

/// Manages a key with any row. Each call ends in an answer or an error, and none gives more access than the row does.
async fn manages_without_widening(store: &PostgresStore, key: &IssuedKey, change: &str) {
    let id = key.record.id();
    let before = access(store, key).await;
    for status in [None, Some(KeyStatus::Active), Some(KeyStatus::Expired), Some(KeyStatus::Revoked)] {
        let query = status.map_or(ListKeys::new(), |status| ListKeys::new().with_status(status));
        let _ = store.list(acme().into(), &query.with_limit(5)).await;
    }
    let _ = store.get(acme(), id).await;
    let update = KeyUpdate::new().with_scopes(scopes(&["datasets.read", "tasks.read"]));
    let _ = store.update(acme(), id, update).await;
    let narrowed = access(store, key).await;
    assert!(is_within(narrowed.as_ref(), before.as_ref()), "{change}: {before:?} was updated to {narrowed:?}");
    if let Ok(new) = store.manage().regenerate(acme(), id, Expiry::Never).await {
        assert!(is_within(Some(new.record.access()), narrowed.as_ref()), "{change}: {narrowed:?}, then {new:?}");
        assert_ne!(any(store, key).await.status, 200, "{change}: regenerated");
    }
    if store.revoke(acme(), id).await.is_ok() {
        assert_ne!(any(store, key).await.status, 200, "{change}: revoked");
    }
}

fn is_within(inner: Option<&Access>, outer: Option<&Access>) -> bool {
    match (inner, outer) {
        (None, _) | (Some(_), Some(Access::Full)) => true,
        (Some(Access::Scoped(inner)), Some(Access::Scoped(outer))) => outer.contains_all(inner),
        (Some(_), _) => false,
    }
}

/// Returns the access of the key, or `None` if it has no record.
async fn access(store: &PostgresStore, key: &IssuedKey) -> Option<Access> {
    Some(store.find(key.record.digest()).await.ok()??.access().clone())
}

fn pairs(rows: &[InvalidRow]) -> Vec<(KeyId, RowErrorKind)> {
    rows.iter().map(|row| (row.key(), row.kind().clone())).collect()
}
