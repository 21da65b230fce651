//! A service behind the layer, and one key of each kind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use tower_api_key::scope::avala;
use tower_api_key::store::{KeyBackend, PostgresStore};
use tower_api_key::{Access, ApiKeyLayer};

use crate::support::calls::{Reply, acme, any, call_counted, full, issue, scoped, scopes};
use crate::support::log_lines::{PASSWORD, logged, record_log};

pub(crate) const LOOKUP_TIMEOUT: Duration = Duration::from_millis(250);

/// How much later than the timeout a reply may come.
const GRACE: Duration = Duration::from_millis(50);

pub(crate) struct Guarded {
    layer: ApiKeyLayer,
    /// Each with its reply while the database works.
    keys: Vec<(String, Reply)>,
    handled: AtomicUsize,
}

impl Guarded {
    /// Serves from this store, with keys that `owner` issues in the same database.
    pub(crate) async fn new(store: &PostgresStore, owner: &PostgresStore) -> Self {
        record_log();
        let (valid, reading, other, expired, revoked) = (
            issue(owner, full()).await,
            issue(owner, scoped(&["datasets.read"])).await,
            issue(owner, scoped(&["tasks.read"])).await,
            issue(owner, full()).await,
            issue(owner, full()).await,
        );
        owner.revoke(acme(), revoked.record.id()).await.unwrap();
        sqlx::query("UPDATE tower_api_key_keys SET expires_at = created_at - 1 WHERE digest = $1")
            .bind(expired.record.digest().as_bytes())
            .execute(owner.pool())
            .await
            .unwrap();
        let reading_only = Access::Scoped(scopes(&["datasets.read"]));
        let keys = [
            (&valid, Reply::accepted(&Access::Full)),
            (&reading, Reply::accepted(&reading_only)),
            (&other, Reply::forbidden()),
            (&expired, Reply::expired()),
            (&revoked, Reply::invalid()),
        ];
        assert_eq!(any(owner, &valid).await, Reply::accepted(&Access::Full));
        let keys = keys.map(|(key, reply)| (key.secret.expose_secret().to_owned(), reply));
        Self { keys: keys.into(), ..Self::without_keys(store) }
    }

    /// Serves from a store that cannot be reached, with one key that it does not have.
    pub(crate) fn without_keys(store: &PostgresStore) -> Self {
        record_log();
        let layer = ApiKeyLayer::new(store.clone()).require(avala::DATASETS_READ).lookup_timeout(LOOKUP_TIMEOUT);
        let keys = vec![("avk_00112233445566778899aabbccddeeff01234567".to_owned(), Reply::invalid())];
        Self { layer, keys, handled: AtomicUsize::new(0) }
    }

    /// Asserts that every key gets its own reply.
    pub(crate) async fn serves(&self) {
        for (key, expected) in &self.keys {
            assert_eq!(call_counted(&self.layer, key, &self.handled).await, *expected);
        }
    }

    /// Returns whether a valid key is accepted now. If it is not, the reply must be a 503.
    pub(crate) async fn accepts(&self) -> bool {
        let (key, expected) = &self.keys[0];
        let reply = call_counted(&self.layer, key, &self.handled).await;
        assert!(reply == *expected || reply == Reply::unavailable(), "{reply:?}");
        reply == *expected
    }

    /// Asserts that every key gets a 503 in time, one after the other and all at once. The inner service is not called,
    /// and neither the reply nor the log contains a password.
    pub(crate) async fn is_unavailable(&self, why: &str) {
        let handled = self.handled.load(Ordering::Relaxed);
        let mut elapsed = Vec::new();
        for (key, _) in self.keys.iter().cycle().take(6) {
            elapsed.push(self.is_rejected(key).await);
        }
        elapsed.extend(join_all(self.keys.iter().cycle().take(30).map(|(key, _)| self.is_rejected(key))).await);
        assert_eq!(self.handled.load(Ordering::Relaxed), handled, "{why}: calls of the inner service");
        assert_eq!(logged(PASSWORD), [""; 0]);

        elapsed.sort();
        let (median, last) = (elapsed[elapsed.len() / 2], elapsed[elapsed.len() - 1]);
        println!("{why}: 503 after {median:.1?}, at most {last:.1?}; the lookup timeout is {LOOKUP_TIMEOUT:?}");
        // The slowest reply may have waited for a processor: other tests run in parallel.
        assert!(median <= LOOKUP_TIMEOUT + GRACE, "{why}: {median:?}");
        assert!(last <= LOOKUP_TIMEOUT + 20 * GRACE, "{why}: {last:?}");
    }

    async fn is_rejected(&self, key: &str) -> Duration {
        let start = Instant::now();
        let reply = call_counted(&self.layer, key, &self.handled).await;
        assert_eq!(reply, Reply::unavailable());
        start.elapsed()
    }

    /// Asserts that a valid key is accepted again in time, and that every key then gets its own reply.
    pub(crate) async fn recovers_within(&self, limit: Duration, why: &str) {
        let start = Instant::now();
        while !self.accepts().await {
            assert!(start.elapsed() < limit, "{why}: still unavailable after {:?}", start.elapsed());
        }
        println!("{why}: a valid key accepted {:.1?} after the end of the outage", start.elapsed());
        self.serves().await;
    }
}
