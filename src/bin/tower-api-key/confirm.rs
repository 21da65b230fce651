use std::io::{self, BufRead, IsTerminal, Write};

use crate::failure::Failure;

/// Asks before a change that is final.
pub(crate) struct Confirmation {
    asks: bool,
}

impl Confirmation {
    /// Fails at once, before anything is read or changed, where no one could be asked.
    pub(crate) fn of(yes: bool, change: &str) -> Result<Self, Failure> {
        if !yes && !io::stdin().is_terminal() {
            return Err(Failure::usage(format!(
                "{change} is final, and standard input is no terminal to ask on: pass --yes"
            )));
        }
        Ok(Self { asks: !yes })
    }

    pub(crate) fn ask(&self, question: &str) -> Result<(), Failure> {
        if !self.asks {
            return Ok(());
        }
        let question = question.replace(char::is_control, " ");
        let mut answer = String::new();
        let asked = write!(io::stderr().lock(), "{question} [y/N] ");
        let read = asked.and_then(|()| io::stdin().lock().read_line(&mut answer));
        read.map_err(|error| Failure::failed(format!("cannot ask: {error}")))?;
        if matches!(&*answer.trim().to_lowercase(), "y" | "yes") {
            Ok(())
        } else {
            Err(Failure::failed("nothing was changed"))
        }
    }
}
