//! One table: servers that took turns, under the same load.

use std::time::{Duration, Instant};

use tower_api_key::BoxError;

use crate::bars::Bars;
use crate::contender::{BARE, BARE_AGAIN, Contender};
use crate::databases::Databases;
use crate::load;
use crate::process::Server;

/// The first one is not counted.
const ROUNDS: usize = 12;
const TURN: Duration = Duration::from_millis(500);

pub(crate) struct Table<'a> {
    connections: u64,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    contender: &'a Contender,
    rounds: Vec<Figures>,
    memory: f64,
}

#[derive(Clone, Copy)]
struct Figures {
    /// A second.
    requests: f64,
    /// In microseconds of the server, for each request.
    cpu: f64,
    p50: f64,
    p99: f64,
}

impl<'a> Table<'a> {
    pub(crate) fn measure(
        contenders: &[&'a Contender],
        databases: &Databases,
        connections: u64,
    ) -> Result<Self, BoxError> {
        let servers = contenders.iter().map(|contender| Server::start(contender, &databases.urls));
        let servers = servers.collect::<Result<Vec<_>, _>>()?;
        let row = |contender: &&'a Contender| Row { contender, rounds: vec![], memory: f64::NAN };
        let mut rows: Vec<Row<'a>> = contenders.iter().map(row).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        for round in 0..=ROUNDS {
            for place in 0..servers.len() {
                // Each round begins with another server.
                let number = (place + round) % servers.len();
                let figures = runtime.block_on(turn(&servers[number], connections))?;
                if round > 0 {
                    rows[number].rounds.push(figures);
                }
            }
        }
        for (row, server) in rows.iter_mut().zip(&servers) {
            row.memory = server.memory()?;
        }
        Ok(Self { connections, rows })
    }

    pub(crate) fn print(&self) {
        println!("\n## {} connections\n", self.connections);
        println!("| server | req/s | of bare | spread | CPU us a request | of bare | p50 us | p99 us | RSS MiB |");
        println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
        for Row { contender, rounds, memory } in &self.rows {
            let of = |figure: fn(&Figures) -> f64| median(rounds.iter().map(figure));
            let of_bare = self.ratios(contender.name, BARE, |figures| figures.requests);
            println!(
                "| {} | {:.0} | {:.3} | {:.2} to {:.2} | {:.1} | {:.2} | {:.0} | {:.0} | {memory:.0} |",
                contender.name,
                of(|figures| figures.requests),
                median(of_bare.iter().copied()),
                of_bare.iter().copied().fold(f64::NAN, f64::min),
                of_bare.iter().copied().fold(f64::NAN, f64::max),
                of(|figures| figures.cpu),
                median(self.ratios(contender.name, BARE, |figures| figures.cpu)),
                of(|figures| figures.p50),
                of(|figures| figures.p99),
            );
        }
        let control = self.ratios(BARE_AGAIN, BARE, |figures| figures.cpu);
        println!("\nThe second bare server took {:.2} of the CPU time of the first.", median(control));
    }

    pub(crate) fn check(&self, bars: &Bars) {
        for contender in self.rows.iter().map(|row| row.contender) {
            let Some(peer) = contender.peer else { continue };
            let requests = median(self.ratios(contender.name, peer.name, |figures| figures.requests));
            let cpu = median(self.ratios(contender.name, peer.name, |figures| figures.cpu));
            if requests.is_nan() {
                continue;
            }
            let what = format!("{}, {} connections, of {}", contender.name, self.connections, peer.name);
            if self.connections == 1 {
                bars.at_least(format!("{what}: req/s"), requests, peer.least_requests_of_one_connection, 2);
            } else {
                bars.at_least(format!("{what}: req/s"), requests, peer.least_requests, 2);
                bars.at_most(format!("{what}: CPU"), cpu, peer.most_cpu, 2);
            }
        }
    }

    /// Returns the ratio of two servers in each round; none if one of them did not run.
    fn ratios(&self, one: &str, other: &str, figure: fn(&Figures) -> f64) -> Vec<f64> {
        let rounds = |name| self.rows.iter().find(|row| row.contender.name == name).map(|row| &row.rounds);
        let (Some(one), Some(other)) = (rounds(one), rounds(other)) else { return vec![] };
        one.iter().zip(other).map(|(one, other)| figure(one) / figure(other)).collect()
    }
}

async fn turn(server: &Server, connections: u64) -> Result<Figures, BoxError> {
    let (cpu, start) = (server.cpu()?, Instant::now());
    let mut times = load::run(server.port, connections, TURN).await?;
    let (elapsed, cpu) = (start.elapsed().as_secs_f64(), server.cpu()? - cpu);
    times.sort_unstable();
    let requests = times.len();
    let at = |part: usize| f64::from(times[requests * part / 100]) / 1e3;
    Ok(Figures { requests: requests as f64 / elapsed, cpu: cpu / requests as f64 / 1e3, p50: at(50), p99: at(99) })
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns what the figures depend on.
pub(crate) fn versions() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    format!("tower-api-key {}, {cpus} cores, {ROUNDS} rounds of {TURN:?}.", env!("CARGO_PKG_VERSION"))
}
