//! Rows that were edited by hand. Each either states plainly what a key may do, or it grants nothing.

use std::sync::{Arc, Mutex};

use tower_api_key::key::{KeyId, KeyStatus, OrganizationPolicy};
use tower_api_key::manage::{IssuedKey, ManageError};
use tower_api_key::scope::ScopeCatalog;
use tower_api_key::store::{KeyBackend, ListKeys, RowErrorKind, SqliteStore};
use tower_api_key::{Access, ApiKeyLayer, KeyStore, Requirement, Scope};

use crate::support::calls::{Reply, acme, any, call, full, issue, scoped};
use crate::support::log_lines::{logged, record_log};
use crate::support::manage::Manage;
use crate::support::sqlite::{Dir, LOOSEN, Sql, no_driver_thread_has_panicked};

/// What becomes of a row.
#[derive(Clone, Debug)]
enum Becomes {
    /// The database rejects to hold it.
    Rejected,
    /// The store cannot answer: 503.
    Unavailable,
    /// A key that is not valid: 401.
    Invalid,
    Expired,
    /// A valid key that may do nothing, reported.
    Nothing(RowErrorKind),
    /// A key with this access, which the row states.
    States(Access),
}

/// `UPDATE tower_api_key_keys SET ..`, of a key with the scope `datasets.read`; what becomes of it in the tables
/// as they are, once checks are switched off; and in tables that were rebuilt without types and constraints.
struct Edit {
    set: String,
    strict: Becomes,
    loose: Becomes,
}

