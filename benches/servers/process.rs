//! Servers in processes of their own. Each announces itself on its output, and ends when its input ends.

use std::io::{BufRead, BufReader, Read};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tower_api_key::BoxError;

use crate::contender::{Contender, How};
use crate::databases::{Databases, Urls};
use crate::{keys, nginx};

/// The argument by which this program becomes a server.
pub(crate) const SERVE: &str = "serve";
/// Enough to store 10,000 keys in a slow language, on a busy machine.
const START: Duration = Duration::from_secs(120);
const END: Duration = Duration::from_secs(5);

pub(crate) struct Server {
    pub(crate) port: u16,
    /// Empty for a server of this program.
    pub(crate) versions: String,
    pub(crate) keys: Vec<String>,
    processes: Vec<Process>,
}

impl Server {
    pub(crate) fn start(contender: &Contender, databases: &Databases) -> Result<Self, BoxError> {
        let server = match &contender.how {
            How::Router(_) => Self::start_router(contender.name, databases),
            How::Program(program) => Self::announced(program.command(&databases.dir)),
            How::Nginx => nginx::start(databases),
        };
        server.map_err(|error| format!("does not start: {error}").into())
    }

    pub(crate) fn start_router(name: &str, databases: &Databases) -> Result<Self, BoxError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([SERVE, name, &databases.urls.to_text()]);
        Ok(Self { keys: keys::used_texts(), versions: String::new(), ..Self::announced(command)? })
    }

    /// Starts a server that prints its versions, its port and the keys to use, each on a line, and an empty line.
    fn announced(mut command: Command) -> Result<Self, BoxError> {
        let mut process = Process::start(command.stdout(Stdio::piped()))?;
        let output = BufReader::new(process.0.stdout.take().ok_or("no output")?);
        let (sender, announced) = mpsc::channel();
        thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let _ = sender.send(lines.collect::<Vec<_>>());
        });
        let mut lines = announced.recv_timeout(START)?.into_iter();
        let (Some(versions), Some(port)) = (lines.next(), lines.next()) else { return Err("it ended".into()) };
        Ok(Self { port: port.parse()?, versions, keys: lines.collect(), processes: vec![process] })
    }

    /// Adds a process, whose port becomes that of the server.
    pub(crate) fn behind(mut self, port: u16, process: Process, versions: String) -> Self {
        self.processes.push(process);
        Self { port, versions, ..self }
    }

    /// Returns the CPU time of the server so far, with its child processes, in nanoseconds.
    pub(crate) fn cpu(&self) -> Result<f64, BoxError> {
        self.tree()?.into_iter().map(cpu_time).sum()
    }

    /// Returns the resident memory, in MiB. What processes share counts for each of them.
    pub(crate) fn memory(&self) -> Result<f64, BoxError> {
        let mut kilobytes = 0.0;
        for process in self.tree()? {
            let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
            let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
            kilobytes += resident.trim().trim_end_matches("kB").trim().parse::<f64>()?;
        }
        Ok(kilobytes / 1024.0)
    }

    fn tree(&self) -> Result<Vec<u32>, BoxError> {
        let mut tree: Vec<u32> = self.processes.iter().map(|process| process.0.id()).collect();
        // Those of this program have no children.
        if self.versions.is_empty() {
            return Ok(tree);
        }
        let parents = parents()?;
        let mut at = 0;
        while let Some(&parent) = tree.get(at) {
            tree.extend(parents.iter().filter(|child| child.1 == parent).map(|child| child.0));
            at += 1;
        }
        Ok(tree)
    }
}

/// Returns the CPU time of a process in nanoseconds, also that of threads that have ended.
#[expect(unsafe_code, reason = "clock_gettime")]
fn cpu_time(process: u32) -> Result<f64, BoxError> {
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: `clock` and `time` outlive the calls.
    let failed = unsafe {
        libc::clock_getcpuclockid(process.cast_signed(), &raw mut clock) != 0
            || libc::clock_gettime(clock, &raw mut time) != 0
    };
    if failed {
        return Err(format!("the process {process} has ended").into());
    }
    Ok(time.tv_sec as f64 * 1e9 + time.tv_nsec as f64)
}

/// Returns each process, with its parent.
fn parents() -> Result<Vec<(u32, u32)>, BoxError> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that has ended meanwhile has none.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // Its name, in parentheses, may have spaces and parentheses.
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)).and_then(|id| id.parse().ok());
        parents.extend(parent.map(|parent| (process, parent)));
    }
    Ok(parents)
}

/// Ends when it is dropped, and when this program ends.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> std::io::Result<Self> {
        command.stdin(Stdio::piped()).spawn().map(Self)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let start = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) && start.elapsed() < END {
            thread::sleep(Duration::from_millis(1));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves until the input ends, on the runtime that `#[tokio::main]` makes.
pub(crate) fn serve(name: &str, urls: &str) -> Result<(), BoxError> {
    let contender = Contender::find(name).ok_or("no such server")?;
    let How::Router(router) = contender.how else { return Err("not a server of this program".into()) };
    let urls = Urls::from_text(urls)?;
    thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    tokio::runtime::Runtime::new()?.block_on(async move {
        let app = router(urls).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{name}\n{}\n", listener.local_addr()?.port());
        Ok(app.serve(listener).await?)
    })
}
