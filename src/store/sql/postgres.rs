use std::io::ErrorKind;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::time::timeout;

use super::database::{Database, Migration, Rows, Value};
use super::error::SqlError;
use super::lease::{Begin, Lease, Leased, UNLIMITED};
use super::listing::Plan;
use super::lookups::Lanes;
use super::places::Places;
use super::slots::{Free, SLOTS, Slots};
use super::tls;
use super::{ACQUIRE_TIMEOUT, SqlStore, listing, statements as sql};
use crate::key::KeyDigest;
use crate::store::Organizations;

/// Keys in a PostgreSQL database that many processes share.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_api_key::ApiKeyLayer;
/// use tower_api_key::store::PostgresStore;
///
/// let store = PostgresStore::connect("postgres://app:secret@db.internal/app?sslmode=verify-full").await?;
/// store.migrate().await?;
/// let layer = ApiKeyLayer::new(store);
/// # Ok(())
/// # }
/// ```
pub type PostgresStore = SqlStore<Postgres>;

/// The database of a [`PostgresStore`].
#[derive(Clone, Debug)]
pub struct Postgres {
    pub(super) places: Places,
    /// The connections for lookups, if the pool is not the application's.
    slots: Option<Arc<Slots>>,
    /// False if the pool has no statement cache, as for PgBouncer: each transaction may then run on another connection to
    /// the database.
    pub(super) named_statements: bool,
    /// Whether lookups are prepared: with named statements, on connections that have timeouts.
    prepares: bool,
    /// When the server ends a lookup.
    limit: Duration,
    pub(super) heartbeat_interval: Duration,
}

impl SqlStore<Postgres> {
    /// Connects to the database of this URL, with up to ten connections: four for lookups, which are opened now, and a
    /// [pool](Self::pool) of six for everything else. [`migrate`](Self::migrate) creates the tables, in the first schema of
    /// the search path.
    ///
    /// The server ends a statement of these connections after 750 milliseconds, and its wait for a lock after 700: a lookup
    /// that its layer gave up leaves nothing behind, and the server never has more backends than the pool has places. Set
    /// another limit in the URL, with `options[statement_timeout]=5s`. Management has 10 seconds for each statement, and
    /// migrations have no limit.
    ///
    /// Behind PgBouncer in transaction mode, add `statement-cache-capacity=0` to the URL, and `ignore_startup_parameters =
    /// extra_float_digits` to PgBouncer's settings. Every lookup is then one message, a transaction of its own without a
    /// prepared statement, which the pooler could run on another connection, and sets its timeouts itself, since the pooler
    /// rejects them at the start of a connection. [`CachedStore::watch`](crate::store::CachedStore::watch) receives nothing
    /// through PgBouncer and logs it. Changes of other processes then apply when the cache's entries expire.
    ///
    /// Another host is reached over TLS, with the feature `tls-ring` or `tls-aws-lc-rs`; with both, ring is used. Neither makes
    /// it the default of the process. ring trusts the authorities of the system, aws-lc-rs those of Mozilla, and both those in
    /// `sslrootcert`. Use `sslmode=verify-full`: only this mode verifies that the certificate is valid for the host. With
    /// `verify-ca`, the driver uses the default provider of the process, which the program installs:
    /// `rustls::crypto::ring::default_provider().install_default()`. `sslmode=disable` connects without TLS.
    ///
    /// # Errors
    /// [`SqlError::NoTls`] without a TLS feature, unless the host is this machine or the URL has `sslmode=disable`,
    /// [`SqlError::NoDefaultTlsProvider`] for `verify-ca` without a default provider, when the URL is invalid, or when no
    /// connection can be made within five seconds.
    pub async fn connect(url: &str) -> Result<Self, SqlError> {
        let options = PgConnectOptions::from_str(url)?;
        tls::check(&options)?;
        let options = if caches_statements(&options) { Self::with_lookup_timeouts(options) } else { options };
        let pool = PgPoolOptions::new().max_connections(POOLED).acquire_timeout(ACQUIRE_TIMEOUT);
        let pool = pool.connect_with(options).await?;
        let mut database = Postgres::of(pool);
        let options = (*database.places.pool.connect_options()).clone();
        let options = if database.named_statements { options.options(PLAN_SETTINGS) } else { options };
        database.slots = Some(Arc::new(Slots::new(options)));
        database.open_for_lookups().await;
        Ok(Self::new(database))
    }

