//! A Postgres server of a test's own, thrown away with it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A directory that a server may read and write. Servers do not run as root, so where we are root, it belongs to
/// another user, as whom they then run.
pub(crate) struct ServerDir {
    path: PathBuf,
    user: Option<(u32, u32)>,
}

impl ServerDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("tower-api-key-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let root = fs::metadata("/proc/self").unwrap().uid() == 0;
        let dir = Self { path, user: root.then(ordinary_user) };
        dir.hand_over(&dir.path);
        dir
    }

    /// A file with this text, which no one else may read.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        self.hand_over(&path);
        path
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A command that runs as the directory's user, with its output in `NAME.log`.
    pub(crate) fn command(&self, program: impl AsRef<Path>, name: &str) -> Command {
        let mut command = Command::new(program.as_ref());
        let log = fs::File::options().create(true).append(true).open(self.path.join(format!("{name}.log"))).unwrap();
        command.current_dir(&self.path).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    fn hand_over(&self, path: &Path) {
        if let Some((user, group)) = self.user {
            chown(path, Some(user), Some(group)).unwrap();
        }
    }
}

impl Drop for ServerDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Only the role `with_password` needs one.
const HBA: &str =
    "local all all trust\nhost all with_password 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";

pub(crate) struct Cluster {
    settings: Vec<String>,
    port: u16,
    postmaster: Option<Child>,
    dir: ServerDir,
}

impl Cluster {
    /// A new one with these settings, each `name=value`, that accepts connections.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let dir = ServerDir::new();
        let data = dir.path().join("data");
        let mut initdb = dir.command(program("initdb"), "initdb");
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        assert!(initdb.arg("-D").arg(&data).status().unwrap().success(), "{}", dir.path().display());
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut cluster = Self { settings, port: free_port(), postmaster: None, dir };
        cluster.begin();
        cluster.wait();
        cluster
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The URL of its Unix socket.
    pub(crate) fn socket_url(&self) -> String {
        format!("postgres:///postgres?user=postgres&host={}&port={}", self.dir.path().display(), self.port)
    }

    /// Starts again what has ended. It accepts connections when it is ready, not when this returns.
    pub(crate) fn begin(&mut self) {
        let hba = self.dir.write("hba.conf", HBA);
        let mut postgres = self.dir.command(program("postgres"), "postgres");
        postgres.arg("-D").arg(self.dir.path().join("data")).arg("-k").arg(self.dir.path());
        postgres.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-B", "2048"]);
        postgres.arg("-c").arg(format!("hba_file={}", hba.display()));
        for setting in &self.settings {
            postgres.args(["-c", setting]);
        }
        self.postmaster = Some(postgres.spawn().unwrap());
    }

    /// Returns once it accepts connections.
    pub(crate) fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut ready = Command::new(program("pg_isready"));
        ready.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        while !ready.status().unwrap().success() {
            assert!(Instant::now() < deadline, "Postgres does not start: {}", self.dir.path().display());
            sleep(Duration::from_millis(20));
        }
    }

    /// Stops every process as a machine does that stalls. Nothing is closed.
    pub(crate) fn stall(&self) {
        self.send_to_all("STOP");
    }

    /// Goes on after [`stall`](Self::stall).
    pub(crate) fn go_on(&self) {
        self.send_to_all("CONT");
    }

    fn send_to_all(&self, signal: &str) {
        let postmaster = self.postmaster.as_ref().expect("it runs").id();
        // The postmaster first, so that it starts no further process.
        send(signal, &[postmaster]);
        send(signal, &children(postmaster));
    }

    /// Sends this signal: `INT` lets it shut down in order, `KILL` goes to all of its processes. Returns when they are
    /// gone.
    pub(crate) fn end(&mut self, signal: &str) {
        let Some(mut postmaster) = self.postmaster.take() else { return };
        let pid = postmaster.id();
        if signal == "KILL" {
            // So that it starts no further process between the look and the kill.
            send("STOP", &[pid]);
            let mut all = children(pid);
            let processes = all.clone();
            all.push(pid);
            send("KILL", &all);
            postmaster.wait().unwrap();
            while processes.iter().any(|&process| is_running(process)) {
                sleep(Duration::from_millis(1));
            }
        } else {
            send(signal, &[pid]);
            postmaster.wait().unwrap();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end("KILL");
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// User and group of `postgres`, or of `nobody`.
fn ordinary_user() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ids("postgres").or_else(|| ids("nobody")).expect("an ordinary user")
}

/// Debian keeps the server's programs out of the path.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.exists()).max();
    newest.unwrap_or_else(|| name.into())
}

fn send(signal: &str, processes: &[u32]) {
    let processes: Vec<String> = processes.iter().map(u32::to_string).collect();
    // One that is gone already is no error.
    let kill = format!("kill -{signal} {} 2>/dev/null; true", processes.join(" "));
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

/// The fields of `/proc/PID/stat` from the state on. The name before it may hold anything.
fn stat(process: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn is_running(process: u32) -> bool {
    stat(process).is_some_and(|fields| fields[0] != "Z")
}

fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.filter(|&process| stat(process).is_some_and(|fields| fields[1] == parent.to_string())).collect()
}
