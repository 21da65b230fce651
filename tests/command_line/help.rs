//! Help, the version and completions.

use crate::program::{Ran, program, run};

const COMMANDS: [&str; 16] = [
    "issue",
    "list",
    "show",
    "update",
    "suspend",
    "resume",
    "regenerate",
    "revoke",
    "identify",
    "import",
    "purge",
    "erase",
    "policy",
    "migrate",
    "check",
    "completions",
];

fn run_with(arguments: &[&str]) -> Ran {
    let mut command = program();
    command.env("DATABASE_URL", "postgres://someuser:hunter2@db/x").args(arguments);
    run(command, "")
}

/// Cases: 245.
#[test]
fn every_command_has_help_without_the_password() {
    let all = run_with(&["--help"]).ok();
    assert!(all.contains("Exit codes:"), "{all}");
    for command in COMMANDS {
        assert!(all.lines().any(|line| line.trim_start().starts_with(command)), "{command}: {all}");
        for help in ["--help", "-h"] {
            let help = run_with(&[command, help]).ok();
            assert!(help.contains("Usage: tower-api-key ") && help.contains("--database <URL>"), "{help}");
            assert!(!help.contains("hunter2") && !help.contains('\u{1b}'), "{help}");
        }
    }
    let version = run_with(&["--version"]).ok();
    assert_eq!(version, format!("tower-api-key {}\n", env!("CARGO_PKG_VERSION")));
    for database in [None, Some("sqlite:keys.db")] {
        let mut command = program();
        command.envs(database.map(|url| ("DATABASE_URL", url)));
        assert!(run(command, "").error(2).contains("a command is missing"));
    }
}

/// Cases: 245.
#[test]
fn completions_name_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run_with(&["completions", shell]).ok();
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    let script = run_with(&["completions", "bash"]).ok();
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", "eval \"$(cat)\" && complete -p tower-api-key"]);
    assert!(run(bash, &script).ok().contains(" tower-api-key"));
}
