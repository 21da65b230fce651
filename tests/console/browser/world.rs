//! A service with a login of its own, the console behind it, and a route that keys are used on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tower_api_key::console::{Console, Operator};
use tower_api_key::key::{Environment, KeyFormat};
use tower_api_key::manage::{IssueRules, IssuedKey};
use tower_api_key::scope::avala;
use tower_api_key::usage::UsageTracker;
use tower_api_key::{Access, ApiKey, ApiKeyLayer, KeyManager, MemoryStore, NewKey, Scope};

use crate::support::axum_server::serve_axum;
use crate::support::browser::Browser;
use crate::support::server::Server;

pub(crate) struct World {
    pub(crate) browser: Browser,
    pub(crate) keys: KeyManager<MemoryStore>,
    pub(crate) login: Arc<Login>,
    usage: UsageTracker,
    server: Server,
}

/// A client with a cookie is logged in, as the cookie names it.
#[derive(Default)]
pub(crate) struct Login {
    /// How the API answers instead, if at all.
    pub(crate) fault: Mutex<Option<Fault>>,
    /// Requests with a cookie to a route without any protection.
    pub(crate) unprotected: Mutex<Vec<String>>,
}

#[derive(Clone, Copy)]
pub(crate) enum Fault {
    LoggedOut,
    Unavailable,
    Throttled,
    Never,
    /// Makes the change, and breaks the connection off.
    Cut,
}

async fn who(State(login): State<Arc<Login>>, mut request: Request, next: Next) -> Response {
    let cookie = request.headers().get(COOKIE).and_then(|cookie| cookie.to_str().ok()).unwrap_or_default().to_owned();
    let cookie = cookie.strip_prefix("login=").unwrap_or_default();
    let path = request.uri().path().to_owned();
    let fault = login.fault.lock().unwrap().filter(|_| path.starts_with("/api/keys"));
    if path == "/unprotected" && !cookie.is_empty() {
        login.unprotected.lock().unwrap().push(request.method().to_string());
    }
    if let Some((organization, actor)) = cookie.split_once('/') {
        request.extensions_mut().insert(match organization {
            "all" => Operator::of_all_organizations(actor),
            organization => Operator::new(organization.parse().unwrap(), actor),
        });
    }
    let detail = |text: &str| axum::Json(json!({ "detail": text }));
    match fault {
        None => next.run(request).await,
        Some(Fault::LoggedOut) => (StatusCode::UNAUTHORIZED, detail("x")).into_response(),
        Some(Fault::Unavailable) => {
            (StatusCode::SERVICE_UNAVAILABLE, detail("Service temporarily unavailable, try again later."))
                .into_response()
        }
        Some(Fault::Throttled) => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "2")], detail("x")).into_response(),
        Some(Fault::Never) => std::future::pending().await,
        Some(Fault::Cut) => {
            next.run(request).await;
            // hyper closes the connection of a handler that panics.
            std::panic::resume_unwind(Box::new("cut"))
        }
    }
}

async fn log_in(Query(query): Query<Vec<(String, String)>>) -> Response {
    let cookie = format!("login={}; HttpOnly; SameSite=Strict; Path=/", query[0].1);
    ([(SET_COOKIE, cookie)], Redirect::to("/settings/keys")).into_response()
}

async fn log_out() -> Response {
    (StatusCode::NO_CONTENT, [(SET_COOKIE, "login=; Max-Age=0; Path=/")]).into_response()
}

