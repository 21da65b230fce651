//! Another process with this crate: this test program, started again.

use std::io::{BufRead, Write};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tower_api_key::PostgresStore;

use super::calls::chain;

const ROLE: &str = "POSTGRES_STORE_OTHER_PROCESS";
const ANSWER: &str = "answer: ";

/// Migrates what it is told to, one URL after the other.
pub(crate) struct OtherProcess {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl OtherProcess {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "processes::the_other_process", "--nocapture", "--test-threads=1"])
            .env(ROLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (commands, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, commands, answers: BufReader::new(answers).lines() }
    }

    /// `ok`, or what went wrong.
    pub(crate) async fn migrate(&mut self, url: &str) -> String {
        self.begin_to_migrate(url).await;
        loop {
            let line = self.answers.next_line().await.unwrap().expect("the other process has ended");
            if let Some(answer) = line.strip_prefix(ANSWER) {
                return answer.to_owned();
            }
        }
    }

    pub(crate) async fn begin_to_migrate(&mut self, url: &str) {
        self.commands.write_all(format!("{url}\n").as_bytes()).await.unwrap();
    }

    /// With signal 9.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the other process of the tests here, which start it themselves"]
async fn the_other_process() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    for url in std::io::stdin().lock().lines() {
        let answer = match migrate(&url.unwrap()).await {
            Ok(()) => "ok".to_owned(),
            Err(error) => chain(&*error),
        };
        println!("\n{ANSWER}{answer}");
        std::io::stdout().flush().unwrap();
    }
}

async fn migrate(url: &str) -> Result<(), Box<dyn std::error::Error>> {
    let store = PostgresStore::connect(url).await?;
    store.migrate().await?;
    Ok(store.check_schema().await?)
}