fn edits() -> Vec<Edit> {
    use Becomes::{Expired, Invalid, Nothing, Rejected, States, Unavailable};
    let no_access = || Nothing(RowErrorKind::Access);
    let no_scopes = || Nothing(RowErrorKind::Scopes);
    let as_before = || States(scoped(&["datasets.read"]).access().clone());
    let states = |scopes: &[&str]| States(Access::scoped(scopes.iter().map(|scope| Scope::new(scope).unwrap())));
    let many = |number: usize| (0..number).map(|n| format!("scope.{n}")).collect::<Vec<_>>();
    let mut edits = Vec::new();
    let mut each = |set: &str, strict: Becomes, loose: Becomes| edits.push(Edit { set: set.into(), strict, loose });
    let mut both = |set: &str, becomes: Becomes| each(set, becomes.clone(), becomes);

    // The marker of full access, and whatever resembles it.
    both("access = 'full'", States(Access::Full));
    both("access = 'full', scopes = 'datasets.read'", States(Access::Full));
    both("access = 'full', scopes = '[\"nonsense\"'", States(Access::Full));
    for text in [
        "",
        "Full",
        "FULL",
        " full",
        "full ",
        "full\n",
        "'full'",
        "\"full\"",
        "[]",
        "{}",
        "null",
        "*",
        "all",
        "admin",
        "true",
        "1",
        "ful",
        "fulll",
        "ｆｕｌｌ",
        "full,scoped",
        "Scoped",
        "scoped ",
    ] {
        both(&format!("access = '{}'", text.replace('\'', "''")), no_access());
    }
    both("access = 'full' || char(0)", no_access());
    both("access = char(0) || 'full'", no_access());
    both("access = printf('%.*c', 1000000, 'f')", no_access());
    both("access = CAST(x'66756cff' AS TEXT)", Unavailable);

    // Lists of scopes. A list of another syntax is one word that no service asks for, or no list at all.
    both("scopes = ''", states(&[]));
    for text in ["[]", "{}", "null", "[null]", "Datasets.Read", "datasets.*", "*"] {
        both(&format!("scopes = '{text}'"), states(&[text]));
    }
    for text in [
        "[\"datasets.read\"]",
        "[\"datasets.read\"",
        "\"datasets.read\"",
        "{\"scopes\": \"datasets.read\"}",
        " ",
        "datasets.read ",
        " datasets.read",
        "datasets.read  tasks.read",
        "datasets.read\ttasks.read",
        "datasets.read\n",
        "datasets.read\u{200b}",
        "datasets\\read",
        "dätasets.read",
        "datasets.read, tasks.read, ",
        "datasets.read, tasks.read",
        "datasets.read; tasks.read",
        "datasets.read,tasks.read",
        "{datasets.read, tasks.read}",
        "[1,2]",
    ] {
        both(&format!("scopes = '{text}'"), no_scopes());
    }
    both("scopes = 'datasets.read' || char(0)", no_scopes());
    both("scopes = 'datasets.read tasks.read datasets.read'", states(&["datasets.read", "tasks.read"]));
    let most: Vec<_> = many(255).into_iter().chain(["datasets.read".to_owned()]).collect();
    both(&format!("scopes = '{}'", most.join(" ")), states(&most.iter().map(String::as_str).collect::<Vec<_>>()));
    for number in [256, 299, 100_000] {
        both(&format!("scopes = 'datasets.read {}'", many(number).join(" ")), no_scopes());
    }
    both(&format!("scopes = '{}'", vec!["datasets.read"; 300].join(" ")), no_scopes());
    both(&format!("scopes = '{}'", vec!["datasets.read"; 75_000].join(" ")), no_scopes());
    both("scopes = printf('%.*c', 1000000, 's')", no_scopes());
    both("scopes = printf('%.*c', 1000000, ' ')", no_scopes());
    both("scopes = 'datasets.read ' || printf('%.*c', 129, 's')", no_scopes());
    both("scopes = CAST(x'6461ff' AS TEXT)", Unavailable);

    // The digest: only 32 bytes that are the key's own find it.
    for digest in ["x''", "x'00'", "substr(digest, 1, 31)", "CAST(digest || x'00' AS BLOB)", "zeroblob(1000000)"] {
        both(&format!("digest = {digest}"), Invalid);
    }

    // Whose key it is.
    both("organization = 'other'", as_before());
    for text in ["''", "'ac' || char(10) || 'me'", "'acme' || char(0)", "char(127)", "printf('%.*c', 129, 'o')"] {
        both(&format!("organization = {text}"), Unavailable);
    }
    both("organization = 'é' || printf('%.*c', 127, 'o')", Unavailable);
    both("organization = printf('%.*c', 1000000, 'o')", Unavailable);
    both("organization = CAST(x'ff' AS TEXT)", Unavailable);

    // Its id.
    for id in ["''", "'7'", "'not an id'", "upper(id)", "id || ' '", "replace(id, '-', '')", "'{' || id || '}'"] {
        both(&format!("id = {id}"), Unavailable);
    }
    both("id = printf('%.*c', 1000000, 'i')", Unavailable);

    // Times.
    for time in ["0", "-1", "9223372036854775807", "(-9223372036854775807 - 1)"] {
        both(&format!("created_at = {time}"), as_before());
        both(&format!("revoked_at = {time}"), Invalid);
        both(&format!("revoked_at = {time}, expires_at = {time}"), Invalid);
    }
    both("expires_at = 9223372036854775807", as_before());
    both("expires_at = 253402300800", as_before());
    for time in ["0", "-1", "1", "(-9223372036854775807 - 1)"] {
        both(&format!("expires_at = {time}"), Expired);
    }

    // What took its place.
    for replaced_by in ["''", "'x'", "id", "lower(hex(randomblob(16)))"] {
        both(&format!("replaced_by = {replaced_by}"), Unavailable);
        both(&format!("replaced_by = {replaced_by}, revoked_at = 5"), Invalid);
    }
    both("replaced_by = printf('%.*c', 1000000, 'r'), revoked_at = 5", Invalid);
    both("replaced_by = CAST(x'ff' AS TEXT), revoked_at = 5", Unavailable);

    // What is only shown.
    for text in ["''", "char(10)", "char(0)", "printf('%.*c', 1000000, 'n')", "char(27) || '[31m'"] {
        both(&format!("name = {text}, hint = {text}"), as_before());
    }
    both("name = CAST(x'ff' AS TEXT)", Unavailable);

    // Types that the tables do not hold, unless they were rebuilt.
    each("access = NULL", Rejected, no_access());
    each("access = NULL, scopes = NULL", Rejected, no_access());
    each("access = x'66756c6c'", Rejected, no_access());
    each("access = 1", no_access(), no_access());
    each("access = 1.5", no_access(), Unavailable);
    each("scopes = NULL", Rejected, no_scopes());
    each("scopes = x'64617461736574732e72656164'", Rejected, no_scopes());
    each("scopes = 7", states(&["7"]), no_scopes());
    each("scopes = 7.5", states(&["7.5"]), Unavailable);
    each("digest = NULL", Rejected, Invalid);
    each("digest = 'text'", Rejected, Invalid);
    each("digest = lower(hex(digest))", Rejected, Invalid);
    each("digest = CAST(digest AS TEXT)", Rejected, Invalid);
    each("digest = 5", Rejected, Invalid);
    each("id = NULL", Rejected, Unavailable);
    each("id = 7", Unavailable, Unavailable);
    each("id = x'00000000000000000000000000000007'", Rejected, Unavailable);
    each("organization = NULL", Unavailable, Unavailable);
    each("organization = NULL, revoked_at = 5", Unavailable, Unavailable);
    each("organization = NULL, revoked_at = 5, imported = 1", Invalid, Invalid);
    each("networks = NULL", Rejected, Unavailable);
    each("networks = 'nowhere'", Unavailable, Unavailable);
    each("networks = ''", Unavailable, Unavailable);
    each("suspended = 1", Invalid, Invalid);
    each("suspended = 7", Invalid, Invalid);
    each("suspended = NULL", Rejected, Invalid);
    each("organization = x'61636d65'", Rejected, Unavailable);
    each("organization = 7", as_before(), Unavailable);
    each("name = NULL, hint = NULL", Rejected, as_before());
    each("name = x'ff', hint = 7", Rejected, as_before());
    each("created_at = NULL", Rejected, Unavailable);
    for (column, value) in [("created_at", "'2026-01-01'"), ("created_at", "''"), ("created_at", "x'00'")] {
        each(&format!("{column} = {value}"), Rejected, Unavailable);
    }
    for column in ["created_at", "expires_at", "revoked_at"] {
        for value in
            ["'2099-01-01'", "'never'", "''", "1.5", "1e300", "-1e300", "9e999", "x''", "'9223372036854775808'"]
        {
            each(&format!("{column} = {value}"), Rejected, Unavailable);
        }
        // What reads as a number becomes one, in a column that holds numbers.
        let strict = if column == "revoked_at" { Invalid } else { as_before() };
        each(&format!("{column} = '4102444800'"), strict.clone(), Unavailable);
        each(&format!("{column} = 4102444800.0"), strict, Unavailable);
    }
    each("replaced_by = 7", Unavailable, Unavailable);
    each("replaced_by = x'00'", Rejected, Unavailable);
    each("replaced_by = x'00', revoked_at = 5", Rejected, Invalid);
    edits
}

