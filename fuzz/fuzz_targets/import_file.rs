//! Files of any bytes for `tower-api-key import`: the same row reads the same from CSV and from JSON lines, a key has what
//! its row has and never more, and no message repeats a value.
//!
//! The input is read as a file in each form. Then its lines are the cells of a row: the first byte selects the column, and
//! the rest is the cell.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The program has no library, so its files are compiled here.
#[path = "../../src/bin/tower-api-key/failure.rs"]
#[allow(dead_code, reason = "the program uses the rest")]
mod failure;
#[path = "../../src/bin/tower-api-key/values.rs"]
#[allow(dead_code, reason = "the program uses the rest")]
mod values;

fuzz_target!(|data: &[u8]| {
    import::check_file(data);
    if let Ok(text) = std::str::from_utf8(data) {
        import::check_row(text);
    }
});

#[path = "../../src/bin/tower-api-key/commands/import"]
mod import {
    mod field;
    mod row;
    #[allow(dead_code, reason = "the program uses the rest")]
    mod source;

    use std::collections::BTreeMap;
    use std::io::Cursor;
    use std::sync::{Arc, LazyLock};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use futures::executor::block_on;
    use serde_json::{Map, Value, json};
    use tower_api_key::key::{KeyDigest, KeyFormat, KeyRecord};
    use tower_api_key::{KeyManager, MemoryStore, OrganizationId};

    use self::field::FIELDS;
    use self::row::Row;
    use self::source::Source;

