//! Keys in a Postgres table that another program manages, in several processes: hexadecimal digests, a plan, `text[]` scopes.
//! A trigger notifies, and the cache of each process follows.
//!
//! ```text
//! cargo run --example foreign_table --features cache,postgres -- postgres://postgres@127.0.0.1/test
//! ```
//!
//! It makes the table in a schema of its own, starts itself again as a second process, revokes a key by SQL as the other
//! program would, and prints when the second process rejects the key. The tests kill processes and connections of it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::{Stream, StreamExt, TryStreamExt, future, stream};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use sqlx::{PgConnection, Row};
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord, Metadata};
use tower_api_key::store::{CachedStore, ChangeFeed, FeedEvent, Invalidation};
use tower_api_key::{Access, BoxError, KeyStore, OrganizationId, Scope};

/// The table of the other program, and what notifies of a change, also of one that is made by hand.
pub(crate) const TABLE: &str = "
CREATE TABLE api_tokens (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token_sha256 text NOT NULL UNIQUE,
    customer text NOT NULL,
    plan text NOT NULL,
    scopes text[] NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);
CREATE FUNCTION api_tokens_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM pg_notify('api_tokens', '*');
    ELSE
        PERFORM pg_notify('api_tokens', coalesce(OLD.token_sha256, NEW.token_sha256));
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER api_tokens_changed AFTER INSERT OR UPDATE OR DELETE ON api_tokens
    FOR EACH ROW EXECUTE FUNCTION api_tokens_changed();
CREATE TRIGGER api_tokens_truncated AFTER TRUNCATE ON api_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION api_tokens_changed();
";

const CHANNEL: &str = "api_tokens";

/// What a heartbeat begins with. No digest does.
const BEAT: char = '!';

const FIND: &str = "SELECT id, token_sha256, customer, plan, scopes, extract(epoch FROM expires_at)::bigint AS expires, \
    extract(epoch FROM revoked_at)::bigint AS revoked FROM api_tokens WHERE token_sha256 = $1";

pub(crate) struct ForeignTable {
    pool: PgPool,
    /// Where notifications come from: Postgres itself, where the pool goes through a pooler.
    listen_at: PgConnectOptions,
    heartbeat: Duration,
}

impl ForeignTable {
    pub(crate) fn new(pool: PgPool, listen_at: PgConnectOptions, heartbeat: Duration) -> Self {
        Self { pool, listen_at, heartbeat }
    }
}

impl KeyStore for ForeignTable {
    type Error = BoxError;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
        let row = sqlx::query(FIND).bind(digest.to_hex()).fetch_optional(&self.pool).await?;
        let Some(row) = row else { return Ok(None) };
        let scopes: Vec<String> = row.try_get("scopes")?;
        let access = Access::scoped(scopes.into_iter().map(Scope::new).collect::<Result<Vec<_>, _>>()?);
        let id = KeyId::from_u128(row.try_get::<i64, _>("id")?.try_into()?);
        // The digest of the row, not the one that was asked for: the decision compares the two.
        let stored = KeyDigest::from_hex(row.try_get("token_sha256")?)?;
        let customer = OrganizationId::new(row.try_get::<String, _>("customer")?)?;
        let record = KeyRecord::new(id, stored, customer, access)
            .with_metadata(Metadata::new([("plan", row.try_get::<String, _>("plan")?)])?)
            .with_expires_at(row.try_get::<Option<i64>, _>("expires")?.map(time).transpose()?)
            .with_revoked_at(row.try_get::<Option<i64>, _>("revoked")?.map(time).transpose()?);
        Ok(Some(Arc::new(record)))
    }
}

fn time(seconds: i64) -> Result<SystemTime, BoxError> {
    Ok(UNIX_EPOCH + Duration::from_secs(seconds.try_into()?))
}

impl ChangeFeed for ForeignTable {
    type Error = BoxError;

