//! `docs/PROMISES.md` names tests for each promise, and these exist.

use std::path::Path;

#[test]
fn promise_names_existing_tests() {
    let promises = promises(include_str!("../../docs/PROMISES.md"));
    assert!(promises.len() >= 20, "the table was not found: {promises:?}");
    for (promise, targets) in promises {
        assert!(!targets.is_empty(), "no test for: {promise}");
        for target in targets {
            assert!(exists(target), "`--test {target}` does not exist, which must prove: {promise}");
        }
    }
}

#[test]
fn missing_test_target_is_reported() {
    for target in ["routes", "layer outage", "layer bad_input", "stores"] {
        assert!(exists(target), "{target}");
    }
    for target in ["route", "outage", "layer cache", "layer main", "support", ""] {
        assert!(!exists(target), "{target}");
    }
}

/// Whether there is a crate `routes`, or in the crate `layer` a module `outage` for `layer outage`.
fn exists(target: &str) -> bool {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let (test, module) = target.split_once(' ').unwrap_or((target, ""));
    let module = tests.join(test).join(module);
    let is_module = module.with_extension("rs").is_file() || module.join("mod.rs").is_file();
    let is_crate = tests.join(test).join("main.rs").is_file();
    is_crate && (module.ends_with(test) || is_module && !module.ends_with("main"))
}

/// The rows of the table of promises, with the test targets that each names.
fn promises(document: &str) -> Vec<(&str, Vec<&str>)> {
    let (_, rest) = document.split_once("| promise | `--test` |\n|---|---|\n").expect("the head of the table");
    let rows = rest.lines().map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.rsplit_once(" | "));
    rows.map(|(promise, cell)| (promise, in_backticks(cell).filter(|word| !word.starts_with("--")).collect())).collect()
}

fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
