//! One table: servers that took turns, under the same load.

use std::time::{Duration, Instant};

use tower_api_key::BoxError;

use crate::bars::Bars;
use crate::contender::{BARE, BARE_AGAIN, Contender, Figure};
use crate::databases::Databases;
use crate::load;
use crate::process::Server;

const TURN: Duration = Duration::from_millis(500);
/// Slow servers take part in every third round.
const SLOW: usize = 3;

pub(crate) struct Table<'a> {
    connections: u64,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    contender: &'a Contender,
    versions: String,
    /// None where the server did not take part.
    rounds: Vec<Option<Figures>>,
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
    /// One more round comes before those counted.
    pub(crate) fn measure(
        contenders: &[&'a Contender],
        databases: &Databases,
        connections: u64,
        rounds: usize,
    ) -> Result<Self, BoxError> {
        let (mut rows, mut servers) = (Vec::<Row<'a>>::new(), Vec::new());
        for &contender in contenders {
            let server = Server::start(contender, databases).map(Some);
            if let Some(server) = server.or_else(|error| or_none(contender, &error))? {
                let versions = server.versions.clone();
                rows.push(Row { contender, versions, rounds: vec![], memory: f64::NAN });
                servers.push(server);
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        for round in 0..=rounds {
            for place in 0..servers.len() {
                // Each round begins with another server.
                let number = (place + round) % servers.len();
                let contender = rows[number].contender;
                let takes_part = !contender.is_program() || round % SLOW == 0;
                let figures = takes_part.then(|| runtime.block_on(turn(&servers[number], connections))).transpose();
                let figures = figures.or_else(|error| or_none(contender, &error))?;
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
        let plural = if self.connections == 1 { "" } else { "s" };
        println!("\n## {} connection{plural}\n", self.connections);
        println!(
            "| server | req/s | of bare | spread | CPU us a request | of bare | spread | p50 us | p99 us | RSS MiB |"
        );
        println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
        for Row { contender, rounds, memory, .. } in &self.rows {
            let of = |figure: fn(&Figures) -> f64| median(rounds.iter().flatten().map(figure));
            println!(
                "| {} | {:.0} | {} | {:.1} | {} | {:.0} | {:.0} | {memory:.0} |",
                contender.name,
                of(|figures| figures.requests),
                Ratios::of(self, contender.name, BARE, Figure::Requests).cells(),
                of(|figures| figures.cpu),
                Ratios::of(self, contender.name, BARE, Figure::Cpu).cells(),
                of(|figures| figures.p50),
                of(|figures| figures.p99),
            );
        }
        let control = |figure| Ratios::of(self, BARE_AGAIN, BARE, figure).text();
        println!(
            "\nThe control: the second bare server had {} of the requests of the first, with {} of the CPU time.",
            control(Figure::Requests),
            control(Figure::Cpu)
        );
        for Row { contender, versions, .. } in self.rows.iter().filter(|row| !row.versions.is_empty()) {
            println!("\n{}: {versions}.", contender.name);
        }
    }

    pub(crate) fn check(&self, bars: &Bars) {
        for contender in self.rows.iter().map(|row| row.contender) {
            for bar in contender.bars.iter().filter(|bar| bar.connections == self.connections) {
                let ratios = Ratios::of(self, contender.name, bar.of, bar.figure);
                if ratios.0.is_empty() {
                    continue;
                }
                let what = |figure: &str| {
                    let (least, most) = ratios.spread();
                    let (name, of, connections) = (contender.name, bar.of, self.connections);
                    format!("{name}, connections: {connections}, {figure}, of {of} ({least:.2} to {most:.2})")
                };
                match bar.figure {
                    Figure::Requests => bars.at_least(what("req/s"), ratios.median(), bar.limit, 2),
                    Figure::Cpu => bars.at_most(what("CPU"), ratios.median(), bar.limit, 2),
                }
            }
        }
    }
}

/// A figure of one server, of the same figure of another one, in each round in which both took part.
struct Ratios(Vec<f64>);

impl Ratios {
    fn of(table: &Table<'_>, one: &str, other: &str, figure: Figure) -> Self {
        let figure = |figures: &Figures| match figure {
            Figure::Requests => figures.requests,
            Figure::Cpu => figures.cpu,
        };
        let rounds = |name| table.rows.iter().filter(move |row| row.contender.name == name).flat_map(|row| &row.rounds);
        let both = rounds(one).zip(rounds(other));
        Self(both.filter_map(|(one, other)| Some(figure(one.as_ref()?) / figure(other.as_ref()?))).collect())
    }

    fn median(&self) -> f64 {
        median(self.0.iter().copied())
    }

    fn spread(&self) -> (f64, f64) {
        let fold = |pick: fn(f64, f64) -> f64| self.0.iter().copied().fold(f64::NAN, pick);
        (fold(f64::min), fold(f64::max))
    }

    fn cells(&self) -> String {
        let (median, (least, most)) = (self.median(), self.spread());
        let [median, least, most] = [median, least, most].map(rounded);
        format!("{median} | {least} to {most}")
    }

    fn text(&self) -> String {
        let (least, most) = self.spread();
        format!("{:.2} ({least:.2} to {most:.2})", self.median())
    }
}

/// Returns two digits, and more for less than a tenth.
fn rounded(ratio: f64) -> String {
    let digits = if ratio < 0.000_1 {
        6
    } else if ratio < 0.1 {
        4
    } else {
        2
    };
    format!("{ratio:.digits$}")
}

/// A program that is not ours may fail, and is left out.
fn or_none<T>(contender: &Contender, error: &BoxError) -> Result<Option<T>, BoxError> {
    if contender.is_program() {
        eprintln!("{}: {error}", contender.name);
        return Ok(None);
    }
    Err(format!("{}: {error}", contender.name).into())
}

async fn turn(server: &Server, connections: u64) -> Result<Figures, BoxError> {
    let (cpu, start) = (server.cpu()?, Instant::now());
    let mut times = load::run(server, connections, TURN).await?;
    let (elapsed, cpu) = (start.elapsed().as_secs_f64(), server.cpu()? - cpu);
    times.sort_unstable();
    let requests = times.len();
    let at = |part: usize| times[requests * part / 100] as f64 / 1e3;
    Ok(Figures { requests: requests as f64 / elapsed, cpu: cpu / requests as f64 / 1e3, p50: at(50), p99: at(99) })
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns what the figures depend on.
pub(crate) fn versions(databases: &Databases, rounds: usize) -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let lock = include_str!("../../Cargo.lock");
    let package = |name: &&str| {
        let version = lock.split(&format!("name = \"{name}\"\nversion = \"")).nth(1)?.split('"').next()?;
        Some(format!("{name} {version}"))
    };
    let packages = ["tower-api-key", "axum", "hyper", "tokio", "sqlx"].iter().filter_map(package).collect::<Vec<_>>();
    format!(
        "{}, {}. {cpus} cores. {rounds} rounds, in each of which every server has a turn of {TURN:?}.",
        packages.join(", "),
        databases.versions
    )
}