    async fn listen(&self) -> Result<impl Stream<Item = Result<FeedEvent, BoxError>> + Send, BoxError> {
        // A connection apart from the pool's, so that lookups lose none.
        let apart = PgPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let mut listener = PgListener::connect_with(&apart.connect_lazy_with(self.listen_at.clone())).await?;
        // A new connection has missed changes, so the stream must end with the old one.
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        let beat = format!("{BEAT}{}", KeyId::random()?);
        let own = beat.clone();
        let received = stream::try_unfold(listener, |mut listener| async move {
            let notification = listener.try_recv().await?.ok_or("the connection that listens was closed")?;
            Ok(Some((notification.payload().to_owned(), listener)))
        });
        // Nothing for a heartbeat of another process.
        let events = received.try_filter_map(move |payload| future::ok(event(&payload, &own)));
        // Heartbeats go through the database and arrive by the connection that listens, as changes do.
        let timer = tokio::time::interval(self.heartbeat);
        let sent = stream::try_unfold((timer, self.pool.clone()), move |(mut timer, pool)| {
            let beat = beat.clone();
            async move {
                timer.tick().await;
                sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(beat).execute(&pool).await?;
                Ok(Some((None, (timer, pool))))
            }
        });
        let events = stream::select(events.map_ok(Some), sent);
        Ok(events.try_filter_map(future::ok).boxed())
    }

    fn silence_limit(&self) -> Duration {
        3 * self.heartbeat
    }
}

/// Returns what this message reports, if anything. One that cannot be read may be about any key.
fn event(payload: &str, beat: &str) -> Option<FeedEvent> {
    if payload.starts_with(BEAT) {
        return (payload == beat).then_some(FeedEvent::Alive);
    }
    Some(KeyDigest::from_hex(payload).map_or(Invalidation::All, Invalidation::Digest).into())
}

const SCHEMA: &str = "foreign_table_example";
const KEY: &str = "acme-token-1";

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--serve", url] => serve(url).await,
        [url] => demonstrate(url).await,
        _ => Err("usage: foreign_table postgres://...".into()),
    }
}

/// The second process: prints a line whenever the key changes its state.
async fn serve(url: &str) -> Result<(), BoxError> {
    let options = url.parse::<PgConnectOptions>()?.options([("search_path", SCHEMA)]);
    let pool = PgPoolOptions::new().connect_with(options.clone()).await?;
    let table = ForeignTable::new(pool, options, Duration::from_secs(5));
    let keys = CachedStore::builder(table).time_to_live(Duration::from_secs(60)).build();
    tokio::spawn(keys.watch());
    let mut state = None;
    loop {
        let revoked = keys.find(&KeyDigest::hash(KEY.as_bytes())).await?.is_none_or(|key| key.is_revoked());
        if state.replace(revoked) != Some(revoked) {
            println!("{}", if revoked { "rejected" } else { "accepted" });
            std::io::stdout().flush()?;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn demonstrate(url: &str) -> Result<(), BoxError> {
    let mut sql = <PgConnection as sqlx::Connection>::connect(url).await?;
    let mut run = async |statements: String| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&mut sql).await?;
        Ok::<(), BoxError>(())
    };
    run(format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}; SET search_path = {SCHEMA}; {TABLE}"))
        .await?;
    let digest = KeyDigest::hash(KEY.as_bytes()).to_hex();
    run(format!(
        "INSERT INTO api_tokens (token_sha256, customer, plan, scopes) VALUES ('{digest}', 'acme', 'pro', '{{datasets.read}}')"
    ))
    .await?;
    let mut other = Command::new(std::env::current_exe()?).args(["--serve", url]).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(other.stdout.take().ok_or("no output")?).lines();
    println!("the other process: {}", lines.next().ok_or("it has ended")??);
    // Until it listens.
    tokio::time::sleep(Duration::from_secs(1)).await;
    run("UPDATE api_tokens SET revoked_at = now()".to_owned()).await?;
    let revoked = Instant::now();
    println!("the other process: {}, {:.1?} after the change", lines.next().ok_or("it has ended")??, revoked.elapsed());
    other.kill()?;
    other.wait()?;
    run(format!("DROP SCHEMA {SCHEMA} CASCADE")).await
}
