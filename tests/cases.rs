//! `CASES.md` says which test covers which case, and says so truly.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// How many cases there are.
const CASES: u16 = 120;

/// What a reader of the map is told about one case.
#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    /// `path: name`, as in the map.
    tests: BTreeSet<String>,
    is_out_of_scope: bool,
}

/// A test that carries the number of a case in its name.
#[derive(Debug)]
struct Test {
    /// `path: name`, as in the map.
    name: String,
    cases: Vec<u16>,
    /// What `#[ignore = "..."]` says.
    ignored: Option<String>,
}

#[test]
fn the_map_names_every_case_once_and_every_test_that_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = fs::read_to_string(root.join("tests/CASES.md")).unwrap();
    let mut sources = Vec::new();
    for folder in ["src", "tests"] {
        walk(&root.join(folder), &mut sources);
    }
    let tests = sources.iter().flat_map(|path| {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        tests(&name, &fs::read_to_string(path).unwrap())
    });
    let faults = faults(&map, &tests.collect::<Vec<_>>());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What is there to be noticed, is noticed.
#[test]
fn each_fault_of_a_map_is_told() {
    let source = "#[test]\nfn case_001_none() {}\n#[test]\n#[ignore = \"slow\"]\nfn case_002_case_003_two() {}\n";
    let tests = tests("tests/a.rs", source);
    let good = "| 1 | x | tests/a.rs: case_001_none |\n| 2 | x | tests/a.rs: case_002_case_003_two |\n\
        | 3 | x | tests/a.rs: case_002_case_003_two |\n";
    let rest: String = (4..=CASES).map(|number| format!("| {number} | x | Out of scope: a reason. |\n")).collect();
    assert_eq!(
        faults(&format!("{good}{rest}"), &tests),
        ["tests/a.rs: case_002_case_003_two is ignored: slow", "tests/a.rs: case_002_case_003_two is ignored: slow"]
    );
    let gone = good.replace("case_001_none", "case_001_gone");
    assert_eq!(
        faults(&format!("{gone}{rest}"), &tests)[..2],
        [
            "case 1 names tests/a.rs: case_001_gone, which is not there",
            "case 1 does not name tests/a.rs: case_001_none"
        ]
    );
    assert_eq!(faults(&format!("{good}{rest}| 4 | x | |\n"), &tests)[0], "case 4 is there twice");
    assert!(faults(good, &tests).contains(&"case 120 is missing".to_owned()));
    assert!(faults(&rest, &tests).contains(&"case 1 is missing".to_owned()));
    let empty = rest.replace("Out of scope: a reason.", "");
    assert!(faults(&format!("{good}{empty}"), &tests).contains(&"case 4 has neither a test nor a reason".to_owned()));
}

fn faults(map: &str, tests: &[Test]) -> Vec<String> {
    let (rows, mut faults) = rows(map);
    for number in 1..=CASES {
        let Some(row) = rows.get(&number) else {
            faults.push(format!("case {number} is missing"));
            continue;
        };
        if row.tests.is_empty() && !row.is_out_of_scope {
            faults.push(format!("case {number} has neither a test nor a reason"));
        }
        let there: BTreeMap<_, _> =
            tests.iter().filter(|test| test.cases.contains(&number)).map(|test| (&test.name, test)).collect();
        for name in &row.tests {
            match there.get(name).map(|test| test.ignored.as_deref()) {
                None => faults.push(format!("case {number} names {name}, which is not there")),
                Some(Some(reason)) if !reason.starts_with("needs ") => {
                    faults.push(format!("{name} is ignored: {reason}"));
                }
                Some(_) => {}
            }
        }
        for name in there.keys().filter(|name| !row.tests.contains(**name)) {
            faults.push(format!("case {number} does not name {name}"));
        }
    }
    faults
}

/// The rows of the table, and what is wrong with the table itself.
fn rows(map: &str) -> (BTreeMap<u16, Row>, Vec<String>) {
    let (mut rows, mut faults) = (BTreeMap::new(), Vec::new());
    for line in map.lines() {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let Some(number) = cells.next().and_then(|cell| cell.parse().ok()) else { continue };
        let told = cells.nth(1).unwrap_or_default();
        let is_out_of_scope = told.starts_with("Out of scope: ");
        let tests = told.split("<br>").map(str::trim).filter(|_| !is_out_of_scope);
        let tests = tests.filter(|test| !test.is_empty()).map(str::to_owned).collect();
        if rows.insert(number, Row { tests, is_out_of_scope }).is_some() {
            faults.push(format!("case {number} is there twice"));
        }
    }
    (rows, faults)
}

fn tests(path: &str, source: &str) -> Vec<Test> {
    let (mut tests, mut ignored) = (Vec::new(), None);
    for line in source.lines().map(str::trim) {
        if let Some(reason) = line.strip_prefix("#[ignore = \"").and_then(|line| line.strip_suffix("\"]")) {
            ignored = Some(reason.to_owned());
        }
        let function = ["fn ", "async fn "].iter().find_map(|start| line.strip_prefix(start));
        let Some((name, _)) = function.and_then(|line| line.split_once(['(', '<'])) else { continue };
        let ignored = ignored.take();
        let cases: Vec<u16> = name.split("case_").skip(1).filter_map(|rest| rest.get(..3)?.parse().ok()).collect();
        if !cases.is_empty() {
            tests.push(Test { name: format!("{path}: {name}"), cases, ignored });
        }
    }
    tests
}

fn walk(folder: &Path, sources: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests/cases.rs") {
            sources.push(path);
        }
    }
}
