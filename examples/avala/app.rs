//! Every route, and what it asks of a key.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::FromRef;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tower::ServiceBuilder;
use tower_api_key::scope::avala;
use tower_api_key::{ApiKeyLayer, IssuePolicy, MemoryStore, RequireScopesLayer, Requirement, SharedStore, SystemClock};

use crate::accounts::Accounts;
use crate::data::Data;
use crate::limits::Limits;
use crate::options::Options;
use crate::passwords::Passwords;
use crate::reply::{ApiError, not_found};
use crate::{audit, keys, limits, resources, signup};

pub(crate) const BASE: &str = "/api/v1";

/// What handlers share. Most take only the part that they need.
#[derive(Clone, FromRef)]
pub(crate) struct App {
    pub(crate) keys: SharedStore,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) data: Arc<Data>,
    pub(crate) limits: Limits,
    /// What every organization demands of its keys' age.
    pub(crate) max_key_age: Option<Duration>,
}

impl App {
    pub(crate) fn new(options: &Options) -> io::Result<Self> {
        // Nobody gets a key with a scope that no route knows.
        let issue_policy = IssuePolicy::default().with_catalogue(avala::catalogue());
        Ok(Self {
            keys: SharedStore::new(MemoryStore::with(issue_policy, SystemClock)),
            accounts: Arc::default(),
            passwords: Arc::new(Passwords::start()?),
            data: Arc::default(),
            limits: Limits::new(options.requests_per_minute),
            max_key_age: options.max_key_age,
        })
    }
}

/// What is open stands here by name. Everything else is behind the key layer, unknown paths and methods too: a
/// route that somebody forgot to list is closed.
pub(crate) fn router(app: App) -> Router {
    let guard = ServiceBuilder::new()
        .layer(ApiKeyLayer::new(app.keys.clone()).on_decision(audit::record))
        .layer(from_fn_with_state(app.limits.clone(), limits::per_key));
    let sign_up = post(signup::sign_up).fallback(method_not_allowed.layer(guard.clone()));
    Router::new()
        .route(&format!("{BASE}/signup/"), sign_up)
        .fallback_service(guard.service(guarded().with_state(app.clone())))
        .with_state(app)
}

fn guarded() -> Router<App> {
    Router::new()
        .nest(BASE, resources().merge(keys::routes("/api-keys")))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
}

fn resources() -> Router<App> {
    use resources::{datasets, exports, permissions, projects, tasks};

    let read_datasets = RequireScopesLayer::new(avala::DATASETS_READ);
    let write_datasets = RequireScopesLayer::new(avala::DATASETS_WRITE);
    let read_projects = RequireScopesLayer::new(avala::PROJECTS_READ);
    let read_tasks = RequireScopesLayer::new(Requirement::any_of([avala::TASKS_READ, avala::PROJECTS_READ]));
    let exports_scope = RequireScopesLayer::new(avala::EXPORTS_CREATE);
    let any_key = RequireScopesLayer::new(Requirement::any_key());

    let list_or_create = get(datasets::list.layer(read_datasets.clone())).post(datasets::create.layer(write_datasets));
    let list_projects = get(projects::list.layer(read_projects));
    Router::new()
        .route("/datasets/", list_or_create)
        .route("/datasets/{uid}/", get(datasets::read.layer(read_datasets.clone())))
        .route("/datasets/{owner}/{slug}/items/", get(datasets::items.layer(read_datasets)))
        .route("/projects/", list_projects.clone())
        .route("/users/me/projects/", list_projects)
        .route("/tasks/", get(tasks::list.layer(read_tasks.clone())))
        .route("/tasks/{uid}/", get(tasks::read.layer(read_tasks)))
        .route("/exports/", post(exports::create.layer(exports_scope.clone())))
        .route("/exports/{uid}/", get(exports::read.layer(exports_scope)))
        .route("/users/me/permissions/", get(permissions.layer(any_key)))
}

async fn method_not_allowed(method: Method) -> ApiError {
    ApiError::method_not_allowed(&method)
}
