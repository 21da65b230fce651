//! A server in a process of its own.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use tokio::net::TcpListener;
use tower_api_key::BoxError;

use crate::contender::{self, Contender};
use crate::databases::Urls;

/// The argument by which this program becomes a server.
pub(crate) const SERVE: &str = "serve";

/// Ends when it is dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    process: Child,
}

impl Server {
    pub(crate) fn start(contender: &Contender, urls: &Urls) -> Result<Self, BoxError> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([SERVE, contender.name, &urls.to_text()])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut port = String::new();
        BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut port)?;
        Ok(Self { port: port.trim().parse().map_err(|_| format!("{} does not start", contender.name))?, process })
    }

    /// Returns the CPU time of all threads so far, in nanoseconds. A thread that has ended does not count.
    pub(crate) fn cpu(&self) -> Result<f64, BoxError> {
        let mut nanoseconds = 0.0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let schedule = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            nanoseconds += schedule.split(' ').next().unwrap_or_default().parse::<f64>()?;
        }
        Ok(nanoseconds)
    }

    /// Returns the resident memory, in MiB.
    pub(crate) fn memory(&self) -> Result<f64, BoxError> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(resident.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves until the process is killed, on the runtime that `#[tokio::main]` makes. Prints the port first.
pub(crate) fn serve(name: &str, urls: &str) -> Result<(), BoxError> {
    let (contender, urls) = (contender::find(name).ok_or("no such server")?, Urls::from_text(urls)?);
    tokio::runtime::Runtime::new()?.block_on(async move {
        let router = (contender.router)(urls).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?.port());
        Ok(axum::serve(listener, router).await?)
    })
}