    /// Keeps the keys in the database of this pool, next to the application's own tables. Its TLS is that of the application's
    /// `sqlx`, and is not checked.
    ///
    /// For PgBouncer in transaction mode, open the pool with `statement_cache_capacity(0)`: see
    /// [`connect`](Self::connect). The capacity is read once, here.
    ///
    /// The connections keep their settings, which are the application's. Where their options set no `statement_timeout`,
    /// each lookup sets its own in the message that it is, and is planned anew. Open the pool
    /// [with the timeouts](Self::with_lookup_timeouts) to have lookups prepared, if they suit the application's statements.
    #[must_use]
    pub fn from_pool(pool: PgPool) -> Self {
        Self::new(Postgres::of(pool))
    }

    /// Adds the settings with which [`connect`](Self::connect) opens its connections, for a pool of your own: the server
    /// ends a statement after 750 milliseconds, and its wait for a lock after 700. Options that set a `statement_timeout`
    /// are returned as they are.
    #[must_use]
    pub fn with_lookup_timeouts(options: PgConnectOptions) -> PgConnectOptions {
        if has_timeout(&options) { options } else { options.options(LOOKUP_SETTINGS) }
    }

    /// Sets how often [`CachedStore::watch`](crate::store::CachedStore::watch) checks that notifications arrive: every 5
    /// seconds by default, at least every second and at most once a day.
    ///
    /// Each check is a statement through the pool. A longer interval leaves the database idle for longer, such as a serverless
    /// one that sleeps when it has no statement to run. In return, a connection that died silently is found later: within this
    /// interval and 10 seconds. Until then changes of other processes apply when the cache's entries expire, as without
    /// `watch`. A connection that is closed is found at once.
    ///
    /// The handles cloned from this one afterwards have the same interval.
    ///
    /// ```no_run
    /// # #[cfg(feature = "cache")]
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use tower_api_key::store::{CachedStore, PostgresStore};
    ///
    /// let store = PostgresStore::connect("postgres://app:secret@db.internal/app?sslmode=verify-full").await?;
    /// let keys = CachedStore::new(store.heartbeat_interval(Duration::from_secs(600)));
    /// tokio::spawn(keys.watch());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        // A day, since a time that far ahead always exists.
        let interval = interval.clamp(Duration::from_secs(1), Duration::from_secs(24 * 60 * 60));
        Arc::make_mut(&mut self.database).heartbeat_interval = interval;
        self
    }

    /// Returns the connections, for an application that keeps its own tables next to the keys. The timeouts of
    /// [`connect`](Self::connect) apply to its statements too.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.database.places.pool
    }
}

/// When the server ends a statement of a lookup: before a layer with the default `lookup_timeout` gives it up, so that the log
/// has the reason of the server, and the connection is free again.
const LOOKUP_TIMEOUT: Duration = Duration::from_millis(750);

/// How many connections the pool has that `connect` opens, besides those for lookups.
const POOLED: u32 = 6;

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// The lock timeout comes first, so that the log names the lock.
const LOOKUP_SETTINGS: [(&str, &str); 2] = [("statement_timeout", "750"), ("lock_timeout", "700")];

/// On connections for lookups alone: the statement is planned once, with the indexes, however few rows there are at that time.
/// By itself, the server would plan an array anew each time, which takes longer than to look it up.
const PLAN_SETTINGS: [(&str, &str); 3] =
    [("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off"), ("jit", "off")];

/// Returns a lookup in one message, for connections without the timeouts: a transaction of its own, which sets them for
/// itself. Nothing is prepared, which a pooler could run on another connection.
fn with_timeouts(find: &str) -> String {
    format!("SET LOCAL statement_timeout = 750; SET LOCAL lock_timeout = 700; {find}")
}

/// A change reads the row again after it has waited for a lock. A stricter default of the database would fail it instead.
macro_rules! begin {
    ($limit:expr, $($setting:literal),+) => {
        Begin { statements: concat!("BEGIN ISOLATION LEVEL READ COMMITTED" $(, "; ", $setting)+), limit: $limit }
    };
}