    /// Named as the program's, which has derives for its command line.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Form {
        Csv,
        JsonLines,
    }

    /// No message repeats it.
    const SECRET: &str = "sk_live_";

    static ACME: LazyLock<OrganizationId> = LazyLock::new(|| "acme".parse().unwrap());

    /// A row of a file as the program reads it, or why it cannot.
    type Read = (u64, Result<Row, String>);

    /// Every row, or why the file cannot be read.
    fn rows(form: Form, file: Vec<u8>) -> Result<Vec<Read>, String> {
        let mut source =
            Source::new(Box::new(Cursor::new(file)), None, form).map_err(|error| error.line().to_owned())?;
        let mut rows = Vec::new();
        while let Some((line, fields)) = source.next().map_err(|error| error.line().to_owned())? {
            rows.push((line, fields.and_then(|fields| Row::read(fields, Some(&ACME), &KeyFormat::AVALA))));
        }
        Ok(rows)
    }

    pub(super) fn check_file(file: &[u8]) {
        for form in [Form::Csv, Form::JsonLines] {
            let lines = file.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
            let rows = match rows(form, file.to_vec()) {
                Ok(rows) => rows,
                Err(reason) => {
                    assert!(matches!(form, Form::Csv) && !reason.contains(SECRET), "{reason}");
                    continue;
                }
            };
            // A carriage return alone ends a row of CSV too, and no line.
            let follows = |two: &[Read]| two[0].0 < two[1].0 || matches!(form, Form::Csv) && two[0].0 == two[1].0;
            assert!(rows.windows(2).all(follows), "rows are read in their order");
            assert!(rows.iter().all(|(line, _)| (1..=lines).contains(line)), "a row is on a line of the file");
            for reason in rows.iter().filter_map(|(_, row)| row.as_ref().err()) {
                assert!(!reason.contains(SECRET), "{reason}");
            }
            if let Form::JsonLines = form {
                // An invalid line keeps no other from being read.
                let is_blank = |line: &&[u8]| line.trim_ascii().is_empty();
                let written =
                    file.split(|byte| *byte == b'\n').map(|line| line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line));
                assert_eq!(rows.len(), written.filter(|line| !is_blank(line)).count());
            }
        }
    }

    pub(super) fn check_row(text: &str) {
        let mut cells = BTreeMap::new();
        for line in text.split('\n').take(24) {
            let Some(first) = line.as_bytes().first().filter(|byte| byte.is_ascii()) else { continue };
            let column = match usize::from(*first) % (FIELDS.len() + 1) {
                column if column < FIELDS.len() && FIELDS[column] != "metadata" => FIELDS[column],
                _ => "metadata.plan",
            };
            if line.len() > 1 {
                // Lines are separators of the input, and may be in a cell.
                cells.insert(column, line[1..].replace('\u{1}', "\n"));
            }
        }
        if cells.is_empty() {
            return;
        }
        let (from_csv, from_json) = (one(Form::Csv, csv(&cells)), one(Form::JsonLines, json_line(&cells)));
        assert_eq!(key(&from_csv), key(&from_json));
        let Ok(row) = from_json else { return };
        let keys = KeyManager::new(MemoryStore::new());
        if let Ok(imported) = block_on(keys.import(&row.organization, row.key)) {
            assert_is(&imported, &cells);
        }
    }

    fn one(form: Form, file: String) -> Result<Row, String> {
        let mut rows = rows(form, file.into_bytes()).expect("the columns are known");
        assert_eq!(rows.len(), 1);
        rows.remove(0).1
    }

    fn key(row: &Result<Row, String>) -> Result<(&OrganizationId, &KeyDigest, String), &String> {
        row.as_ref().map(|row| (&row.organization, &row.digest, format!("{:?}", row.key)))
    }

    fn csv(cells: &BTreeMap<&str, String>) -> String {
        let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
        let (columns, cells): (Vec<_>, Vec<_>) = cells.iter().map(|(name, cell)| (*name, quoted(cell))).unzip();
        format!("{}\n{}\n", columns.join(","), cells.join(","))
    }

    fn json_line(cells: &BTreeMap<&str, String>) -> String {
        let mut row = Map::new();
        for (name, cell) in cells {
            match name.strip_prefix("metadata.") {
                Some(name) => row.insert("metadata".to_owned(), json!({ name: cell })),
                None => row.insert((*name).to_owned(), Value::from(cell.as_str())),
            };
        }
        Value::from(row).to_string()
    }

    /// Asserts that the key has what its row has.
    fn assert_is(key: &Arc<KeyRecord>, cells: &BTreeMap<&str, String>) {
        let cell = |name: &str| cells.get(name).map(String::as_str);
        let is_true = |name: &str| matches!(cell(name), Some("true" | "1"));
        assert_eq!(key.organization().as_str(), cell("organization").unwrap_or("acme"));
        assert_eq!(Some(key.name()), cell("name"));
        match (cell("plaintext"), cell("digest")) {
            (Some(plaintext), None) => assert_eq!(*key.digest(), KeyDigest::hash(plaintext.as_bytes())),
            (None, Some(digest)) => assert_eq!(key.digest().to_hex(), digest.to_ascii_lowercase()),
            _ => panic!("a key has one digest"),
        }
        assert_eq!(key.access().is_full(), is_true("full_access"));
        let mut words: Vec<&str> = cell("scopes").unwrap_or_default().split_whitespace().collect();
        words.sort_unstable();
        words.dedup();
        let scopes: Vec<_> = key.access().scopes().into_iter().flat_map(|scopes| scopes.iter()).collect();
        assert!(scopes.iter().map(|scope| scope.as_str()).eq(words), "{scopes:?}");
        assert_eq!(key.environment().map(|environment| environment.as_str()), cell("environment"));
        let anywhere = cell("allowed_networks").is_none_or(|text| text.trim() == "*");
        assert_eq!(key.networks().is_anywhere(), anywhere);
        assert_eq!(key.metadata().get("plan"), cell("metadata.plan"));
        assert_eq!(key.is_suspended(), is_true("suspended"));
        for (name, time) in [
            ("expires_at", key.expires_at()),
            ("revoked_at", key.revoked_at()),
            ("last_used_at", key.last_used_at()),
            ("created_at", cell("created_at").map(|_| key.created_at())),
        ] {
            assert_eq!(time.is_some(), cell(name).is_some(), "{name}");
            if let Some(seconds) = cell(name).and_then(|text| text.parse().ok()) {
                assert_eq!(time, Some(at(seconds)), "{name}");
            }
        }
        assert_eq!(Some(key.request_count()), cell("request_count").map_or(Some(0), |text| text.parse().ok()));
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }
}
