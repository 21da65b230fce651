//! One file, two processes: this executable starts itself a second time.

use std::io::{BufRead, Write};
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use futures::future::join_all;
use sqlx::{Connection, SqliteConnection};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tower_api_key::{Access, ApiKeyLayer, Expiry, KeyManager, ManageError, OrganizationPolicy, SqliteStore};

use super::previous_version;
use super::support::{Dir, Reply, acme, any, call, chain, full, issue};

const ROLE: &str = "SQLITE_STORE_OTHER_PROCESS";
/// Tells an answer from what the test runner prints.
const ANSWER: &str = "answer: ";

#[tokio::test(flavor = "multi_thread")]
async fn case_078_case_083_what_one_process_changes_the_other_sees_at_its_next_lookup() {
    let dir = Dir::new();
    let here = dir.store().await;
    let layer = ApiKeyLayer::new(here.clone());
    let mut there = OtherProcess::start();
    assert_eq!(there.ask(&format!("connect {}", dir.url())).await, "ok");

    for _ in 0..50 {
        // Issued here, used there, revoked there.
        let key = issue(&here, full()).await;
        let (id, secret) = (key.record.id(), key.secret.expose_secret());
        assert_eq!(there.ask(&format!("call {secret}")).await, "200");
        assert_eq!(any(&here, &key).await, Reply::accepted(&Access::Full));
        assert_eq!(there.ask(&format!("revoke {id}")).await, "ok");
        assert_eq!(any(&here, &key).await, Reply::invalid());

        // Issued there, used here, regenerated here.
        let answer = there.ask("issue").await;
        let (id, secret) = answer.split_once(' ').unwrap();
        assert_eq!(call(&layer, secret).await, Reply::accepted(&Access::Full));
        assert_eq!(there.ask(&format!("call {secret}")).await, "200");
        let new = here.regenerate(acme(), id.parse().unwrap(), Expiry::Never).await.unwrap();
        assert_eq!(there.ask(&format!("call {secret}")).await, "401");
        assert_eq!(there.ask(&format!("call {}", new.secret.expose_secret())).await, "200");

        // The organization is disabled here and enabled there.
        here.set_policy(acme(), OrganizationPolicy::default().with_disabled(true)).await.unwrap();
        assert_eq!(there.ask(&format!("call {}", new.secret.expose_secret())).await, "401");
        assert_eq!(there.ask("enable").await, "ok");
        assert_eq!(any(&here, &new).await, Reply::accepted(&Access::Full));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_082_of_regenerates_in_two_processes_one_succeeds() {
    let dir = Dir::new();
    let here = dir.store().await;
    let mut there = OtherProcess::start();
    assert_eq!(there.ask(&format!("connect {}", dir.url())).await, "ok");
    for _ in 0..10 {
        let key = issue(&here, full()).await;
        let command = format!("regenerate-25-times {}", key.record.id());
        let (own, others) = tokio::join!(regenerate(&here, key.record.id(), 25), there.ask(&command));
        let others: Vec<usize> = others.split(' ').map(|number| number.parse().unwrap()).collect();
        assert_eq!((own.0 + others[0], own.1 + others[1]), (1, 49));
        assert_eq!(any(&here, &key).await, Reply::invalid());
    }
    let live = dir.sql().await.int("SELECT count(*) FROM tower_api_key_keys WHERE revoked_at IS NULL").await;
    assert_eq!(live, 10);
}

/// How many of this many regenerates at once succeed, and how many conflict.
pub(super) async fn regenerate(store: &SqliteStore, id: tower_api_key::KeyId, times: usize) -> (usize, usize) {
    let tasks = (0..times).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.regenerate(acme(), id, Expiry::Never).await })
    });
    let outcomes: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    let (good, bad): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert!(bad.iter().all(|outcome| matches!(outcome, Err(ManageError::Conflict))), "{bad:?}");
    (good.len(), bad.len())
}

/// Another process, which does what it is told, a line at a time.
pub(super) struct OtherProcess {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl OtherProcess {
    pub(super) fn start() -> Self {
        Self::run(Command::new(std::env::current_exe().unwrap()))
    }

    /// With this directory to work in.
    pub(super) fn start_in(dir: &Dir) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.current_dir(dir.path());
        Self::run(command)
    }

    /// As a user to whom the permissions of the files in this directory apply: somebody else, if we are root.
    pub(super) fn start_unprivileged(dir: &Dir) -> Self {
        const NOBODY: u32 = 65534;
        let mut command = Command::new(std::env::current_exe().unwrap());
        if std::fs::metadata(dir.path()).unwrap().uid() == 0 {
            command.uid(NOBODY).gid(NOBODY);
        }
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        let mut child = command
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

    pub(super) async fn ask(&mut self, command: &str) -> String {
        self.commands.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        loop {
            let line = self.answers.next_line().await.unwrap().expect("the other process has ended");
            if let Some(answer) = line.strip_prefix(ANSWER) {
                return answer.to_owned();
            }
        }
    }

    /// With signal 9.
    pub(super) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the other process of the tests here, which start it themselves"]
async fn the_other_process() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let mut stores: Vec<SqliteStore> = Vec::new();
    let mut half_way = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let (command, argument) = line.split_once(' ').unwrap_or((line.as_str(), ""));
        let answer = match command {
            "half-migrate" => {
                half_way = Some(half_migrate(argument).await);
                "half way".to_owned()
            }
            "connect" => match SqliteStore::connect(argument).await {
                Ok(store) => {
                    stores.push(store);
                    "ok".to_owned()
                }
                Err(error) => chain(&error),
            },
            _ => obey(stores.last().expect("opened"), command, argument).await,
        };
        println!("\n{ANSWER}{answer}");
        std::io::stdout().flush().unwrap();
    }
    drop(half_way);
}

/// Begins what a migration does, and does not end it.
async fn half_migrate(file: &str) -> SqliteConnection {
    let mut connection = SqliteConnection::connect(&format!("sqlite:{file}?mode=rwc")).await.unwrap();
    sqlx::raw_sql("PRAGMA journal_mode = WAL; BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
    sqlx::raw_sql(previous_version::SCHEMA).execute(&mut connection).await.unwrap();
    connection
}

async fn obey(store: &SqliteStore, command: &str, argument: &str) -> String {
    match command {
        "migrate" => match store.migrate().await {
            Ok(()) => "ok".to_owned(),
            Err(error) => chain(&error),
        },
        "issue" => {
            let issued = issue(store, full()).await;
            format!("{} {}", issued.record.id(), issued.secret.expose_secret())
        }
        "call" => call(&ApiKeyLayer::new(store.clone()), argument).await.status.to_string(),
        "revoke" => match store.revoke(acme(), argument.parse().unwrap()).await {
            Ok(_) => "ok".to_owned(),
            Err(error) => chain(&error),
        },
        "regenerate-25-times" => {
            let (good, conflicts) = regenerate(store, argument.parse().unwrap(), 25).await;
            format!("{good} {conflicts}")
        }
        "enable" => {
            store.set_policy(acme(), OrganizationPolicy::default()).await.unwrap();
            "ok".to_owned()
        }
        other => panic!("no such command: {other}"),
    }
}
