//! The service under test, in a process of its own: this test program, started again.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Router, serve};
use tokio::net::TcpListener;
use tower_api_key::key::KeyId;
use tower_api_key::manage::ManageError;
use tower_api_key::store::{Expiry, KeyUpdate, PostgresStore};
use tower_api_key::{Access, ApiKeyLayer, KeyManager, NewKey, OrganizationId, Requirement};

use crate::support::manage::Manage;

const DATABASE: &str = "POSTGRES_KILL_DATABASE";
const PORT: &str = "POSTGRES_KILL_PORT";
const HASTY: &str = "POSTGRES_KILL_HASTY";

/// How the service acknowledges a revoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revoking {
    /// It replies when the store has revoked.
    Properly,
    /// It replies at once and revokes later, which no service may do.
    Hastily,
}

pub(crate) struct Service {
    process: Child,
}

impl Service {
    pub(crate) fn spawn(database: &str, port: u16, revoking: Revoking) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "kill::service::the_service", "--nocapture", "--test-threads=1"]);
        command.env(DATABASE, database).env(PORT, port.to_string());
        if revoking == Revoking::Hastily {
            command.env(HASTY, "1");
        }
        Self { process: command.stdout(Stdio::null()).stdin(Stdio::null()).spawn().unwrap() }
    }

    /// With signal 9.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the other tests of this module"]
async fn the_service() {
    let Ok(database) = std::env::var(DATABASE) else { return };
    let port: u16 = std::env::var(PORT).unwrap().parse().unwrap();
    let store = PostgresStore::connect(&database).await.unwrap();
    let guarded = Router::new()
        .route("/datasets", get(|| async {}))
        .layer(ApiKeyLayer::new(store.clone()).require(Requirement::full_access()));
    // Management without a login: the test is its only client.
    let management = Router::new()
        .route("/keys", post(issue))
        .route("/keys/{id}/{ending}", post(end))
        .route("/keys/{id}/regenerate", post(regenerate))
        .with_state(store.manage());
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    serve(listener, guarded.merge(management)).await.unwrap();
}

type Reply = (StatusCode, String);

type Keys = KeyManager<PostgresStore>;

fn organization() -> OrganizationId {
    "acme".parse().unwrap()
}

/// Responds with the new key's id and the key.
async fn issue(State(keys): State<Keys>) -> Reply {
    let key = NewKey::new("load", Access::Full).unwrap();
    let key = keys.issue(&organization(), key).await;
    reply(key.map(|key| format!("{} {}", key.record.id(), key.secret.expose_secret())))
}

async fn regenerate(State(keys): State<Keys>, Path(id): Path<String>) -> Reply {
    let id: KeyId = id.parse().unwrap();
    let key = keys.regenerate(&organization(), id, Expiry::Never).await;
    reply(key.map(|key| format!("{} {}", key.record.id(), key.secret.expose_secret())))
}

/// Ends the use of a key.
async fn end(State(keys): State<Keys>, Path((id, ending)): Path<(String, String)>) -> Reply {
    let id: KeyId = id.parse().unwrap();
    let ended = async move {
        let update = match &*ending {
            "suspend" => KeyUpdate::new().with_suspended(true),
            "narrow" => KeyUpdate::new().with_scopes([]),
            _ => {
                keys.revoke(&organization(), id).await?;
                if ending == "purge" {
                    keys.purge(&organization(), Duration::ZERO).await?;
                }
                return Ok(());
            }
        };
        keys.update(&organization(), id, update).await.map(drop)
    };
    if std::env::var_os(HASTY).is_some() {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            ended.await
        });
        return (StatusCode::OK, String::new());
    }
    reply(ended.await.map(|()| String::new()))
}

fn reply(outcome: Result<String, ManageError>) -> Reply {
    match outcome {
        Ok(text) => (StatusCode::OK, text),
        Err(ManageError::NotFound) => (StatusCode::NOT_FOUND, String::new()),
        Err(ManageError::Conflict) => (StatusCode::CONFLICT, String::new()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}
