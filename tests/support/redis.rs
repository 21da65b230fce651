//! A Redis server of the test.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use ::redis::{Client, Commands, Connection};

use super::cluster::{ServerDir, free_port};

pub(crate) struct RedisServer {
    port: u16,
    arguments: Vec<String>,
    process: Option<Child>,
    dir: ServerDir,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With these arguments, once it accepts connections.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut server = Self { port: free_port(), arguments, process: None, dir: ServerDir::new() };
        server.begin();
        server
    }

    /// Starts again what has ended, with no data.
    pub(crate) fn begin(&mut self) {
        let mut command = self.dir.command("redis-server", "redis");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        let tls = self.arguments.iter().any(|argument| argument == "--tls-port");
        if tls {
            command.args(["--port", "0", "--tls-port", &self.port.to_string()]);
            command.args(self.arguments.iter().filter(|argument| *argument != "--tls-port"));
        } else {
            command.args(["--port", &self.port.to_string()]).args(&self.arguments);
        }
        self.process = Some(command.spawn().expect("redis-server is installed"));
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "Redis does not start: {}", self.dir.path().display());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) const fn dir(&self) -> &ServerDir {
        &self.dir
    }

    /// With signal 9.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// `STOP` or `CONT`.
    pub(crate) fn signal(&self, signal: &str) {
        let process = self.process.as_ref().expect("it runs").id();
        let kill = Command::new("kill").args([format!("-{signal}"), process.to_string()]).status();
        assert!(kill.unwrap().success());
    }

    /// A connection in addition to those of the store.
    pub(crate) fn connection(&self) -> Connection {
        Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.connection().keys("*").unwrap();
        keys.sort();
        keys
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
