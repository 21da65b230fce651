//! README.md says which tests prove each promise, and names tests that there are.

use std::path::Path;

#[test]
fn each_promise_names_tests_that_there_are() {
    let promises = promises(include_str!("../README.md"));
    assert!(promises.len() >= 15, "the table is not where it was: {promises:?}");
    for (promise, targets) in promises {
        assert!(!targets.is_empty(), "nothing proves: {promise}");
        for target in targets {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{target}.rs"));
            assert!(file.is_file(), "there is no {target}, which is to prove: {promise}");
        }
    }
}

/// The rows of the table of promises, with the test targets that each names.
fn promises(readme: &str) -> Vec<(&str, Vec<&str>)> {
    let (_, rest) = readme.split_once("| promise | `--test` |\n|---|---|\n").expect("the head of the table");
    let rows = rest.lines().map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.rsplit_once(" | "));
    rows.map(|(promise, cell)| (promise, in_backticks(cell).filter(|word| !word.starts_with("--")).collect())).collect()
}

fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