/// A page of a list is planned for its own values: how many keys match decides which index is best. It is read sooner than
/// it would be compiled.
const BEGIN_READ: Begin = begin!(
    UNLIMITED,
    "SET LOCAL statement_timeout = 10000",
    "SET LOCAL lock_timeout = 10000",
    "SET LOCAL plan_cache_mode = force_custom_plan",
    "SET LOCAL jit = off"
);

/// A commit waits for the disk, whatever the settings of the database, the role or the connection. A stronger setting stays.
const BEGIN_CHANGE: Begin = begin!(
    UNLIMITED,
    "SET LOCAL statement_timeout = 10000",
    "SET LOCAL lock_timeout = 10000",
    "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') <> 'remote_apply'"
);

/// A migration waits for others, and takes as long as it takes.
const BEGIN_MIGRATION: Begin = begin!(
    UNLIMITED,
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL lock_timeout = 0",
    "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') <> 'remote_apply'"
);

/// A random number, so that no other program uses the lock.
const LOCK_MIGRATIONS: &str = "SELECT pg_advisory_xact_lock(6158741370482205961)::text";

/// Only the URL of the options has the capacity. Its other parts are replaced: the password must not be copied, and not
/// every host can be written into a URL.
fn caches_statements(options: &PgConnectOptions) -> bool {
    let options = options.clone().host("localhost").username("").password("").database("");
    let url = options.to_url_lossy();
    !url.query_pairs().any(|(name, value)| name == "statement-cache-capacity" && value == "0")
}

fn has_timeout(options: &PgConnectOptions) -> bool {
    options.get_options().is_some_and(|set| set.contains("statement_timeout="))
}

/// Whether the connections of these options have the timeouts of [`SqlStore::with_lookup_timeouts`].
fn has_lookup_timeouts(options: &PgConnectOptions) -> bool {
    let set = options.get_options().unwrap_or_default();
    LOOKUP_SETTINGS.iter().all(|(name, value)| set.split(' ').any(|word| word == format!("{name}={value}")))
}

/// Returns `None` if it takes longer.
async fn answer_within<T>(limit: Duration, answer: impl Future<Output = T>) -> Option<T> {
    if limit == Duration::MAX { Some(answer.await) } else { timeout(limit, answer).await.ok() }
}

/// Whether the connection is lost, and not the statement. The server ends one with a message when it is shut down.
fn is_lost(error: &sqlx::Error) -> bool {
    const ENDED: [&str; 3] = ["57P01", "57P02", "57P03"];
    match error {
        // Without an answer in time, another connection would have none either.
        sqlx::Error::Io(error) => error.kind() != ErrorKind::TimedOut,
        sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| ENDED.contains(&&*code)),
        _ => false,
    }
}

/// A connection that was unused for longer may have died silently.
const IDLE: Duration = Duration::from_secs(1);

/// How long it has for its first answer, so that the lookup can be made again before its layer gives up.
const SIGN_OF_LIFE: Duration = Duration::from_millis(300);

impl Postgres {
    fn of(pool: PgPool) -> Self {
        let options = pool.connect_options();
        let named_statements = caches_statements(&options);
        let prepares = named_statements && has_timeout(&options);
        let limit = if prepares && !has_lookup_timeouts(&options) { UNLIMITED } else { LOOKUP_TIMEOUT };
        let heartbeat_interval = HEARTBEAT_INTERVAL;
        let places = Places::of(pool);
        Self { places, slots: None, named_statements, prepares, limit, heartbeat_interval }
    }

