//! The life of a key, from its issue to its erasure.

use serde_json::json;

use crate::database::Database;

/// Cases: 240.
async fn key_lives_from_issue_to_erasure(database: Database) {
    let issued = database
        .run(
            "issue --organization acme --name ci --scope a.read --scope a.write --expires-in 90d --metadata plan=pro \
             --metadata ticket=A=7 --network 192.0.2.0/24 --environment test --prefix acme_test_ --json",
        )
        .object();
    let (id, secret) = (issued["id"].as_str().unwrap(), issued["api_key"].as_str().unwrap());
    assert!(secret.starts_with("acme_test_"), "{issued}");
    assert_eq!(issued["scopes"], json!(["a.read", "a.write"]));
    assert_eq!(issued["metadata"], json!({"plan": "pro", "ticket": "A=7"}));
    assert_eq!(issued["allowed_networks"], json!(["192.0.2.0/24"]));
    assert_eq!((&issued["created_by"], &issued["environment"]), (&json!("cli:ada"), &json!("test")));

    let key = format!("--organization acme --id {id}");
    let mut shown = database.run(&format!("show {key} --json")).object();
    assert_eq!(shown["api_key"], json!(null));
    shown["api_key"] = secret.into();
    assert_eq!(shown, issued);
    assert_eq!(database.run("list --all-organizations --search ci --json").objects().len(), 1);

    let updated = database
        .run(&format!("update {key} --name nightly --metadata plan=max --remove-metadata ticket --json"))
        .object();
    assert_eq!((&updated["name"], &updated["metadata"]), (&json!("nightly"), &json!({"plan": "max"})));
    let update = format!("update {key} --scope a.read --network 192.0.2.7 --expires-in 1d --yes --json");
    let narrowed = database.run(&update).object();
    assert_eq!(narrowed["scopes"], json!(["a.read"]));
    assert_eq!(narrowed["allowed_networks"], json!(["192.0.2.7/32"]));
    assert!(narrowed["expires_at"].as_str() < issued["expires_at"].as_str());
    for (more, reason) in [
        ("--scope a.write", "cannot add scopes"),
        ("--network 192.0.2.8", "cannot add networks"),
        ("--expires-in 90d", "cannot extend the life"),
    ] {
        let error = database.run(&format!("update {key} {more} --yes")).error(1);
        assert!(error.contains(reason), "{error}");
    }

    assert_eq!(database.run(&format!("suspend {key} --json")).object()["status"], "suspended");
    assert!(database.run(&format!("regenerate {key} --prefix acme_test_ --yes")).error(1).contains("suspended"));
    assert_eq!(database.run(&format!("resume {key} --json")).object()["status"], "active");

    // With the default prefix, the service would not know the new key by its form.
    assert!(database.run(&format!("regenerate {key} --yes")).error(2).contains("pass --prefix"));
    let regenerate = format!("regenerate {key} --prefix acme_test_ --overlap 1h --never-expires --yes --json");
    let new = database.run(&regenerate).object();
    assert_eq!((&new["environment"], &new["expires_at"]), (&json!("test"), &json!(null)));
    let old = database.run(&format!("show {key} --json")).object();
    assert_eq!((&old["replaced_by"], &old["status"]), (&new["id"], &json!("active")));

    let new_key = format!("--organization acme --id {}", new["id"].as_str().unwrap());
    for _ in 0..2 {
        assert_eq!(database.run(&format!("revoke {new_key} --yes --json")).object()["status"], "revoked");
    }
    assert!(database.run(&format!("update {new_key} --name x")).error(1).contains("revoked"));

    // Neither ended long enough ago.
    assert_eq!(database.run("purge --organization acme --older-than 1d --yes --json").object(), json!({"deleted": 0}));
    database.edit("UPDATE tower_api_key_keys SET expires_at = 5 WHERE replaced_by IS NOT NULL").await;
    assert_eq!(database.run("purge --all-organizations --older-than 1d --yes").ok(), "Deleted 1 key.\n");
    assert_eq!(database.run("erase --organization acme --yes --json").object(), json!({"deleted": 1}));
    assert_eq!(database.int("SELECT count(*) FROM tower_api_key_keys").await, 0);
    for command in ["show", "suspend", "resume", "revoke --yes", "regenerate --yes", "update --name x"] {
        let error = database.run(&format!("{command} {key}")).error(3);
        assert_eq!(error, "error: the organization has no such key\n");
    }
}

