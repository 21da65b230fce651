//! `CASES.md` lists which tests cover which case, and `/// Cases: 12, 13.` above a test which cases it covers. The two
//! agree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The longest name that a test may have.
const LONGEST_NAME: usize = 50;

/// The cases up to this one are numbered without a gap. Later ones are numbered in blocks by subject.
const WITHOUT_GAPS: u16 = 120;

/// One row of the map.
#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    /// `path: name`, as in the map.
    tests: BTreeSet<String>,
    is_out_of_scope: bool,
}

/// A function that a line above its name marks with the cases that it covers.
#[derive(Debug)]
struct Test {
    /// `path: name`, as in the map.
    name: String,
    cases: Vec<u16>,
    /// The reason in `#[ignore = "..."]`.
    ignored: Option<String>,
}

#[test]
fn map_lists_each_case_and_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = fs::read_to_string(root.join("tests/CASES.md")).unwrap();
    let (mut tests, mut faults) = (Vec::new(), Vec::new());
    for (name, source) in sources(&["src", "tests"]) {
        let (of_file, of_lines) = cases_of(&name, &source);
        tests.extend(of_file);
        faults.extend(of_lines);
    }
    faults.extend(faults_of(&map, &tests));
    // A package of its own, which Cargo leaves out of the published one.
    if !root.join("tests/tls").exists() {
        faults.retain(|fault| !fault.contains(" names tests/tls/"));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(rows(&map).0.len() >= 122, "rows were lost");
}

/// The check finds each fault that a map can have.
#[test]
fn map_faults_are_reported() {
    let source = "#[test]\n/// Cases: 1.\nfn one() {}\n/// Cases: 2, 3.\n/// More.\n#[test]\n#[ignore = \"slow\"]\n\
        async fn two() {}\n";
    let (tests, faults) = cases_of("tests/a.rs", source);
    assert_eq!(faults, [""; 0]);
    let complete = "| 1 | x | tests/a.rs: one |\n| 2 | x | tests/a.rs: two |\n| 3 | x | tests/a.rs: two |\n";
    let rest: String = (4..=20).map(|number| format!("| {number} | x | Out of scope: a reason. |\n")).collect();
    assert_eq!(
        faults_of(&format!("{complete}{rest}"), &tests),
        ["tests/a.rs: two is ignored: slow", "tests/a.rs: two is ignored: slow"]
    );
    let missing = complete.replace("a.rs: one", "a.rs: missing");
    assert_eq!(
        faults_of(&format!("{missing}{rest}"), &tests)[..2],
        ["case 1 names tests/a.rs: missing, which does not exist", "case 1 does not name tests/a.rs: one"]
    );
    assert_eq!(faults_of(&format!("{complete}{rest}| 4 | x | |\n"), &tests)[0], "case 4 is listed twice");
    let gap = rest.replace("| 19 | x | Out of scope: a reason. |\n", "");
    assert!(faults_of(&format!("{complete}{gap}"), &tests).contains(&"case 19 is missing".to_owned()));
    assert!(faults_of(&rest, &tests).contains(&"case 1 is missing".to_owned()));
    let unlisted = complete.replace("| 3 | x | tests/a.rs: two |\n", "");
    assert!(faults_of(&unlisted, &tests).contains(&"case 3 of tests/a.rs: two is not listed".to_owned()));
    assert_eq!(faults_of("", &[]), ["no case is listed"]);
    let empty = rest.replace("Out of scope: a reason.", "");
    assert!(
        faults_of(&format!("{complete}{empty}"), &tests).contains(&"case 4 has neither a test nor a reason".to_owned())
    );
}

/// An unreadable line, and a line above no function, would otherwise be ignored.
#[test]
fn invalid_case_lines_are_reported() {
    for line in
        ["/// Cases 1.", "/// Case 1.", "/// Cases: 1", "/// Cases: 1 and 2.", "/// Cases: 0.", "/// Cases: 65536."]
    {
        let (tests, faults) = cases_of("tests/a.rs", &format!("{line}\n#[test]\nfn one() {{}}\n"));
        assert_eq!(faults, [format!("tests/a.rs: not a list of cases: {line}")]);
        assert!(tests.is_empty());
    }
    for source in ["/// Cases: 1.\nstruct One;\nfn two() {}\n", "/// Cases: 1.\n", "/// Cases: 1.\n\nfn one() {}\n"] {
        let (tests, faults) = cases_of("tests/a.rs", source);
        assert_eq!(faults, ["tests/a.rs: above no test: /// Cases: 1."], "{source}");
        assert!(tests.is_empty());
    }
}

#[test]
fn case_number_in_test_name_is_reported() {
    for name in ["case_001_one", "one_case_12"] {
        let (tests, faults) = cases_of("src/a.rs", &format!("#[test]\nfn {name}() {{}}\n"));
        assert_eq!(faults, [format!("src/a.rs: a case number belongs in a line above the name: {name}")]);
        assert!(tests.is_empty());
    }
}

#[test]
fn test_names_are_at_most_50_characters() {
    let names = sources(&["src", "tests"]).into_iter().flat_map(|(path, source)| {
        let names: Vec<_> = test_functions(&path, &source).map(|name| format!("{path}: {name}")).collect();
        names
    });
    let names: Vec<_> = names.collect();
    assert!(names.len() > 600, "{}", names.len());
    assert_eq!(names.iter().filter(|name| is_too_long(name)).collect::<Vec<_>>(), [""; 0]);
    assert!(is_too_long(&format!("tests/a.rs: {}", "x".repeat(LONGEST_NAME + 1))));
}

