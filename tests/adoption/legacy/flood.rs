//! A flood of invented legacy keys slows no known key. The old table and the keys share one machine: verifications and
//! requests take its processors by turns. Time is simulated, so that the figures are the same on every machine.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::auth::{LegacyFormat, LegacyKey, LegacyLimits, LegacyVerifier};
use tower_api_key::manage::ImportedKey;
use tower_api_key::{ApiKeyLayer, KeyManager, MemoryStore, OrganizationId};

use crate::support::calls::{call, full, issue};

const PROCESSORS: usize = 4;
/// As long as bcrypt with 12 rounds takes.
const VERIFICATION: Duration = Duration::from_millis(250);
const HANDLER: Duration = Duration::from_millis(1);

/// A hash that takes a processor of the machine for its time.
#[derive(Clone)]
struct SlowHash {
    machine: Arc<Semaphore>,
    limits: LegacyLimits,
}

impl LegacyVerifier for SlowHash {
    type Error = Infallible;

    fn formats(&self) -> Vec<LegacyFormat> {
        vec![LegacyFormat::separated('|')]
    }

    fn limits(&self) -> LegacyLimits {
        self.limits
    }

    async fn verify(&self, _: LegacyKey) -> Result<Option<(OrganizationId, ImportedKey)>, Infallible> {
        let _processor = self.machine.acquire().await.unwrap();
        sleep(VERIFICATION).await;
        Ok(None)
    }
}

/// Sends 200 requests a second with a known key for five seconds, and `invented` legacy keys a second in addition. Returns
/// the p99 of the requests with the known key, all of which must be accepted.
async fn p99(limits: LegacyLimits, invented: u64) -> Duration {
    let (store, machine) = (MemoryStore::new(), Arc::new(Semaphore::new(PROCESSORS)));
    let key = issue(&store, full()).await.secret.expose_secret().to_owned();
    let verifier = SlowHash { machine: Arc::clone(&machine), limits };
    let layer = ApiKeyLayer::new(store.clone()).legacy_keys(KeyManager::new(store), verifier).unwrap();
    let flood = layer.clone();
    let flooding = tokio::spawn(async move {
        let pause = Duration::from_secs(1).checked_div(u32::try_from(invented).unwrap()).unwrap_or(Duration::MAX);
        for number in 0_u64.. {
            sleep(pause).await;
            let layer = flood.clone();
            tokio::spawn(async move { call(&layer, &format!("{number}|invented")).await });
        }
    });
    let mut requests = Vec::new();
    for _ in 0..1_000 {
        sleep(Duration::from_millis(5)).await;
        let (layer, key, machine) = (layer.clone(), key.clone(), Arc::clone(&machine));
        requests.push(tokio::spawn(async move {
            let began = Instant::now();
            let service = layer.layer(service_fn(async |_: Request<()>| {
                let _processor = machine.acquire().await.unwrap();
                sleep(HANDLER).await;
                Ok::<_, Infallible>(Response::new(String::new()))
            }));
            let request = Request::builder().header("x-avala-api-key", key).body(()).unwrap();
            assert_eq!(service.oneshot(request).await.unwrap().status(), 200);
            began.elapsed()
        }));
    }
    let mut times = Vec::new();
    for request in requests {
        times.push(request.await.unwrap());
    }
    flooding.abort();
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// Cases: 214.
#[tokio::test(start_paused = true)]
async fn flood_of_invented_legacy_keys_slows_no_key() {
    let bounded = LegacyLimits::new().with_concurrency(PROCESSORS / 2);
    let (idle, flooded) = (p99(bounded, 0).await, p99(bounded, 1_000).await);
    assert!(flooded <= idle * 12 / 10, "p99 {idle:?} idle, {flooded:?} under the flood");
}

/// Cases: 214.
///
/// The negative control.
#[tokio::test(start_paused = true)]
async fn flood_without_bounds_slows_keys() {
    let unbounded = LegacyLimits::new().with_concurrency(1_000_000);
    let (idle, flooded) = (p99(unbounded, 0).await, p99(unbounded, 1_000).await);
    assert!(flooded > idle * 100, "p99 {idle:?} idle, {flooded:?} under the flood");
}

/// Cases: 214.
///
/// The default leaves half of the processors to requests.
#[test]
fn default_verifications_leave_processors_free() {
    let processors = std::thread::available_parallelism().unwrap().get();
    let debug = format!("{:?}", LegacyLimits::default());
    assert!(debug.contains(&format!("concurrency: {}", (processors / 2).max(1))), "{debug}");
    assert_eq!(LegacyLimits::new(), LegacyLimits::default());
}
