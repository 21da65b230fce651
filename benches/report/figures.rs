//! What was measured of cases that are compared with each other, and how it is printed.

use crate::case::Case;
use crate::rounds::{self, median};
use crate::{counting, steps};

/// Cases of one table. The first one is the floor.
pub(crate) struct Group {
    figures: Vec<Figures>,
}

/// What one request of a case costs.
pub(crate) struct Figures {
    name: &'static str,
    pub(crate) allocations: f64,
    pub(crate) instructions: f64,
    /// Nanoseconds in each round.
    times: Vec<f64>,
}

const COUNTED: usize = 256;

impl Group {
    /// Measures the cases and prints them as a table.
    pub(crate) fn measure(title: &str, mut cases: Vec<Case>) -> Self {
        let allocations = cases.iter_mut().map(|case| {
            (case.run)(64);
            counting::count(|| (case.run)(COUNTED)).1 as f64 / COUNTED as f64
        });
        let allocations: Vec<f64> = allocations.collect();
        let times = rounds::time(&mut cases);
        let instructions = steps::count(&mut cases);
        let measured = cases.iter().zip(allocations).zip(instructions).zip(times);
        let figures = measured.map(|(((case, allocations), instructions), times)| Figures {
            name: case.name,
            allocations,
            instructions,
            times,
        });
        let group = Self { figures: figures.collect() };
        group.print(title);
        group
    }

    pub(crate) fn of(&self, name: &str) -> &Figures {
        self.figures.iter().find(|figures| figures.name == name).unwrap_or_else(|| panic!("no case {name}"))
    }

    fn floor(&self) -> &Figures {
        &self.figures[0]
    }

    /// Instructions over those of the floor.
    pub(crate) fn instructions(&self, name: &str) -> f64 {
        self.of(name).instructions - self.floor().instructions
    }

    /// Allocations over those of the floor.
    pub(crate) fn allocations(&self, name: &str) -> f64 {
        self.of(name).allocations - self.floor().allocations
    }

    /// The time of one case over the floor, in relation to that of another: the median over the rounds.
    pub(crate) fn time_ratio(&self, name: &str, other: &str) -> f64 {
        let over = |name: &str, round: usize| self.of(name).times[round] - self.floor().times[round];
        median((0..self.floor().times.len()).map(|round| over(name, round) / over(other, round)))
    }

    fn print(&self, title: &str) {
        println!("\n## {title}\n");
        println!("| case | allocations | over floor | instructions | over floor | time, x floor | ns |");
        println!("|---|--:|--:|--:|--:|--:|--:|");
        for Figures { name, allocations, instructions, times } in &self.figures {
            let (more, longer) = (self.allocations(name), self.instructions(name));
            let ratio = median(times.iter().zip(&self.floor().times).map(|(time, floor)| time / floor));
            let time = median(times.iter().copied());
            println!(
                "| {name} | {allocations:.2} | {more:.2} | {instructions:.0} | {longer:.0} | {ratio:.2} | {time:.0} |"
            );
        }
    }
}