fn is_too_long(name: &str) -> bool {
    name.rsplit_once(": ").is_some_and(|(_, name)| name.len() > LONGEST_NAME)
}

fn faults_of(map: &str, tests: &[Test]) -> Vec<String> {
    let (rows, mut faults) = rows(map);
    let Some(&highest) = rows.keys().next_back() else { return vec!["no case is listed".to_owned()] };
    let missing = (1..=highest.min(WITHOUT_GAPS)).filter(|number| !rows.contains_key(number));
    faults.extend(missing.map(|number| format!("case {number} is missing")));
    for (&number, row) in &rows {
        if row.tests.is_empty() && !row.is_out_of_scope {
            faults.push(format!("case {number} has neither a test nor a reason"));
        }
        let existing: BTreeMap<_, _> =
            tests.iter().filter(|test| test.cases.contains(&number)).map(|test| (&test.name, test)).collect();
        for name in &row.tests {
            match existing.get(name).map(|test| test.ignored.as_deref()) {
                None => faults.push(format!("case {number} names {name}, which does not exist")),
                Some(Some(reason)) if !reason.starts_with("needs ") => {
                    faults.push(format!("{name} is ignored: {reason}"));
                }
                Some(_) => {}
            }
        }
        for name in existing.keys().filter(|name| !row.tests.contains(**name)) {
            faults.push(format!("case {number} does not name {name}"));
        }
    }
    for test in tests {
        let unlisted = test.cases.iter().filter(|number| !rows.contains_key(number));
        faults.extend(unlisted.map(|number| format!("case {number} of {} is not listed", test.name)));
    }
    faults
}

/// The rows of the table, and the faults of the table itself.
fn rows(map: &str) -> (BTreeMap<u16, Row>, Vec<String>) {
    let (mut rows, mut faults) = (BTreeMap::new(), Vec::new());
    for line in map.lines() {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let Some(number) = cells.next().and_then(|cell| cell.parse().ok()) else { continue };
        let cell = cells.nth(1).unwrap_or_default();
        let is_out_of_scope = cell.starts_with("Out of scope: ");
        let tests = cell.split("<br>").map(str::trim).filter(|_| !is_out_of_scope);
        let tests = tests.filter(|test| !test.is_empty()).map(str::to_owned).collect();
        if rows.insert(number, Row { tests, is_out_of_scope }).is_some() {
            faults.push(format!("case {number} is listed twice"));
        }
    }
    (rows, faults)
}

/// The tests of a file that cover cases, and the faults of the lines that list these.
fn cases_of(path: &str, source: &str) -> (Vec<Test>, Vec<String>) {
    let (mut tests, mut faults) = (Vec::new(), Vec::new());
    // Of the lines above the next function: attributes and documentation.
    let (mut ignored, mut listed) = (None, None::<&str>);
    for line in source.lines().map(str::trim).chain([""]) {
        if line.starts_with("/// Case") {
            if numbers(line).is_none() {
                faults.push(format!("{path}: not a list of cases: {line}"));
            } else if listed.replace(line).is_some() {
                faults.push(format!("{path}: listed twice: {line}"));
            }
        } else if let Some(reason) = line.strip_prefix("#[ignore = \"").and_then(|line| line.strip_suffix("\"]")) {
            ignored = Some(reason.to_owned());
        } else if let Some(name) = function(line) {
            let (ignored, cases) = (ignored.take(), listed.take().and_then(numbers).unwrap_or_default());
            if name.split("case_").skip(1).any(|rest| rest.starts_with(|first: char| first.is_ascii_digit())) {
                faults.push(format!("{path}: a case number belongs in a line above the name: {name}"));
            }
            if !cases.is_empty() {
                tests.push(Test { name: format!("{path}: {name}"), cases, ignored });
            }
        } else if !line.starts_with("///") && !line.starts_with("#[") {
            ignored = None;
            if let Some(listed) = listed.take() {
                faults.push(format!("{path}: above no test: {listed}"));
            }
        }
    }
    (tests, faults)
}

/// The numbers in `/// Cases: 12, 13.`
fn numbers(line: &str) -> Option<Vec<u16>> {
    let list = line.strip_prefix("/// Cases: ")?.strip_suffix('.')?;
    let numbers = list.split(", ").map(|number| number.parse().ok().filter(|number| *number > 0));
    numbers.collect()
}

/// The names of the functions below a test attribute, and in `tests` of all functions: macros make tests of some.
fn test_functions<'a>(path: &str, source: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
    let all = path.starts_with("tests/");
    let mut is_test = false;
    source.lines().map(str::trim).filter_map(move |line| {
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let name = function(line)?;
        (std::mem::take(&mut is_test) || all).then_some(name)
    })
}

fn function(line: &str) -> Option<&str> {
    let line = ["fn ", "async fn "].iter().find_map(|start| line.strip_prefix(start))?;
    Some(line.split_once(['(', '<'])?.0)
}

/// The path and the text of each file in these folders except this one, which has examples.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for folder in folders {
        walk(&root.join(folder), &mut paths);
    }
    let sources = paths.into_iter().filter(|path| !path.ends_with("tests/documents/cases.rs")).map(|path| {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        (name, fs::read_to_string(path).unwrap())
    });
    sources.collect()
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}
