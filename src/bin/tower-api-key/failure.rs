use std::error::Error;
use std::io::{self, Write};
use std::iter::successors;
use std::process::ExitCode;

use tower_api_key::manage::{InvalidNewKey, ManageError};
use tower_api_key::store::{SchemaError, SqlError};

/// Why a command ends without having done all that it was asked: a line for standard error, and the status of the process.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    line: Option<String>,
}

const FAILED: u8 = 1;
pub(crate) const USAGE: u8 = 2;
const NOT_FOUND: u8 = 3;
/// What shells return for a process that an interrupt has ended.
const INTERRUPTED: u8 = 130;

impl Failure {
    /// The command could not do what it was asked.
    pub(crate) fn failed(line: impl Into<String>) -> Self {
        Self { status: FAILED, line: Some(line.into()) }
    }

    /// The command cannot be asked in this way.
    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self { status: USAGE, line: Some(line.into()) }
    }

    /// The user has interrupted the command.
    pub(crate) const fn interrupted() -> Self {
        Self { status: INTERRUPTED, line: None }
    }

    /// There is no such key.
    pub(crate) fn not_found(line: impl Into<String>) -> Self {
        Self { status: NOT_FOUND, line: Some(line.into()) }
    }

    /// The output could not be written. A reader that has seen enough, such as `head`, is no failure.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self { status: 0, line: None }
        } else {
            Self::failed(format!("cannot write to standard output: {error}"))
        }
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.status == NOT_FOUND
    }

    pub(crate) fn line(&self) -> &str {
        self.line.as_deref().unwrap_or_default()
    }

    /// Keeps the status alone, where the lines are written already.
    pub(crate) fn without_line(self) -> Self {
        Self { line: None, ..self }
    }

    pub(crate) fn report(self) -> ExitCode {
        if let Some(line) = self.line {
            write_error(&line);
        }
        ExitCode::from(self.status)
    }
}

/// Writes one line to standard error, whatever is in the text.
pub(crate) fn write_error(line: &str) {
    let line = line.replace(char::is_control, " ");
    let _ = writeln!(io::stderr().lock(), "error: {line}");
}

impl From<ManageError> for Failure {
    fn from(error: ManageError) -> Self {
        match error {
            ManageError::NotFound => Self::not_found("the organization has no such key"),
            error => Self::failed(text(&error)),
        }
    }
}

impl From<InvalidNewKey> for Failure {
    fn from(error: InvalidNewKey) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Self::failed(text(&error))
    }
}

impl From<SchemaError> for Failure {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Behind { found, needed } => Self::failed(format!(
                "the key tables are at version {found}, and version {needed} is needed: run `tower-api-key migrate`"
            )),
            error => Self::failed(text(&error)),
        }
    }
}

/// Returns the text of an error, with what to do in this program where the library names a function.
fn text(error: &(dyn Error + 'static)) -> String {
    let mut causes = successors(Some(error), |&error| error.source());
    match causes.find_map(|error| error.downcast_ref()) {
        Some(SqlError::NotMigrated(_)) => {
            "the key tables are missing or outdated: run `tower-api-key migrate`".to_owned()
        }
        // The driver tries again for a while, and then reports only that it has waited.
        Some(SqlError::Database(sqlx::Error::PoolTimedOut)) => "the database cannot be reached".to_owned(),
        _ => error.to_string(),
    }
}
