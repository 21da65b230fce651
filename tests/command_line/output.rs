//! What is written where: a key to standard output alone, once, or not at all.

use std::fs::File;
use std::process::Stdio;

use serde_json::Value;

use crate::database::Database;
use crate::program::run;

/// Cases: 242.
async fn key_is_on_standard_output_alone(database: Database) {
    let ran = database.run("issue --organization acme --name ci --scope a.read");
    let secret = ran.out.trim().to_owned();
    assert!(ran.code == Some(0) && ran.out == format!("{secret}\n") && secret.len() == 44, "{ran:?}");
    assert!(ran.err.contains("Issued key") && !ran.err.contains(&secret), "{ran:?}");
    assert!(!database.dump().await.contains(&secret));
    for command in ["list --organization acme", "list --organization acme --json", "check"] {
        let ran = database.run(command);
        assert!(!ran.out.contains(&secret) && !ran.err.contains(&secret), "{ran:?}");
    }
    for command in ["identify", "identify --json", "revoke --yes", "revoke --yes --json"] {
        let ran = database.run_with(command, &secret);
        assert!(ran.code == Some(0) && !ran.out.contains(&secret) && !ran.err.contains(&secret), "{ran:?}");
    }
}

/// Cases: 242.
///
/// A key that no one has seen must not stay valid.
async fn key_that_cannot_be_written_is_revoked(database: Database) {
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    for json in ["", "--json"] {
        let command = format!("issue --organization acme --name ci --scope a {json}");
        let output = database.command(&command).stdout(full()).stderr(Stdio::piped()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
        assert!(error.contains("the new key is lost") && error.contains("was revoked"), "{error}");
    }
    let keys = database.run("list --organization acme --json").objects();
    let statuses: Vec<_> = keys.iter().map(|key| key["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["revoked", "revoked"]);

    let issued = database.run("issue --organization acme --name ci --scope a --json").object();
    let regenerate = |id: &Value| format!("regenerate --organization acme --id {} --yes", id.as_str().unwrap());
    let output = database.command(&regenerate(&issued["id"])).stdout(full()).stderr(Stdio::piped()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && error.contains("regenerate key"), "{error}");
    // The line names the key with which it goes on.
    let active = database.run("list --organization acme --status active --json").object();
    assert!(error.contains(active["id"].as_str().unwrap()), "{error}");
    database.run(&regenerate(&active["id"])).ok();
}

/// Cases: 242.
async fn closed_pipe_ends_the_program_quietly(database: Database) {
    let rows: String = (0..3000).map(|n| format!("key {n},key-{n:040},a.read\n")).collect();
    let import = "import - --form csv --organization acme";
    database.run_with(import, &format!("name,plaintext,scopes\n{rows}")).ok();
    for json in ["", "--json"] {
        let mut command = std::process::Command::new("sh");
        let program = database.command(&format!("list --organization acme {json}"));
        command.args(["-c", "{ \"$0\" \"$@\"; echo $? >&2; } | head -n 1"]);
        command.arg(program.get_program()).args(program.get_args()).env("DATABASE_URL", database.url());
        let ran = run(command, "");
        assert_eq!((ran.code, ran.out.lines().count(), &*ran.err), (Some(0), 1, "0\n"), "{ran:?}");
    }
}

/// Cases: 242.
///
/// Names and notes are what customers wrote.
async fn text_of_customers_controls_no_terminal(database: Database) {
    let mut command = database.command("issue --organization acme --scope a");
    let (name, note) = ("\u{202e}evil", "n=\u{1b}[2J\u{9b}31m\nred");
    let ran = run_args(&mut command, &["--name", name, "--metadata", note]);
    let id = database.run("list --organization acme --json").object()["id"].as_str().unwrap().to_owned();
    let show = format!("show --organization acme --id {id}");
    for text in [ran.err, database.run("list --organization acme").ok(), database.run(&show).ok()] {
        assert!(text.contains("\\u{202e}evil"), "{text}");
        assert!(text.chars().all(|character| character == '\n' || character.is_ascii_graphic() || character == ' '));
    }
    assert!(database.run(&show).ok().contains("n=\\u{1b}[2J\\u{9b}31m\\u{a}red"));
    let json = [database.run("list --organization acme --json").ok(), database.run(&format!("{show} --json")).ok()];
    for text in json {
        assert!(text.trim_end().chars().all(|character| character.is_ascii_graphic() || character == ' '), "{text:?}");
    }
    let object = database.run(&format!("{show} --json")).object();
    assert_eq!((object["name"].as_str(), object["metadata"]["n"].as_str()), (Some(name), Some(&note[2..])));
}

fn run_args(command: &mut std::process::Command, arguments: &[&str]) -> crate::program::Ran {
    command.args(arguments);
    run(std::mem::replace(command, std::process::Command::new("true")), "")
}

on_each_database! {
    key_is_on_standard_output_alone
    key_that_cannot_be_written_is_revoked
    closed_pipe_ends_the_program_quietly
    text_of_customers_controls_no_terminal
}
