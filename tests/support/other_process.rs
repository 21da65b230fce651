//! Another process with this crate: this test program, started again to run one ignored test.

use std::io::{BufRead, Write};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

const ROLE: &str = "TOWER_API_KEY_OTHER_PROCESS";
/// Separates an answer from what the test runner prints.
const ANSWER: &str = "answer: ";

/// Runs commands, one line each.
pub(crate) struct OtherProcess {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl OtherProcess {
    /// Runs the test of this path, which calls [`serve_commands`].
    pub(crate) fn start(test: &str) -> Self {
        Self::run(this_program(), test)
    }

    pub(crate) fn run(mut command: Command, test: &str) -> Self {
        let mut child = command
            .args(["--ignored", "--exact", test, "--nocapture", "--test-threads=1"])
            .env(ROLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (commands, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, commands, answers: BufReader::new(answers).lines() }
    }

    pub(crate) async fn ask(&mut self, command: &str) -> String {
        self.begin(command).await;
        loop {
            let line = self.answers.next_line().await.unwrap().expect("the other process has ended");
            if let Some(answer) = line.strip_prefix(ANSWER) {
                return answer.to_owned();
            }
        }
    }

    /// Sends a command without waiting for its answer.
    pub(crate) async fn begin(&mut self, command: &str) {
        self.commands.write_all(format!("{command}\n").as_bytes()).await.unwrap();
    }

    /// With signal 9.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

pub(crate) fn this_program() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

/// Answers each command from standard input. Returns at once in a process that no test has started.
pub(crate) async fn serve_commands(mut answer: impl AsyncFnMut(&str) -> String) {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    for command in std::io::stdin().lock().lines() {
        let answer = answer(&command.unwrap()).await;
        println!("\n{ANSWER}{answer}");
        std::io::stdout().flush().unwrap();
    }
}
