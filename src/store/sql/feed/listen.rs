use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::{Instant, timeout_at};

use super::{Change, Feed, Silence};
use crate::key::KeyId;
use crate::store::sql::SqlError;
use crate::store::sql::backend::{Backend, Value};
use crate::store::sql::postgres::Postgres;

/// How often we tell ourselves something, to know that we would hear it.
const BEAT: Duration = Duration::from_secs(5);
/// How soon the first of these must come back.
const SELF_TEST: Duration = Duration::from_secs(2);
/// What a beat begins with. No key id does.
const BEAT_MARK: char = '!';

/// The channel that the triggers of these tables use.
const CHANNEL: &str = "SELECT 'tower_api_key_' || md5(n.nspname) FROM pg_class c \
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = 'tower_api_key_keys'::regclass";

const NOTIFY: &str = "SELECT pg_notify($1, $2)::text";

impl Feed for Postgres {
    async fn follow(&self, changed: impl Fn(Change) + Send + Sync) -> Result<Infallible, Silence> {
        // The listening would stay with a connection that others use next, and break into the answers they get.
        if !self.named_statements {
            return Err(Silence::Pooled);
        }
        let channel = self.fetch(CHANNEL, vec![]).await?;
        let channel = channel.first().and_then(|row| row.first()).and_then(Value::text);
        let channel = channel.ok_or(SqlError::bad_row("no channel"))?;
        let me = KeyId::random().map_err(|error| sqlx::Error::Configuration(error.into()))?;
        let beat = format!("{BEAT_MARK}{me}");

        // A connection beside the pool's, so that lookups lose none.
        let options = (*self.pool.connect_options()).clone();
        let pool = PgPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.acquire_timeout(BEAT).connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&pool).await?;
        // A new connection would have missed something. It must come with a new beginning.
        listener.eager_reconnect(false);
        listener.listen(channel).await?;
        // Holds on to a message that has half arrived when the beat is due.
        let notifications = stream::unfold(listener, |mut listener| async {
            let notification = listener.try_recv().await;
            Some((notification, listener))
        });
        let mut notifications = pin!(notifications);

        let (mut began, mut missed) = (false, 0);
        loop {
            match self.fetch(NOTIFY, vec![channel.to_owned().into(), beat.clone().into()]).await {
                // A connection of the pool was told what the listening one should have been.
                Err(sqlx::Error::Protocol(_)) if !began => return Err(Silence::Swallowed),
                told => told?,
            };
            let due = Instant::now() + if began { BEAT } else { SELF_TEST };
            let mut heard = false;
            while let Ok(Some(notification)) = timeout_at(due, notifications.next()).await {
                let notification = notification?.ok_or_else(|| sqlx::Error::WorkerCrashed)?;
                match notification.payload() {
                    payload if payload == beat => {
                        heard = true;
                        if !began {
                            began = true;
                            changed(Change::Anything);
                        }
                    }
                    payload if payload.starts_with(BEAT_MARK) => {}
                    payload => changed(Change::parse(Some(payload))),
                }
            }
            missed = if heard { 0 } else { missed + 1 };
            match (began, missed) {
                (false, _) => return Err(Silence::Swallowed),
                (true, 2..) => return Err(Silence::Unheard),
                (true, _) => {}
            }
        }
    }
}