/// Cases: 240.
async fn list_has_the_keys_of_each_filter(database: Database) {
    for (organization, name, rest) in [
        ("acme", "one", "--scope a --environment live --expires-in 1d --actor ada"),
        ("acme", "two", "--full-access --environment test --actor grace"),
        ("other", "three", "--scope a --actor ada"),
    ] {
        database.run(&format!("issue --organization {organization} --name {name} {rest}")).ok();
    }
    for (filter, expected) in [
        ("--all-organizations", "one three two"),
        ("--all-organizations --created-by ada", "one three"),
        ("--all-organizations --limit 2", "2"),
        ("--all-organizations --limit 0", ""),
        ("--organization acme", "one two"),
        ("--organization acme --status active", "one two"),
        ("--organization acme --status revoked", ""),
        ("--organization acme --environment test", "two"),
        ("--organization acme --search ON", "one"),
        ("--organization acme --expires-before 2999-01-01", "one"),
        ("--organization none", ""),
    ] {
        let ran = database.run(&format!("list {filter} --json"));
        let objects = ran.objects();
        if let Ok(count) = expected.parse::<usize>() {
            assert_eq!(objects.len(), count, "{filter}");
            continue;
        }
        let mut names: Vec<_> = objects.iter().map(|key| key["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names.join(" "), expected, "{filter}");
    }
    let table = database.run("list --all-organizations");
    assert_eq!(table.err, "3 keys\n");
    let table = table.ok();
    assert_eq!(table.lines().count(), 4, "{table}");
    for column in ["ID", "ORGANIZATION", "NAME", "HINT", "ACCESS", "STATUS", "CREATED", "EXPIRES", "LAST USED"] {
        assert!(table.lines().next().unwrap().contains(column), "{table}");
    }
    for text in ["full access", "avk_...", "never", "active", "other"] {
        assert!(table.contains(text), "{text}: {table}");
    }
}

/// Cases: 240.
async fn list_of_more_than_a_page_is_whole(database: Database) {
    let rows: String = (0..2500)
        .map(|n| format!("{{\"name\":\"key {n}\",\"plaintext\":\"key-{n:040}\",\"full_access\":true}}\n"))
        .collect();
    database.run_with("import - --form json-lines --organization acme", &rows).ok();
    for whose in ["--organization acme", "--all-organizations"] {
        let objects = database.run(&format!("list {whose} --json")).objects();
        let ids: std::collections::BTreeSet<_> = objects.iter().map(|key| key["id"].as_str().unwrap()).collect();
        assert_eq!((objects.len(), ids.len()), (2500, 2500), "{whose}");
        assert_eq!(database.run(&format!("list {whose} --limit 1234 --json")).objects().len(), 1234, "{whose}");
    }
}

/// Cases: 240.
async fn policy_is_shown_and_changed_in_parts(database: Database) {
    let policy = |arguments: &str| database.run(&format!("policy --organization acme --json {arguments}")).object();
    let expected = |age: Option<u64>, disabled: bool| json!({"organization": "acme", "max_key_age_seconds": age, "disabled": disabled});
    assert_eq!(policy(""), expected(None, false));
    assert_eq!(policy("--max-key-age 90d"), expected(Some(7_776_000), false));
    assert_eq!(policy("--disable"), expected(Some(7_776_000), true));
    assert_eq!(policy(""), expected(Some(7_776_000), true));
    assert_eq!(policy("--enable"), expected(Some(7_776_000), false));
    assert_eq!(policy("--no-max-key-age"), expected(None, false));
    let text = database.run("policy --organization acme --max-key-age 1h").ok();
    assert_eq!(text, "maximum key age  1h\nkeys             enabled\n");
}

/// Cases: 240.
async fn audit_log_names_actor_and_outcome(database: Database) {
    let log = std::env::temp_dir().join(format!("tower-api-key-audit-{}-{}", std::process::id(), database.kind()));
    let audited = format!("--audit-log {} --json", log.display());
    let issued =
        database.run(&format!("issue --organization acme --name ci --scope a --actor grace {audited}")).object();
    let (id, secret) = (issued["id"].as_str().unwrap(), issued["api_key"].as_str().unwrap());
    let key = format!("--organization acme --id {id}");
    database.run(&format!("suspend {key} {audited}")).ok();
    assert_eq!(database.run(&format!("regenerate {key} --yes {audited}")).code, Some(1));
    database.run(&format!("resume {key} {audited}")).ok();
    let new = database.run(&format!("regenerate {key} --yes {audited}")).object();
    database.run(&format!("policy --organization acme --disable {audited}")).ok();
    database.run(&format!("purge --all-organizations --older-than 1d --yes {audited}")).ok();
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    let events: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> = events
        .iter()
        .map(|event| (event["change"].as_str().unwrap(), event["outcome"].as_str().unwrap(), event["actor"].as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            ("issued", "done", Some("grace")),
            ("updated", "done", Some("cli:ada")),
            ("regenerated", "rejected", Some("cli:ada")),
            ("updated", "done", Some("cli:ada")),
            ("regenerated", "done", Some("cli:ada")),
            ("policy_changed", "done", Some("cli:ada")),
            ("purged", "done", Some("cli:ada")),
        ]
    );
    assert_eq!(events[1]["fields"], json!(["suspended"]));
    assert_eq!((&events[4]["id"], &events[4]["new_id"]), (&json!(id), &new["id"]));
    assert_eq!((&events[5]["disabled"], &events[6]["count"]), (&json!(true), &json!(0)));
    assert!(!text.contains(secret) && !text.contains(new["api_key"].as_str().unwrap()));
    // Where the log cannot be written, nothing is changed.
    let error = database.run(&format!("resume {key} --audit-log /nowhere/at/all")).error(1);
    assert!(error.contains("cannot open the audit log"), "{error}");
}

on_each_database! {
    key_lives_from_issue_to_erasure
    list_has_the_keys_of_each_filter
    list_of_more_than_a_page_is_whole
    policy_is_shown_and_changed_in_parts
    audit_log_names_actor_and_outcome
}
