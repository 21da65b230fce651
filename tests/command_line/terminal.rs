//! On a terminal: questions, keys that are not echoed, progress.

use std::fs;
use std::process::Command;

use rexpect::session::{Options, PtySession, spawn_with_options};

use crate::database::Database;
use crate::program::run;

/// An interrupt is for the program, and ends the shell only after it.
const SCRIPT: &str = "trap : INT; stty echo && \"$0\" \"$@\"; code=$?; \
    stty -a | grep -q ' echo ' && echo 'echo is on'; echo \"exit code $code\"";

/// Runs the program on a terminal that echoes what is typed, unless the program stops that.
struct Terminal {
    session: PtySession,
}

impl Terminal {
    fn run(database: &Database, arguments: &str) -> Self {
        let program = database.command(arguments);
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT]).arg(program.get_program()).args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let options = Options::new().timeout_ms(Some(60_000));
        Self { session: spawn_with_options(command, options).unwrap() }
    }

    fn expect(&mut self, text: &str) -> String {
        self.session.exp_string(text).unwrap()
    }

    fn type_line(&mut self, line: &str) {
        self.session.send_line(line).unwrap();
    }

    /// What else the program writes, and its exit code.
    fn end(mut self) -> (String, i32) {
        let all = self.session.exp_eof().unwrap();
        let (rest, code) = all.rsplit_once("exit code ").unwrap_or_else(|| panic!("no exit code: {all}"));
        (rest.to_owned(), code.trim().parse().unwrap())
    }
}

/// Cases: 241.
async fn final_change_is_asked_on_a_terminal(database: Database) {
    let issued = database.run("issue --organization acme --name ci --scope a --scope b --json").object();
    let key = format!("--organization acme --id {}", issued["id"].as_str().unwrap());
    for (command, question) in [
        (format!("update {key} --scope a"), "Change scopes of key"),
        (format!("regenerate {key}"), "The old key stops at once."),
        (format!("revoke {key}"), "(\"ci\", avk_..."),
        (
            "purge --organization acme --older-than 90d".to_owned(),
            "Delete the keys of acme that ended at least 90d ago",
        ),
        ("erase --organization acme".to_owned(), "Delete all 1 keys of acme, 1 of them active"),
    ] {
        // Without a terminal, no one can be asked.
        let before = database.dump().await;
        let error = database.run(&command).error(2);
        assert!(error.contains("is final") && error.contains("pass --yes"), "{error}");
        for answer in ["n", "", "no", "yess"] {
            let mut terminal = Terminal::run(&database, &command);
            terminal.expect(question);
            terminal.expect("[y/N]");
            terminal.type_line(answer);
            let (rest, code) = terminal.end();
            assert!(code == 1 && rest.contains("nothing was changed"), "{command}: {code} {rest}");
        }
        // The end of the input is no answer.
        let mut terminal = Terminal::run(&database, &command);
        terminal.expect("[y/N]");
        terminal.session.send_control('d').unwrap();
        assert_eq!(terminal.end().1, 1, "{command}");
        assert_eq!(database.dump().await, before, "{command}");
    }
    let mut terminal = Terminal::run(&database, &format!("revoke {key}"));
    terminal.expect("This is final. [y/N]");
    terminal.type_line("y");
    let (rest, code) = terminal.end();
    assert!(code == 0 && rest.contains("Revoked key"), "{rest}");
    assert_eq!(database.run(&format!("show {key} --json")).object()["status"], "revoked");
}

/// Cases: 241, 242.
async fn key_typed_on_a_terminal_is_not_echoed(database: Database) {
    let secret = database.run("issue --organization acme --name ci --scope a").ok();
    let secret = secret.trim();
    let mut terminal = Terminal::run(&database, "identify");
    terminal.expect("Key (is not shown): ");
    terminal.type_line(secret);
    let (rest, code) = terminal.end();
    assert!(code == 0 && rest.contains("organization  acme"), "{rest}");
    assert!(!rest.contains(secret), "{rest}");

    let mut terminal = Terminal::run(&database, "revoke");
    terminal.expect("Key (is not shown): ");
    terminal.type_line(secret);
    let asked = terminal.expect("[y/N]");
    terminal.type_line("yes");
    let (rest, code) = terminal.end();
    // The terminal echoes what it should: the harness would have seen the key.
    assert!(code == 0 && rest.contains("yes") && rest.contains("Revoked key"), "{rest}");
    assert!(!asked.contains(secret) && !rest.contains(secret), "{asked}{rest}");
}

/// Cases: 241.
///
/// What is typed after the question must be seen again.
async fn interrupted_question_restores_the_echo(database: Database) {
    for key in ['c', 'd'] {
        let mut terminal = Terminal::run(&database, "revoke");
        terminal.expect("Key (is not shown): ");
        terminal.session.send_control(key).unwrap();
        let (rest, code) = terminal.end();
        let expected = if key == 'c' { 130 } else { 1 };
        assert!(code == expected && !rest.contains("panicked"), "{key}: {code} {rest}");
        assert!(rest.contains("echo is on"), "{key}: {rest}");
    }
}

/// Cases: 241.
///
/// The question about the key holds an interrupt back, and the next question must not.
async fn interrupt_ends_the_program_at_each_question(database: Database) {
    let secret = database.run("issue --organization acme --name ci --scope a").ok();
    let mut terminal = Terminal::run(&database, "revoke");
    terminal.expect("Key (is not shown): ");
    terminal.type_line(secret.trim());
    terminal.expect("[y/N]");
    terminal.session.send_control('c').unwrap();
    let (rest, code) = terminal.end();
    assert!(code == 130 && rest.contains("echo is on"), "{code} {rest}");
    assert_eq!(database.run_with("identify --json", &secret).object()["status"], "active");
}

/// Cases: 241, 244.
async fn progress_is_shown_on_a_terminal_alone(database: Database) {
    let path =
        std::env::temp_dir().join(format!("tower-api-key-progress-{}-{}.csv", std::process::id(), database.kind()));
    let rows: String = (0..4000).map(|n| format!("key {n},key-{n:040},a.read\n")).collect();
    fs::write(&path, format!("name,plaintext,scopes\n{rows}")).unwrap();
    let import = format!("import {} --organization acme", path.display());
    let mut terminal = Terminal::run(&database, &import);
    terminal.expect("importing, ");
    terminal.expect(" %, ");
    let (rest, code) = terminal.end();
    assert!(code == 0 && rest.contains("4000 imported, 0 there already, 0 rejected"), "{rest}");
    let ran = run(database.command(&import), "");
    fs::remove_file(&path).unwrap();
    assert_eq!((ran.err.as_str(), ran.out.as_str()), ("", "0 imported, 4000 there already, 0 rejected\n"));
}

on_each_database! {
    final_change_is_asked_on_a_terminal
    key_typed_on_a_terminal_is_not_echoed
    interrupted_question_restores_the_echo
    interrupt_ends_the_program_at_each_question
    progress_is_shown_on_a_terminal_alone
}
