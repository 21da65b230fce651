//! 10,000 keys, each used every two seconds: from a cold start on, over several times to live.

use std::time::Duration;

use tower_api_key::background::Background;
use tower_api_key::store::CachedStore;
use tower_api_key::{ApiKeyLayer, BoxError};

use crate::bars::Bars;
use crate::database::{Database, text};
use crate::load::{Second, Server, send};

const KEYS: u64 = 10_000;
const PER_SECOND: u64 = 5_000;
const TIME: Duration = Duration::from_secs(20);
/// The service is warm after so many seconds.
const WARM: usize = 8;

pub(crate) fn report(bars: &Bars) -> Result<(), BoxError> {
    println!(
        "\n## Start and expiry\n\n{KEYS} keys, {PER_SECOND} requests a second, time to live 5 s, a database of {} connections \
         that answers in {:?}, for {TIME:?}. The control needs no database. \"Slow\" took more than 5 ms in the layer.\n",
        Database::CONNECTIONS,
        Database::STATEMENT,
    );
    println!(
        "| cache | 503s in all | until no request waited | after {WARM} s: 503s | waited | slow | statements a second |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|");
    row("control: all keys in memory", None, false)?;
    let batches = row("batches, refreshed", Some(256), true)?;
    row("batches, not refreshed", Some(256), false)?;
    row("one by one, refreshed", Some(1), true)?;
    row("one by one, not refreshed", Some(1), false)?;
    // A store that looks keys up one by one needs 2,000 statements a second for as many keys, and has no bar.
    let bar = |what: &str, figure, limit| bars.at_most(format!("start, batches, refreshed: {what}"), figure, limit, 0);
    bar("503s in all", batches.unavailable as f64, 0.0);
    bar("seconds until no request waited", batches.waiting as f64, 3.0);
    bar(&format!("requests over 5 ms after {WARM} s"), batches.slow as f64, 0.0);
    bar("statements a second", batches.statements, 100.0);
    Ok(())
}

struct Figures {
    unavailable: usize,
    /// Seconds until no request waited.
    waiting: usize,
    slow: usize,
    statements: f64,
}

fn row(name: &str, max_batch: Option<usize>, refreshes: bool) -> Result<Figures, BoxError> {
    let database = Database::new(KEYS, max_batch.unwrap_or(1));
    let server = if max_batch.is_some() {
        let cache = CachedStore::new(database.clone());
        let layer = ApiKeyLayer::new(cache.clone());
        Server::start(layer, move || {
            let background = Background::new();
            if refreshes {
                background.run(cache.refresh());
            }
            background
        })?
    } else {
        Server::start(ApiKeyLayer::new(database.clone().into_keys()), || ())?
    };
    let keys: Vec<_> = (0..KEYS).map(text).collect();
    let client = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let skipped = server.began.elapsed().as_secs() as usize;
    let mut warm = 0;
    client.block_on(async {
        let warming = Duration::from_secs(WARM as u64);
        send(server.address, &keys, PER_SECOND, warming).await?;
        warm = database.statements();
        send(server.address, &keys, PER_SECOND, TIME - warming).await
    })?;
    let statements = (database.statements() - warm) as f64 / (TIME.as_secs() as usize - WARM) as f64;
    let seconds = server.seconds().split_off(skipped);
    let sum = |seconds: &[Second], count: fn(&Second) -> usize| seconds.iter().map(count).sum::<usize>();
    let waiting = seconds.iter().rposition(|second| second.waited > 0).map_or(0, |last| last + 1);
    let after = &seconds[WARM.min(seconds.len())..];
    let (unavailable, slow) = (sum(&seconds, |second| second.unavailable), sum(after, |second| second.slow));
    println!(
        "| {name} | {unavailable} | {waiting} s | {} | {} | {slow} | {statements:.0} |",
        sum(after, |second| second.unavailable),
        sum(after, |second| second.waited),
    );
    Ok(Figures { unavailable, waiting, slow, statements })
}
