//! Whether a request waits for the one who is told of it: the time of each request while the store of the usage
//! tracker works, and while it is stalled, in turns. The ratios should be 1, but for the noise of the machine.
//!
//! ```text
//! cargo bench --features test-kit --bench usage
//! ```

use std::convert::Infallible;
use std::time::{Duration, Instant};

use http::{Request, Response};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_api_key::test_kit::{Fault, FaultyStore};
use tower_api_key::{Access, ApiKeyLayer, BoxError, KeyManager, MemoryStore, NewKey, UsageTracker};

const ROUNDS: usize = 200;
const REQUESTS: usize = 2_000;
const KEYS: usize = 100;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), BoxError> {
    let keys = MemoryStore::new();
    let organization = "acme".parse()?;
    let mut secrets = Vec::new();
    for _ in 0..KEYS {
        secrets.push(keys.issue(&organization, NewKey::new("bench", Access::Full)?).await?.secret);
    }
    let usage = UsageTracker::new();
    let layer = ApiKeyLayer::new(keys.clone()).track_usage(&usage);
    let mut service = layer.layer(service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(()))));

    let store = FaultyStore::new(keys);
    tokio::spawn(report(usage.clone(), store.clone()));
    let (mut working, mut waiting) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let is_stalled = round % 2 == 1;
        store.set_fault(if is_stalled { Fault::Hang } else { Fault::None });
        // Until a report has met it.
        tokio::time::sleep(Duration::from_millis(3)).await;
        let times = if is_stalled { &mut waiting } else { &mut working };
        for number in 0..REQUESTS {
            let key = secrets[number % KEYS].expose_secret();
            let request = Request::builder().header("x-avala-api-key", key).body(())?;
            let start = Instant::now();
            let response = service.ready().await?.call(request).await?;
            times.push(start.elapsed());
            assert_eq!(response.status(), 200);
        }
    }
    for (name, at) in [("median", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
        let (working, waiting) = (percentile(&mut working, at), percentile(&mut waiting, at));
        let ratio = waiting.as_secs_f64() / working.as_secs_f64();
        println!("{name:>6}: {working:.1?} while the store works, {waiting:.1?} while it is stalled, ratio {ratio:.2}");
    }
    println!("requests whose report was given up: {}", usage.dropped());
    Ok(())
}

/// Tells the store each millisecond, and gives up a report that it does not take in another.
async fn report(usage: UsageTracker, store: FaultyStore<MemoryStore>) {
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
