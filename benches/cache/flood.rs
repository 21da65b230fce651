//! First-seen keys in a flood of invented ones: ten times what the database can look up one by one.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{Request, Response};
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::store::CachedStore;
use tower_api_key::{ApiKeyLayer, BoxError};

use crate::bars::Bars;
use crate::database::{Database, text};

const TIME: Duration = Duration::from_secs(10);

pub(crate) fn report(bars: &Bars) -> Result<(), BoxError> {
    let one_by_one = Database::CONNECTIONS as f64 / Database::STATEMENT.as_secs_f64();
    let (invented, good) = (10.0 * one_by_one, one_by_one / 10.0);
    println!(
        "\n## Flood\n\nFor {TIME:?}, {invented:.0} requests a second with invented keys and {good:.0} with valid ones that were \
         not seen before. The database can look up {one_by_one:.0} keys a second one by one, on its {} connections, of which the \
         cache uses 5 for keys that it has not seen.\n\n| lookups | requests sent a second | valid keys served | of all |\n|---|--:|--:|--:|",
        Database::CONNECTIONS
    );
    for (name, max_batch) in [("batches of 256", 256), ("one by one", 1)] {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let keys = (good * TIME.as_secs_f64()) as u64;
        let layer = ApiKeyLayer::new(CachedStore::new(Database::new(keys, max_batch)));
        let (sent, served) = runtime.block_on(flood(layer, keys, invented + good));
        let share = served as f64 / keys as f64;
        println!("| {name} | {:.0} | {served} | {share:.3} |", sent / TIME.as_secs_f64());
        if max_batch > 1 {
            bars.at_least("flood: valid keys served", share, 0.8, 2);
        }
    }
    Ok(())
}

/// Returns how many requests were sent, and how many of those with a valid key were served.
async fn flood(layer: ApiKeyLayer, keys: u64, per_second: f64) -> (f64, usize) {
    let served = Arc::new(AtomicUsize::new(0));
    let handled = Arc::clone(&served);
    let service = layer.layer(service_fn(move |_: Request<()>| {
        handled.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, Infallible>(Response::new(())) }
    }));
    let all = (per_second * TIME.as_secs_f64()) as u64;
    let every = all / keys;
    let (began, mut sent, mut requests) = (Instant::now(), 0, JoinSet::new());
    // One that the machine is too slow to send in time is not sent.
    while began.elapsed() < TIME {
        let due = (began.elapsed().as_secs_f64() * per_second) as u64;
        while sent < due {
            let is_good = sent % every == 0 && sent / every < keys;
            let key = if is_good { text(sent / every) } else { text(u64::MAX - sent) };
            let request = Request::builder().header("x-avala-api-key", key).body(()).expect("it is valid");
            requests.spawn(service.clone().oneshot(request));
            sent += 1;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        while requests.try_join_next().is_some() {}
    }
    requests.join_all().await;
    (sent as f64, served.load(Ordering::Relaxed))
}
