//! Servers in other languages, in `peers/`. Their packages are installed in the target directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tower_api_key::BoxError;

use crate::keys;

pub(crate) struct Program {
    pub(crate) runtime: Runtime,
    /// A file in `peers/`, and arguments.
    pub(crate) script: &'static [&'static str],
    pub(crate) keys: Keys,
}

#[derive(Clone, Copy)]
pub(crate) struct Keys {
    stored: u64,
    used: u64,
}

pub(crate) const ALL_KEYS: Keys = Keys { stored: keys::STORED, used: keys::USED };
/// For a server that takes a tenth of a second to create a key, or to check one.
pub(crate) const FEW_KEYS: Keys = Keys { stored: 16, used: 16 };

impl Program {
    pub(crate) fn command(&self, database: &Path) -> Command {
        let dir = self.runtime.dir();
        let (script, arguments) = self.script.split_first().expect("a file");
        let mut command = Command::new(match self.runtime {
            Runtime::Node => PathBuf::from("node"),
            Runtime::Python => dir.join("venv/bin/python"),
        });
        command.current_dir(dir).env("NODE_ENV", "production").arg(script).arg(database);
        command.args([self.keys.stored, self.keys.used].map(|keys| keys.to_string())).args(arguments);
        command
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Runtime {
    Node,
    Python,
}

/// Compiling SQLite for Node takes minutes.
const INSTALL: Duration = Duration::from_secs(900);

macro_rules! files {
    ($($name:literal),*) => {
        &[$(($name, include_str!(concat!("peers/", $name)))),*]
    };
}

impl Runtime {
    fn dir(self) -> PathBuf {
        let name = match self {
            Self::Node => "servers-node",
            Self::Python => "servers-python",
        };
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
    }

    /// The list of packages first.
    const fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Node => files!("package.json", "better_auth.mjs"),
            Self::Python => files!("requirements.txt", "common.py", "django_server.py", "keyshield_server.py"),
        }
    }

    /// Installs the packages, unless they are there.
    pub(crate) fn install(self) -> Result<(), BoxError> {
        let (dir, files) = (self.dir(), self.files());
        fs::create_dir_all(&dir)?;
        for (name, text) in files {
            fs::write(dir.join(name), text)?;
        }
        let (packages, installed) = (files[0].1, dir.join("installed"));
        if fs::read_to_string(&installed).is_ok_and(|installed| installed == packages) {
            return Ok(());
        }
        eprintln!("Installing packages in {}.", dir.display());
        let run = |program: &Path, arguments: &[&str]| {
            run(Command::new(program).args(arguments).current_dir(&dir))
                .map_err(|error| format!("{} {}: {error}", program.display(), arguments[0]))
        };
        match self {
            Self::Node => {
                run(Path::new("node"), &["--version"])?;
                run(Path::new("npm"), &["install", "--no-fund", "--no-audit", "--loglevel=error"])?;
            }
            Self::Python => {
                run(Path::new("python3"), &["-m", "venv", "venv"])?;
                run(&dir.join("venv/bin/pip"), &["install", "--quiet", "-r", "requirements.txt"])?;
            }
        }
        fs::write(installed, packages)?;
        Ok(())
    }
}

fn run(command: &mut Command) -> Result<(), BoxError> {
    let (mut process, start) = (command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?, Instant::now());
    loop {
        match process.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(status.to_string().into()),
            None if start.elapsed() > INSTALL => {
                process.kill()?;
                process.wait()?;
                return Err("it takes too long".into());
            }
            None => thread::sleep(Duration::from_millis(50)),
        }
    }
}
