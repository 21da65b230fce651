//! Builds the example once, starts it on a free port, and ends it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// A server that is running. It is killed when this is dropped.
pub(super) struct Server {
    child: Child,
    log: Option<JoinHandle<String>>,
    lines: Receiver<String>,
    /// `http://127.0.0.1:PORT/api/v1`, as it was printed.
    pub(super) base: String,
}

impl Server {
    /// Starts with these options, on a free port and in memory by default.
    pub(super) fn start(options: &[&str]) -> Self {
        Self::start_logging(options, "")
    }

    /// The same with this in `RUST_LOG`.
    pub(super) fn start_logging(options: &[&str], directives: &str) -> Self {
        let mut command = program();
        command.env("RUST_LOG", directives).args(options);
        if !options.contains(&"--store") {
            command.args(["--store", "memory:"]);
        }
        if !options.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        Self::spawn(command)
    }

    /// Starts in this working directory, without the option for the store.
    pub(super) fn start_in(directory: &Path) -> Self {
        let mut command = program();
        command.args(["--listen", "127.0.0.1:0"]).current_dir(directory);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");

        let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.all(|line| sender.send(line).is_ok())
        });
        let log = std::thread::spawn(move || {
            let mut log = Vec::new();
            stderr.read_to_end(&mut log).expect("a readable log");
            String::from_utf8(log).expect("a log in UTF-8")
        });
        let mut server = Self { child, log: Some(log), lines, base: String::new() };
        server.base = server.printed().strip_prefix("Serving ").expect("the base URL comes first").to_owned();
        server
    }

    /// The next line on standard output.
    pub(super) fn printed(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("another line on standard output")
    }

    /// The same, or nothing where the server has ended.
    pub(super) fn next_printed(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the server neither prints nor ends"),
        }
    }

    /// `127.0.0.1:PORT`.
    pub(super) fn address(&self) -> &str {
        self.base.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/api/v1")).expect("a base URL")
    }

    /// The most memory that it ever had, in MiB.
    #[cfg(target_os = "linux")]
    pub(super) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak.expect("a peak").parse::<u64>().expect("a number") / 1024
    }

    /// Sends a signal, such as `TERM`.
    pub(super) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
    }

    /// Waits for the end of a server that received a stop signal: its exit status and its log.
    pub(super) fn wait(mut self) -> (ExitStatus, String) {
        let status = wait(&mut self.child);
        let log = self.log.take().unwrap().join().expect("a log");
        (status, log)
    }

    pub(super) fn stop(self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `wait`, there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program to its end, as for invalid options: status, standard output, standard error.
pub(super) fn run(options: &[&str]) -> (ExitStatus, String, String) {
    let mut command = program();
    command.args(options).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let status = wait(&mut child);
    let output = child.wait_with_output().expect("output");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status, text(output.stdout), text(output.stderr))
}

fn wait(child: &mut Child) -> ExitStatus {
    let deadline = std::time::Instant::now() + PATIENCE;
    while std::time::Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("a child") {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    panic!("the program did not end within {PATIENCE:?}");
}

fn program() -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(PROGRAM.get_or_init(build));
    command.env_remove("RUST_LOG");
    command
}

/// Cargo has no variable that names an example's program. `cargo build` names it, and takes no time where the documented
/// test command has just built it with all features.
fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "--message-format=json"]);
    cargo.args(["--example", "avala", "--all-features", "--profile", profile()]);
    // Some build scripts run again if these variables change.
    let of_this_test = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    });
    of_this_test.for_each(|name| {
        cargo.env_remove(name);
    });
    let output = cargo.stderr(Stdio::inherit()).output().expect("cargo runs");
    assert!(output.status.success(), "the example does not build");
    let messages = String::from_utf8(output.stdout).expect("UTF-8");
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut built = messages.filter(|message| message["target"]["name"] == "avala");
    built.find_map(|message| message["executable"].as_str().map(PathBuf::from)).expect("an executable")
}

/// The profile of this test: the name of the directory above `deps`, which holds the test.
fn profile() -> &'static str {
    static PROFILE: OnceLock<String> = OnceLock::new();
    PROFILE.get_or_init(|| {
        let test = std::env::current_exe().expect("a path");
        let directory = test.ancestors().nth(2).and_then(Path::file_name).and_then(|name| name.to_str());
        match directory.expect("target/PROFILE/deps/TEST") {
            "debug" => "dev".to_owned(),
            other => other.to_owned(),
        }
    })
}
