use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions};
use tokio::time::{Instant, timeout_at};

use super::{SqlFeedError, invalidation};
use crate::key::KeyId;
use crate::store::sql::database::{Database, Value};
use crate::store::sql::postgres::Postgres;
use crate::store::sql::{ACQUIRE_TIMEOUT, SqlError, SqlStore};
use crate::store::{ChangeFeed, FeedEvent};

/// How soon the first heartbeat must arrive.
const SELF_TEST: Duration = Duration::from_secs(2);
/// How soon a later one must arrive, in a server that may be busy.
const ARRIVAL: Duration = Duration::from_secs(5);
/// What a heartbeat begins with. No key id does.
const BEAT_MARK: char = '!';

/// The channel that the triggers of these tables use.
const CHANNEL: &str = "SELECT 'tower_api_key_' || md5(n.nspname) FROM pg_class c \
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = 'tower_api_key_keys'::regclass";

const NOTIFY: &str = "SELECT pg_notify($1, $2)::text";

impl ChangeFeed for SqlStore<Postgres> {
    type Error = SqlFeedError;

    async fn listen(&self) -> Result<impl Stream<Item = Result<FeedEvent, SqlFeedError>> + Send, SqlFeedError> {
        let mut listener = Listener::connect(&self.database).await?;
        listener.test().await?;
        Ok(stream::try_unfold(listener, |mut listener| async move {
            let event = listener.next().await?;
            Ok(Some((event, listener)))
        }))
    }

    fn retry_after(&self, error: &SqlFeedError) -> Duration {
        error.retry_after()
    }

    /// The listener itself finds sooner that heartbeats do not arrive.
    fn silence_limit(&self) -> Duration {
        self.database.heartbeat_interval.saturating_add(4 * ARRIVAL)
    }
}

struct Listener<'a> {
    database: &'a Postgres,
    channel: String,
    /// The payload of our own heartbeats.
    beat: String,
    notifications: BoxStream<'static, Result<PgNotification, sqlx::Error>>,
    /// When the next heartbeat is sent, or the last one must have arrived.
    due: Instant,
    /// How many heartbeats have not arrived since one did.
    pending: u32,
}

impl<'a> Listener<'a> {
    async fn connect(database: &'a Postgres) -> Result<Self, SqlFeedError> {
        // The pooler would leave LISTEN to a connection that others use next, and disturb the answers they get.
        if !database.named_statements {
            return Err(SqlFeedError::Pooled);
        }
        let channel = database.read(CHANNEL, vec![]).await?;
        let channel = channel.first().and_then(|row| row.first()).and_then(Value::text);
        let channel = channel.ok_or(SqlError::invalid_row("no channel name returned"))?.to_owned();
        let id = KeyId::random().map_err(|error| sqlx::Error::Configuration(error.into()))?;

        // A connection apart from the pool's, so that lookups lose none.
        let options = (*database.places.pool.connect_options()).clone();
        let pool = PgPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.acquire_timeout(ACQUIRE_TIMEOUT).connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&pool).await?;
        // A new connection would have missed notifications, and must come with a new beginning.
        listener.eager_reconnect(false);
        listener.listen(&channel).await?;
        // A stream keeps a notification that has half arrived when a heartbeat is due.
        let notifications = stream::try_unfold(listener, |mut listener| async move {
            let notification = listener.try_recv().await?;
            Ok(notification.map(|notification| (notification, listener)))
        });
        Ok(Self {
            database,
            channel,
            beat: format!("{BEAT_MARK}{id}"),
            notifications: notifications.boxed(),
            due: Instant::now(),
            pending: 0,
        })
    }

    /// Sends the first heartbeat and waits for it. Notifications before it are skipped: the cache forgets everything once
    /// this has succeeded.
    async fn test(&mut self) -> Result<(), SqlFeedError> {
        match self.notify().await {
            // A connection of the pool has received what the listening one should have.
            Err(sqlx::Error::Protocol(_)) => return Err(SqlFeedError::Swallowed),
            sent => sent?,
        }
        self.due = Instant::now() + SELF_TEST;
        while let Some(notification) = self.receive().await? {
            if notification.payload() == self.beat {
                self.arrived();
                return Ok(());
            }
        }
        Err(SqlFeedError::Swallowed)
    }

    /// Returns the next change, or that a heartbeat has arrived, and sends heartbeats while there is no change.
    async fn next(&mut self) -> Result<FeedEvent, SqlFeedError> {
        loop {
            let Some(notification) = self.receive().await? else {
                self.beat().await?;
                continue;
            };
            match notification.payload() {
                payload if payload == self.beat => {
                    self.arrived();
                    return Ok(FeedEvent::Alive);
                }
                payload if payload.starts_with(BEAT_MARK) => {}
                payload => return Ok(invalidation(Some(payload)).into()),
            }
        }
    }

    /// Sends a heartbeat, unless the last two have not arrived.
    async fn beat(&mut self) -> Result<(), SqlFeedError> {
        if self.pending >= 2 {
            return Err(SqlFeedError::Silent);
        }
        self.notify().await?;
        self.pending += 1;
        self.due = Instant::now() + ARRIVAL;
        Ok(())
    }

    fn arrived(&mut self) {
        self.pending = 0;
        self.due = Instant::now() + self.database.heartbeat_interval;
    }

    async fn notify(&mut self) -> Result<(), sqlx::Error> {
        self.database.read(NOTIFY, vec![self.channel.clone().into(), self.beat.clone().into()]).await.map(drop)
    }

    /// Returns the next notification, or `None` when a heartbeat is due.
    async fn receive(&mut self) -> Result<Option<PgNotification>, SqlFeedError> {
        match timeout_at(self.due, self.notifications.try_next()).await {
            Ok(received) => Ok(Some(received?.ok_or(SqlFeedError::Closed)?)),
            Err(_elapsed) => Ok(None),
        }
    }
}