/// Cases: 56, 59, 63, 75, 120.
#[tokio::test]
async fn edited_rows_grant_only_what_they_state() {
    let dir = Dir::new();
    let store = Watched::new(&dir, None).await;
    let mut sql = dir.sql().await;
    sql.run("PRAGMA ignore_check_constraints = ON").await.unwrap();
    for edit in edits() {
        store.assert_becomes(&mut sql, &edit.set, &edit.strict).await;
    }
    no_driver_thread_has_panicked();
}

/// Cases: 56, 59, 63, 75, 120.
#[tokio::test]
async fn rows_in_untyped_tables_grant_only_what_they_state() {
    let dir = Dir::new();
    let store = Watched::new(&dir, None).await;
    let mut sql = dir.sql().await;
    sql.run(LOOSEN).await.unwrap();
    for edit in edits() {
        store.assert_becomes(&mut sql, &edit.set, &edit.loose).await;
    }
    no_driver_thread_has_panicked();
}

/// Cases: 56, 59.
/// With a catalog, words that no service asks for are reported too.
#[tokio::test]
async fn scopes_in_other_syntax_are_reported_with_catalog() {
    let dir = Dir::new();
    let store = Watched::new(&dir, Some(ScopeCatalog::new([Scope::from_static("datasets.read")]))).await;
    let mut sql = dir.sql().await;
    for text in ["[]", "null", "{}", "Datasets.Read", "datasets.readonly"] {
        let key = store.edited(&mut sql, &format!("scopes = '{text}'")).await.unwrap();
        assert_eq!(any(&store.store, &key).await.status, 200);
        assert_eq!(store.take_problems(&key), [RowErrorKind::UnknownScope(Scope::new(text).unwrap())]);
        let line = format!("invalid row of key {}: the scope \"{text}\" is not in the catalog", key.record.id());
        assert_eq!(logged(&line).len(), 1);
    }
    let key = store.edited(&mut sql, "scopes = 'datasets.read'").await.unwrap();
    assert_eq!(any(&store.store, &key).await.status, 200);
    assert_eq!(store.take_problems(&key), []);
}

