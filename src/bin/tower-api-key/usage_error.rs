//! Usage errors in one line. No value is repeated: it may be a key that was pasted into the wrong place.

use std::error::Error;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::failure::{self, write_error};

/// Prints what clap asks for: help and the version to standard output, or one line about what is wrong.
pub(crate) fn report(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        _ => {
            write_error(&line(error));
            ExitCode::from(failure::USAGE)
        }
    }
}

fn line(error: &clap::Error) -> String {
    let argument = names(error, ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::ValueValidation => {
            let reason = error.source().map_or_else(|| "invalid value".to_owned(), ToString::to_string);
            format!("{argument}: {reason}")
        }
        ErrorKind::InvalidValue => match names(error, ContextKind::ValidValue) {
            valid if valid.is_empty() => format!("{argument}: a value is missing"),
            valid => format!("{argument}: expected one of {valid}"),
        },
        ErrorKind::MissingRequiredArgument => format!("missing: {argument}"),
        ErrorKind::ArgumentConflict => match names(error, ContextKind::PriorArg) {
            prior if prior.is_empty() || prior == argument => format!("{argument} can be given once"),
            prior => format!("{argument} cannot be used with {prior}"),
        },
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "a command is missing: `tower-api-key --help` lists all".to_owned()
        }
        ErrorKind::InvalidSubcommand => "unknown command: `tower-api-key --help` lists all".to_owned(),
        ErrorKind::UnknownArgument if is_option(&argument) => format!("unknown option {argument}: see --help"),
        ErrorKind::UnknownArgument => "unexpected argument: see --help".to_owned(),
        ErrorKind::TooManyValues | ErrorKind::WrongNumberOfValues | ErrorKind::TooFewValues => {
            format!("{argument}: wrong number of values")
        }
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8".to_owned(),
        _ => "invalid arguments: see --help".to_owned(),
    }
}

fn names(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(name)) => name.clone(),
        Some(ContextValue::Strings(names)) => names.join(", "),
        _ => String::new(),
    }
}

/// Whether a text is the name of an option. A key has digits.
fn is_option(text: &str) -> bool {
    text.starts_with('-') && text.chars().all(|character| character.is_ascii_lowercase() || character == '-')
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn usage_error_is_a_line_without_values() {
        for (arguments, expected) in [
            ("issue --name ci --full-access", "missing: --organization <ID>"),
            ("issue --organization acme --name ci", "missing: <--scope <SCOPE>|--full-access>"),
            ("show --organization acme --id avk_01", "--id <ID>: invalid key id: expected 32 lowercase"),
            ("show --organization acme avk_01", "unexpected argument: see --help"),
            ("show --organizations acme", "unknown option --organizations: see --help"),
            ("show --avk_01", "unexpected argument: see --help"),
            ("avk_01", "unknown command: `tower-api-key --help` lists all"),
            ("list --organization acme --status avk_01", "--status <STATUS>: invalid key status"),
            ("list --organization acme --json=avk_01", "--json: wrong number of values"),
            ("list --organization a --organization b", "--organization <ID> can be given once"),
            ("list --organization a --all-organizations", "--organization <ID> cannot be used with"),
            ("list", "missing: <--organization <ID>|--all-organizations>"),
            ("completions avk_01", "<SHELL>: expected one of bash, elvish, fish, powershell, zsh"),
            ("show --organization acme --id", "--id <ID>: a value is missing"),
        ] {
            let error = Cli::try_parse_from(format!("tower-api-key {arguments}").split(' ')).unwrap_err();
            let line = line(&error);
            assert!(line.starts_with(expected), "{arguments}: {line}");
            assert!(!line.contains("avk_01") && !line.contains('\n'), "{arguments}: {line}");
        }
    }
}
