//! Counts in Redis: [`RedisLimits`].

mod error;
mod server;
mod tls;

use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use ::redis::Script;

pub use self::error::RedisLimitsError;
use self::server::{Connection, Server};
use super::{Acquired, Hit, LimitStore};
use crate::auth::{Limit, LimitState};
use crate::time::Clock;

/// Counts hits in Redis 6 or later, or Valkey: one count for all processes. A clone shares the connection.
///
/// One script counts a hit in all of its limits, in one round trip, by the time of the Redis server. It never allows more
/// than the limit in any span of the window. A limit of more than 100 requests may count a request for up to a 64th of the
/// window longer. A subject takes one hash of at most 100 fields for each limit, which expires when its requests have left.
/// The limits of a subject share a hash tag, so that they are on one node of a cluster.
///
/// It connects with the first hit and again after an error, so a service starts while Redis is away. What happens then is
/// up to the [`LimitRule`](super::LimitRule::store).
///
/// ```
/// use tower_api_key::throttle::{Limit, LimitRule, RedisLimits};
/// use tower_api_key::{ApiKeyLayer, MemoryStore};
///
/// let redis = RedisLimits::new("redis://127.0.0.1:6379")?.with_prefix("invoices");
/// let rule = LimitRule::per_key(Limit::per_minute(100)).name("requests").store(redis.clone());
/// let failures = LimitRule::per_client(Limit::per_minute(10)).name("failures").store(redis);
/// ApiKeyLayer::new(MemoryStore::new()).limit(rule).throttle_failures(failures);
/// # Ok::<(), tower_api_key::throttle::RedisLimitsError>(())
/// ```
#[derive(Clone)]
pub struct RedisLimits {
    server: Arc<Server>,
    prefix: Arc<str>,
    timeout: Duration,
    clock: Option<Arc<dyn Clock>>,
    link: Arc<Link>,
}

/// The connection, and a lock for the one request that makes it.
#[derive(Default)]
struct Link {
    connection: Mutex<Option<(u64, Connection)>>,
    connecting: tokio::sync::Mutex<u64>,
}

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("count.lua")));

/// The most requests that are kept one by one, and into how many parts the window of a larger limit is divided.
const EXACT: u32 = 100;
const PARTS: u128 = 64;

impl RedisLimits {
    /// Returns a store in this Redis: `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, or `rediss://` for TLS.
    ///
    /// # Errors
    /// When the URL cannot be used. It does not connect.
    pub fn new(url: &str) -> Result<Self, RedisLimitsError> {
        Server::at(url).map(Self::of)
    }