/// Cases: 76, 83, 120.
#[tokio::test]
async fn edited_policies_are_applied_or_rejected() {
    use Becomes::{Expired, Invalid, Rejected, States, Unavailable};
    let states = || States(scoped(&["datasets.read"]).access().clone());
    let edits = [
        ("NULL, 0", states(), states()),
        ("9223372036854775807, 0", states(), states()),
        ("0, 0", Expired, Expired),
        ("-1, 0", Unavailable, Unavailable),
        ("-9223372036854775807 - 1, 0", Unavailable, Unavailable),
        ("NULL, 1", Invalid, Invalid),
        ("NULL, 7", Invalid, Invalid),
        ("NULL, -1", Invalid, Invalid),
        ("NULL, 9223372036854775807", Invalid, Invalid),
        ("-1, 1", Unavailable, Unavailable),
        ("'90 days', 0", Rejected, Unavailable),
        ("'', 0", Rejected, Unavailable),
        ("x'00', 0", Rejected, Unavailable),
        ("1.5, 0", Rejected, Unavailable),
        ("NULL, 'no'", Rejected, Invalid),
        ("NULL, ''", Rejected, Invalid),
        ("NULL, 'false'", Rejected, Invalid),
        ("NULL, x''", Rejected, Invalid),
        ("NULL, 0.5", Rejected, Unavailable),
        ("NULL, '0'", states(), Invalid),
    ];
    for loose in [false, true] {
        let dir = Dir::new();
        let store = Watched::new(&dir, None).await;
        let mut sql = dir.sql().await;
        sql.run("PRAGMA ignore_check_constraints = ON").await.unwrap();
        if loose {
            sql.run(LOOSEN).await.unwrap();
        }
        for (values, strict_becomes, loose_becomes) in &edits {
            let becomes = if loose { loose_becomes } else { strict_becomes };
            sql.run("DELETE FROM tower_api_key_organizations").await.unwrap();
            let written = sql.run(format!("INSERT INTO tower_api_key_organizations VALUES ('acme', {values})")).await;
            assert_eq!(written.is_err(), matches!(becomes, Rejected), "{values}: {written:?}");
            if written.is_err() {
                continue;
            }
            // One that was issued before such a policy was there.
            sql.run("UPDATE tower_api_key_organizations SET organization = 'set aside'").await.unwrap();
            let key = issue(&store.store, scoped(&["datasets.read"])).await;
            sql.run("UPDATE tower_api_key_organizations SET organization = 'acme'").await.unwrap();
            store.check(&key, &format!("policy {values}, loose: {loose}"), becomes).await;

            let policy = store.store.organization_policy(acme()).await;
            assert_eq!(policy.is_err(), matches!(becomes, Unavailable), "{values}: {policy:?}");
            // A policy set anew repairs it.
            if !loose {
                store.store.set_organization_policy(acme(), OrganizationPolicy::default()).await.unwrap();
                store.check(&key, "repaired", &states()).await;
            }
        }
    }
    no_driver_thread_has_panicked();
}

