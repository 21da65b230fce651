//! What one request costs in a program with one protected service: where the compiler inlines what it can, and in the stack
//! that the README recommends.
//!
//! ```text
//! cargo bench --all-features --bench request
//! ```
//!
//! Words at the end are parts of the names of the rows to measure: `-- limit table`. With `threads` alone, the table about
//! two threads is measured.

#[path = "../report/case.rs"]
#[expect(dead_code, reason = "of the report alone")]
mod case;
#[path = "../report/counting.rs"]
mod counting;
#[path = "../report/inner.rs"]
mod inner;
#[path = "../report/keys.rs"]
mod keys;
#[path = "../report/rounds.rs"]
#[expect(dead_code, reason = "of the report alone")]
mod rounds;
mod stacks;
#[path = "../report/steps.rs"]
mod steps;
mod threads;

use self::stacks::Row;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const COUNTED: usize = 256;

fn main() {
    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if words == ["threads"] {
        return threads::report();
    }
    let wanted = |row: &Row| words.is_empty() || row.floor || words.iter().any(|word| row.case.name.contains(&**word));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _entered = runtime.enter();
    let mut rows: Vec<_> = stacks::rows().into_iter().filter(wanted).collect();
    let allocations: Vec<_> = rows
        .iter_mut()
        .map(|row| {
            (row.case.run)(64);
            counting::count(|| (row.case.run)(COUNTED)).1 as f64 / COUNTED as f64
        })
        .collect();
    let (floors, mut cases): (Vec<_>, Vec<_>) = rows.into_iter().map(|row| (row.floor, row.case)).unzip();
    let instructions = steps::count(&mut cases);
    println!("| case | allocations | over floor | instructions | over floor |\n|---|--:|--:|--:|--:|");
    let mut floor = (0.0, 0.0);
    for (((case, is_floor), allocations), instructions) in cases.iter().zip(floors).zip(allocations).zip(instructions) {
        if is_floor {
            floor = (allocations, instructions);
        }
        let more = allocations - floor.0;
        let longer = instructions - floor.1;
        println!("| {} | {allocations:.2} | {more:.2} | {instructions:.0} | {longer:.0} |", case.name);
    }
    if words.is_empty() {
        threads::report();
    }
}
