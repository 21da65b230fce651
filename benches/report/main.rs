//! Compares the crate with hand-written middleware and with the bare service, as a report in Markdown.
//!
//! ```text
//! cargo bench --all-features --bench report
//! ```
//!
//! `-- limits` at the end runs the part about limits alone. `benches/README.md` explains the tables.
#![expect(clippy::result_large_err, reason = "a peer that rejects with a whole response")]

#[expect(dead_code, reason = "of other benches")]
mod bars;
mod case;
mod counting;
mod figures;
mod guard;
mod inner;
mod keys;
mod peers;
mod rounds;
mod sections;
mod steps;

use tower_api_key::BoxError;

use self::bars::Bars;
use self::sections::{accepted, limits, memory, options, parts, rejected, router, stalled, threads};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

fn main() -> Result<(), BoxError> {
    println!("# Report");
    let bars = Bars::default();
    if std::env::args().any(|argument| argument == "limits") {
        limits::report(&bars);
        bars.print();
        return Ok(());
    }
    // A store that must be awaited has a timer of this runtime. It has no thread, which a fork would leave behind.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    accepted::report(&bars);
    rejected::report(&bars);
    router::report(&bars);
    options::report(&bars, &runtime)?;
    limits::report(&bars);
    parts::report();
    memory::report(&bars);
    threads::report(&bars);
    drop(entered);
    stalled::report()?;
    bars.print();
    Ok(())
}