/// Cases: 77.
/// Whatever is in the row, it can be revoked: the database knows which one it is.
#[tokio::test]
async fn key_with_invalid_row_can_be_revoked() {
    let dir = Dir::new();
    let store = Watched::new(&dir, None).await;
    let mut sql = dir.sql().await;
    sql.run("PRAGMA ignore_check_constraints = ON").await.unwrap();
    for set in ["digest = x'00'", "replaced_by = ''", "name = CAST(x'ff' AS TEXT)", "scopes = CAST(x'ff' AS TEXT)"] {
        let key = store.edited(&mut sql, set).await.unwrap();
        let _ = store.store.revoke(acme(), key.record.id()).await;
        let id = key.record.id();
        let revoked = sql.int(format!("SELECT revoked_at IS NOT NULL FROM tower_api_key_keys WHERE id = '{id}'")).await;
        assert_eq!(revoked, 1, "{set}");
    }
    let key = issue(&store.store, full()).await;
    sql.run("INSERT INTO tower_api_key_organizations VALUES ('acme', -1, 0)").await.unwrap();
    let _ = store.store.revoke(acme(), key.record.id()).await;
    store.store.set_organization_policy(acme(), OrganizationPolicy::default()).await.unwrap();
    assert_eq!(any(&store.store, &key).await, Reply::invalid());
}

/// Cases: 77.
#[tokio::test]
async fn revoked_key_cannot_be_restored_by_update() {
    let dir = Dir::new();
    let store = dir.store().await;
    let key = issue(&store, full()).await;
    let replaced = issue(&store, full()).await;
    store.revoke(acme(), key.record.id()).await.unwrap();
    store
        .manage()
        .regenerate(acme(), replaced.record.id(), tower_api_key::manage::RegenerateOptions::new())
        .await
        .unwrap();
    let mut sql = dir.sql().await;
    sql.run("PRAGMA ignore_check_constraints = ON").await.unwrap();
    let before = sql.dump().await;
    for id in [key.record.id(), replaced.record.id()] {
        for set in [
            "SET revoked_at = NULL",
            "SET revoked_at = NULL, replaced_by = NULL",
            "SET revoked_at = NULL, access = 'full', expires_at = NULL",
            "SET revoked_at = revoked_at + 1000000",
            "SET revoked_at = 0",
        ] {
            for conflict in ["", "OR REPLACE", "OR IGNORE", "OR FAIL"] {
                let update = format!("UPDATE {conflict} tower_api_key_keys {set} WHERE id = '{id}'");
                let error = sql.run(update.as_str()).await.expect_err(&update);
                assert!(error.to_string().contains("a revoked key stays revoked"), "{update}: {error}");
            }
        }
        // A late write of what was read before.
        let upsert = format!(
            "INSERT INTO tower_api_key_keys \
             (id, digest, organization, name, hint, access, scopes, created_at, expires_at, revoked_at, replaced_by) \
             SELECT id, digest, organization, name, hint, access, scopes, created_at, \
             expires_at, NULL, NULL FROM tower_api_key_keys WHERE id = '{id}' \
             ON CONFLICT (id) DO UPDATE SET revoked_at = excluded.revoked_at, replaced_by = excluded.replaced_by"
        );
        sql.run(upsert).await.unwrap();
        // A backup that is read in over the table.
        let replace = format!(
            "REPLACE INTO tower_api_key_keys \
             (id, digest, organization, name, hint, access, scopes, created_at, expires_at, revoked_at, replaced_by) \
             SELECT id, digest, organization, name, hint, access, scopes, created_at, \
             expires_at, NULL, NULL FROM tower_api_key_keys WHERE id = '{id}'"
        );
        sql.run(replace).await.unwrap();
    }
    assert_eq!(sql.dump().await, before);
    for revoked in [&key, &replaced] {
        assert_eq!(any(&store, revoked).await, Reply::invalid());
        assert!(matches!(
            store
                .manage()
                .regenerate(acme(), revoked.record.id(), tower_api_key::manage::RegenerateOptions::new())
                .await,
            Err(ManageError::Conflict)
        ));
        // What does not bring it back may be edited.
        let id = revoked.record.id();
        sql.run(format!("UPDATE tower_api_key_keys SET name = 'dead' WHERE id = '{id}'")).await.unwrap();
    }
}