    /// A connection that was kept shows by the lookup itself whether it still works. If not, the lookup is made again on another
    /// one.
    async fn look_up(&self, digests: &[KeyDigest]) -> Result<Rows, sqlx::Error> {
        if let Some(slots) = &self.slots {
            if self.places.pool.is_closed() {
                slots.clear();
                return Err(sqlx::Error::PoolClosed);
            }
            while let Some(free) = slots.take() {
                let (own, place) = match free {
                    Free::Empty(place) => {
                        let mut lease = Lease::open(slots, place, self.named_statements, self.limit).await?;
                        return self.look_up_on(&mut lease, digests).await;
                    }
                    Free::Kept(own, place) => (own, place),
                };
                let limit = if own.used.elapsed() < IDLE { Duration::MAX } else { SIGN_OF_LIFE };
                let leased = Leased::Own(own, Arc::clone(slots));
                let mut lease = Lease::of(leased, place, self.named_statements, self.limit);
                match answer_within(limit, self.look_up_on(&mut lease, digests)).await {
                    Some(Err(error)) if is_lost(&error) => {
                        lease.close();
                        slots.clear();
                    }
                    Some(found) => return found,
                    // Not known to be lost: its place stays taken until the answer is due. The others may be dead too.
                    None => break,
                }
            }
        }
        let mut lease = self.lease().await?;
        self.look_up_on(&mut lease, digests).await
    }

    /// One statement for any number of digests. With a second one, a pooler that runs a prepared statement on another
    /// connection could run one in place of the other, and a valid key would seem unknown.
    async fn look_up_on(&self, lease: &mut Lease, digests: &[KeyDigest]) -> Result<Rows, sqlx::Error> {
        if self.prepares {
            return lease.fetch_by_digests(sql::FIND_POSTGRES, digests).await;
        }
        let digests = digests.iter().map(|digest| format!("decode('{}', 'hex')", digest.to_hex()));
        let digests = format!("ARRAY[{}]::bytea[]", digests.collect::<Vec<_>>().join(","));
        lease.fetch_text(with_timeouts(&sql::FIND_POSTGRES.replace("$1", &digests))).await
    }

    /// Opens the connections for lookups, and prepares the lookup on each. Without the tables, it fails.
    async fn open_for_lookups(&self) {
        let Some(slots) = &self.slots else { return };
        let open = (0..SLOTS).map(|_| async {
            let Some(Free::Empty(place)) = slots.take() else { return None };
            let mut lease = Lease::open(slots, place, self.named_statements, self.limit).await.ok()?;
            let _ = self.look_up_on(&mut lease, &[KeyDigest::from_bytes([0; 32])]).await;
            Some(lease)
        });
        // All are open before the first is kept.
        drop(join_all(open).await);
    }

    async fn lease(&self) -> Result<Lease, sqlx::Error> {
        Lease::take(&self.places, self.named_statements, self.limit).await
    }

    async fn begin(&self, begin: &Begin) -> Result<Lease, sqlx::Error> {
        let mut lease = self.lease().await?;
        lease.begin(begin).await?;
        Ok(lease)
    }

    async fn fetch_in_transaction(
        &self,
        begin: &Begin,
        statement: &'static str,
        values: Vec<Value>,
    ) -> Result<Rows, sqlx::Error> {
        let mut lease = self.begin(begin).await?;
        let rows = lease.fetch(statement, values).await?;
        lease.commit().await?;
        Ok(rows)
    }
}

impl Database for Postgres {
    // `now()` is the beginning of the transaction, which may be before a key that it waited for was created.
    const NOW: &'static str = "SELECT floor(extract(epoch FROM clock_timestamp()))::bigint";
    const ENCODINGS: &'static str = "SELECT current_setting('server_encoding'), current_setting('client_encoding')";
    const GET_LOCKED: &'static str = sql::GET_FOR_UPDATE;
    const GET_MANY: &'static str = sql::GET_MANY_POSTGRES;
    const INSERT_MANY: &'static str = sql::INSERT_MANY_POSTGRES;
    const LOCK_ORGANIZATION: Option<&'static str> =
        Some("SELECT pg_advisory_xact_lock(1637423093, hashtext($1))::text");
    const ENDED_OF_ONE: &'static str = sql::ENDED_OF_ONE_POSTGRES;
    const ENDED: &'static str = sql::ENDED_POSTGRES;
    const OF_ORGANIZATION: &'static str = sql::OF_ORGANIZATION_POSTGRES;
    const DELETE: [&'static str; 3] = sql::DELETE_POSTGRES;
    const RECORD_USAGE: &'static str = sql::RECORD_USAGE_POSTGRES;
    const MIGRATIONS: &'static [Migration] = &[
        Migration { version: 1, compatible_from: 1, script: include_str!("migrations/postgres/1_keys.sql") },
        Migration { version: 2, compatible_from: 1, script: include_str!("migrations/postgres/2_organizations.sql") },
        Migration { version: 3, compatible_from: 1, script: include_str!("migrations/postgres/3_changes.sql") },
        Migration { version: 4, compatible_from: 1, script: include_str!("migrations/postgres/4_usage.sql") },
        Migration { version: 5, compatible_from: 1, script: include_str!("migrations/postgres/5_search.sql") },
    ];

