//! One file, two processes: this executable starts itself a second time.

use std::os::unix::fs::MetadataExt;

use futures::future::join_all;
use tower_api_key::key::OrganizationPolicy;
use tower_api_key::manage::ManageError;
use tower_api_key::store::{Expiry, KeyBackend, SqliteStore};
use tower_api_key::{Access, ApiKeyLayer};

use crate::support::calls::{Reply, acme, any, call, chain, full, issue};
use crate::support::manage::Manage;
use crate::support::other_process::{OtherProcess, serve_commands, this_program};
use crate::support::sqlite::Dir;

/// Cases: 78, 83.
#[tokio::test(flavor = "multi_thread")]
async fn change_is_seen_by_other_process_at_next_lookup() {
    let dir = Dir::new();
    let here = dir.store().await;
    let layer = ApiKeyLayer::new(here.clone());
    let mut there = start();
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
        let new = here.manage().regenerate(acme(), id.parse().unwrap(), Expiry::Never).await.unwrap();
        assert_eq!(there.ask(&format!("call {secret}")).await, "401");
        assert_eq!(there.ask(&format!("call {}", new.secret.expose_secret())).await, "200");

        // The organization is disabled here and enabled there.
        here.set_organization_policy(acme(), OrganizationPolicy::default().with_disabled(true)).await.unwrap();
        assert_eq!(there.ask(&format!("call {}", new.secret.expose_secret())).await, "401");
        assert_eq!(there.ask("enable").await, "ok");
        assert_eq!(any(&here, &new).await, Reply::accepted(&Access::Full));
    }
}

/// Cases: 82.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_regenerates_in_two_processes_wins() {
    let dir = Dir::new();
    let here = dir.store().await;
    let mut there = start();
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
pub(super) async fn regenerate(store: &SqliteStore, id: tower_api_key::key::KeyId, times: usize) -> (usize, usize) {
    let tasks = (0..times).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.manage().regenerate(acme(), id, Expiry::Never).await })
    });
    let outcomes: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    let (good, bad): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert!(bad.iter().all(|outcome| matches!(outcome, Err(ManageError::Conflict))), "{bad:?}");
    (good.len(), bad.len())
}

const OTHER_PROCESS: &str = "sqlite::processes::the_other_process";

pub(super) fn start() -> OtherProcess {
    OtherProcess::start(OTHER_PROCESS)
}

/// Starts it with this working directory.
pub(super) fn start_in(dir: &Dir) -> OtherProcess {
    let mut command = this_program();
    command.current_dir(dir.path());
    OtherProcess::run(command, OTHER_PROCESS)
}

/// Starts it as a user to whom the permissions of the files in this directory apply: another one, if we are root.
pub(super) fn start_unprivileged(dir: &Dir) -> OtherProcess {
    const NOBODY: u32 = 65534;
    let mut command = this_program();
    if std::fs::metadata(dir.path()).unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    OtherProcess::run(command, OTHER_PROCESS)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the other process of the tests here, which start it themselves"]
async fn the_other_process() {
    let mut stores: Vec<SqliteStore> = Vec::new();
    serve_commands(async |line| {
        let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
        match command {
            "connect" => match SqliteStore::connect(argument).await {
                Ok(store) => {
                    stores.push(store);
                    "ok".to_owned()
                }
                Err(error) => chain(&error),
            },
            _ => obey(stores.last().expect("opened"), command, argument).await,
        }
    })
    .await;
}

async fn obey(store: &SqliteStore, command: &str, argument: &str) -> String {
    match command {
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
            store.set_organization_policy(acme(), OrganizationPolicy::default()).await.unwrap();
            "ok".to_owned()
        }
        other => panic!("no such command: {other}"),
    }
}
