use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use http::header::HeaderValue;

use super::api::Shared;
use super::page::{Known, Link, Settings};
use super::{ConsoleApi, ConsolePage, ConsoleText};
use crate::manage::manager::KeyManager;
use crate::scope::Scope;
use crate::store::{DynKeyBackend, KeyBackend};
use crate::time::{Clock, SystemClock};

/// Builds the services with which people and programs manage keys: [`api`](Self::api) and [`page`](Self::page).
///
/// Both follow the rules of the [`KeyManager`], and its change hooks see every change with the operator or the key as the
/// actor.
///
/// ```
/// use tower_api_key::console::Console;
/// use tower_api_key::{KeyManager, MemoryStore};
///
/// let console = Console::new(KeyManager::new(MemoryStore::new()));
/// let (api, page) = (console.api(), console.page("/api/keys"));
/// ```
#[derive(Clone)]
#[must_use = "a console does nothing until its services are mounted"]
pub struct Console {
    pub(super) keys: KeyManager<DynKeyBackend>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) timeout: Duration,
    pub(super) origins: Vec<HeaderValue>,
    settings: Settings,
}

impl Console {
    /// Manages the keys of this manager.
    pub fn new<B: KeyBackend>(manager: KeyManager<B>) -> Self {
        Self {
            keys: manager.erased(),
            clock: Arc::new(SystemClock),
            timeout: Duration::from_secs(10),
            origins: Vec::new(),
            settings: Settings::default(),
        }
    }

    /// Also accepts requests of operators from pages of this origin, such as `https://admin.example.com`. Origins add up. The
    /// CORS headers that such a page needs are those of a CORS layer of your own.
    pub fn allow_origin(mut self, origin: HeaderValue) -> Self {
        self.origins.push(origin);
        self
    }

    /// Takes the time from this clock, in place of the one of the operating system.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Sets how long the store, and the body of a request, may take: 10 seconds by default. Then the response is 503 or 408.
    /// The timer is tokio's.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sets the name of the service, in the header and the title of the page: "API keys" by default.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.settings.title = title.into();
        self
    }

    /// Adds a link to the header of the page, such as one back to the settings of the service. Links add up.
    pub fn header_link(mut self, text: impl Into<String>, href: impl Into<String>) -> Self {
        self.settings.links.push(Link { text: text.into(), href: href.into() });
        self
    }

    /// Sets where the page sends a person whose login has ended. By default it loads itself again.
    pub fn log_in_at(mut self, url: impl Into<String>) -> Self {
        self.settings.log_in = Some(url.into());
        self
    }

    /// Adds a button to the page that logs out: a `POST` of an empty JSON object to this address. Then the page goes to the
    /// address of [`log_in_at`](Self::log_in_at).
    pub fn log_out_at(mut self, url: impl Into<String>) -> Self {
        self.settings.log_out = Some(url.into());
        self
    }

    /// Explains scopes on the page, in this order. Meanings add up. Scopes of the manager's
    /// [catalog](crate::manage::IssueRules::with_catalog) without a meaning follow; without a catalog and meanings, the page has
    /// a field for any scopes.
    pub fn scope_meanings<T: Into<String>>(mut self, meanings: impl IntoIterator<Item = (Scope, T)>) -> Self {
        self.settings.meanings.extend(meanings.into_iter().map(|(scope, meaning)| (scope, meaning.into())));
        self
    }

    /// Sets the address that the `curl` line of a new key requests: one that any key may. `/` by default.
    pub fn example_url(mut self, url: impl Into<String>) -> Self {
        self.settings.example = url.into();
        self
    }

    /// Sets the header of the `curl` line, in place of `X-Avala-Api-Key`: that of
    /// [`ApiKeyLayer::header`](crate::ApiKeyLayer::header).
    pub fn key_header(mut self, header: HeaderName) -> Self {
        self.settings.header = header;
        self
    }

    /// Replaces a text of the page.
    pub fn text(mut self, text: ConsoleText, content: impl Into<String>) -> Self {
        self.settings.texts.insert(text, content.into());
        self
    }

    /// Returns the JSON API.
    ///
    /// It expects the part of the path after its prefix, as axum's `nest_service` leaves it. Where no router removes the prefix,
    /// name it with [`ConsoleApi::at`].
    pub fn api(&self) -> ConsoleApi {
        ConsoleApi::new(Shared {
            keys: self.keys.clone(),
            clock: Arc::clone(&self.clock),
            timeout: self.timeout,
            origins: self.origins.clone(),
        })
    }

    /// Returns the page, which calls the API at this path or URL, such as `/api/keys`. The browser must be able to reach it, and
    /// send the login along.
    pub fn page(&self, api_base: impl Into<String>) -> ConsolePage {
        ConsolePage::new(self.settings.clone(), Known::of(self.keys.rules()), api_base.into())
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("keys", &self.keys)
            .field("timeout", &self.timeout)
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}
