//! Keys that were issued elsewhere, from files.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tower_api_key::key::KeyDigest;

use crate::database::Database;

/// A file of this test alone.
struct TempFile(PathBuf);

impl TempFile {
    fn new(database: &Database, name: &str, content: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("tower-api-key-{}-{}-{name}", std::process::id(), database.kind()));
        fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn plaintext(n: usize) -> String {
    format!("sk_live_{n:040}")
}

/// Cases: 244.
async fn csv_and_json_lines_import_the_same(database: Database) {
    let digest = KeyDigest::hash(plaintext(2).as_bytes()).to_hex();
    let csv = format!(
        "organization,name,plaintext,digest,hint,scopes,full_access,environment,allowed_networks,metadata.plan,created_at,\
         created_by,expires_at,suspended,revoked_at,last_used_at,request_count\n\
         acme,\"one, two\",{},,,a.read a.write,,live,192.0.2.0/24 2001:db8::/32,pro,2020-01-31T12:00:00Z,ada,\
         2999-01-01,false,,1700000000,17\n\
         other,digest alone,,{digest},sk_...0002,,true,,,,,,,1,2021-01-01,,\n",
        plaintext(1)
    );
    let json_lines = [
        json!({
            "organization": "acme", "name": "one, two", "plaintext": plaintext(3), "scopes": ["a.write", "a.read"],
            "environment": "live", "allowed_networks": ["192.0.2.0/24", "2001:db8::/32"], "metadata": {"plan": "pro"},
            "created_at": "2020-01-31T12:00:00Z", "created_by": "ada", "expires_at": "2999-01-01T00:00:00Z",
            "suspended": false, "revoked_at": null, "last_used_at": 1_700_000_000, "request_count": 17,
        }),
        json!({
            "organization": "other", "name": "digest alone", "hint": "sk_...0002", "full_access": true,
            "digest": KeyDigest::hash(plaintext(4).as_bytes()).to_hex(), "suspended": true,
            "revoked_at": "2021-01-01",
        }),
    ];
    let json_lines = format!("{}\n\n{}", json_lines[0], json_lines[1]);
    let identified = |n: usize| {
        let mut key = database.run_with("identify --json", &plaintext(n)).object();
        let imported = key.as_object_mut().unwrap();
        imported.remove("id");
        // Without one in the file, the time of the import.
        if imported["organization"] == "other" {
            imported.remove("created_at");
        }
        key
    };
    let csv = TempFile::new(&database, "same.csv", &csv);
    let json_lines = TempFile::new(&database, "same.jsonl", &json_lines);
    for file in [&csv, &json_lines] {
        let import = format!("import {} --prefix sk_live_ --json", file.0.display());
        let expected = json!({"dry_run": false, "imported": 2, "already_there": 0, "rejected": 0});
        assert_eq!(database.run(&import).object(), expected);
    }
    let first = identified(1);
    assert_eq!(first["hint"], "sk_live_...0001");
    assert_eq!((&first["created_by"], &first["request_count"]), (&json!("ada"), &json!(17)));
    assert_eq!(
        (&first["last_used_at"], &first["created_at"]),
        (&json!("2023-11-14T22:13:20Z"), &json!("2020-01-31T12:00:00Z"))
    );
    let mut third = identified(3);
    third["hint"] = first["hint"].clone();
    assert_eq!(third, first);
    assert_eq!(identified(4), identified(2));
    assert_eq!((&identified(2)["status"], &identified(2)["created_by"]), (&json!("revoked"), &json!("cli:ada")));
}

/// Cases: 244.
async fn invalid_rows_are_named_by_line_alone(database: Database) {
    let secret = plaintext(9);
    let rows = format!(
        "{{\"name\":\"one\",\"plaintext\":\"{}\",\"scopes\":[\"a\"]}}\n\
         {{\"name\":\"two\",\"plaintext\":\"{secret}\",\"scope\":[\"a\"]}}\n\
         {{\"name\":\"three\",\"plaintext\":\"{secret}\"\n\
         \"{secret}\"\n\
         {{\"name\":\"five\",\"plaintext\":\"{secret}\",\"full_access\":\"{secret}\"}}\n\
         {{\"name\":\"six\",\"digest\":\"{secret}\",\"full_access\":true}}\n",
        plaintext(8)
    );
    let ran = database.run_with("import - --form json-lines --organization acme", &rows);
    assert_eq!((ran.code, &*ran.out), (Some(1), "1 imported, 0 there already, 5 rejected\n"), "{ran:?}");
    let lines: Vec<_> = ran.err.lines().collect();
    for (line, start) in lines.iter().zip([
        "error: line 2: neither scopes nor full_access",
        "error: line 3: is no JSON, from column",
        "error: line 4: is no JSON object",
        "error: line 5: full_access is neither true nor false",
        "error: line 6: digest: invalid key digest",
        "error: some rows were rejected",
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
    assert_eq!(lines.len(), 6, "{lines:?}");
    assert!(!ran.err.contains(&secret) && !ran.err.contains("sk_live"), "{}", ran.err);

    // A file without a header has a key where the name of a column should be.
    for csv in [format!("one,{secret},a\ntwo,x,a\n"), format!("name,plaintext,{secret}\none,x,y\n")] {
        let error = database.run_with("import - --form csv --organization acme", &csv).error(1);
        assert!(error.contains("line 1: column") && !error.contains("sk_live"), "{error}");
    }
    let csv = format!("name,plaintext,full_access\none,{secret}\ntwo,{},true\n\"three,{secret}", plaintext(7));
    let ran = database.run_with("import - --form csv --organization acme", &csv);
    assert_eq!((ran.code, &*ran.out), (Some(1), "1 imported, 0 there already, 2 rejected\n"), "{ran:?}");
    assert!(ran.err.contains("line 2: has 2 fields, and the first line has 3") && !ran.err.contains("sk_live"));

    // After twenty, the others are counted alone.
    let many = format!("name,plaintext,full_access\n{}", "x,,true\n".repeat(100));
    let ran = database.run_with("import - --form csv --organization acme", &many);
    assert_eq!((&*ran.out, ran.err.lines().count()), ("0 imported, 0 there already, 100 rejected\n", 22), "{ran:?}");
}

/// Cases: 244.
async fn dry_run_imports_nothing(database: Database) {
    let csv = format!("name,plaintext,scopes\none,{},a\ntwo,{},\n", plaintext(1), plaintext(2));
    let ran = database.run_with("import - --form csv --organization acme --dry-run", &csv);
    assert_eq!((ran.code, &*ran.out), (Some(1), "1 valid, 1 rejected\n"), "{ran:?}");
    assert_eq!(database.int("SELECT count(*) FROM tower_api_key_keys").await, 0);
}

/// Cases: 244.
async fn key_of_another_organization_is_not_taken(database: Database) {
    let csv = format!("name,plaintext,scopes\none,{},a\none,{0},a\n", plaintext(1));
    let import = |organization: &str| {
        database.run_with(&format!("import - --form csv --organization {organization} --json"), &csv)
    };
    let expected = json!({"dry_run": false, "imported": 1, "already_there": 1, "rejected": 0});
    assert_eq!(import("acme").object(), expected);
    let other = import("other");
    assert!(other.code == Some(1) && other.err.contains("line 2: is a key of another organization"), "{other:?}");
    assert_eq!(database.int("SELECT count(*) FROM tower_api_key_keys WHERE organization = 'acme'").await, 1);
}

/// Cases: 244.
///
/// Kills an import half-way, and repeats it: of 20,000 keys, or of as many as `IMPORT_ROWS` names.
async fn interrupted_import_can_be_repeated(database: Database) {
    let rows: usize = std::env::var("IMPORT_ROWS").map_or(20_000, |rows| rows.parse().unwrap());
    let mut csv = String::from("organization,name,plaintext,scopes\n");
    for n in 0..rows {
        writeln!(csv, "org-{},key {n},{},a.read a.write", n % 977, plaintext(n)).unwrap();
    }
    let file = TempFile::new(&database, "many.csv", &csv);
    let import = format!("import {} --json", file.0.display());
    let count = "SELECT count(*) FROM tower_api_key_keys";

    let began = Instant::now();
    let mut child = database.command(&import).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    while database.int(count).await < 5000 {
        assert!(began.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none(), "no key comes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = usize::try_from(database.int(count).await).unwrap();
    assert!((5000..rows).contains(&kept) && kept % 500 == 0, "{kept}");

    let began = Instant::now();
    let again: Value = database.run(&import).object();
    println!("{}: {} keys imported in {:?}", database.kind(), rows - kept, began.elapsed());
    assert_eq!(again, json!({"dry_run": false, "imported": rows - kept, "already_there": kept, "rejected": 0}));
    assert_eq!(usize::try_from(database.int(count).await).unwrap(), rows);
    assert_eq!(
        database.run_with("identify --json", &plaintext(rows - 1)).object()["scopes"],
        json!(["a.read", "a.write"])
    );
    database.run("check").ok();
}

on_each_database! {
    csv_and_json_lines_import_the_same
    invalid_rows_are_named_by_line_alone
    dry_run_imports_nothing
    key_of_another_organization_is_not_taken
    interrupted_import_can_be_repeated
}
