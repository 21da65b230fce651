//! Whether a request waits for the store that keeps the usage of keys, while the store works and while it is stalled.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use http::{Request, Response};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_api_key::test_kit::{Fault, FaultyStore};
use tower_api_key::usage::UsageTracker;
use tower_api_key::{ApiKeyLayer, BoxError, MemoryStore};

use crate::keys::{store, text};

const ROUNDS: usize = 200;
const REQUESTS: usize = 2_000;
const KEYS: usize = 100;

pub(crate) fn report() -> Result<(), BoxError> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(compare())
}

async fn compare() -> Result<(), BoxError> {
    let keys = store(KEYS as u64, None);
    let texts: Vec<_> = (0..KEYS as u64).map(text).collect();
    let usage = UsageTracker::new();
    let layer = ApiKeyLayer::new(keys.clone()).track_usage(&usage);
    let mut service = layer.layer(service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(()))));

    let store = FaultyStore::new(keys);
    let reporter = tokio::spawn(tell(usage.clone(), store.clone()));
    let (mut working, mut stalled) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let is_stalled = round % 2 == 1;
        store.set_fault(if is_stalled { Fault::Hang } else { Fault::None });
        // Until a report has met it.
        tokio::time::sleep(Duration::from_millis(3)).await;
        let times = if is_stalled { &mut stalled } else { &mut working };
        for number in 0..REQUESTS {
            let request = Request::builder().header("x-avala-api-key", &texts[number % KEYS]).body(())?;
            let start = Instant::now();
            let response = service.ready().await?.call(request).await?;
            times.push(start.elapsed());
            assert_eq!(response.status(), 200);
        }
    }
    reporter.abort();
    println!("\n## Usage tracking, its store stalled\n");
    println!("| of {} requests | store works | store stalled | ratio |\n|---|--:|--:|--:|", ROUNDS * REQUESTS);
    for (name, at) in [("median", 0.5), ("p99", 0.99)] {
        let (working, stalled) = (percentile(&mut working, at), percentile(&mut stalled, at));
        let ratio = stalled.as_secs_f64() / working.as_secs_f64();
        println!("| {name} | {working:.1?} | {stalled:.1?} | {ratio:.2} |");
    }
    Ok(())
}

/// Reports to the store each millisecond, and gives up a report after another millisecond.
async fn tell(usage: UsageTracker, store: FaultyStore<MemoryStore>) {
    const PAUSE: Duration = Duration::from_millis(1);
    loop {
        tokio::time::sleep(PAUSE).await;
        if let Ok(told) = tokio::time::timeout(PAUSE, usage.flush(&store)).await {
            told.expect("memory does not fail");
        }
    }
}

fn percentile(times: &mut [Duration], at: f64) -> Duration {
    times.sort_unstable();
    times[(times.len() as f64 * at) as usize]
}
