//! One file, two processes: this executable starts itself a second time.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use futures::future::join_all;
use tower_api_key::key::OrganizationPolicy;
use tower_api_key::manage::{IssuedKey, ManageError};
use tower_api_key::store::{BackendError, Expiry, KeyBackend, KeyUpdate, SqliteStore};
use tower_api_key::{Access, ApiKeyLayer, Requirement};

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

/// Cases: 105, 199.
/// In the middle of other changes, right after the answer.
#[tokio::test(flavor = "multi_thread")]
async fn killed_process_loses_no_acknowledged_change() {
    let dir = Dir::new();
    let here = dir.store().await;
    let mut ended = Vec::new();
    for round in 0..24 {
        let mut there = start();
        assert_eq!(there.ask(&format!("connect {}", dir.url())).await, "ok");
        assert_eq!(there.ask("issue-for-good").await, "ok");
        let key = issue(&here, full()).await;
        let end = ["suspend", "narrow", "revoke", "purge"][round % 4];
        if end == "purge" {
            here.revoke(acme(), key.record.id()).await.unwrap();
        }
        assert_eq!(there.ask(&format!("{end} {}", key.record.id())).await, "ok");
        there.kill().await;
        ended.push((end, key));
        let store = SqliteStore::connect(&dir.url()).await.unwrap();
        let layer = ApiKeyLayer::new(store.clone()).require(Requirement::full_access());
        for (end, key) in &ended {
            let status = call(&layer, key.secret.expose_secret()).await.status;
            assert_eq!(status, if *end == "narrow" { 403 } else { 401 }, "{end}");
            let found = store.get(acme(), key.record.id()).await;
            assert_eq!(found.is_err(), *end == "purge" || purged_since(&ended, key), "{end}: {found:?}");
        }
    }
}

/// Whether a later purge has deleted this key.
fn purged_since(ended: &[(&str, IssuedKey)], key: &IssuedKey) -> bool {
    let place = ended.iter().position(|(_, other)| other.record.id() == key.record.id()).expect("one of them");
    ended[place].0 == "revoke" && ended[place..].iter().any(|(end, _)| *end == "purge")
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
        "revoke" => outcome(store.revoke(acme(), argument.parse().unwrap()).await),
        "suspend" => {
            let suspend = KeyUpdate::new().with_suspended(true);
            outcome(store.update(acme(), argument.parse().unwrap(), suspend).await)
        }
        "narrow" => {
            let narrow = KeyUpdate::new().with_scopes([]);
            outcome(store.update(acme(), argument.parse().unwrap(), narrow).await)
        }
        "purge" => outcome(store.purge(acme().into(), Duration::ZERO, 1_000).await),
        "issue-for-good" => {
            let store = store.clone();
            tokio::spawn(async move {
                loop {
                    issue(&store, full()).await;
                }
            });
            "ok".to_owned()
        }
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

fn outcome<T>(outcome: Result<T, BackendError>) -> String {
    outcome.map_or_else(|error| chain(&error), |_| "ok".to_owned())
}