impl World {
    pub(crate) async fn start() -> Self {
        let test = KeyFormat::new("avk_test_").unwrap().with_environment(Environment::from_static("test"));
        let live = KeyFormat::AVALA.with_environment(Environment::from_static("live"));
        let rules = IssueRules::new().with_catalog(avala::catalog()).with_formats([live, test]);
        let keys = KeyManager::new(MemoryStore::new()).with_rules(rules);
        let (server, login, usage) = serve(&keys, |console| console).await;
        let browser = Browser::start("console-page").await;
        let granted = json!({"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]});
        browser.chrome("Browser.grantPermissions", granted).await;
        Self { browser, keys, login, usage, server }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.http1)
    }

    /// Opens the page as this person.
    pub(crate) async fn open(&self, who: &str) {
        self.browser.client.goto(&self.url(&format!("/login?as={who}"))).await.expect("the page");
        self.browser.until("document.querySelector('#table')?.checkVisibility() || document.querySelector('#empty')?.checkVisibility()").await;
    }

    pub(crate) async fn issue(&self, organization: &str, name: &str, access: Access) -> IssuedKey {
        self.keys.issue(&organization.parse().unwrap(), NewKey::new(name, access).unwrap()).await.unwrap()
    }

    /// The status of a request with this key.
    pub(crate) async fn status(&self, key: &str) -> u16 {
        let mut headers = String::new();
        if !key.is_empty() {
            headers = format!("X-Avala-Api-Key: {key}\r\n");
        }
        let status = self.raw(&format!("GET /v1/me HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n")).await;
        self.usage.flush(self.keys.backend()).await.unwrap();
        status
    }

    async fn raw(&self, request: &str) -> u16 {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(self.server.http1).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut response)).await.unwrap().unwrap();
        response.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Clicks the button of the key with this name.
    pub(crate) async fn manage(&self, name: &str) {
        let row = row(name);
        self.browser.until(&row).await;
        self.browser.run(&format!("{row}.querySelector('.manage').click()")).await;
        self.browser.until("document.querySelector('#key-dialog').open").await;
    }

    /// The text in the row of the key with this name.
    pub(crate) async fn row_text(&self, name: &str) -> String {
        let row = row(name);
        self.browser.until(&row).await;
        self.browser.run(&format!("return {row}.innerText")).await.as_str().unwrap().to_owned()
    }

    pub(crate) async fn names(&self) -> Value {
        self.browser.run("return [...document.querySelectorAll('.key-name')].map((name) => name.textContent)").await
    }

    pub(crate) async fn new_key(&self) -> String {
        self.browser.until("document.querySelector('#new-dialog').open").await;
        self.browser.text("#new-key").await
    }

    pub(crate) async fn set_fault(&self, fault: impl Into<Option<Fault>>) {
        *self.login.fault.lock().unwrap() = fault.into();
    }

    pub(crate) async fn close(self) {
        self.browser.client.clone().close().await.expect("closed");
    }
}

pub(crate) fn row(name: &str) -> String {
    format!(
        "[...document.querySelectorAll('tr[data-uid]')].find((row) => row.querySelector('.key-name').textContent === {})",
        json!(name)
    )
}

pub(crate) async fn serve(
    keys: &KeyManager<MemoryStore>,
    change: impl FnOnce(Console) -> Console,
) -> (Server, Arc<Login>, UsageTracker) {
    let meanings: [(Scope, &str); 5] = [
        (avala::DATASETS_READ, "List and get datasets and their items"),
        (avala::DATASETS_WRITE, "Create, update and delete datasets; upload items"),
        (avala::PROJECTS_READ, "List and get projects, their tasks and task results"),
        (avala::TASKS_READ, "List and get tasks and their results"),
        (avala::EXPORTS_CREATE, "Create exports and download completed ones"),
    ];
    let console = Console::new(keys.clone())
        .title("Mission Control")
        .header_link("Settings", "/settings")
        .log_in_at("/login?as=acme/ada@example.com")
        .log_out_at("/logout")
        .scope_meanings(meanings)
        .example_url("/v1/me");
    let console = change(console);
    let (login, usage) = (Arc::new(Login::default()), UsageTracker::new());
    let guarded = Router::new().route("/v1/me", get(async |key: ApiKey| key.id().to_string()));
    let layer = ApiKeyLayer::new(keys.backend().clone()).track_usage(&usage);
    let router = Router::new()
        .nest_service("/settings/keys", console.page("/api/keys/"))
        .nest_service("/api/keys", console.api())
        .route("/login", get(log_in))
        .route("/logout", post(log_out))
        .route("/unprotected", get(async || "").post(async || ""))
        .layer(from_fn_with_state(Arc::clone(&login), who))
        .merge(guarded.layer(layer));
    (serve_axum(router).await, login, usage)
}
