//! Every route, and the layers in front of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, FromRef};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use tower::Layer;
use tower_api_key::background::Background;
use tower_api_key::time::SystemClock;
use tower_api_key::transport::{ClientInfoLayer, Connection, RequireHttpsLayer, TrustedProxies};
use tower_api_key::usage::UsageTracker;
use tower_api_key::{ApiKeyLayer, BoxError};

use crate::accounts::Accounts;
use crate::data::Data;
use crate::limits::Limits;
use crate::mission_control::{self, Sessions, identify, identity};
use crate::options::Options;
use crate::passwords::Passwords;
use crate::reply::not_found;
use crate::store::{Keys, Store};
use crate::{audit, openapi, policy, resources, routes, signup, unread};

pub(crate) const BASE: &str = "/api/v1";
pub(crate) const API_KEYS: &str = "/api/v1/api-keys/";

/// How often the last use of each key is reported to the store. Until then, the list of keys shows an older time.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// What handlers share. Most take only the part that they need.
#[derive(Clone, FromRef)]
pub(crate) struct App {
    pub(crate) keys: Keys,
    pub(crate) usage: UsageTracker,
    pub(crate) accounts: Accounts,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) data: Data,
    pub(crate) sessions: Sessions,
    /// What every organization demands of its keys' age.
    pub(crate) max_key_age: Option<Duration>,
}

impl App {
    /// Opens the store, and starts in the background what it needs.
    pub(crate) async fn open(options: &Options, background: &Background) -> Result<Self, BoxError> {
        let Store { keys, database } = Store::open(&options.store, background).await?;
        let accounts = Accounts::new(database.clone());
        policy::demand_of_all(&keys, &accounts, options.max_key_age).await?;
        let usage = UsageTracker::new();
        background.report_usage(&usage, keys.backend().clone(), REPORT_INTERVAL);
        Ok(Self {
            keys,
            usage,
            accounts,
            passwords: Arc::new(Passwords::start()?),
            data: Data::new(database),
            sessions: Sessions::new(options.session_ttl, SystemClock),
            max_key_age: options.max_key_age,
        })
    }
}

/// Signing up, the document of the API and Mission Control are open and listed by name. Everything else is behind the key
/// layer, unknown paths and methods too. Its limit counts every request of a valid key.
pub(crate) fn router(app: App, options: &Options) -> Result<Router, BoxError> {
    let table = routes::table()?;
    let console = mission_control::console(&app.keys);
    let document = openapi::document(&table, &console, options)?;
    let limits = Limits::at(&options.limits)?;
    let keys = ApiKeyLayer::new(app.keys.backend().clone()).on_decision(audit::record);
    let checked = limits
        .per_key(keys.clone(), options.requests_per_minute)
        .track_usage(&app.usage)
        .routes(table.clone())
        .rejection_response(move |rejected| routes::reject(&table, rejected));
    // A login manages keys, and does nothing else.
    let managed = checked.clone().accept_identity(identity).layer(console.api().at(API_KEYS));
    let guarded = checked.layer(guarded().with_state(app.clone()));
    let sign_up =
        post(signup::sign_up).layer(limits.attempts("signups").reject_as(&keys)).fallback_service(guarded.clone());
    let document =
        get(async move || ([(CONTENT_TYPE, "application/json")], document)).fallback_service(guarded.clone());
    let mut router = Router::new()
        .route(routes::SIGN_UP, sign_up)
        .route(routes::OPENAPI, document)
        .route_service(API_KEYS, managed.clone())
        .route_service(&format!("{API_KEYS}{{*rest}}"), managed)
        .merge(mission_control::router(&console, &keys, &limits))
        .fallback_service(guarded)
        .layer(from_fn_with_state(app.sessions.clone(), identify))
        .with_state(app);
    if options.require_https {
        router = router.layer(RequireHttpsLayer::new(&keys));
    }
    let connection = |ConnectInfo(peer): &ConnectInfo<SocketAddr>| Connection::plain(peer.ip());
    // A client could use a second count of attempts if it could choose which headers are read.
    let proxies = TrustedProxies::new(&options.trusted_proxy)?.only_x_forwarded();
    Ok(router.layer(ClientInfoLayer::new().trust(proxies).connection_from(connection)).layer(from_fn(unread::read_on)))
}

/// What each of them asks of a key is in the [table](routes::table).
fn guarded() -> Router<App> {
    use resources::{datasets, exports, permissions, projects, tasks};

    let api = Router::new()
        .route("/datasets/", get(datasets::list).post(datasets::create))
        .route("/datasets/{uid}/", get(datasets::read).patch(datasets::update).delete(datasets::delete))
        .route("/datasets/{uid}/items/", post(datasets::upload))
        .route("/datasets/{owner}/{slug}/items/", get(datasets::items))
        .route("/projects/", get(projects::list))
        .route("/users/me/projects/", get(projects::list))
        .route("/tasks/", get(tasks::list))
        .route("/tasks/{uid}/", get(tasks::read))
        .route("/exports/", post(exports::create))
        .route("/exports/{uid}/", get(exports::read))
        .route("/exports/{uid}/download/", get(exports::download))
        .route("/users/me/permissions/", get(permissions))
        .route("/organization/key-policy/", get(policy::read).put(policy::set));
    Router::new().nest(BASE, api).fallback(not_found)
}