/// A store whose reports about rows are kept.
struct Watched {
    store: SqliteStore,
    problems: Arc<Mutex<Vec<(KeyId, RowErrorKind)>>>,
}

impl Watched {
    async fn new(dir: &Dir, catalog: Option<ScopeCatalog>) -> Self {
        record_log();
        let problems = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&problems);
        let mut store = dir.store().await;
        if let Some(catalog) = catalog {
            store = store.with_catalog(catalog);
        }
        let store = store.on_invalid_row(move |row| sink.lock().unwrap().push((row.key(), row.kind().clone())));
        Self { store, problems }
    }

    /// A key whose row was edited in this way, or the database's rejection to hold it.
    async fn edited(&self, sql: &mut Sql, set: &str) -> Result<IssuedKey, sqlx::Error> {
        let key = issue(&self.store, scoped(&["datasets.read"])).await;
        sql.run(format!("UPDATE tower_api_key_keys SET {set} WHERE id = '{}'", key.record.id())).await?;
        Ok(key)
    }

    fn take_problems(&self, key: &IssuedKey) -> Vec<RowErrorKind> {
        let problems = std::mem::take(&mut *self.problems.lock().unwrap());
        problems
            .into_iter()
            .map(|(id, problem)| {
                assert_eq!(id, key.record.id());
                problem
            })
            .collect()
    }

    async fn assert_becomes(&self, sql: &mut Sql, set: &str, becomes: &Becomes) {
        sql.run("DELETE FROM tower_api_key_keys").await.unwrap();
        let shown = set.chars().take(100).collect::<String>();
        match self.edited(sql, set).await {
            Err(error) => assert!(matches!(becomes, Becomes::Rejected), "{shown}: {error}"),
            Ok(key) => {
                assert!(!matches!(becomes, Becomes::Rejected), "{shown}: the database took it");
                self.check(&key, &shown, becomes).await;
            }
        }
    }

    /// Checks what requests of three kinds get, and that managing the key neither panics nor shows more than they do.
    async fn check(&self, key: &IssuedKey, what: &str, becomes: &Becomes) {
        let secret = key.secret.expose_secret();
        let access = match becomes {
            Becomes::States(access) => Some(access.clone()),
            Becomes::Nothing(_) => Some(Access::scoped([])),
            _ => None,
        };
        let requirements =
            [Requirement::any_key(), Scope::from_static("datasets.read").into(), Requirement::full_access()];
        for requirement in requirements {
            let expected = match (&access, becomes) {
                (Some(access), _) if requirement.is_met_by(access) => Reply::accepted(access),
                (Some(_), _) => Reply::forbidden(),
                (None, Becomes::Invalid) => Reply::invalid(),
                (None, Becomes::Expired) => Reply::expired(),
                (None, _) => Reply::unavailable(),
            };
            let layer = ApiKeyLayer::new(self.store.clone()).require(requirement);
            assert_eq!(call(&layer, secret).await, expected, "{what}");
            let problems = self.take_problems(key);
            match becomes {
                Becomes::Nothing(problem) => {
                    assert_eq!(problems, std::slice::from_ref(problem), "{what}");
                    assert!(!logged(&format!("invalid row of key {}: ", key.record.id())).is_empty(), "{what}");
                }
                _ => assert_eq!(problems, [], "{what}"),
            }
        }

        let found = self.store.find(key.record.digest()).await;
        assert_eq!(found.is_err(), matches!(becomes, Becomes::Unavailable), "{what}");
        for query in [ListKeys::new(), ListKeys::new().with_status(KeyStatus::Active)] {
            let listed = self.store.list(acme().into(), &query).await;
            assert!(listed.is_ok() || access.is_none(), "{what}: {listed:?}");
        }
        if let (Ok(record), Some(access)) = (self.store.get(acme(), key.record.id()).await, access) {
            assert_eq!(record.access(), &access, "{what}");
        }
        self.problems.lock().unwrap().clear();
    }
}