    /// Returns a store in the Redis cluster of these nodes, over `redis://`. Some of the nodes are enough.
    ///
    /// # Errors
    /// When a URL cannot be used. It does not connect.
    pub fn cluster<'a>(urls: impl IntoIterator<Item = &'a str>) -> Result<Self, RedisLimitsError> {
        Server::cluster(urls).map(Self::of)
    }

    /// Starts each key in Redis with this text, `limits` by default. Braces are left out: they mark hash tags.
    #[must_use]
    pub fn with_prefix(self, prefix: &str) -> Self {
        Self { prefix: prefix.replace(['{', '}'], "").into(), ..self }
    }

    /// Sets how long a hit may take, a new connection included: 250 milliseconds by default. Keep it well below the
    /// [`lookup_timeout`](crate::ApiKeyLayer::lookup_timeout) of the layer, so that there is time left to count without Redis.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Trusts these certificates in PEM for TLS, in place of those of the operating system.
    ///
    /// # Errors
    /// When they cannot be read, or the URL does not ask for TLS.
    pub fn with_root_certificates(self, pem: &[u8]) -> Result<Self, RedisLimitsError> {
        Ok(Self::of((*self.server).clone().with_roots(pem)?).keep(self))
    }

    /// Takes the time from this clock in place of the server's, for tests. All processes must agree on it.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        Self { clock: Some(Arc::new(clock)), ..self }
    }

    fn of(server: Server) -> Self {
        Self {
            server: Arc::new(server),
            prefix: "limits".into(),
            timeout: Duration::from_millis(250),
            clock: None,
            link: Arc::default(),
        }
    }

    /// Keeps all other settings.
    fn keep(self, other: Self) -> Self {
        Self { prefix: other.prefix, timeout: other.timeout, clock: other.clock, ..self }
    }

    async fn count(&self, hit: &Hit) -> Result<Acquired, RedisLimitsError> {
        let limits = hit.limits().as_slice();
        if limits.is_empty() {
            return Ok(Acquired::unlimited());
        }
        let mut script = SCRIPT.prepare_invoke();
        script.arg(self.clock.as_ref().map_or(String::new(), |clock| micros_of(&**clock).to_string())).arg(hit.cost());
        for limit in limits {
            script.key(self.key(hit, limit)).arg(limit.requests()).arg(micros(limit)).arg(part(limit));
        }
        let (number, mut connection) = self.connection().await?;
        match script.invoke_async(&mut connection).await {
            Ok(answer) => read(answer, limits),
            Err(error) => {
                if error.is_unrecoverable_error() {
                    self.forget(number);
                }
                Err(RedisLimitsError::failed(error))
            }
        }
    }

    /// The limits of a subject share a hash tag, which is what the first braces enclose.
    fn key(&self, hit: &Hit, limit: &Limit) -> String {
        let (prefix, name, subject) = (&self.prefix, hit.name(), hit.subject());
        format!("{prefix}:{{{name}:{subject}}}:{}:{}", limit.requests(), micros(limit))
    }

    /// Returns the connection and its number, or makes one. Others wait for it.
    async fn connection(&self) -> Result<(u64, Connection), RedisLimitsError> {
        if let Some(connection) = self.link.get() {
            return Ok(connection);
        }
        let mut number = self.link.connecting.lock().await;
        if let Some(connection) = self.link.get() {
            return Ok(connection);
        }
        *number += 1;
        let connection = (*number, self.server.connect().await?);
        *self.link.lock() = Some(connection.clone());
        Ok(connection)
    }

    /// Forgets this connection, if it is still the current one.
    fn forget(&self, number: u64) {
        self.link.lock().take_if(|(current, _)| *current == number);
    }
}

impl Link {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(u64, Connection)>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self) -> Option<(u64, Connection)> {
        self.lock().clone()
    }
}

impl LimitStore for RedisLimits {
    type Error = RedisLimitsError;

    async fn acquire(&self, hit: &Hit) -> Result<Acquired, RedisLimitsError> {
        let before = self.link.get().map(|(number, _)| number);
        match tokio::time::timeout(self.timeout, self.count(hit)).await {
            Ok(counted) => counted,
            Err(_) => {
                // A peer that is gone without a word is noticed by this alone.
                if let Some(number) = before {
                    self.forget(number);
                }
                Err(RedisLimitsError::TimedOut(self.timeout))
            }
        }
    }
}

/// What the script returns: whether it is counted, the closest limit, what is left of that, and for how long to wait.
type Answer = (u8, usize, u32, u64);

fn read((counted, closest, left, wait): Answer, limits: &[Limit]) -> Result<Acquired, RedisLimitsError> {
    let limit = limits.get(closest.wrapping_sub(1)).ok_or("its answer names no limit");
    let state = LimitState::new(*limit.map_err(RedisLimitsError::failed)?, left, Duration::from_micros(wait));
    Ok(if counted == 1 { Acquired::Allowed(state) } else { Acquired::Limited(state) })
}

fn micros(limit: &Limit) -> u64 {
    u64::try_from(limit.window().as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
}

/// The parts that a limit is counted in, in microseconds. 0: each request keeps its own time.
fn part(limit: &Limit) -> u64 {
    let window = u128::from(micros(limit));
    if limit.requests() <= EXACT { 0 } else { u64::try_from(window.div_ceil(PARTS)).unwrap_or(u64::MAX) }
}

fn micros_of(clock: &dyn Clock) -> u64 {
    let since = clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

impl fmt::Debug for RedisLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLimits")
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
