//! How long the first request of a server takes, compared with the second one.

use std::time::Duration;

use tower_api_key::BoxError;

use crate::bars::Bars;
use crate::contender::{BARE_AGAIN, Contender};
use crate::databases::Databases;
use crate::load::Connection;
use crate::process::Server;
use crate::table::median;

const STARTS: usize = 7;

pub(crate) fn report(contenders: &[&Contender], databases: &Databases, bars: &Bars) -> Result<(), BoxError> {
    println!("\n## First requests\n\n| server | first us | second us | first of second |\n|---|--:|--:|--:|");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for contender in contenders.iter().filter(|contender| contender.name != BARE_AGAIN) {
        let mut times = Vec::new();
        for _ in 0..STARTS {
            // A request to a server that has answered others would not be the first.
            let server = Server::start(contender, databases)?;
            times.push(runtime.block_on(first_two(&server))?);
        }
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let ratio = median(times.iter().map(|[first, second]| micros(*first) / micros(*second)));
        let of = |number: usize| median(times.iter().map(|pair| micros(pair[number])));
        println!("| {} | {:.0} | {:.0} | {ratio:.1} |", contender.name, of(0), of(1));
        if !contender.bars.is_empty() {
            bars.at_most(format!("{}: first request, of the second", contender.name), ratio, 3.0, 1);
        }
    }
    Ok(())
}

/// Those with a key: before them, the connection has sent one without.
async fn first_two(server: &Server) -> Result<[Duration; 2], BoxError> {
    let mut connection = Connection::open(server, 0).await?;
    connection.warm().await?;
    Ok([connection.request().await?, connection.request().await?])
}
