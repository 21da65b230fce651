//! Keys that another program keeps in Redis, in several processes: a hash for each key, and a message for each change. The
//! cache of each process follows the messages.
//!
//! ```text
//! cargo run --example foreign_redis --features cache,redis -- redis://127.0.0.1/
//! ```
//!
//! It keeps one key under a prefix of its own, revokes it as the other program would, and prints when the cache has
//! noticed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt, TryStreamExt, future, stream};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Client};
use tokio::sync::Mutex;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord, Metadata};
use tower_api_key::store::{CachedStore, ChangeFeed, FeedEvent, Invalidation};
use tower_api_key::{Access, BoxError, KeyStore, Scope};

/// What a heartbeat begins with. No digest does.
const BEAT: char = '!';

pub(crate) struct ForeignRedis {
    client: Client,
    prefix: &'static str,
    heartbeat: Duration,
    /// For lookups, if it works.
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl ForeignRedis {
    pub(crate) fn new(client: Client, prefix: &'static str, heartbeat: Duration) -> Self {
        Self { client, prefix, heartbeat, connection: Mutex::default() }
    }

    async fn fields(&self, name: &str) -> Result<HashMap<String, String>, BoxError> {
        let mut kept = self.connection.lock().await;
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => self.client.get_multiplexed_async_connection().await?,
        };
        *kept = Some(connection.clone());
        drop(kept);
        let fields = connection.hgetall(name).await;
        if fields.is_err() {
            // The next lookup connects again.
            self.connection.lock().await.take();
        }
        Ok(fields?)
    }

    /// The name of the hash of a key.
    pub(crate) fn hash(prefix: &str, digest: &KeyDigest) -> String {
        format!("{prefix}key:{}", digest.to_hex())
    }

    pub(crate) fn channel(prefix: &str) -> String {
        format!("{prefix}changes")
    }
}

impl KeyStore for ForeignRedis {
    type Error = BoxError;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
        let name = Self::hash(self.prefix, digest);
        let fields = self.fields(&name).await?;
        let Some(id) = fields.get("id") else { return Ok(None) };
        let text = |field: &str| fields.get(field).ok_or_else(|| format!("{name} has no {field}"));
        let scopes = text("scopes")?.split(' ').filter(|scope| !scope.is_empty()).map(Scope::new);
        let access = Access::scoped(scopes.collect::<Result<Vec<_>, _>>()?);
        // The digest that the hash itself has, and not the one that was asked for: the decision compares the two.
        let stored = KeyDigest::from_hex(text("sha256")?)?;
        let record = KeyRecord::new(id.parse::<KeyId>()?, stored, text("customer")?.parse()?, access)
            .with_metadata(Metadata::new([("plan", text("plan")?.as_str())])?);
        let revoked = fields.get("status").is_none_or(|status| status != "active");
        let revoked_at = revoked.then_some(std::time::UNIX_EPOCH);
        Ok(Some(Arc::new(record.with_revoked_at(revoked_at))))
    }
}

impl ChangeFeed for ForeignRedis {
    type Error = BoxError;

    async fn listen(&self) -> Result<impl Stream<Item = Result<FeedEvent, BoxError>> + Send, BoxError> {
        let channel = Self::channel(self.prefix);
        let mut listener = self.client.get_async_pubsub().await?;
        listener.subscribe(&channel).await?;
        let beat = format!("{BEAT}{}", KeyId::random()?);
        let own = beat.clone();
        let events = listener.into_on_message().map(move |message| Ok(event(&message.get_payload::<String>()?, &own)));
        // A new connection has missed changes, so the stream must end with the old one.
        let end = stream::once(future::err("the connection that listens was closed".into()));
        let connection = self.client.get_multiplexed_async_connection().await?;
        let timer = tokio::time::interval(self.heartbeat);
        let sent = stream::try_unfold((timer, connection), move |(mut timer, mut connection)| {
            let (channel, beat) = (channel.clone(), beat.clone());
            async move {
                timer.tick().await;
                let () = connection.publish(channel, beat).await?;
                Ok(Some((None, (timer, connection))))
            }
        });
        Ok(stream::select(events.chain(end), sent).try_filter_map(future::ok).boxed())
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

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    const PREFIX: &str = "foreign_redis_example:";
    let url = std::env::args().nth(1).ok_or("usage: foreign_redis redis://...")?;
    let digest = KeyDigest::hash(b"acme-key-1");
    let mut other = Client::open(url.as_str())?.get_multiplexed_async_connection().await?;
    let name = ForeignRedis::hash(PREFIX, &digest);
    let (id, sha256) = (KeyId::random()?.to_string(), digest.to_hex());
    let fields = [
        ("id", &*id),
        ("sha256", &sha256),
        ("customer", "acme"),
        ("plan", "pro"),
        ("scopes", ""),
        ("status", "active"),
    ];
    let () = other.hset_multiple(&name, &fields).await?;

    let store = ForeignRedis::new(Client::open(url)?, PREFIX, Duration::from_secs(5));
    let keys = CachedStore::builder(store).time_to_live(Duration::from_secs(60)).build();
    tokio::spawn(keys.watch());
    // Until it listens.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let is_revoked = async || Ok::<_, BoxError>(keys.find(&digest).await?.is_none_or(|key| key.is_revoked()));
    println!("revoked: {}", is_revoked().await?);
    let () = other.hset(&name, "status", "revoked").await?;
    let () = other.publish(ForeignRedis::channel(PREFIX), &sha256).await?;
    let began = Instant::now();
    while !is_revoked().await? {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("revoked: true, {:.1?} after the message", began.elapsed());
    let () = other.del(name).await?;
    Ok(())
}
