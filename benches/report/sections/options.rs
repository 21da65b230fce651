//! What is added by a store that must be awaited, a cache, a table of routes, and those who watch.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method};
use tokio::runtime::Runtime;
use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::manage::StoredCredential;
use tower_api_key::routes::RouteTable;
use tower_api_key::scope::avala;
use tower_api_key::store::{CachedStore, SqliteStore};
use tower_api_key::usage::UsageTracker;
use tower_api_key::{Access, ApiKeyLayer, BoxError, KeyManager, KeyStore, MemoryStore, NewKey, Requirement};

use crate::bars::Bars;
use crate::figures::Group;
use crate::guard::{accepted, bare, leaner, same_work};
use crate::inner::Inner;
use crate::keys::{name, presented, store, tomorrow};

const SAME: &str = "memory store";
const AWAITED: &str = "store that must be awaited";
const CACHED: &str = "cache hit over SQLite";
const FEW: &str = "route table of 10";
const MANY: &str = "route table of 1,000";
const STILL: &str = "memory store, time stands still";
const USAGE: &str = "the same, usage tracking";

pub(crate) fn report(bars: &Bars, runtime: &Runtime) -> Result<(), BoxError> {
    let values = presented(1_000);
    let keys = store(1_000, Some(tomorrow()));
    let same = same_work(keys.clone());
    let usage = UsageTracker::new();
    // To step through a request takes a part of a second, and most uses of a key that is in use come in one second.
    let now = SystemTime::now();
    let still = same.clone().clock(move || now);
    let second = AtomicU64::new(0);
    let century = Duration::from_secs(100 * 365 * 86_400);
    let seconds = same_work(store(1_000, Some(now + century)))
        .clock(move || now + Duration::from_secs(second.fetch_add(1, Ordering::Relaxed)));
    let sqlite = runtime.block_on(cached(&values))?;
    let case = |name, layer: &ApiKeyLayer| accepted(name, &values, layer, Inner::PLAIN);
    let table = |routes| leaner(ApiKeyLayer::new(keys.clone())).routes(table(routes));
    let cases = vec![
        bare(&values, Inner::PLAIN),
        case(SAME, &same),
        case(AWAITED, &same_work(Awaited { store: keys.clone(), pending: false })),
        case(
            "store that is not ready when it is first asked",
            &same_work(Awaited { store: keys.clone(), pending: true }),
        ),
        case(CACHED, &same_work(sqlite)),
        case(FEW, &table(10)),
        case("route table of 100", &table(100)),
        case(MANY, &table(1_000)),
        case(STILL, &still),
        case(USAGE, &still.clone().track_usage(&usage)),
        case("usage tracking, the first use of a key in a second", &seconds.track_usage(&UsageTracker::new())),
        case(
            "hook",
            &same.clone().on_decision(|event| {
                std::hint::black_box(event.outcome());
            }),
        ),
    ];
    let group = Group::measure("Accepted, same work, with more", cases);
    bars.at_most("accepted, store that must be awaited: allocations", group.allocations(AWAITED), 4.0, 0);
    bars.at_most("accepted, store that must be awaited: instructions", group.instructions(AWAITED), 2_300.0, 0);
    let more = |name, than| group.of(name).instructions - group.of(than).instructions;
    let allocations = |name, than| group.of(name).allocations - group.of(than).allocations;
    bars.at_most("cache hit over SQLite: allocations more than memory", allocations(CACHED, SAME), 0.0, 1);
    bars.at_most("cache hit over SQLite: instructions more than memory", more(CACHED, SAME), 400.0, 0);
    bars.at_most("growth: 1,000 routes, of 10", group.instructions(MANY) / group.instructions(FEW), 1.3, 2);
    bars.at_most("usage tracking: instructions more", more(USAGE, STILL), 60.0, 0);
    bars.at_most("usage tracking: allocations more", allocations(USAGE, STILL), 0.0, 1);
    Ok(())
}

/// The keys that are presented, in an SQLite file, and all of them in a cache.
async fn cached(values: &Arc<[HeaderValue]>) -> Result<CachedStore<SqliteStore>, BoxError> {
    let directory = std::env::temp_dir().join(format!("tower-api-key-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let sqlite = SqliteStore::connect(&format!("sqlite:{}/keys.db", directory.display())).await?;
    sqlite.migrate().await?;
    let cache = CachedStore::builder(sqlite).time_to_live(Duration::from_secs(3_600)).build();
    let keys = KeyManager::new(cache.clone());
    let scopes = [avala::DATASETS_READ, avala::PROJECTS_READ];
    for (number, value) in values.iter().enumerate() {
        let new = NewKey::new(name(number as u64), Access::scoped(scopes.clone()))?.with_expires_at(tomorrow());
        keys.import(&"acme".parse()?, (new, StoredCredential::from_plaintext(value.as_bytes()))).await?;
    }
    for value in &**values {
        let found = cache.find(&KeyDigest::hash(value.as_bytes())).await?;
        assert!(found.is_some());
    }
    std::fs::remove_dir_all(directory)?;
    Ok(cache)
}

fn table(routes: usize) -> RouteTable {
    let mut table = RouteTable::builder().route(Method::GET, "/datasets", avala::DATASETS_READ);
    for number in 1..routes {
        let pattern = format!("/resource{number}/{{uid}}/");
        table = table.route(Method::GET, pattern, Requirement::from(avala::DATASETS_READ));
    }
    table.build().expect("no two lines are alike")
}

/// Answers when it is awaited, at the first poll or at the second one.
struct Awaited {
    store: MemoryStore,
    pending: bool,
}

impl KeyStore for Awaited {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        if self.pending {
            tokio::task::yield_now().await;
        }
        self.store.find(digest).await
    }
}