    type Transaction = Lease;

    fn list(plan: Plan) -> &'static str {
        listing::postgres(plan)
    }

    fn words(organizations: Organizations<'_>, text: &str) -> String {
        listing::words_postgres(organizations, text)
    }

    fn lanes(&self) -> Lanes {
        let places = (self.places.pool.options().get_max_connections() as usize).max(1);
        match &self.slots {
            Some(_) => Lanes { usual: SLOTS, slow: SLOTS + places },
            None => Lanes { usual: places.min(SLOTS), slow: places },
        }
    }

    async fn find(&self, digest: &KeyDigest) -> Result<Rows, sqlx::Error> {
        self.look_up(std::slice::from_ref(digest)).await
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> Result<Rows, sqlx::Error> {
        self.look_up(digests).await
    }

    async fn read(&self, statement: &'static str, values: Vec<Value>) -> Result<Rows, sqlx::Error> {
        self.fetch_in_transaction(&BEGIN_READ, statement, values).await
    }

    async fn begin(&self) -> Result<Lease, SqlError> {
        Ok(self.begin(&BEGIN_CHANGE).await?)
    }

    async fn begin_migration(&self) -> Result<Lease, SqlError> {
        let mut lease = self.begin(&BEGIN_MIGRATION).await?;
        lease.fetch_unhurried(LOCK_MIGRATIONS, vec![]).await?;
        Ok(lease)
    }

    async fn fetch_in(lease: &mut Lease, statement: &'static str, values: Vec<Value>) -> Result<Rows, sqlx::Error> {
        lease.fetch(statement, values).await
    }

    async fn run_script(lease: &mut Lease, script: &'static str) -> Result<(), sqlx::Error> {
        lease.run_script(script).await
    }

    async fn commit(lease: Lease) -> Result<(), sqlx::Error> {
        lease.commit().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases: 112.
    #[test]
    fn pool_without_statement_cache_is_recognized() {
        for (url, caches) in [
            ("postgres://app:secret@db.internal/app", true),
            ("postgres://app@db.internal/app?statement-cache-capacity=0", false),
            ("postgres://app@db.internal/app?statement-cache-capacity=10", true),
            ("postgres:///app?hostaddr=::1&statement-cache-capacity=0", false),
            ("postgres:///app?host=/run/postgresql&statement-cache-capacity=0", false),
            ("postgres:///app?user=a@b/c%3F:&dbname=x%3Fstatement-cache-capacity%3D0&password=%00", true),
        ] {
            assert_eq!(caches_statements(&url.parse().unwrap()), caches, "{url}");
        }
    }

    /// Cases: 129.
    #[test]
    fn timeouts_of_the_caller_are_kept() {
        for (url, statement) in [
            ("postgres://app@db.internal/app", "statement_timeout=750"),
            ("postgres://app@db.internal/app?options[search_path]=keys", "statement_timeout=750"),
            ("postgres://app@db.internal/app?options[statement_timeout]=5s", "statement_timeout=5s"),
            ("postgres://app@db.internal/app?options=-c%20statement_timeout%3D0", "statement_timeout=0"),
        ] {
            let options = SqlStore::with_lookup_timeouts(url.parse().unwrap());
            let set = options.get_options().unwrap();
            assert_eq!(set.matches("statement_timeout").count(), 1, "{set}");
            assert!(set.split(' ').any(|word| word == statement), "{set}");
            assert_eq!(has_lookup_timeouts(&options), statement.ends_with("750"), "{set}");
            assert_eq!(SqlStore::with_lookup_timeouts(options.clone()).get_options(), options.get_options());
        }
    }
}
